"""DICOM pictures: pydicom's own files against its own pipeline, and files made for what those do not show."""

import io
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian

from gradcam_core import Decoder, GradcamError, read_image
from gradcam_core.errors import PictureError
from gradcam_core.kinds import recognise

SHIPPED = Path(pydicom.__file__).parent / "data"
NO_DICOM = {".py", ".pyc", ".json", ".txt", ".sql", ".md", ".dump", ".icc", ".gz"}
# A DICOM file that begins with a blank is none: no other reader opens it either.
NOT_READ = {"README", "no_meta.dcm"}
FILES = sorted(
    path for path in SHIPPED.rglob("*") if path.is_file() and path.suffix not in NO_DICOM and path.name not in NOT_READ
)
PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")


def shipped(name: str) -> bytes:
    return next(path for path in FILES if path.name == name).read_bytes()


def expected(dataset: Dataset) -> np.ndarray | None:
    """What pydicom's own steps show of the first frame, 0..1; None where the file states no greys."""
    stored = pixel_array(dataset, index=0)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, dataset)
    if stored.ndim == 3:
        return stored / np.iinfo(stored.dtype).max
    values = apply_modality_lut(stored, dataset)
    if "WindowCenter" not in dataset and not dataset.get("VOILUTSequence"):
        return None
    shown = apply_voi_lut(values, dataset).astype(np.float64)
    if dataset.get("VOILUTSequence"):
        shown /= 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    else:
        ends = np.array([0, 2**dataset.BitsStored - 1]) - dataset.PixelRepresentation * 2 ** (dataset.BitsStored - 1)
        low, high = ends * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
        shown = (shown - low) / (high - low)
    return 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def picture_files() -> Iterator[Path]:
    for path in FILES:
        dataset = dcmread(path, force=True, stop_before_pixels=False)
        if any(keyword in dataset for keyword in PIXEL_KEYWORDS):
            yield path


DEFECTIVE = {
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "MR_truncated.dcm",
    "badVR.dcm",
    "meta_missing_tsyntax.dcm",
    "nested_priv_SQ.dcm",
}
# Stretched to their true shape: their pixels are not square.
NOT_SQUARE = {"6293", "6924"}


def test_every_sound_picture_that_pydicom_ships_is_read_as_pydicom_reads_it() -> None:
    read = 0
    for path in picture_files():
        if path.name in DEFECTIVE:
            continue
        image = read_image(path)
        reference = expected(dcmread(path, force=True))
        read += 1
        if reference is None or path.name in NOT_SQUARE:
            continue
        reference = reference[..., None] if reference.ndim == 2 else reference
        # Palettes of 16 bits are shown in their upper 8.
        tolerance = 1 / 255 if path.name == "examples_palette.dcm" else 1e-6
        assert np.abs(image.pixels - reference).max() <= tolerance, path.name
    assert read > 90


@pytest.mark.parametrize("name", sorted(DEFECTIVE))
def test_a_defective_file_is_refused_in_words(name: str) -> None:
    with pytest.raises(PictureError, match="damaged"):
        read_image(shipped(name))


def test_files_without_a_picture_say_what_they_are() -> None:
    texts = {}
    for path in set(FILES) - set(picture_files()):
        with pytest.raises(GradcamError) as raised:
            read_image(path)
        texts[path.name] = str(raised.value)
    assert all(text.startswith("This DICOM file holds no picture") for text in texts.values())
    assert "structured report" in texts["test-SR.dcm"]
    assert "DICOMDIR" in texts["DICOMDIR"]
    assert "radiotherapy" in texts["rtplan.dcm"]


def dicom(pixels: np.ndarray, **elements: Any) -> Dataset:
    """A CT slice with these stored numbers [H W] or frames [N H W]; further elements by keyword."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = "2.25.1"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = CTImageStorage, "2.25.1", "CT"
    dataset.PatientName, dataset.PatientID = "Secret^Name", "ID-12345"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


RAMP = np.arange(-1024, 1024, dtype=np.int16).reshape(32, 64)


def test_a_window_is_the_files_own_in_hounsfield_units() -> None:
    content = written(dicom(RAMP + 1024, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, -600],
                            WindowWidth=[400, 1500], WindowCenterWidthExplanation=["SOFT", "LUNG"]))  # fmt: skip
    image = read_image(content)
    assert image.greys.unit == "HU"
    assert [(window.name, window.centre, window.width) for window in image.greys.windows[:2]] == [
        ("SOFT", 40, 400),
        ("LUNG", -600, 1500),
    ]
    # PS3.3, C.11.2.1.2.1, literally.
    shade = np.clip((RAMP - (40 - 0.5)) / (400 - 1) + 0.5, 0, 1)
    assert np.abs(image.pixels[..., 0] - shade).max() < 1e-6
    assert image.greys.counted
    assert image.stored_range == (-160, 239)
    other = read_image(content, window=(-600, 1500))
    assert np.abs(other.pixels[..., 0] - np.clip((RAMP + 600.5) / 1499 + 0.5, 0, 1)).max() < 1e-6
    assert "−" not in "".join(image.notes)
    assert "own level 40 and window 400" in image.notes[-1]


def test_a_window_of_one_value_parts_black_from_white() -> None:
    image = read_image(written(dicom(RAMP, WindowCenter=100, WindowWidth=1)))
    assert np.array_equal(image.pixels[..., 0], (RAMP >= 100).astype(np.float32))


@pytest.mark.parametrize("function", ["LINEAR_EXACT", "SIGMOID"])
def test_other_functions_of_a_window(function: str) -> None:
    dataset = dicom(RAMP, WindowCenter=0, WindowWidth=300, VOILUTFunction=function)
    values = RAMP.astype(float)
    shade = np.clip(values / 300 + 0.5, 0, 1) if function == "LINEAR_EXACT" else 1 / (1 + np.exp(-4 * values / 300))
    assert np.abs(read_image(written(dataset)).pixels[..., 0] - shade).max() < 1e-6


def test_a_table_of_greys_is_followed_and_a_window_replaces_it() -> None:
    item = Dataset()
    item.LUTDescriptor = [256, 0, 8]
    item.LUTData = (np.arange(256) ** 2 // 255).astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    stored = np.arange(256, dtype=np.uint16).reshape(16, 16) + np.uint16(20)
    content = written(dicom(stored, Modality="DX", VOILUTSequence=Sequence([item])))
    places = np.clip(stored, 0, 255).astype(int)
    assert np.abs(read_image(content).pixels[..., 0] - places**2 // 255 / 255).max() < 1e-6
    assert np.abs(read_image(content, window=(128, 256)).pixels[..., 0] - np.clip(stored / 255, 0, 1)).max() < 1e-6


def table(shades: np.ndarray, first: int, bits: int, name: str = "", kind: str = "<u2") -> Dataset:
    """An item of a VOI LUT sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS", [len(shades), first, bits])
    item.LUTExplanation = name
    item.LUTData = shades.astype(kind).tobytes()
    item["LUTData"].VR = "OW"
    return item


@pytest.mark.parametrize("big_endian", [False, True])
def test_every_table_of_greys_is_offered_by_its_name_with_pydicoms_values(big_endian: bool) -> None:
    places, kind = np.arange(400) / 399, ">u2" if big_endian else "<u2"
    tables = [
        table(np.rint(4095 * places**2), -100, 12, "HARD", kind),
        table(np.rint(1023 * places**0.5), 20, 10, "", kind),  # of 8 bits, pydicom reads 256 entries alone
        table(np.rint(65535 * (1 - places)), 0, 16, "Soft\x00er", kind),
    ]
    stored = np.arange(-512, 512, dtype=np.int16).reshape(32, 32)
    dataset = dicom(stored, Modality="DX", VOILUTSequence=Sequence(tables), WindowCenter=40, WindowWidth=400)
    stream = io.BytesIO()
    if big_endian:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = stored.astype(">i2").tobytes()
    dcmwrite(stream, dataset, enforce_file_format=True)
    image = read_image(stream.getvalue())
    windows = image.greys.windows
    assert [window.name for window in windows] == ["HARD", "Table 2 of the file", "Softer", ""]
    assert image.greys.curve is windows[0].curve
    for index, (window, item) in enumerate(zip(windows, tables, strict=False)):
        shades = apply_voi_lut(stored, dcmread(io.BytesIO(stream.getvalue())), index=index)
        assert window.curve is not None
        read = window.curve.shades[np.clip(stored - int(window.curve.first), 0, 399)]
        assert np.abs(read - shades / (2 ** item.LUTDescriptor[2] - 1)).max() < 1e-6
    assert (windows[0].centre, windows[0].width) == (-100 + 399 / 2 + 0.5, 400)
    assert (windows[3].centre, windows[3].width, windows[3].curve) == (40, 400, None)
    assert np.array_equal(image.pixels[..., 0], windows[0].curve.shades[np.clip(stored + 100, 0, 399)])


def test_a_table_of_single_bytes_is_read_and_an_incomplete_one_is_left_out() -> None:
    shades = np.arange(256)[::-1]
    cut = table(shades, 0, 16)
    cut.LUTData = cut.LUTData[:100]
    nameless, whole = Dataset(), table(shades, 0, 8, "BYTES", "u1")
    nameless.LUTExplanation = "NOTHING"
    stored = np.arange(256, dtype=np.uint16).reshape(16, 16)
    image = read_image(written(dicom(stored, Modality="DX", VOILUTSequence=Sequence([cut, nameless, whole]))))
    assert [window.name for window in image.greys.windows] == ["BYTES"]
    assert np.array_equal(np.rint(255 * image.pixels[..., 0]), shades.reshape(16, 16))


def test_every_sigmoid_window_keeps_its_shape() -> None:
    dataset = dicom(RAMP, Modality="MR", WindowCenter=[0, 100], WindowWidth=[300, 50], VOILUTFunction="SIGMOID")
    for window in read_image(written(dataset)).greys.windows:
        assert window.curve is not None
        shades = window.curve.shades[(RAMP - int(window.curve.first)).astype(int)]
        assert np.abs(shades - 1 / (1 + np.exp(-4 * (RAMP - window.centre) / window.width))).max() < 1e-6


def test_an_overlay_beside_the_pixels_is_said() -> None:
    notes = read_image(shipped("examples_overlay.dcm")).notes
    assert "The file contains an overlay that is not drawn." in notes
    for bits, drawn in ((b"\0\x10", True), (b"\0\0", False)):
        dataset = dicom(RAMP)
        dataset.add_new((0x6002, 0x3000), "OW", bits)
        assert any("overlay" in note for note in read_image(written(dataset)).notes) == drawn


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bit", [12, 15, None])
def test_an_overlay_in_unused_bits_is_said_and_changes_no_value(signed: bool, bit: int | None) -> None:
    values = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64) + np.int16(0 if signed else 2048)
    stored = values.view(np.uint16) & np.uint16(0x0FFF)
    if bit is not None:
        stored[::3] |= np.uint16(1 << bit)
    dataset = dicom(stored, Modality="MR", BitsStored=12, HighBit=11, PixelRepresentation=int(signed),
                    WindowCenter=0 if signed else 2048, WindowWidth=4096)  # fmt: skip
    dataset.add_new((0x6000, 0x0100), "US", 16)
    dataset.add_new((0x6000, 0x0102), "US", bit or 12)
    image = read_image(written(dataset))
    assert np.array_equal(np.rint(4095 * image.pixels[..., 0]).astype(int), values.astype(int) - values.min())
    assert any("overlay" in note for note in image.notes) == (bit is not None)


def test_monochrome1_shows_low_values_white_and_padding_black() -> None:
    stored = np.full((20, 20), 500, np.uint16)
    stored[:, :5], stored[0], stored[5, 5] = 100, 65535, 900
    dataset = dicom(stored, Modality="CR", PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=65535,
                    WindowCenter=500, WindowWidth=801)  # fmt: skip
    shown = read_image(written(dataset)).pixels[..., 0]
    assert shown[1, 0] == pytest.approx(1, abs=0.001)
    assert shown[5, 5] == pytest.approx(0, abs=0.001)
    assert (shown[0] == 0).all()


def test_padding_with_the_wrong_sign_and_a_range_do_not_stretch_the_greys() -> None:
    stored = np.tile(np.arange(100, 200, dtype=np.int16), (30, 1))
    stored[:8], stored[8:10] = -2000, -1999
    dataset = dicom(stored, Modality="MR")
    dataset.add_new("PixelPaddingValue", "US", 65536 - 2000)
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1999)
    image = read_image(written(dataset))
    assert image.stored_range == (100, 199)
    assert (image.pixels[:10] == 0).all()


def test_pixels_that_are_not_square_get_their_true_shape() -> None:
    stored = np.zeros((20, 40), np.uint16)
    stored[10:] = 1000
    image = read_image(written(dicom(stored, PixelSpacing=[1.5, 0.5], WindowCenter=500, WindowWidth=1001)))
    assert (image.height, image.width) == (60, 40)
    assert image.spacing == 0.5
    assert image.pixels[25].max() < 0.001
    assert image.pixels[35].min() > 0.998
    aspect = read_image(written(dicom(stored, PixelAspectRatio=[1, 2])))
    assert (aspect.height, aspect.width) == (20, 80)
    assert aspect.spacing is None
    strange = read_image(written(dicom(stored, PixelAspectRatio=[1, 2000])))
    assert (strange.height, strange.width) == (20, 40)


def test_spacing_at_the_detector_is_said() -> None:
    image = read_image(written(dicom(RAMP, Modality="DX", ImagerPixelSpacing=[0.2, 0.2])))
    assert image.spacing == 0.2
    assert any("at the detector" in note for note in image.notes)


def test_each_frame_has_the_rescaling_and_window_of_its_own_groups() -> None:
    def groups(slope: float, centre: float) -> Dataset:
        item, values, greys = Dataset(), Dataset(), Dataset()
        values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, -100, "HU"
        greys.WindowCenter, greys.WindowWidth = centre, 101
        item.PixelValueTransformationSequence, item.FrameVOILUTSequence = Sequence([values]), Sequence([greys])
        return item

    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing = [0.7, 0.7]
    shared.PixelMeasuresSequence = Sequence([measures])
    frames = np.stack([np.full((8, 8), 100, np.uint16), np.full((8, 8), 200, np.uint16)])
    frames[:, 0] = 0
    dataset = dicom(frames, SharedFunctionalGroupsSequence=Sequence([shared]),
                    PerFrameFunctionalGroupsSequence=Sequence([groups(1, 0), groups(2, 250)]))  # fmt: skip
    content = written(dataset)
    first, second = (read_image(content, frame=frame) for frame in (0, 1))
    assert (first.frames, second.frame, first.spacing, first.greys.unit) == (2, 1, 0.7, "HU")
    assert first.greys.windows[0].centre == 0
    assert second.greys.windows[0].centre == 250
    assert first.pixels[4, 4, 0] == pytest.approx(np.clip(0.5 / 100 + 0.5, 0, 1), abs=1e-6)
    assert second.pixels[4, 4, 0] == pytest.approx((300 - 249.5) / 100 + 0.5 if 300 < 299 else 1, abs=1e-6)
    with pytest.raises(PictureError, match="2 frames"):
        read_image(content, frame=2)


def test_a_mask_of_one_bit_is_black_and_white() -> None:
    image = read_image(shipped("liver_1frame.dcm"))
    assert set(np.unique(image.pixels)) == {0.0, 1.0}


def test_a_file_without_preamble_is_read() -> None:
    content = written(dicom(RAMP))
    bare = content[132:]
    assert recognise(bare).name == "DICOM"
    assert np.array_equal(read_image(bare).pixels, read_image(content).pixels)
    without_meta = bare[12 + int.from_bytes(bare[8:12], "little") :]
    assert np.array_equal(read_image(without_meta).pixels, read_image(content).pixels)
    for name in ("ExplVR_BigEndNoMeta.dcm", "rtstruct.dcm"):
        assert recognise(shipped(name)).name == "DICOM"


def test_a_deflated_file_that_unpacks_to_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcam_core.readers.dicom.dataset.LARGEST_INFLATED", 1 << 20)
    packed = zlib.compressobj(9, wbits=-15)
    meta = dicom(RAMP).file_meta
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = io.BytesIO(b"\0" * 128 + b"DICM")
    stream.seek(132)
    pydicom.filewriter.write_file_meta_info(pydicom.filebase.DicomFileLike(stream), meta)
    bomb = stream.getvalue() + packed.compress(bytes(1 << 24)) + packed.flush()
    with pytest.raises(PictureError, match="larger than"):
        read_image(bomb)


def test_compressed_pixels_of_another_size_than_the_header_says_are_not_decoded() -> None:
    dataset = dcmread(SHIPPED / "test_files" / "JPEG2000.dcm")
    dataset.Rows = 16
    with pytest.raises(PictureError, match="disagree about the size"):
        read_image(written(dataset))


def test_a_compression_that_is_not_read_is_named() -> None:
    dataset = dicom(RAMP)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    dataset.PixelData = pydicom.encaps.encapsulate([b"\0" * 64])
    with pytest.raises(PictureError, match="MPEG-4"):
        read_image(written(dataset))


def test_the_header_is_checked_before_pixels_are_decoded() -> None:
    dataset = dicom(RAMP)
    dataset.Rows, dataset.Columns = 60_000, 60_000
    with pytest.raises(PictureError, match="too large"):
        read_image(written(dataset))
    dataset = dicom(RAMP, NumberOfFrames=40)
    with pytest.raises(PictureError, match="ends before"):
        read_image(written(dataset), frame=39)


def test_burned_in_text_is_said_and_the_patient_is_not_taken_up(caplog: pytest.LogCaptureFixture) -> None:
    image = read_image(written(dicom(RAMP, BurnedInAnnotation="YES")))
    assert any("burned into" in note for note in image.notes)
    assert not any("burned into" in note for note in read_image(written(dicom(RAMP))).notes)
    assert "Secret" not in repr(image.notes) + repr(image.greys.windows) + caplog.text
    broken = dicom(RAMP, BitsAllocated=13)
    with pytest.raises(PictureError) as raised:
        read_image(written(broken))
    chain: BaseException | None = raised.value
    while chain is not None:
        assert "Secret" not in str(chain)
        chain = chain.__cause__ or chain.__context__


def mutated(content: bytes, numbers: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in numbers.integers(0, len(changed), numbers.integers(1, 12)):
        changed[place] = numbers.integers(0, 256)
    end = int(numbers.integers(len(changed) // 2, len(changed))) if numbers.random() < 0.3 else len(changed)
    return bytes(changed[:end])


def test_mutated_files_are_read_or_refused_in_words() -> None:
    numbers = np.random.default_rng(7)
    names = ("CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "JPGExtended.dcm", "SC_rgb_jpeg_gdcm.dcm")
    sources = [shipped(name) for name in names]
    for _ in range(8):
        for source in sources:
            with suppress(GradcamError):  # any other exception fails the test
                read_image(mutated(source, numbers))


@pytest.mark.slow
def test_two_thousand_mutated_files_are_answered_in_time_by_decoders_apart() -> None:
    numbers = np.random.default_rng(11)
    sources = [path.read_bytes() for path in picture_files() if path.stat().st_size < 400_000]
    decoder = Decoder()
    for place in range(2000):
        start = time.monotonic()
        with suppress(GradcamError):  # any other exception fails the test
            decoder.read_image(mutated(sources[place % len(sources)], numbers))
        assert time.monotonic() - start < 20
    decoder.end()


def test_two_windows_by_the_field_are_offered_with_hounsfield_units_alone() -> None:
    image = read_image(written(dicom(RAMP, RescaleSlope=1, RescaleIntercept=0)))
    assert image.greys.windows[0].name == "Lung"
    assert read_image(written(dicom(RAMP, Modality="MR", RescaleSlope=2, RescaleIntercept=0))).greys.windows == ()


def test_what_is_said_of_the_window_holds_for_the_one_that_is_used() -> None:
    content = written(dicom(RAMP, WindowCenter=40, WindowWidth=400))
    plain, through = read_image(content), read_image(content, window=(50, 350))
    assert [note for note in plain.notes if "window" in note] == [
        "The model was given the file's own level 40 and window 400."
    ]
    assert [note for note in through.notes if "window" in note] == [
        "The model was given level 50 and window 350, as they were set."
    ]


@pytest.mark.parametrize(("name", "value"), [("RescaleSlope", "0"), ("RescaleSlope", "x"), ("RescaleIntercept", "x")])
def test_a_rescaling_that_makes_no_sense_gives_no_unit(name: str, value: str) -> None:
    sound = {"RescaleSlope": "1", "RescaleIntercept": "-1024", "RescaleType": "HU"}
    dataset = dicom(RAMP, Modality="CT", **sound)
    with pydicom.config.disable_value_validation():
        dataset[name]._value = value
    image = read_image(written(dataset))
    assert image.greys.unit == ""
    assert image.greys.windows == ()
    assert image.value_range == (RAMP.min(), RAMP.max())
    assert any("rescaling makes no sense" in note for note in image.notes)
