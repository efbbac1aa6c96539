"""Tell what a file is by its bytes, before anything opens it as a checkpoint."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal

from gradcam_core.errors import ModelError

Kind = Literal["zip", "pickle", "safetensors"]

SAVE_WEIGHTS = "torch.save(model.state_dict(), 'weights.pth')"
FROM_PYTORCH = (
    f"Choose a PyTorch checkpoint: in the project that made the model, run {SAVE_WEIGHTS} and load that file."
)
AGAIN = "Copy or download the file once more, and compare its size with the original's."
HEAD_BYTES = 4096
LARGEST_HEADER = 100_000_000


def open_checkpoint(path: Path) -> BinaryIO:
    """Open a file for reading. Raises ModelError where there is none, or nothing that can be read."""
    if "\0" in str(path):
        raise ModelError("The path holds a sign that no path can hold (NUL).", "Check the path.")
    try:
        if path.is_dir():
            raise ModelError(
                "This is a folder, not a checkpoint file.",
                "Name the file in it; a folder with config.json and model.safetensors loads as timm:local-dir:FOLDER.",
            )
        if not path.exists():
            raise ModelError("There is no file at this path.", "Check the path; it is read from the current folder.")
        if not path.is_file():
            raise ModelError("This path leads to a device or pipe, not to a file.", "Name an ordinary file.")
        return path.open("rb")
    except OSError as error:
        raise ModelError(
            f"The file cannot be opened: {error.strerror}.", "Check the path and the permission to read it."
        ) from error


def identify(stream: BinaryIO) -> Kind:
    """Tell the three kinds of checkpoint apart; raise ModelError that says what any other file is."""
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if not size:
        raise ModelError("The file is empty (0 bytes).", AGAIN)
    # First, since the length that opens a safetensors file can look like any other file's signature.
    if head[4:9] == b"\0\0\0\0{":
        _check_header(head, size)
        return "safetensors"
    for what, remedy, fits in FOREIGN:
        if fits(head):
            raise ModelError(f"This is {what}, not a PyTorch checkpoint.", remedy)
    if head.startswith(b"PK\x03\x04"):
        return "zip"
    if head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5:
        return "pickle"
    if head[8:9] == b"{":
        _check_header(head, size)
    raise ModelError("The file's first bytes are those of no checkpoint that is known here.", FROM_PYTORCH)


def _check_header(head: bytes, size: int) -> None:
    """Safetensors start with the length of their header, which must lie within the file."""
    (length,) = struct.unpack("<Q", head[:8])
    if length > min(LARGEST_HEADER, size - 8):
        raise ModelError(
            f"This safetensors file is damaged: its header claims {length:,} bytes, the whole file has {size:,}.", AGAIN
        )


def _starts(*signatures: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head[at:].startswith(signatures)


def _is_page(head: bytes) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<!--"))


def _is_onnx(head: bytes) -> bool:
    """ONNX has no signature: it opens with its format version and the name of what wrote it."""
    known = (b"pytorch", b"onnx", b"tf2onnx", b"skl2onnx", b"paddle", b"keras2onnx", b"ORT")
    return head[:1] == b"\x08" and head[2:3] in (b"\x12", b":") and any(name in head[:128] for name in known)


def _is_text(head: bytes) -> bool:
    printable = sum(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head)
    return printable == len(head)


def _is_zero(head: bytes) -> bool:
    return not head.strip(b"\x00")


LFS = (
    "It stands in for a file kept with Git LFS: run `git lfs pull` in the folder it came from, "
    "or download the file itself from the repository's page."
)
UNPACK = "Unpack it, and choose the checkpoint inside."
CONVERT = "Only PyTorch weights can be loaded here. " + FROM_PYTORCH

FOREIGN: tuple[tuple[str, str, Callable[[bytes], bool]], ...] = (
    ("a Git LFS pointer of a few lines", LFS, _starts(b"version https://git-lfs")),
    ("a web page (HTML)", "A download link led to a page: download the file itself, often named 'raw'.", _is_page),
    (
        "a picture",
        "Pictures are opened on their own; choose the model's weights here.",
        _starts(b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\x00", b"MM\x00*"),
    ),
    ("a picture (WebP)", "Choose the model's weights.", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    ("a DICOM picture", "Pictures are opened on their own; choose the model's weights here.", _starts(b"DICM", at=128)),
    ("a PDF document", "Choose the model's weights.", _starts(b"%PDF")),
    ("a Keras or other HDF5 file (.h5)", CONVERT, _starts(b"\x89HDF\r\n\x1a\n")),
    ("a NumPy array (.npy)", CONVERT, _starts(b"\x93NUMPY")),
    ("a TensorFlow Lite model", CONVERT, _starts(b"TFL3", at=4)),
    ("a GGUF language model", CONVERT, _starts(b"GGUF")),
    ("an ONNX model", CONVERT, _is_onnx),
    ("a TensorFlow model (SavedModel)", CONVERT, lambda head: head[:1] == b"\x08" and b"tensorflow" in head.lower()),
    ("a TensorFlow model (SavedModel)", CONVERT, _starts(b"\x08\x01\x12")),
    ("a TensorFlow frozen graph", CONVERT, lambda head: head[:1] == b"\n" and b"Placeholder" in head[:200]),
    (
        "a packed archive",
        UNPACK,
        _starts(b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd"),
    ),
    ("a packed archive (tar)", UNPACK, _starts(b"ustar", at=257)),
    ("a row of zeros, as an interrupted download leaves it", AGAIN, _is_zero),
    ("a text file", FROM_PYTORCH, _is_text),
)
