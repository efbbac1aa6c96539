"""DICOM: pictures as scanners, radiographs and archives keep them. Nothing about the patient is read.

In this order: the frame's stored numbers, values with a unit (modality LUT), pixels without a value (padding), the
true shape of its pixels, and how grey it is shown (VOI LUT or window; MONOCHROME1 shows low values white).
"""

from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from gradcam_core.picture import Greys
from gradcam_core.readers.dicom.dataset import open_dataset
from gradcam_core.readers.dicom.frames import of_frame
from gradcam_core.readers.dicom.overlays import has_overlay
from gradcam_core.readers.dicom.pixels import Samples, decode, frames_of
from gradcam_core.readers.dicom.series import read_slice
from gradcam_core.readers.dicom.size import DETECTOR_NOTE, in_true_shape, spacing_of
from gradcam_core.readers.dicom.values import has_sound_rescaling, padding_of, unit_of, values_of
from gradcam_core.readers.dicom.windows import OF_CT, counts_exactly, windows_of
from gradcam_core.readers.stored import BURNED_NOTE, MAY_BE_BURNED_NOTE, StoredPicture, reader
from gradcam_core.text import number

LOSSY_NOTE = "It was compressed with loss, so fine detail may be missing or false."
CURVE_NOTE = "The model was given the file's own table of greys."
RESCALING_NOTE = "The file's rescaling makes no sense, so its stored numbers are shown, without a unit."
OVERLAY_NOTE = "The file contains an overlay that is not drawn."
_OFTEN_BURNED = ("US", "SC", "XA", "OT", "ES", "RF")


@reader("DICOM")
def read_dicom(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one frame."""
    dataset = open_dataset(data)
    stored = decode(dataset, frame, max_pixels)
    elements = of_frame(dataset, frame)
    spacing, at_detector = spacing_of(elements)
    picture = StoredPicture(
        samples=_bounded(stored),
        format="DICOM",
        frames=frames_of(dataset),
        notes=_notes(dataset, elements) + (DETECTOR_NOTE,) * at_detector,
        spacing=min(spacing) if spacing else None,
    )
    if stored.shape[2] == 1:
        picture = _grey(picture, stored, elements)
    return in_true_shape(picture, elements, spacing, max_pixels)


@reader("DICOM series")
def read_series(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Read one slice of a stack."""
    content, slices, notes = read_slice(data, frame)
    picture = read_dicom(content, 0, max_pixels)
    return replace(picture, frames=slices, notes=notes + picture.notes)


def _grey(picture: StoredPicture, stored: Samples, elements: Dataset) -> StoredPicture:
    values, unit = _bounded(values_of(stored, elements)), unit_of(elements)
    windows = windows_of(values, elements)
    curve = windows[0].curve if windows else None
    note, usual = CURVE_NOTE * (curve is not None), _full_range(elements)
    if curve is None and windows:
        level, width = number(windows[0].centre), number(windows[0].width)
        usual = windows[0].centre, windows[0].width
        note = f"The model was given the file's own level {level} and window {width}."
    return replace(
        picture,
        samples=values,
        missing=padding_of(stored, elements),
        inverted=elements.PhotometricInterpretation == "MONOCHROME1",
        greys=Greys(unit, windows + OF_CT * (unit == "HU"), usual, curve, not counts_exactly(elements)),
        greys_note=note,
        notes=picture.notes + (RESCALING_NOTE,) * (not has_sound_rescaling(elements)),
    )


def _full_range(elements: Dataset) -> tuple[float, float] | None:
    """The window of all numbers that fewer than 8 bits can hold, as in masks; None for more bits."""
    bits = int(elements.get("BitsStored") or 8)
    return (2.0 ** (bits - 1), 2.0**bits) if 0 < bits < 8 else None


def _bounded(samples: Samples) -> Samples:
    """Numbers of a kind that is shown: whole ones of up to 32 bits, or floats."""
    if samples.dtype.kind in "iu" and samples.dtype.itemsize == 8:
        return samples.astype(np.float64)
    return samples.astype(samples.dtype.newbyteorder("="), copy=False)


def _notes(dataset: Dataset, elements: Dataset) -> tuple[str, ...]:
    notes = (LOSSY_NOTE,) * (str(elements.get("LossyImageCompression", "")) == "01")
    notes += (OVERLAY_NOTE,) * has_overlay(dataset)
    burned = str(elements.get("BurnedInAnnotation", "") or "").strip().upper()
    if burned == "YES":
        return (*notes, BURNED_NOTE)
    return notes + (MAY_BE_BURNED_NOTE,) * (not burned and elements.get("Modality") in _OFTEN_BURNED)
