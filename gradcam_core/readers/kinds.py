"""Tell what a file is by its content, never by its name, and say what to do about the other kinds."""

import re

from gradcam_core.errors import PictureError

READABLE = "JPEG, PNG, TIFF, WebP or BMP"

# (offset, bytes that stand there, kind); the first match counts.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    # DICOM comes first: its 128 free bytes may make the file a TIFF as well.
    (128, b"DICM", "DICOM"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (8, b"WEBP", "WebP"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF-", "PDF"),
    (0, b"\x93NUMPY", "NumPy"),
    (0, b"version https://git-lfs.github.com/spec/", "Git LFS"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
    (344, b"n+1\0", "NIfTI"),
    (0, b"NRRD", "NRRD"),
)
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
_VIDEO = re.compile(rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3", re.DOTALL)
_PICKLE = re.compile(rb"\x80[\x02-\x05][\x8a\x95}c(]", re.DOTALL)
_WEB_PAGE = re.compile(rb"(<!--.*?-->\s*)*<(!doctype html|html|head|body)\b", re.DOTALL)
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ufffd]")

_AS_PICTURE = f"Save it as {READABLE}."
_REFUSALS: dict[str, tuple[str, str]] = {
    "empty": ("The file is empty.", "Export or download it again."),
    "DICOM": (
        "This is a DICOM file, which this version does not read yet.",
        "Export the picture as PNG or TIFF from the DICOM viewer.",
    ),
    "GIF": ("This is a GIF picture, which is not read.", "Save it as PNG."),
    "HEIF": (
        "This is a HEIC or AVIF picture, as some phones make them, which is not read.",
        "Save it as JPEG or PNG; on a phone, choose the most compatible format for sharing.",
    ),
    "JPEG 2000": ("This is a JPEG 2000 picture, which is not read.", "Save it as PNG or TIFF."),
    "JPEG XL": ("This is a JPEG XL picture, which is not read.", "Save it as PNG or JPEG."),
    "Photoshop": ("This is a Photoshop document, which is not read.", "Save a flat copy as PNG or TIFF."),
    "PDF": ("This is a PDF document, not a picture.", "Export the page or the picture in it as PNG."),
    "SVG": ("This is an SVG drawing, which has no pixels of its own.", "Export it as PNG."),
    "web page": (
        "This is a web page, not a picture; the download may have led to a sign-in or error page.",
        "Open the address in a browser and save the picture itself.",
    ),
    "ZIP": ("This is a ZIP archive or an office document, not a picture.", "Unpack it and choose a picture in it."),
    "gzip": ("This is a compressed (gzip) file, not a picture.", "Unpack it and choose a picture in it."),
    "NumPy": (
        "This is a NumPy array, not a picture.",
        "Save it as TIFF or 16-bit PNG; both keep the values of a grey picture.",
    ),
    "NIfTI": ("This is a NIfTI volume, which is not read.", "Export the slice as PNG or TIFF."),
    "NRRD": ("This is an NRRD volume, which is not read.", "Export the slice as PNG or TIFF."),
    "Git LFS": (
        "This is a Git LFS pointer: a short note in place of the picture.",
        "Run `git lfs pull` where it came from, or download the picture itself.",
    ),
    "checkpoint": ("This is a model's checkpoint, not a picture.", "Open it under models, and choose a picture here."),
    "video": ("This is a video, not a picture.", "Save one frame of it as PNG."),
    "text": ("This is a text or table (CSV) file, not a picture.", f"Choose a {READABLE} file."),
    "unknown": ("This is not a kind of picture that can be read.", _AS_PICTURE),
}


def recognise(data: bytes) -> str:
    """Name the kind of file that starts with these bytes (4 KiB are enough); "unknown" where nothing fits."""
    if not data:
        return "empty"
    for offset, signature, kind in _SIGNATURES:
        if data.startswith(signature, offset):
            return "checkpoint" if kind == "ZIP" and _holds_pickle(data) else kind
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        return "HEIF"
    if _VIDEO.match(data):
        return "video"
    if _PICKLE.match(data) or _is_safetensors(data):
        return "checkpoint"
    return _kind_of_text(data[:4096])


def refusal(kind: str) -> PictureError:
    """Say in words why a file of this kind is not read, and what to do instead."""
    return PictureError(*_REFUSALS[kind])


def _holds_pickle(data: bytes) -> bool:
    """Whether a ZIP archive is one that torch.save writes: its first members hold a pickle."""
    return b"data.pkl" in data[:4096]


def _is_safetensors(data: bytes) -> bool:
    """Whether a JSON header follows whose length, below safetensors' own limit of 100 MB, comes first."""
    return data[8:10] == b'{"' and int.from_bytes(data[:8], "little") <= 100_000_000


def _kind_of_text(head: bytes) -> str:
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    # A character may be cut in two where the head ends, so its last few bytes do not count.
    text = head.decode(encoding, errors="replace")
    if _NOT_TEXT.search(text[:-1]):
        return "unknown"
    start = text.lstrip().lower().encode("utf-8")
    if _WEB_PAGE.match(start):
        return "web page"
    if start.startswith(b"<") and b"<svg" in start:
        return "SVG"
    return "text"
