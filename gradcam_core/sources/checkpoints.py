"""Read a checkpoint file without ever running what is in it -> tensors and plain values."""

import pickle
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from gradcam_core.errors import ModelError
from gradcam_core.kinds import AGAIN, identify, open_checkpoint
from gradcam_core.sources.pickle_scan import RESAVE, PickleContents, scan_pickle
from gradcam_core.sources.zip_check import check_zip, list_of_contents

DEEPEST, MOST_MAPPINGS = 8, 20_000
MOST_TENSORS, MOST_LETTERS = 100_000, 4_000_000
LONGEST_NAME, MOST_DOTS = 2_000, 64
TORCH_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
LEADING_PICKLES, OLD_PICKLES = 3, 5
WARNING = "Do not open it with other programs either; get the weights from a source that you trust."
# Objects that only hold values. Any other name in a pickle is taken for code, known or not.
HARMLESS = re.compile(
    r"(argparse\.Namespace|types\.SimpleNamespace|collections\.(defaultdict|deque)|(datetime|decimal)\.\w+|uuid\.UUID"
    r"|pathlib\.\w*Path|numpy\.(dtype|ndarray|_?core\.multiarray\.(scalar|_reconstruct))|numpy\.dtypes\.\w+"
    r"|builtins\.(slice|range|dict|list|tuple|frozenset|int|float|str|bool|object)"
    r"|omegaconf\.(dictconfig|listconfig|base|nodes)\.\w+)"
)


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a file holds: nested mappings with tensors and plain values; `metadata` is safetensors' own."""

    content: Mapping[str, Any]
    metadata: Mapping[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read .pth, .pt, .bin, .ckpt or .safetensors by its content, not by its name.

    Only tensors and plain values are taken (`weights_only`); there is no other way to load. Time and memory
    grow no faster than the file. Raises ModelError, each kind of trouble with its own sentence.
    """
    with open_checkpoint(path) as stream:
        try:
            checkpoint = _read(stream, path)
            named_tensors(checkpoint.content)
            return checkpoint
        except ModelError:
            raise
        except MemoryError as error:
            raise ModelError("The file's weights do not fit into this computer's memory.", RESAVE) from error
        # A hostile or broken file can make any reader trip; all of it means the same to its user.
        except Exception as error:
            raise ModelError(f"The file is cut off or damaged ({first_line(error)}).", AGAIN) from error


def _read(stream: BinaryIO, path: Path) -> Checkpoint:
    kind = identify(stream)
    if kind == "safetensors":
        return _read_safetensors(path)
    size = stream.seek(0, 2)
    if kind == "zip":
        check_zip(stream)
    _check_pickles(stream, kind, size)
    content = _unpickle(stream)
    if not isinstance(content, Mapping):
        what = "one tensor" if isinstance(content, torch.Tensor) else f"a {type(content).__name__}"
        raise ModelError(f"The file holds {what}, not a model's weights by name.", RESAVE)
    return Checkpoint(content, {})


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            _check_names(len(names), sum(map(len, names)))
            return Checkpoint({name: file.get_tensor(name) for name in names}, dict(file.metadata() or {}))
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"This safetensors file is damaged: its header and its content do not agree ({first_line(error)}).", AGAIN
        ) from error


def _check_pickles(stream: BinaryIO, kind: str, size: int) -> None:
    """Scan what torch would unpickle, before it does. Raises ModelError."""
    if kind == "zip":
        _refuse_foreign(scan_pickle(list_of_contents(stream), size))
        return
    stream.seek(0)
    in_old_format = TORCH_MAGIC in stream.read(32)
    stream.seek(0)
    if not in_old_format:
        _refuse_foreign(scan_pickle(stream, size))
        raise ModelError("This is a Python pickle that torch.save did not write.", RESAVE)
    # A magic number, a version, the system, then the content and a list of its storages.
    for place in range(OLD_PICKLES):
        contents = scan_pickle(stream, size)
        _refuse_foreign(contents if place == LEADING_PICKLES else PickleContents(contents.foreign))


def _refuse_foreign(contents: PickleContents) -> None:
    """Raise ModelError where a pickle names anything but weights, and say what that makes of the file."""
    harmless = [name for name in contents.foreign if HARMLESS.fullmatch(name)]
    code = [name for name in contents.foreign if name not in harmless]
    own = [
        name for name in code if not contents.foreign[name] and name.partition(".")[0] not in sys.stdlib_module_names
    ]
    worst = next((name for name in code if name not in own), None)
    if worst:
        raise ModelError(
            f"The file asks to run code on this computer ({worst[:100]}). It was not opened, and nothing was run.",
            WARNING,
        )
    if contents.root in own:
        raise ModelError(
            f"The file holds a whole pickled model ({contents.root[:100]}). Opening it would run code, "
            "so it was not opened.",
            RESAVE,
        )
    if own:
        raise ModelError(
            f"The file holds an object of a class that is not known here ({own[0][:100]}). Opening it would run "
            "that class's code, so it was not opened.",
            RESAVE,
        )
    if harmless:
        raise ModelError(
            f"The file holds a Python object ({harmless[0][:100]}) that cannot be read safely.",
            f"{RESAVE} Where it is a training checkpoint: torch.save(checkpoint['state_dict'], 'weights.pth').",
        )


def _unpickle(stream: BinaryIO) -> Any:
    """Load with torch's restricted unpickler, after the scan."""
    stream.seek(0)
    try:
        return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError("The file holds Python objects that cannot be read safely.", RESAVE) from error


def named_tensors(content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors in nested mappings, named by their keys joined with dots.

    So wrappers such as {"state_dict": {...}} become prefixes. Bounded, since a small hostile file
    can nest the same mapping in itself many times over. Raises ModelError for names that no model has.
    """
    tensors: dict[str, torch.Tensor] = {}
    waiting: list[tuple[str, Mapping[Any, Any], int]] = [("", content, 0)]
    visited = letters = 0
    while waiting and visited < MOST_MAPPINGS:
        prefix, mapping, depth = waiting.pop()
        visited += 1
        for key, value in mapping.items():
            if not isinstance(key, str):
                continue
            if isinstance(value, torch.Tensor):
                name = prefix + key
                if len(name) > LONGEST_NAME or name.count(".") > MOST_DOTS:
                    raise ModelError("The name of a tensor in the file is far too long.", RESAVE)
                tensors[name] = value.detach()
                letters += len(name)
                _check_names(len(tensors), letters)
            elif isinstance(value, Mapping) and depth < DEEPEST and len(prefix) + len(key) < LONGEST_NAME:
                waiting.append((f"{prefix}{key}.", value, depth + 1))
    return tensors


def _check_names(count: int, letters: int) -> None:
    if count > MOST_TENSORS or letters > MOST_LETTERS:
        raise ModelError("The file holds far more tensors, or longer names, than any model.", RESAVE)


def first_line(error: BaseException) -> str:
    """The first line of an error's text, fit to be shown; its type where the text says nothing."""
    line = str(error).strip().split("\n")[0][:160]
    return line if " " in line and line.isprintable() else type(error).__name__
