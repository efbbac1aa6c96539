"""A data set -> the stored samples of one frame, decoded by pydicom and its plugins."""

import re

import numpy as np
from jaxtyping import Shaped
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from gradcam_core.errors import PictureError
from gradcam_core.readers.dicom import codecs  # noqa: F401  (registers decoders with pydicom)
from gradcam_core.readers.stored import MOST_FRAMES, check_frame, check_size, cut_short, damaged, not_read

Samples = Shaped[np.ndarray, "H W C"]
_COLOUR_SPACES = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_")
# Where rows and columns stand in the headers of JPEG, JPEG-LS (start of frame) and of JPEG 2000 (SIZ).
_FRAME_HEADER = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xf7]..(.)(.{2})(.{2})", re.DOTALL)
_SIZ = re.compile(rb"\xff\x4f\xff\x51.{4}(.{4})(.{4})(.{4})(.{4})", re.DOTALL)


def frames_of(dataset: Dataset) -> int:
    """How many frames the file says that it has."""
    number = str(dataset.get("NumberOfFrames", "") or "1").strip()
    if not number.isdecimal() or not 0 < int(number) <= MOST_FRAMES:
        raise damaged("DICOM", "its number of frames cannot be right")
    return int(number)


def decode(dataset: Dataset, frame: int, max_pixels: int) -> Samples:
    """Decode one frame: [H W 1] in stored values, or [H W 3] in RGB. Size and memory are checked before."""
    check_frame(frame, frames_of(dataset))
    _check_header(dataset, frame, max_pixels)
    try:
        stored = pixel_array(dataset, index=frame)
    except (ValueError, EOFError) as error:
        if "less than expected" in str(error) or "not enough" in str(error):
            raise cut_short("DICOM") from None
        raise
    except NotImplementedError:
        raise _not_decoded(dataset) from None
    except RuntimeError as error:
        if "missing dependencies" in str(error):
            raise _not_decoded(dataset) from None
        raise damaged("DICOM", "its compressed pixels cannot be decoded") from None
    except BaseException as error:  # decoders written in Rust end with an exception of their own that is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise damaged("DICOM", "its compressed pixels cannot be decoded") from None
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = _through_palette(stored, dataset)
    return stored[..., None] if stored.ndim == 2 else stored


def _through_palette(stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Colours of 8 bits. Most palettes of 16 bits only repeat the upper eight."""
    colours = apply_color_lut(stored, dataset)[..., :3]
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours


def _check_header(dataset: Dataset, frame: int, max_pixels: int) -> None:
    colours = str(dataset.get("PhotometricInterpretation", ""))
    if not colours.startswith(_COLOUR_SPACES):
        raise (
            not_read("DICOM picture", "has colours of a rare kind")
            if colours
            else damaged("DICOM", "its header does not say what its pixels mean")
        )
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    samples, bits = int(dataset.get("SamplesPerPixel") or 1), int(dataset.get("BitsAllocated") or 0)
    check_size("DICOM", columns, rows, max_pixels, max(samples * bits // 8, 1) + 8)
    if UID(dataset.file_meta.TransferSyntaxUID).is_compressed and "PixelData" in dataset:
        size = _coded_size(get_frame(dataset.PixelData, frame, number_of_frames=frames_of(dataset)))
        if size is not None and size != (rows, columns):
            raise damaged("DICOM", "its header and its compressed pixels disagree about the size")


def _coded_size(coded: bytes) -> tuple[int, int] | None:
    """Rows and columns by the header of a compressed frame, where it is known how to read it."""
    if header := _SIZ.search(coded[:200]):
        right, bottom, left, top = (int.from_bytes(header[place], "big") for place in (1, 2, 3, 4))
        return bottom - top, right - left
    if coded[:2] == b"\xff\xd8" and (header := _FRAME_HEADER.search(coded[:70_000])):
        return int.from_bytes(header[2], "big"), int.from_bytes(header[3], "big")
    return None


def _not_decoded(dataset: Dataset) -> PictureError:
    name = UID(dataset.file_meta.TransferSyntaxUID).name
    known = name if name[:1].isalpha() else "an unknown method"
    return PictureError(
        f"This DICOM picture is compressed by {known}, which is not read.",
        "Export it from the viewer uncompressed, or as JPEG 2000.",
    )
