"""DICOM pictures for the tests: pydicom's own, and others made of them."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from gradcam_core.records import ImageRecord

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "PixelSpacing", "SliceThickness")
DX, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.2.1"


def shipped(name: str) -> bytes:
    """One of the files that come with pydicom, by its name in whichever of their folders."""
    return next(SHIPPED.rglob(name)).read_bytes()


def changed(change: Callable[[Dataset], None], name: str = "CT_small.dcm") -> bytes:
    """One of pydicom's files with some elements changed."""
    dataset = pydicom.dcmread(io.BytesIO(shipped(name)))
    change(dataset)
    written = io.BytesIO()
    dataset.save_as(written)
    return written.getvalue()


def radiograph() -> bytes:
    """A digital radiograph of a chest: no plane, the letters of its directions, spacing on the detector."""

    def change(dataset: Dataset) -> None:
        for keyword in GEOMETRY:
            del dataset[keyword]
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = DX
        dataset.Modality, dataset.BodyPartExamined, dataset.ImageLaterality = "DX", "CHEST", "U"
        dataset.PatientOrientation, dataset.ImagerPixelSpacing = ["L", "F"], [0.2, 0.2]
        dataset.PhotometricInterpretation = "MONOCHROME1"

    return changed(change)


def film() -> bytes:
    """A computed radiograph without any spacing."""

    def change(dataset: Dataset) -> None:
        del dataset.ImagerPixelSpacing

    return changed(change, "6154")


def enhanced() -> bytes:
    """Three frames of a CT, with a position each."""

    def change(dataset: Dataset) -> None:
        orientation, measures = Dataset(), Dataset()
        orientation.ImageOrientationPatient = dataset.ImageOrientationPatient
        measures.PixelSpacing, measures.SliceThickness = dataset.PixelSpacing, 5
        shared = Dataset()
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
        frames = []
        for place in range(3):
            position = Dataset()
            position.ImagePositionPatient = [10, 20, 30 + 5 * place]
            frame = Dataset()
            frame.PlanePositionSequence = [position]
            frames.append(frame)
        dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
        dataset.NumberOfFrames, dataset.PixelData = 3, dataset.PixelData * 3
        for keyword in GEOMETRY:
            if keyword != "FrameOfReferenceUID":
                del dataset[keyword]
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_CT

    return changed(change)


def read(content: bytes, frame: int = 0, shape: tuple[int, int] | None = None) -> ImageRecord:
    """The picture as the reader gives it: one frame, of this shape where its pixels are not square."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    samples = np.asarray(dataset.pixel_array, np.float32)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        samples = samples[frame]
    samples = (samples - samples.min()) / max(float(np.ptp(samples)), 1.0)
    if samples.ndim == 2:
        samples = np.stack([samples] * 3, axis=-1)
    if shape:
        rows = np.linspace(0, samples.shape[0] - 1, shape[0]).round().astype(int)
        columns = np.linspace(0, samples.shape[1] - 1, shape[1]).round().astype(int)
        samples = samples[rows][:, columns]
    sha256 = hashlib.sha256(content).hexdigest()
    return ImageRecord(np.ascontiguousarray(samples), sha256, "private.dcm", "DICOM", frame=frame)
