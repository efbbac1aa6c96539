"""What it costs to decode a picture in a process of its own: both ways take turns in one process, wall time."""

import io
import statistics
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

from benchmarks.measure import Row, at_most
from gradcam_core import Decoder
from gradcam_core.readers import decode

GOAL_MS = 10.0


def decoding(rounds: int) -> Iterator[Row]:
    """Decoding in a process of its own: wall time on top of decoding here, medians of each round's difference."""
    files = {
        "JPEG, 1 megapixel": photograph(1000, 1000),
        "JPEG, 12 megapixels": photograph(3000, 4000),
        "DICOM, 3000 x 2500, 16 bits, uncompressed": radiograph(3000, 2500),
    }
    decoder = Decoder(1)
    decoder.start()
    try:
        for name, file in files.items():
            here, price = _price(file, decoder, rounds)
            yield at_most(f"{name} ({here:.1f} ms here)", price, GOAL_MS, "ms more")
    finally:
        decoder.end()


def _price(file: bytes, decoder: Decoder, rounds: int) -> tuple[float, float]:
    """Milliseconds in this process, and how many more it takes in another one."""
    here, more = list[float](), list[float]()
    for turn in range(rounds + 3):
        data = bytes(bytearray(file))  # a process keeps the last file: it must not know this one
        own = _milliseconds(lambda data=data: decode(data, 0, 10**8))  # type: ignore[misc]
        apart = _milliseconds(lambda data=data: decoder.decode(data, 0, 10**8))  # type: ignore[misc]
        if turn >= 3:  # the first ones get the memory that both keep
            here.append(own)
            more.append(apart - own)
    return statistics.median(here), statistics.median(more)


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1e3


def photograph(rows: int, columns: int) -> bytes:
    """A JPEG with soft structure."""
    coarse = np.random.default_rng(0).integers(0, 256, (rows // 8, columns // 8, 3), np.uint8)
    pixels = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def radiograph(rows: int, columns: int) -> bytes:
    """An uncompressed DICOM file of 12 bits in 16."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPInstanceUID = ExplicitVRLittleEndian, "2.25.1"
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, "2.25.1"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    pixels = np.random.default_rng(0).integers(0, 4096, (rows, columns), np.uint16)
    dataset.PixelData = pixels.tobytes()
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
