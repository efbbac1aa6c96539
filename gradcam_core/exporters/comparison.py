"""A comparison of models -> plain values for JSON, files in a folder, and one ZIP archive."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gradcam_core.comparison import Comparison, comparison_sentences, pair_sentence, same_network
from gradcam_core.comparison.records import ComparedClass, Pair
from gradcam_core.errors import GradcamError
from gradcam_core.exporters.comparison_pictures import pictures_of
from gradcam_core.exporters.drawing import Drawing
from gradcam_core.exporters.encoding import png, to_json
from gradcam_core.exporters.folder import read_record
from gradcam_core.exporters.manifest import to_dict, trust_to_dict
from gradcam_core.exporters.names import Names, safe
from gradcam_core.exporters.zip_archive import add_file
from gradcam_core.files import write_whole
from gradcam_core.text import DISCLAIMER

RECORD = "comparison.json"
SHARED = ("image", "versions", "created", "disclaimer")
# File names: ("model", its place, the heatmap's place), and ("class", its place, the pair's place).
Files = Mapping[tuple[str, int, int], str]
README = """\
WHAT THIS IS
Several image models on one picture: their answers, and where each model's score for a class is sensitive.
{disclaimer}

{sentences}

THE FILES
comparison.json     the record: answers, classes, numbers, models, versions
model*.png          the heatmap of one model for one class, over the picture
difference_*.png    one model's heatmap minus another's: orange where the first is hotter, blue where the second is.
                    The scale is fixed, -1 to 1, so that a small difference looks small.

Models that agree may still be wrong together. Text or faces inside the picture itself are still there. Check before
you share it.
"""


def comparison_to_dict(comparison: Comparison, *, names: Names = "keep", files: Files | None = None) -> dict[str, Any]:
    """Return everything about a comparison but its pixels, in values that strict JSON allows.

    Models are numbered from 0, in the order in which they were given. `files` names the pictures.
    """
    files = files or {}
    shared = to_dict(comparison.explanations[0], names=names)
    classes = [
        _class(
            comparison,
            each,
            {which: name for (kind, of, which), name in files.items() if (kind, of) == ("class", place)},
        )
        for place, each in enumerate(comparison.classes)
    ]
    return {
        "image": shared["image"],
        "outcome": comparison.outcome,
        "sentences": list(comparison_sentences(comparison)),
        "models": [_model(comparison, place, names, files) for place in range(len(comparison.explanations))],
        "scale": comparison.scale,
        "classes": classes,
        "notes": list(comparison.notes),
        "disclaimer": DISCLAIMER,
        "seconds": {"comparing": comparison.comparing_seconds},
        "versions": shared["versions"],
        "created": shared["created"],
    }


def _model(comparison: Comparison, place: int, names: Names, files: Files) -> dict[str, Any]:
    """A model's explanation, without what all of them share."""
    own = {which: {"file": name} for (kind, of, which), name in files.items() if (kind, of) == ("model", place)}
    record = to_dict(comparison.explanations[place], names=names, files=own)
    record = {key: value for key, value in record.items() if key not in SHARED}
    record["seconds"] |= {"all": comparison.seconds[place]}
    record["same_answer"] = comparison.same_answer[place]
    if comparison.checks:
        checked = comparison.checks[place]
        record["checks"] = None if checked is None else trust_to_dict(checked)
    return record


def _class(comparison: Comparison, compared: ComparedClass, files: Mapping[int, str]) -> dict[str, Any]:
    """`heatmaps` has, for each model, the place in its list of heatmaps; null where it has no such class."""
    partners = [None if heatmap is None else heatmap.target for heatmap in compared.heatmaps]
    return {
        "index": compared.index,
        "label": compared.label,
        "partners": [None if target is None else {"index": target.index, "label": target.label} for target in partners],
        "heatmaps": [
            None if heatmap is None else explanation.heatmaps.index(heatmap)
            for heatmap, explanation in zip(compared.heatmaps, comparison.explanations, strict=True)
        ],
        "pairs": [_pair(pair) | {"file": files.get(place)} for place, pair in enumerate(compared.pairs)],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "models": list(pair.places),
        "rank_correlation": pair.correlation,
        "overlap": pair.overlap,
        "overlap_by_chance": pair.chance,
        "standing": pair.standing,
        "sentence": pair_sentence(pair),
    }


def comparison_archive(comparison: Comparison, *, names: Names = "hash", drawing: Drawing | None = None) -> bytes:
    """Pack a comparison as ZIP: heatmaps and differences as PNG, the record, and a README.

    On a shared scale, the differences are on that scale, too, where the models' raw values have a common unit.
    """
    drawing = drawing or Drawing()
    if drawing.shared_scale and same_network(comparison.explanations):
        comparison = comparison.on_scale("same")
    packed, files = io.BytesIO(), {}
    with zipfile.ZipFile(packed, "w") as target:
        words = "\n".join(comparison_sentences(comparison))
        add_file(target, "README.txt", README.format(disclaimer=DISCLAIMER, sentences=words).encode())
        for key, name, pixels in pictures_of(comparison, names, drawing):
            add_file(target, name, png(pixels))
            files[key] = name
        record = comparison_to_dict(comparison, names=names, files=files) | {"drawing": drawing.to_dict()}
        add_file(target, RECORD, to_json(record))
    return packed.getvalue()


def write_comparison(comparison: Comparison, out: Path, names: Names = "keep") -> Path:
    """Write an overlay for each heatmap, a picture of each difference, and comparison.json; return its path.

    The record is written last: a folder that has one is complete. The files that a record of before lists are removed,
    and no others. Raises GradcamError where that is not possible.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        former = set(_files_of(out / RECORD))
        (out / RECORD).unlink(missing_ok=True)
        for name in former:
            (out / name).unlink(missing_ok=True)
        files = {}
        for key, name, pixels in pictures_of(comparison, names, Drawing()):
            write_whole(out / name, png(pixels))
            files[key] = name
        write_whole(out / RECORD, to_json(comparison_to_dict(comparison, names=names, files=files)))
    except OSError as error:
        raise GradcamError(
            f"The folder for results cannot be used: {error.strerror}.",
            "Choose another one, or check that you may write there.",
        ) from error
    return out / RECORD


def _files_of(record: Path) -> Iterator[str]:
    """Return the pictures that a record lists, as plain names: a record cannot name files outside its folder."""
    values = read_record(record, "models") or {}
    parts = [part for key in ("models", "classes") for part in _listed(values, key)]
    for entry in [entry for part in parts for key in ("heatmaps", "pairs") for entry in _listed(part, key)]:
        name = str(entry.get("file"))
        if name == f"{safe(Path(name).stem)}.png":
            yield name


def _listed(values: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    listed = values.get(key)
    return [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
