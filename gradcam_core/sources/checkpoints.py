"""Read a checkpoint file without ever running what is in it -> tensors and plain values."""

import pickle
import re
import struct
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import torch

from gradcam_core.errors import GradcamError, ModelError
from gradcam_core.kinds import AGAIN, FROM_PYTORCH, SAVE_WEIGHTS, identify, open_checkpoint
from gradcam_core.sources.pickle_scan import RESAVE, PickleContents, scan_pickle

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
# zipfile makes an object of each entry, so the list is measured before it is read: 8 MB are some 80,000 entries.
LARGEST_LIST, LARGEST_PICKLE = 8_000_000, 64_000_000
CONTENTS = "data.pkl"
END, END_64, LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
END_BYTES, LOCATOR_BYTES, END_64_BYTES = 22, 20, 56
LONGEST_COMMENT = 65_557
# What a zip without PyTorch's list of contents is, by the end of a name in it.
OTHER_ZIPS = {
    ("archive_format", "model.json"): ("a torch.export archive (.pt2): a program, not only weights", RESAVE),
    (".npy",): ("a NumPy archive (.npz), not a PyTorch checkpoint", FROM_PYTORCH),
    (".weights.h5",): ("a Keras model, not a PyTorch checkpoint", FROM_PYTORCH),
}
UNKNOWN_ZIP = ("a zip archive without PyTorch weights in it", "Unpack it; choose the checkpoint inside.")


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a file holds: nested mappings with tensors and plain values; `metadata` is safetensors' own.

    `tensors` are all of them, by their dotted names.
    """

    content: Mapping[str, Any]
    metadata: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


@contextmanager
def guarded(failure: str, remedy: str) -> Iterator[None]:
    """Turn any exception into a ModelError: a foreign file, or the caller's own code, can make any step trip."""
    try:
        yield
    except GradcamError:
        raise
    except MemoryError as error:
        raise ModelError("The weights do not fit into this computer's memory.", "Use a smaller model.") from error
    except Exception as error:
        kind, line = type(error).__name__, first_line(error)
        raise ModelError(f"{failure}: {kind if line == kind else f'{kind}: {line}'}.", remedy) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, fit to be shown; its type where the text says nothing."""
    line = str(error).strip().split("\n")[0][:160]
    return line.rstrip(".") if " " in line and line.isprintable() else type(error).__name__


def read_checkpoint(path: Path) -> Checkpoint:
    """Read .pth, .pt, .bin, .ckpt or .safetensors by its content, not by its name.

    Only tensors and plain values are taken (`weights_only`); there is no other way to load. Time and memory
    grow no faster than the file. Raises ModelError, each kind of trouble with its own sentence.
    """
    with open_checkpoint(path) as stream, guarded("The file is cut off or damaged", AGAIN):
        kind = identify(stream)
        content, metadata = _read_safetensors(path) if kind == "safetensors" else (_read_pickle(stream, kind), {})
        return Checkpoint(content, metadata, named_tensors(content))


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            _check_names(len(names), sum(map(len, names)))
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        message = "This safetensors file is damaged: its header and its content do not agree"
        raise ModelError(f"{message} ({first_line(error)}).", AGAIN) from error


def _read_pickle(stream: BinaryIO, kind: str) -> Mapping[str, Any]:
    """Load with torch's restricted unpickler, after the scan."""
    _check_pickles(stream, kind, stream.seek(0, 2))
    stream.seek(0)
    try:
        content = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError("The file holds Python objects that cannot be read safely.", RESAVE) from error
    if not isinstance(content, Mapping):
        what = "one tensor" if isinstance(content, torch.Tensor) else f"a {type(content).__name__}"
        raise ModelError(f"The file holds {what}, not a model's weights by name.", RESAVE)
    return content


def _check_pickles(stream: BinaryIO, kind: str, size: int) -> None:
    """Scan what torch would unpickle, before it does. Raises ModelError."""
    if kind == "zip":
        _refuse_foreign(scan_pickle(_checked_list(stream, size), size))
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


def _checked_list(stream: BinaryIO, size: int) -> BytesIO:
    """Read the pickle that names the tensors in a zip that is stored as PyTorch stores it, whole and undamaged.

    The zip's own list must stand at the very end, without a comment, so that every reader finds the same.
    """
    if _list_bytes(stream, size) > LARGEST_LIST:
        raise ModelError("The file's list of contents is larger than any model's.", RESAVE)
    archive = zipfile.ZipFile(stream)
    entries = archive.infolist()
    lists = [entry for entry in entries if entry.filename.lower().endswith(CONTENTS)]
    if len(lists) > 1:
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
        raise ModelError("The file was compressed again; PyTorch's own checkpoints are not.", RESAVE)
    if lists[0].file_size > LARGEST_PICKLE:
        raise ModelError("The file's list of tensors is larger than any model's.", RESAVE)
    # torch can be told to write no checksums (set_crc32_options): all are 0 then, and nothing can be compared.
    if any(entry.CRC for entry in entries) and archive.testzip() is not None:
        raise ModelError("The file is damaged: its content differs from the checksums in it.", AGAIN)
    del lists[0].CRC  # it was compared, or there is none
    return BytesIO(archive.read(lists[0]))


def _list_bytes(stream: BinaryIO, size: int) -> int:
    """How long the list of contents is, as the zip's last record says. Raises ModelError where that is missing."""
    ends = END_64_BYTES + LOCATOR_BYTES + END_BYTES
    stream.seek(max(0, size - ends))
    records = stream.read().rjust(ends, b"\0")
    record, locator, end = records[:END_64_BYTES], records[END_64_BYTES:-END_BYTES], records[-END_BYTES:]
    if not end.startswith(END) or end[-2:] != b"\0\0":
        stream.seek(max(0, size - LONGEST_COMMENT))
        if END in stream.read():
            raise ModelError("The file's list of contents is not as PyTorch writes it.", RESAVE)
        raise ModelError("The file is cut off or damaged: its end is missing.", AGAIN)
    if not locator.startswith(LOCATOR):
        return int(struct.unpack("<L", end[12:16])[0])
    return int(struct.unpack("<Q", record[40:48])[0]) if record.startswith(END_64) else LARGEST_LIST + 1


def _refuse_other_zip(names: list[str]) -> None:
    root = next((name[: -len(CONTENTS)] for name in names if name.endswith(CONTENTS)), None)
    if root is not None and f"{root}constants.pkl" in names:
        raise ModelError("This is a TorchScript archive: a program, not only weights. It was not opened.", RESAVE)
    if root is None:
        kinds = (kind for ends, kind in OTHER_ZIPS.items() if any(name.endswith(ends) for name in names))
        what, remedy = next(kinds, UNKNOWN_ZIP)
        raise ModelError(f"This is {what}.", remedy)


def _refuse_foreign(contents: PickleContents) -> None:
    """Raise ModelError where a pickle names anything but weights, and say what that makes of the file."""
    harmless = [name for name in contents.foreign if HARMLESS.fullmatch(name)]
    code = [name for name in contents.foreign if name not in harmless]
    own = [x for x in code if not contents.foreign[x] and x.partition(".")[0] not in sys.stdlib_module_names]
    code = [name for name in code if name not in own]
    if code:
        message = f"asks to run code on this computer ({code[0][:100]}). It was not opened, and nothing was run."
        raise ModelError(f"The file {message}", WARNING)
    if contents.root in own:
        message = f"holds a whole pickled model ({contents.root[:100]}). Opening it would run code"
        raise ModelError(f"The file {message}, so it was not opened.", RESAVE)
    if own:
        message = f"holds an object of a class that is not known here ({own[0][:100]})"
        raise ModelError(f"The file {message}. Opening it would run that class's code, so it was not opened.", RESAVE)
    if harmless:
        raise ModelError(
            f"The file holds a Python object ({harmless[0][:100]}) that cannot be read safely.",
            f"{RESAVE} Where it is a training checkpoint: torch.save(checkpoint['state_dict'], 'weights.pth').",
        )


def require_weights(checkpoint: Checkpoint) -> None:
    """Raise ModelError where a checkpoint holds nothing that could be a model's weights."""
    if any(not name.startswith(("optimizer.", "optim.")) for name in checkpoint.tensors):
        return
    inner = [value for value in checkpoint.content.values() if isinstance(value, Mapping)]
    if any("param_groups" in place for place in (checkpoint.content, *inner)):
        message = "The file holds only the state of an optimizer, not the model's weights."
        raise ModelError(message, f"Save the model itself: {SAVE_WEIGHTS}.")
    raise ModelError("The file holds no tensors at all, so no weights.", f"Save the model: {SAVE_WEIGHTS}.")


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
