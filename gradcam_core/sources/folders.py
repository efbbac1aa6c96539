"""A folder of a model: its configuration, its weights in one file or several, and how its pictures are prepared."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import Checkpoint, read_checkpoint

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
CONFIG, PREPROCESSING = "config.json", "preprocessor_config.json"
DISTRIBUTED = ".distcp"
AS_ONE_FILE = "Make one file of it: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pth"
SHARD = re.compile(r"(model|pytorch_model)-\d{5}-of-\d{5}\.(safetensors|bin)")
LARGEST_JSON, MOST_SHARDS = 16_000_000, 1_000
LONGEST_NAME = 255
# Pillow's numbers for ways to resize.
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# From this side on, ConvNeXt's pictures are squashed instead of cut.
SQUASHED_FROM = 384


def read_weights(path: Path) -> Checkpoint:
    """Read a checkpoint: a file, a folder of a model, or an index of several files. Raises ModelError."""
    if path.suffix == DISTRIBUTED or (path.is_dir() and any(path.glob(f"*{DISTRIBUTED}"))):
        raise ModelError("This is a distributed checkpoint, in parts for several computers.", AS_ONE_FILE)
    if path.is_dir():
        named = [path / name for name in (*WEIGHT_FILES, *INDEXES) if (path / name).is_file()]
        if not named:
            names = ", ".join((*WEIGHT_FILES[:2], INDEXES[0]))
            raise ModelError("There are no weights in this folder.", f"It needs one of {names}.")
        path = named[0]
    indexes = [path.with_name(name) for name in INDEXES] if SHARD.fullmatch(path.name) else [path]
    index = next((file for file in indexes if file.name in INDEXES and file.is_file()), None)
    return _read_shards(index) if index else read_checkpoint(path)


def is_of_folder(path: Path) -> bool:
    """Whether a path is a folder, or a file by whose name the configuration beside it belongs to it."""
    return path.is_dir() or path.name in (*WEIGHT_FILES, *INDEXES) or bool(SHARD.fullmatch(path.name))


def _read_shards(index: Path) -> Checkpoint:
    """Put the parts that an index names together."""
    places, names = _places(index), shards_of(index)
    missing = sum(len(name) > LONGEST_NAME or not (index.parent / name).is_file() for name in names)
    if missing:
        message = f"{missing} of the {len(names)} files with the weights are missing beside the index."
        raise ModelError(message, "Copy the whole folder.")
    parts = [read_checkpoint(index.parent / name) for name in names]
    content = {name: value for part in parts for name, value in part.content.items()}
    tensors = {
        key: tensor
        for name, part in zip(names, parts, strict=True)
        for key, tensor in part.tensors.items()
        if places.get(key, name) == name  # the index says which file counts
    }
    absent = sum(name not in tensors for name in places)
    if absent:
        raise ModelError(f"{absent} tensors of the index are not in its files.", "Copy the whole folder again.")
    return Checkpoint(content, parts[0].metadata, tensors, tuple({note for part in parts for note in part.notes}))


def shards_of(index: Path) -> list[str]:
    """The names of the files that an index leads to. Raises ModelError."""
    places = _places(index)
    names = sorted(set(places.values())) if all(map(_is_name, places.values())) else []
    if not 0 < len(names) <= MOST_SHARDS:
        raise ModelError("The index names no files of weights beside it.", "Save the model again.")
    return names


def _places(index: Path) -> dict[str, Any]:
    stated = read_json(index).get("weight_map")
    return stated if isinstance(stated, dict) else {}


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and Path(value).name == value and value not in ("", ".", "..") and "\\" not in value


def read_json(path: Path) -> Mapping[str, Any]:
    """A mapping from a JSON file. Raises ModelError."""
    try:
        with path.open(encoding="utf-8") as file:
            content = json.loads(file.read(LARGEST_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"There is no readable {path.name} in this folder.", "Copy or save the folder again."
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"The folder's {path.name} is no configuration.", "Copy or save the folder again.")
    return content


def beside(path: Path, name: str) -> Mapping[str, Any]:
    """The configuration of this name in or beside a path; empty where there is none. Raises ModelError."""
    file = path / name if path.is_dir() else path.with_name(name)
    return read_json(file) if is_of_folder(path) and file.is_file() else {}


def stated_preprocessing(config: Mapping[str, Any], channels: int = 3) -> Preprocessing | None:
    """How pictures are prepared, as a preprocessor_config.json of transformers says; None where it says too little.

    Raises ModelError for impossible values.
    """
    size, cut = _size(config.get("size")), _size(config.get("crop_size"))
    mean, std = _values(config, "image_mean", 0.0, channels), _values(config, "image_std", 1.0, channels)
    if size is None or mean is None or std is None:
        return None
    share = config.get("crop_pct")
    resized, mode = size, "squash"
    if isinstance(share, float) and 0.05 <= share <= 1 and "shortest_edge" in _mapping(config["size"]):
        cut = size  # ConvNeXt's way
        if size[0] < SQUASHED_FROM:
            resized, mode = (int(size[0] / share), int(size[1] / share)), "center"
    else:
        cut = cut if config.get("do_center_crop") and cut else size
        mode = "center" if "shortest_edge" in _mapping(config["size"]) else "squash"
    stated = config.get("resample", 2)
    interpolation = RESAMPLING.get(stated, "bilinear") if isinstance(stated, int) else "bilinear"
    return Preprocessing(cut, resized, mean, std, interpolation, crop_mode=mode, channels=channels)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {"shortest_edge": value}


def _size(value: Any) -> tuple[int, int] | None:
    """Height and width from the forms that transformers writes."""
    stated = _mapping(value)
    sides = [stated.get("height"), stated.get("width")] if "height" in stated else [stated.get("shortest_edge")] * 2
    whole = [side for side in sides if isinstance(side, int) and not isinstance(side, bool) and 8 <= side <= 4096]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def _values(config: Mapping[str, Any], key: str, otherwise: float, channels: int) -> tuple[float, ...] | None:
    """Mean or std per channel; pictures that are not normalised keep 0 and 1."""
    stated = config.get(key) if config.get("do_normalize", True) else otherwise
    values: list[Any] = stated if isinstance(stated, list) else [stated] * channels
    if not all(isinstance(x, float | int) and not isinstance(x, bool) and -10 < x < 10 for x in values):
        return None
    if len(values) not in (1, channels) or (key == "image_std" and not all(x > 0 for x in values)):
        return None
    return tuple(float(x) for x in (values if len(values) == channels else values * channels))
