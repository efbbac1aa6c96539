"""Read a checkpoint file without ever running what is in it -> tensors and plain values."""

import pickle
import pickletools
import re
import threading
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import torch

from gradcam_core.errors import ModelError
from gradcam_core.kinds import AGAIN, FROM_PYTORCH, SAVE_WEIGHTS, identify, open_checkpoint

MOST_ENTRIES = 200_000
LARGEST_PICKLE = 512_000_000
QUIET = threading.Lock()
DEEPEST, MOST_MAPPINGS = 8, 20_000
SILENT_OPCODES = {"PROTO", "FRAME", "BINPUT", "LONG_BINPUT", "MEMOIZE", "PUT"}
TORCH_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
RESAVE = (
    f"In the project that made it, save the weights alone, {SAVE_WEIGHTS}, and load that file with its architecture."
)
RUNS_CODE = {
    *("os", "posix", "nt", "sys", "subprocess", "importlib", "runpy", "pty", "socket", "shutil", "ctypes", "code"),
    *("pickle", "_pickle", "webbrowser", "multiprocessing", "pip", "marshal", "types", "bdb", "pdb", "timeit"),
    *("urllib", "http", "requests", "asyncio", "operator"),
}
BUILTINS_WITHOUT_HARM = {"slice", "range", "dict", "list", "tuple", "frozenset", "int", "float", "str", "object"}


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a file holds: nested mappings with tensors and plain values; `metadata` is safetensors' own."""

    content: Mapping[str, Any]
    metadata: Mapping[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read .pth, .pt, .bin, .ckpt or .safetensors by its content, not by its name.

    Only tensors and plain values are taken (`weights_only`); there is no other way to load. Raises
    ModelError, each kind of trouble with its own sentence.
    """
    with open_checkpoint(path) as stream:
        kind = identify(stream)
        if kind == "safetensors":
            return _read_safetensors(path)
        if kind == "zip":
            _check_zip(stream)
        content = _unpickle(stream)
        size = stream.seek(0, 2)
    if not isinstance(content, Mapping):
        what = "one tensor" if isinstance(content, torch.Tensor) else f"a {type(content).__name__}"
        raise ModelError(f"The file holds {what}, not a model's weights by name.", RESAVE)
    _check_storages(content, size)
    return Checkpoint(content, {})


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(tensors, dict(file.metadata() or {}))
    except (SafetensorError, OSError, MemoryError) as error:
        raise ModelError(
            f"This safetensors file is damaged: its header and its content do not agree ({first_line(error)}).", AGAIN
        ) from error


def _check_zip(stream: BinaryIO) -> None:
    """Look at a zip's own directory before anything unpacks it. Raises ModelError.

    The directory must stand at the very end, without a comment, so that every reader finds the same.
    """
    size = stream.seek(0, 2)
    stream.seek(max(0, size - 22))
    ending = stream.read()
    try:
        entries = zipfile.ZipFile(stream).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError, EOFError) as error:
        raise ModelError("The file is cut off or damaged: its end is missing.", AGAIN) from error
    if not ending.startswith(b"PK\x05\x06") or len(entries) > MOST_ENTRIES:
        raise ModelError("The file's list of contents is not as PyTorch writes it.", RESAVE)
    _refuse_other_zip([entry.filename for entry in entries])
    declared = sum(entry.file_size for entry in entries)
    if declared > 1.05 * size + 65_536:
        raise ModelError(
            f"The file would unpack to {declared / 1e6:,.1f} MB, its own size is {size / 1e6:,.1f} MB; "
            "PyTorch never compresses weights, so it was not opened.",
            RESAVE,
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ModelError("The file was compressed anew; PyTorch's own checkpoints are not.", RESAVE)
    if any(entry.filename.endswith("data.pkl") and entry.file_size > LARGEST_PICKLE for entry in entries):
        raise ModelError("The file's list of tensors is larger than any model's.", RESAVE)


def _refuse_other_zip(names: list[str]) -> None:
    root = next((name[: -len("data.pkl")] for name in names if name.endswith("data.pkl")), None)
    if root is not None and f"{root}constants.pkl" in names:
        raise ModelError("This is a TorchScript archive: a program, not only weights. It was not opened.", RESAVE)
    if root is not None:
        return
    if any("archive_format" in name or name.endswith("model.json") for name in names):
        raise ModelError("This is a torch.export archive (.pt2): a program, not only weights.", RESAVE)
    if any(name.endswith(".npy") for name in names):
        raise ModelError("This is a NumPy archive (.npz), not a PyTorch checkpoint.", FROM_PYTORCH)
    if any(name.endswith(".weights.h5") for name in names):
        raise ModelError("This is a Keras model, not a PyTorch checkpoint.", FROM_PYTORCH)
    raise ModelError("This is a zip archive without PyTorch weights in it.", "Unpack it; choose the checkpoint inside.")


def _unpickle(stream: BinaryIO) -> Any:
    """Load with torch's restricted unpickler, and turn its refusals into plain words."""
    stream.seek(0)
    try:
        # The filters of warnings belong to the whole process: two loads at once would mix them up.
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(str(error), stream) from error
    except MemoryError as error:
        raise ModelError("The file's weights do not fit into this computer's memory.", RESAVE) from error
    # A hostile or broken file can make the unpickler trip over anything; all of it means the same to its user.
    except Exception as error:
        if "magic number" in str(error):
            message = "This is a Python pickle that torch.save did not write."
            raise ModelError(message, RESAVE) from error
        raise ModelError(f"The file is cut off or damaged ({first_line(error)}).", AGAIN) from error


def _refusal(text: str, stream: BinaryIO) -> ModelError:
    """Tell which Python object the file asks for, and what that makes of the file."""
    blocked = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", text)
    if not blocked:
        if "pickle protocol" in text or "Unsupported operand" in text:
            return ModelError("The file was pickled in a way that cannot be read safely (pickle protocol).", RESAVE)
        return ModelError("The file holds Python objects that cannot be read safely.", RESAVE)
    name = blocked.group(1)[:100]
    module, _, member = name.partition(".")
    if module in RUNS_CODE or (not member and name not in BUILTINS_WITHOUT_HARM):  # torch drops "builtins."
        return ModelError(
            f"The file asks to run code on this computer ({name}). It was not opened, and nothing was run.",
            "Do not open it with other programs either; get the weights from a source that you trust.",
        )
    root = _root_object(stream)
    if root:
        return ModelError(
            f"The file holds a whole pickled model ({root}). Opening it would run code, so it was not opened.", RESAVE
        )
    return ModelError(
        f"The file holds a Python object ({name}) that cannot be read safely.",
        f"{RESAVE} Where it is a training checkpoint: torch.save(checkpoint['state_dict'], 'weights.pth').",
    )


def _root_object(stream: BinaryIO) -> str:
    """The class of the outermost object, or "" for a dictionary. Reads the pickle's opcodes; runs none."""
    try:
        steps = ((code.name, value) for code, value, _ in pickletools.genops(_pickle_of(stream)))
        opening = list(islice((step for step in steps if step[0] not in SILENT_OPCODES), 3))
    except (ValueError, OSError, KeyError, StopIteration, zipfile.BadZipFile, UnicodeError):
        return ""
    kinds = [kind for kind, _ in opening]
    if kinds[:1] == ["GLOBAL"]:
        root = opening[0][1]
    elif kinds == ["MARK", "BINUNICODE", "GLOBAL"]:  # the older format keeps a note of the source with each class
        root = opening[2][1] if opening[1][1] == "module" else ""
    else:
        return ""
    return "" if root == "collections OrderedDict" else str(root).replace(" ", ".")[:100]


def _pickle_of(stream: BinaryIO) -> Any:
    """Stand at the pickle that holds the content."""
    stream.seek(0)
    if stream.read(2) == b"PK":
        archive = zipfile.ZipFile(stream)
        return archive.open(next(name for name in archive.namelist() if name.endswith("data.pkl")))
    stream.seek(0)
    if TORCH_MAGIC not in stream.read(32):
        stream.seek(0)
        return stream
    # torch's older format: three small pickles (a magic number, a version, the system) lead the content.
    stream.seek(0)
    for _ in range(3):
        for _operation in pickletools.genops(stream):
            pass
    return stream


def named_tensors(content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors in nested mappings, named by their keys joined with dots.

    So wrappers such as {"state_dict": {...}} become prefixes. Bounded, since a small hostile file
    can nest the same mapping in itself many times over.
    """
    found: dict[str, torch.Tensor] = {}
    waiting: list[tuple[str, Mapping[Any, Any], int]] = [("", content, 0)]
    visited = 0
    while waiting and visited < MOST_MAPPINGS:
        prefix, mapping, depth = waiting.pop()
        visited += 1
        for key, value in mapping.items():
            if not isinstance(key, str):
                continue
            if isinstance(value, torch.Tensor):
                found[prefix + key] = value.detach()
            elif isinstance(value, Mapping) and depth < DEEPEST:
                waiting.append((f"{prefix}{key}.", value, depth + 1))
    return found


def _check_storages(content: Mapping[str, Any], size: int) -> None:
    """All tensors together must not claim more memory than the file has bytes. Raises ModelError."""
    claimed: dict[int, int] = {}
    for tensor in named_tensors(content).values():
        if tensor.layout is torch.strided and tensor.device.type == "cpu":
            storage = tensor.untyped_storage()
            claimed[storage.data_ptr()] = storage.nbytes()
    if sum(claimed.values()) > size:
        raise ModelError(
            f"The tensors claim {sum(claimed.values()) / 1e6:,.1f} MB, the file has {size / 1e6:,.1f} MB.", RESAVE
        )


def first_line(error: BaseException) -> str:
    """The first line of an error's text, fit to be shown; its type where the text says nothing."""
    line = str(error).strip().split("\n")[0][:160]
    return line if " " in line and line.isprintable() else type(error).__name__
