"""Names of the classes, from an argument, a checkpoint or a file beside it."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gradcam_core.errors import ModelError
from gradcam_core.text import is_plain

MOST_LABELS = 100_000
LONGEST_LABEL = 300
IMAGENET_CLASSES = 1000
LARGEST_FILE = 8_000_000
NUMBERED = re.compile(r"(\d{1,7})[\s,]\s*(.+)", re.ASCII)
KEYS = (
    *("class_names", "classes", "labels", "idx_to_class", "class_to_idx", "label_names", "CLASSES", "id2label"),
    *("label2id", "categories", "label_map", "target_names", "pathologies", "names"),
)
# Names can look like numbers, as folders 0, 1, 10, 11, 2 do; these keys say which side the index is on.
DIRECTIONS = {
    **dict.fromkeys(("class_to_idx", "label2id"), "to index"),
    **dict.fromkeys(("idx_to_class", "id2label"), "to name"),
}
PLACEHOLDER = re.compile(r"LABEL_\d+")  # what transformers writes where no names were given
PLACES = ("hyper_parameters", "meta", "metadata", "hparams", "config", "args", "dataset_meta", "model_config", "model")
BESIDE = ("class_indices.json", "labels.txt", "classes.txt", "class_names.txt", "labels.json", "classes.json")
FORMATS = (
    "Give a list of names, or a text file with one name a line, or a JSON file: a list, "
    '{"0": "daisy", ...} or {"daisy": 0, ...}.'
)


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 short class names of ImageNet-1k, all distinct; they ship with torchvision."""
    from torchvision import models

    return tuple(models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def given_labels(labels: Sequence[str] | Mapping[Any, Any] | str | Path) -> tuple[str, ...]:
    """Labels that the caller gave, as names or as a file. Raises ModelError where they are unusable."""
    if isinstance(labels, str | Path):
        return read_labels(Path(labels))
    names = labels_from(labels) if isinstance(labels, Mapping) else None
    # Of others, a set has no order, a generator no length.
    if isinstance(labels, Sequence) or hasattr(labels, "tolist"):
        names = tuple(labels) if all(isinstance(label, str) for label in labels) else None
    if names is None or len(names) > MOST_LABELS:
        raise ModelError("The labels are not a list of names.", FORMATS)
    return names


def find_labels(
    path: Path, contents: Sequence[Mapping[str, Any]], classes: int | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Names from the file itself, else from a file beside it, if there are as many as classes."""
    labels, origin = labels_in(*contents), "in the file"
    if labels is None:
        try:
            labels, origin = labels_beside(path), "in a file beside the weights"
        except ModelError as error:
            return None, (f"A file with names of classes lies beside the weights, but: {error.message}",)
    if labels is None and any(key in content for content in contents for key in KEYS):
        return None, ("The names of classes in the file are empty, too long, unprintable or incomplete: not used.",)
    if labels is None:
        return None, ("The file names no classes: they are numbered. A file with one name a line would name them.",)
    if len(labels) != classes:
        return None, (f"The {len(labels)} names of classes {origin} do not match the {classes} classes: not used.",)
    return labels, () if origin == "in the file" else (f"The names of the classes were found {origin}.",)


def labels_from(value: Any, direction: str = "") -> tuple[str, ...] | None:
    """Names in the order of their indices from a list or a mapping; None if it is neither.

    `direction` is "to index" or "to name" where it is known which way a mapping goes.
    """
    if isinstance(value, str):
        value = _parse_json(value) if value.lstrip()[:1] in ("[", "{") else None
    if isinstance(value, Mapping):
        return _from_mapping(value, direction)
    if not isinstance(value, Sequence) or isinstance(value, bytes) or not 0 < len(value) <= MOST_LABELS:
        return None
    if all(isinstance(item, Mapping) and {"id", "name"} <= set(item) for item in value):
        return _from_mapping({item["id"]: item["name"] for item in value}, "to name")
    names, letters = [], 0
    for item in value:
        name = _name(item)
        letters += len(name or "")
        if name is None or letters > LARGEST_FILE:  # in a pickle, one long name can stand for many
            return None
        names.append(name)
    return tuple(names)


def labels_in(*contents: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Labels that a checkpoint carries, kept as written; None where it has none."""
    for place in places_of(contents):
        for key in KEYS:
            labels = labels_from(place.get(key), DIRECTIONS.get(key, ""))
            if labels and not all(map(PLACEHOLDER.fullmatch, labels)):
                return _spoken(labels, place.get("cat_to_name"))
    return None


def _spoken(labels: tuple[str, ...], names: Any) -> tuple[str, ...]:
    """The names that a mapping gives to folders, where it has one for each."""
    if not isinstance(names, Mapping) or not all(label in names for label in labels):
        return labels
    return labels_from([names[label] for label in labels]) or labels


def places_of(contents: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Where a checkpoint may describe itself: at the top, under the usual keys, and under those once more."""
    level, places = list(contents), list(contents)
    for _ in range(2):
        level = [x for place in level for key in PLACES if isinstance(x := place.get(key), Mapping)]
        places += level
    return places


def labels_beside(path: Path) -> tuple[str, ...] | None:
    """Labels in a file beside the checkpoint; None where there is none.

    A file that is there but cannot be read raises ModelError.
    """
    for name in (*BESIDE, f"{path.stem}.txt", f"{path.stem}.json"):
        candidate = path.with_name(name)
        if candidate != path and candidate.is_file():
            return read_labels(candidate)
    return None


def read_labels(path: Path) -> tuple[str, ...]:
    """Read labels from JSON or from text with one label a line. Raises ModelError."""
    return parse_labels(_read_text(path))


def parse_labels(text: str) -> tuple[str, ...]:
    """Take labels out of JSON, or of text with one label a line. Raises ModelError."""
    if text.lstrip()[:1] in ("[", "{"):
        value = _parse_json(text)
        labels = labels_from(value)
        if labels is None and isinstance(value, Mapping):
            labels = labels_in(value)
        if labels is None:
            raise ModelError("The label file's JSON is no list of names and no complete numbering.", FORMATS)
        return labels
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not any(lines) or len(lines) > MOST_LABELS:
        raise ModelError(f"The label file holds {len(lines) if any(lines) else 'no'} labels.", FORMATS)
    names = _from_numbered(lines) or tuple(lines)
    broken = next((index for index, name in enumerate(names) if _name(name) is None), None)
    if broken is not None:
        raise ModelError(f"Label {broken + 1} in the label file is empty, too long or not text.", FORMATS)
    return names


def _read_text(path: Path) -> str:
    try:
        if not path.is_file():
            raise ModelError("There is no label file at this path.", FORMATS)
        if path.stat().st_size > LARGEST_FILE:
            raise ModelError("The label file is far too large for names of classes.", FORMATS)
        content = path.read_bytes()
        utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Windows' Notepad may write
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError("The label file is not text (UTF-8).", FORMATS) from error
    except (OSError, ValueError) as error:
        raise ModelError("The label file cannot be opened.", "Check the path and the permission to read it.") from error


def _parse_json(text: str) -> Any:
    """Parse JSON; what is no JSON is None. NaN and such are refused, as they are no names."""
    try:
        return json.loads(text[:LARGEST_FILE], parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _from_mapping(value: Mapping[Any, Any], direction: str) -> tuple[str, ...] | None:
    """Sort names by their indices, which must be 0, 1, 2, ... without a gap."""
    if not 0 < len(value) <= MOST_LABELS:
        return None
    pairs = [(_index(key), _name(name)) for key, name in value.items()]
    unclear = any(index is None or name is None for index, name in pairs)
    if direction == "to index" or (not direction and unclear):
        pairs = [(_index(index), _name(key)) for key, index in value.items()]
    by_index = {index: name for index, name in pairs if index is not None and name is not None}
    if set(by_index) != set(range(len(value))):
        return None
    return tuple(by_index[index] for index in range(len(value)))


def _index(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 8 else None


def _name(value: Any) -> str | None:
    """A usable label, as written; of a pair such as ["n01440764", "tench"], the last."""
    if isinstance(value, list | tuple) and 0 < len(value) <= 3:
        value = value[-1]
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    usable = isinstance(value, str) and value.strip() and len(value) <= LONGEST_LABEL and is_plain(value)
    return value if usable else None


def _from_numbered(lines: list[str]) -> tuple[str, ...] | None:
    """Names behind their indices ("0 daisy" or "0,daisy"), after an optional heading; None for other lines."""
    for start in (0, 1):
        pairs = [NUMBERED.fullmatch(line) for line in lines[start:]]
        names = {int(pair[1]): pair[2] for pair in pairs if pair}
        if pairs and None not in pairs and set(names) == set(range(len(pairs))):
            return tuple(names[index] for index in range(len(pairs)))
    return None
