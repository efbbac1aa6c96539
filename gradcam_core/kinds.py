"""What a file is, told by its first bytes and never by its name: one table for pictures and for models.

`recognise` gives the row that fits. The readers and the model sources turn a row that they do not
take into an error: `not_a_picture` and `not_a_checkpoint`.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from gradcam_core.errors import ModelError, PictureError

HEAD_BYTES = 4096
LARGEST_HEADER = 100_000_000
SAVE_WEIGHTS = "torch.save(model.state_dict(), 'weights.pth')"
FROM_PYTORCH = (
    f"Choose a PyTorch checkpoint: in the project that made the model, run {SAVE_WEIGHTS} and load that file."
)
AGAIN = "Copy or download the file once more, and compare its size with the original's."
_CONVERT = "Only PyTorch weights can be loaded here. " + FROM_PYTORCH
_WEIGHTS = "Pictures are opened on their own; choose the model's weights here."
_SAVE = "Save it as PNG, JPEG or TIFF."
_PULL = "Run `git lfs pull` in the folder it came from, or download the file itself from the repository's page."
_UNPACK = "Unpack it, and choose the file inside."
DEVELOP = "Export it as JPEG or TIFF from the camera maker's program or a photo editor."
_MODELS = "Open it under models, and choose a picture here."
_SLICE = "Export the slice as PNG or TIFF."

STACK_FOLDER = "dicom-series/"  # how the members of a stack are named, see readers/dicom/series.py
_PACKED = (b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"BZh", b"\x28\xb5\x2f\xfd")

Mark = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file. `what` completes the sentence "This is ...".

    `fits` looks at the first 4 KiB. The remedies say what to do where a picture or a model was expected.
    """

    name: str
    what: str
    fits: Mark
    for_picture: str = _SAVE
    for_model: str = _WEIGHTS
    picture: bool = False


def recognise(head: bytes) -> Kind:
    """Name the kind of file that starts with these bytes."""
    head = head[:HEAD_BYTES]
    return next(kind for kind in KINDS if kind.fits(head))


def not_a_picture(kind: Kind) -> PictureError:
    """Say why a file of this kind is not read as a picture."""
    ending = "which is not read" if kind.picture else "not a picture"
    return PictureError(f"This is {kind.what}, {ending}." if kind.name else "The file is empty.", kind.for_picture)


def open_checkpoint(path: Path) -> BinaryIO:
    """Open a file for reading. Raises ModelError where it does not exist or cannot be read."""
    if "\0" in str(path):
        raise ModelError("The path contains a NUL character, which no path can have.", "Check the path.")
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
        raise _unreadable(error) from error


def identify(stream: BinaryIO) -> Literal["zip", "pickle", "safetensors"]:
    """Tell the three kinds of checkpoint apart; raise ModelError that says what any other file is."""
    try:
        size = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
        stream.seek(0)
    except OSError as error:
        raise _unreadable(error) from error
    if not size or not head:
        raise ModelError("The file is empty (0 bytes).", AGAIN)
    kind = recognise(head)
    if kind.name == "safetensors":
        _check_header(head, size)
        return "safetensors"
    if kind.name in ("zip checkpoint", "ZIP", "pickle"):
        return "pickle" if kind.name == "pickle" else "zip"
    raise ModelError(f"This is {kind.what}, not a PyTorch checkpoint.", kind.for_model)


def _unreadable(error: OSError) -> ModelError:
    return ModelError(f"The file cannot be read: {error.strerror}.", "Check the path and the permission to read it.")


def _check_header(head: bytes, size: int) -> None:
    """Check that a safetensors header lies within the file; the file starts with the header's length."""
    (length,) = struct.unpack("<Q", head[:8])
    if length > min(LARGEST_HEADER, size - 8):
        raise ModelError(
            f"This safetensors file is damaged: its header claims {length:,} bytes, the whole file has {size:,}.", AGAIN
        )


def _starts(*signatures: bytes, at: int = 0) -> Mark:
    return lambda head: head.startswith(signatures, at)


def _brands(*names: bytes) -> Mark:
    """Match an ISO media file by its main or compatible brands: one family holds HEIC, AVIF, CR3 and video."""

    def fits(head: bytes) -> bool:
        box = head[8 : min(int.from_bytes(head[:4], "big"), 256)] if head[4:8] == b"ftyp" else b""
        return any(box[place : place + 4] in names for place in range(0, len(box), 4))

    return fits


def is_dicom(head: bytes) -> bool:
    """DICOM with its usual 128 free bytes and signature, or as old archives keep it: data elements from the start."""
    if head[128:132] == b"DICM":
        return True
    order: Literal["little", "big"] = "big" if head[:1] == b"\0" else "little"
    group, element = int.from_bytes(head[:2], order), int.from_bytes(head[2:4], order)
    if group not in (0x0002, 0x0008) or element > 0x0060:
        return False
    explicit = head[4:6] in (b"UI", b"UL", b"CS", b"DA", b"TM", b"SH", b"OB", b"LO")
    return explicit or (order == "little" and 0 < int.from_bytes(head[4:8], "little") <= 128 and element in _FIRST)


_FIRST = {0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0013, 0x0014, 0x0016, 0x0018}  # elements that open group 8


def _is_bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in {12, 16, 40, 52, 56, 64, 108, 124}


def _is_jpeg_ls(head: bytes) -> bool:
    """Look for the JPEG-LS frame header (SOF55) among the first segments."""
    position = 2
    while head[:3] == b"\xff\xd8\xff" and head[position : position + 1] == b"\xff" and position + 4 <= len(head):
        if head[position + 1] == 0xF7:
            return True
        position += 2 + int.from_bytes(head[position + 2 : position + 4], "big")
    return False


def _is_onnx(head: bytes) -> bool:
    """ONNX has no signature: it opens with its format version and the name of what wrote it."""
    known = (b"pytorch", b"onnx", b"tf2onnx", b"skl2onnx", b"paddle", b"keras2onnx", b"ORT")
    return head[:1] == b"\x08" and head[2:3] in (b"\x12", b":") and any(name in head[:128] for name in known)


def _is_video(head: bytes) -> bool:
    return head[4:8] == b"ftyp" or head[:4] == b"\x1a\x45\xdf\xa3" or head[:4] + head[8:12] == b"RIFFAVI "


def _is_saved_model(head: bytes) -> bool:
    return head[:1] == b"\x08" and (b"tensorflow" in head.lower() or head[1:3] == b"\x01\x12")


def _is_frozen_graph(head: bytes) -> bool:
    return head[:1] == b"\n" and b"Placeholder" in head[:200]


def _markup(head: bytes) -> bytes:
    """The start of an HTML or XML file in lower case, after its byte-order mark, comments and declaration."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    while text.startswith((b"<!--", b"<?xml")):
        text = text.partition(b"-->" if text.startswith(b"<!--") else b"?>")[2].lstrip()
    return text


def _is_page(head: bytes) -> bool:
    return _markup(head).startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]")


def _is_text(head: bytes) -> bool:
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8"
    # The last character may be cut in two where the head ends, so it does not count.
    return not _CONTROL.search(head.decode(encoding, errors="replace")[:-1])


def _format(name: str, *signatures: bytes, fits: Mark | None = None) -> Kind:
    article = "an" if name[0] in "AEIO" else "a"
    return Kind(name, f"{article} {name} picture", fits or _starts(*signatures), picture=True)


def _raw(name: str, fits: Mark) -> Kind:
    return Kind("camera raw", f"a camera's raw file ({name})", fits, DEVELOP, picture=True)


def _other_model(name: str, what: str, fits: Mark) -> Kind:
    return Kind(name, what, fits, _MODELS, _CONVERT)


# The first row that fits counts.
KINDS: tuple[Kind, ...] = (
    Kind("", "an empty file", lambda head: not head, "Export or download it again.", AGAIN),
    # First, since the length that opens a safetensors file can look like any other file's signature.
    Kind("safetensors", "a model's checkpoint", lambda head: head[8:10] == b'{"', _MODELS),
    # Before TIFF: the 128 free bytes of DICOM may make the file a TIFF as well.
    Kind("DICOM", "a DICOM file", is_dicom, picture=True),
    Kind("JPEG-LS", "a JPEG-LS picture", _is_jpeg_ls, picture=True),
    _format("JPEG", b"\xff\xd8\xff"),
    _format("PNG", b"\x89PNG\r\n\x1a\n"),
    _raw("Canon CR2", lambda head: head[:4] == b"II*\0" and head[8:10] == b"CR"),
    _format("TIFF", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    _format("WebP", fits=lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    _format("BMP", fits=_is_bmp),
    _format("GIF", b"GIF87a", b"GIF89a"),
    _format("JPEG 2000", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    _raw("Canon CR3", _brands(b"crx ")),
    _format("AVIF", fits=_brands(b"avif", b"avis")),
    _format("HEIC", fits=_brands(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")),
    _format("JPEG XL", b"\0\0\0\x0cJXL ", b"\xff\x0a"),
    _format("JPEG XR", b"II\xbc\x01"),
    _format("QOI", b"qoif"),
    _raw("Fujifilm RAF", _starts(b"FUJIFILMCCD-RAW")),
    _raw("Olympus ORF", _starts(b"IIRO", b"IIRS", b"MMOR")),
    _raw("Panasonic RW2", _starts(b"IIU\0")),
    _raw("Sigma X3F", _starts(b"FOVb")),
    Kind("Photoshop", "a Photoshop document", _starts(b"8BPS"), "Save a flat copy as PNG or TIFF.", picture=True),
    Kind("EPS", "an EPS or PostScript drawing", _starts(b"%!PS", b"\xc5\xd0\xd3\xc6"), "Export it as PNG."),
    Kind("PDF", "a PDF document", _starts(b"%PDF"), "Export the page or the picture in it as PNG."),
    Kind("NIfTI", "a NIfTI volume", _starts(b"n+1\0", at=344), _SLICE, picture=True),
    Kind("NRRD", "an NRRD volume", _starts(b"NRRD"), _SLICE, picture=True),
    Kind("Git LFS", "a Git LFS pointer of a few lines", _starts(b"version https://git-lfs"), _PULL, _PULL),
    Kind(
        "web page",
        "a web page (HTML); the download may have led to a sign-in or error page",
        _is_page,
        "Open the address in a browser and save the picture itself.",
        "A download link led to a page: download the file itself, often named 'raw'.",
    ),
    Kind("SVG", "an SVG drawing", lambda head: b"<svg" in _markup(head)[:2048] and _is_text(head), "Export it as PNG."),
    Kind("DICOM series", "a stack of DICOM files", _starts(STACK_FOLDER.encode(), at=30), picture=True),
    Kind("zip checkpoint", "a model's checkpoint", lambda head: head[:4] == b"PK\3\4" and b"data.pkl" in head, _MODELS),
    Kind("ZIP", "a ZIP archive or an office document", _starts(b"PK\3\4"), _UNPACK),
    Kind("HDF5", "a Keras or other HDF5 file (.h5)", _starts(b"\x89HDF\r\n\x1a\n"), _SLICE, _CONVERT),
    Kind("NumPy", "a NumPy array (.npy)", _starts(b"\x93NUMPY"), "Save it as TIFF or 16-bit PNG.", _CONVERT),
    _other_model("TensorFlow Lite", "a TensorFlow Lite model", _starts(b"TFL3", at=4)),
    _other_model("GGUF", "a GGUF language model", _starts(b"GGUF")),
    _other_model("ONNX", "an ONNX model", _is_onnx),
    _other_model("SavedModel", "a TensorFlow model (SavedModel)", _is_saved_model),
    _other_model("frozen graph", "a TensorFlow frozen graph", _is_frozen_graph),
    Kind("archive", "a packed archive (gzip, 7z, rar, ...)", _starts(*_PACKED), _UNPACK, _UNPACK),
    Kind("tar", "a packed archive (tar)", _starts(b"ustar", at=257), _UNPACK, _UNPACK),
    Kind("video", "a video", _is_video, "Save one frame of it as PNG."),
    Kind("pickle", "a model's checkpoint", _starts(b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5"), _MODELS),
    Kind("zeros", "a row of zeros, as after an interrupted download", lambda head: not head.strip(b"\0"), AGAIN, AGAIN),
    Kind("text", "a table (CSV) or text file", _is_text, "Choose a picture file.", FROM_PYTORCH),
    Kind("unknown", "a file of an unknown kind", lambda head: True, _SAVE, FROM_PYTORCH),
)
