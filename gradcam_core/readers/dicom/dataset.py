"""Bytes -> the data elements that a picture needs, and no others: nothing about the patient is taken up.

Source: DICOM PS3.10, section 7 (files), PS3.5, annex A (transfer syntaxes).
"""

import io
import logging
import re
import warnings
import zlib

from pydicom import config, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from gradcam_core.errors import PictureError
from gradcam_core.kinds import HEAD_BYTES
from gradcam_core.readers.dicom import overlays
from gradcam_core.readers.stored import damaged

# pydicom quotes odd values in its warnings, and they may be a patient's.
warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
logging.getLogger("pydicom").disabled = True
config.settings.reading_validation_mode = config.IGNORE

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
LARGEST_INFLATED = 1 << 30
_KEYWORDS = (
    *("SOPClassUID", "Modality", "ImageType", "BurnedInAnnotation", "LossyImageCompression"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelAspectRatio"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "SmallestImagePixelValue", "LargestImagePixelValue"),
    *("RescaleIntercept", "RescaleSlope", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence"),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "SequenceOfUltrasoundRegions"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("RedPaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData"),
    *("GreenPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableData"),
    *("BluePaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableData"),
    *("SegmentedRedPaletteColorLookupTableData", "SegmentedGreenPaletteColorLookupTableData"),
    *("SegmentedBluePaletteColorLookupTableData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *PIXELS,
)
_TAGS = [tag for keyword in _KEYWORDS if (tag := tag_for_keyword(keyword)) is not None] + overlays.TAGS
# What files without a picture are, by the start of their SOP class's name.
_OTHERS = {
    "Media Storage Directory": "a directory of other files (DICOMDIR)",
    "Encapsulated PDF": "a PDF document",
    "RT ": "a radiotherapy plan, dose or structure set",
}


def open_dataset(data: bytes) -> Dataset:
    """Read the elements that a picture needs. Raises PictureError where the file holds no picture."""
    dataset = _read(inflated(data))
    if not any(keyword in dataset for keyword in PIXELS):
        raise _no_picture(dataset)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = _encoding(dataset)
    return dataset


def _read(data: bytes) -> Dataset:
    dataset = dcmread(io.BytesIO(data), specific_tags=_TAGS, force=True)
    if not hasattr(dataset, "file_meta"):
        raise damaged("DICOM", "it has no header")
    return dataset


def _encoding(dataset: Dataset) -> UID:
    """The transfer syntax of a file that does not name one, which then is not compressed."""
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def inflated(data: bytes, most: int | None = None) -> bytes:
    """Unpack a deflated file, up to `most` bytes (1 GiB): pydicom would unpack it whatever its size."""
    most = LARGEST_INFLATED if most is None else most
    name = str(DeflatedExplicitVRLittleEndian).encode()
    head = data[:HEAD_BYTES]
    if not re.search(rb"\x02\x00\x10\x00UI\x16\x00" + re.escape(name), head):
        return data
    length = re.match(rb".{128}DICM\x02\x00\x00\x00UL\x04\x00(.{4})", head, re.DOTALL)
    if length is None:
        raise damaged("DICOM", "its header does not say where it ends")
    start = length.end() + int.from_bytes(length[1], "little")
    packed = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = packed.decompress(data[start:], most)
    if packed.unconsumed_tail:
        raise PictureError(
            f"Unpacked, this DICOM file is larger than {most / 1e9:.1f} GB.",
            "Export it without compression of the whole file (not as 'deflated').",
        )
    plain = str(ExplicitVRLittleEndian).encode().ljust(len(name), b"\0")
    return data[:start].replace(name, plain, 1) + inflated


def _no_picture(dataset: Dataset) -> PictureError:
    kind = UID(str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))).name
    what = next((words for start, words in _OTHERS.items() if kind.startswith(start)), "")
    if not what and kind.endswith("SR Storage"):
        what = "a structured report"
    about = f": it is {what}" if what else ""
    return PictureError(f"This DICOM file holds no picture{about}.", "Choose a file of the pictures themselves.")
