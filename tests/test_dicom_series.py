"""Files of one series become a stack in the order in which the slices lie."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from gradcam_core import GradcamError, read_image, stacks_of
from tests.test_dicom import dicom, shipped, written


def slice_at(place: int, *, series: str = "2.25.7", depth: float | None = None) -> bytes:
    pixels = np.full((8, 8), 100 + place, np.int16)
    pixels[0, 0] = 0
    dataset = dicom(pixels, SeriesInstanceUID=series, InstanceNumber=place, WindowCenter=100, WindowWidth=201)
    if depth is not None:
        dataset.ImagePositionPatient = [0, 0, depth]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    return written(dataset)


def values(stack: bytes) -> list[int]:
    frames = read_image(stack).frames
    return [round(float(read_image(stack, frame=frame).pixels[4, 4, 0]) * 200 - 0.5) for frame in range(frames)]


def test_slices_are_ordered_by_where_they_lie() -> None:
    files = [(f"{place}.dcm", slice_at(place, depth=-place)) for place in (2, 0, 3, 1)]
    ((name, stack),) = stacks_of(files)
    assert name == "2.dcm and 3 more"
    assert values(stack) == [103, 102, 101, 100]
    assert stacks_of(files)[0][1] == stack, "the same files make the same stack"


def test_a_missing_slice_is_said_on_every_slice() -> None:
    ((_, stack),) = stacks_of([(f"{place}", slice_at(place, depth=5 * place)) for place in (0, 1, 2, 4, 5)])
    words = "Between slices 3 and 4 lie 10 mm, elsewhere 5 mm: a slice may be missing."
    assert all(words in read_image(stack, frame=frame).notes for frame in range(5))
    ((_, whole),) = stacks_of([(f"{place}", slice_at(place, depth=5 * place)) for place in range(5)])
    assert not any("missing" in note for note in read_image(whole).notes)


def test_what_a_stack_says_of_gaps_is_numbers_or_nothing() -> None:
    ((_, stack),) = stacks_of([(f"{place}", slice_at(place, depth=place)) for place in range(3)])
    plain = read_image(stack).notes
    for comment in (b"<b>:1:2", b"1:2:3:4", b"1:-2:3", b"999999:1:2", b"\xff" * 5000):
        stream = io.BytesIO(stack)
        with zipfile.ZipFile(stream, "a") as archive:
            archive.comment = comment
        assert read_image(stream.getvalue()).notes == plain


def test_slices_without_a_position_are_ordered_by_number() -> None:
    ((_, stack),) = stacks_of([(f"{place}.dcm", slice_at(place)) for place in (2, 0, 1)])
    assert values(stack) == [100, 101, 102]
    with pytest.raises(GradcamError, match="3 frames"):
        read_image(stack, frame=3)


def test_other_files_and_other_series_stay_apart() -> None:
    alone, several = slice_at(1, series="2.25.8"), shipped("examples_ybr_color.dcm")
    files = [("a", slice_at(1)), ("b", alone), ("c", several), ("d", slice_at(2)), ("e", b"\x89PNG\r\n\x1a\n")]
    result = stacks_of(files)
    assert [name for name, _ in result] == ["a and 1 more", "b", "c", "e"]
    assert [content for _, content in result[1:]] == [alone, several, files[4][1]]
    same = slice_at(1)
    assert stacks_of([("a", same), ("b", same)]) == [("a", same), ("b", same)]


def packed(*contents: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in enumerate(contents):
            archive.writestr(f"IMG{place}", content)
    return stream.getvalue()


def test_a_zip_of_a_series_is_a_stack_and_another_zip_is_none() -> None:
    ((_, stack),) = stacks_of([("series.zip", packed(slice_at(1), b"readme", slice_at(0)))])
    assert values(stack) == [100, 101]
    other = packed(b"a text", b"another")
    assert stacks_of([("other.zip", other)]) == [("other.zip", other)]
    with pytest.raises(GradcamError, match="ZIP"):
        read_image(other)


def test_a_stack_may_be_twice_as_large_as_another_file(tmp_path: Path) -> None:
    ((_, stack),) = stacks_of([(str(place), slice_at(place)) for place in range(3)])
    half = len(stack) / 2
    (tmp_path / "stack").write_bytes(stack)
    for source in (stack, tmp_path / "stack"):
        assert read_image(source, frame=2, max_bytes=math.ceil(half)).frames == 3
        with pytest.raises(GradcamError, match="too large"):
            read_image(source, max_bytes=math.ceil(half) - 1)


def test_a_zip_that_unpacks_to_far_more_is_left_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = slice_at(0), slice_at(1)
    zipped = packed(one, other)
    monkeypatch.setattr("gradcam_core.readers.dicom.series.LARGEST_ZIP", len(one) + len(other) - 1)
    assert stacks_of([("series.zip", zipped)]) == [("series.zip", zipped)]


def test_the_header_of_a_slice_is_unpacked_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    large = [dicom(np.full((64, 64), place, np.int16), SeriesInstanceUID="2.25.7") for place in range(2)]
    files = [(str(place), deflated(written(dataset))) for place, dataset in enumerate(large)]
    assert len(stacks_of(files)) == 1
    monkeypatch.setattr("gradcam_core.readers.dicom.series.LONGEST_HEADER", 2000)
    assert stacks_of(files) == files


def deflated(content: bytes) -> bytes:
    dataset = dcmread(io.BytesIO(content))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return written(dataset)


def test_a_damaged_stack_is_refused_in_words() -> None:
    ((_, stack),) = stacks_of([("a", slice_at(0)), ("b", slice_at(1))])
    with pytest.raises(GradcamError, match="cannot be unpacked"):
        read_image(stack[: len(stack) // 2])
    changed = bytearray(stack)
    changed[500] ^= 255
    with pytest.raises(GradcamError):
        read_image(bytes(changed))
