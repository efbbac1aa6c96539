"""DICOM objects of an explanation: opened again, compared with the heatmap and the source, and validated."""

import functools
import hashlib
import io
import logging
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import MeasurementReport, srread
from pydicom.dataset import Dataset

from gradcam_core import DISCLAIMER, GradcamError, dicom_objects, explain, overlay, png, read_image, stacks_of, trust
from gradcam_core.cli import main
from gradcam_core.commands.explain import write_dicom
from gradcam_core.exporters.dicom import objects, secondary_capture
from gradcam_core.exporters.dicom import source as sources
from gradcam_core.exporters.dicom.parametric_map import UNSEEN
from gradcam_core.placement import Placement
from gradcam_core.records import Explanation, LoadedModel
from tests import dicom_sources, networks

PDF = b"%PDF-1.4\n1 0 obj\nendobj\n%%EOF\n."
PM, SC, SR = ("1.2.840.10008.5.1.4.1.1." + ending for ending in ("30", "7", "88.22"))
SEG, ENCAPSULATED = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.104.1"


@dataclass(frozen=True)
class Written:
    source: Dataset
    explanation: Explanation
    files: dict[str, bytes]
    objects: dict[str, Dataset]

    def of(self, uid: str) -> list[Dataset]:
        return [each for each in self.objects.values() if each.SOPClassUID == uid]


@functools.cache
def model() -> LoadedModel:
    return networks.loaded(networks.conv_net(), fit="crop", labels=["nodule", "结节与钙化", "a\\b", "d", "e"])


CASES = {
    "ct": (lambda: dicom_sources.shipped("CT_small.dcm"), 0, None),
    "mr, big-endian": (lambda: dicom_sources.shipped("MR_small_bigendian.dcm"), 0, None),
    "ct, pixels not square": (lambda: dicom_sources.shipped("6293"), 0, (16, 18)),
    "ct, three frames": (dicom_sources.enhanced, 2, None),
    "ct without a frame of reference": (lambda: dicom_sources.changed(without_reference), 0, None),
    "dx": (dicom_sources.radiograph, 0, None),
    "cr without spacing": (dicom_sources.film, 0, None),
    "us, frames": (lambda: dicom_sources.shipped("examples_ybr_color.dcm"), 1, None),
    "sc": (lambda: dicom_sources.shipped("SC_rgb_small_odd.dcm"), 0, None),
}
WITH_PLANE = [name for name in CASES if name not in ("us, frames", "sc")]


def without_reference(dataset: Dataset) -> None:
    del dataset.FrameOfReferenceUID


@functools.cache
def written(case: str) -> Written:
    make, frame, shape = CASES[case]
    content = make()
    explanation = explain(dicom_sources.read(content, frame, shape), model(), targets=[1, 2], methods=("grad_cam",))
    checks = {0: trust(explanation, explanation.heatmaps[0], model())} if case == "ct" else {}
    files = dict(dicom_objects(explanation, source=content, checks=checks, report=PDF, segmentation=True))
    return Written(opened(content), explanation, files, {name: opened(file) for name, file in files.items()})


def opened(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content), force=True)


def references(dataset: Dataset, uid: str) -> list[Dataset]:
    """Every item, however deep, that refers to an instance."""
    items = [item for element in dataset if element.VR == "SQ" for item in element.value]
    here = [item for item in items if item.get("ReferencedSOPInstanceUID") == uid]
    return here + [each for item in items for each in references(item, uid)]


def contents(item: Dataset) -> list[Dataset]:
    """All content items of a structured report."""
    return [item, *(each for part in item.get("ContentSequence", []) for each in contents(part))]


def validator_errors(file: Path) -> list[str]:
    """What dciodvfy says is wrong; nothing where it is not installed."""
    if shutil.which("dciodvfy") is None:
        return []
    checked = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in checked.stderr.splitlines() + checked.stdout.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize("case", CASES)
def test_every_object_is_in_the_sources_study_and_refers_to_its_frame(case: str) -> None:
    result, frame = written(case), CASES[case][1]
    source = result.source
    for name, each in result.objects.items():
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "StudyDate", "AccessionNumber"):
            assert each[keyword].value == source.get(keyword, "") or not source.get(keyword), keyword
        assert each.SeriesInstanceUID != source.SeriesInstanceUID
        items = references(each, source.SOPInstanceUID)
        assert items, name
        assert {item.ReferencedSOPClassUID for item in items} == {source.SOPClassUID}
        frames = {int(item.ReferencedFrameNumber) for item in items if "ReferencedFrameNumber" in item}
        many = int(source.get("NumberOfFrames") or 1) > 1
        assert frames == ({frame + 1} if many and each.SOPClassUID != ENCAPSULATED else set()), name


@pytest.mark.parametrize("case", WITH_PLANE)
def test_a_parametric_map_has_the_heatmaps_values_on_the_sources_pixels(case: str) -> None:
    result = written(case)
    maps = result.of(PM)
    assert len(maps) == len(result.explanation.heatmaps) == 2
    for each, heatmap in zip(maps, result.explanation.heatmaps, strict=True):
        rows, columns = result.source.Rows, result.source.Columns
        assert (each.Rows, each.Columns, each.ContentLabel) == (rows, columns, "HEATMAP")
        stored = each.pixel_array
        assert stored.dtype == np.float32
        if stored.ndim == 3:  # a stack: padding but for the frame that was explained
            assert all((other == UNSEEN).all() for place, other in enumerate(stored) if place != CASES[case][1])
            stored = stored[CASES[case][1]]
        old, box = heatmap.placement, heatmap.placement.box
        down, across = rows / old.image_size[0], columns / old.image_size[1]
        scaled = (box[0] * down, box[1] * across, box[2] * down, box[3] * across)
        placement = Placement((rows, columns), old.input_size, scaled, old.centres)
        values = placement.restore(np.maximum(heatmap.raw, 0) / heatmap.raw_peak)
        np.testing.assert_allclose(stored, np.where(np.isnan(values), UNSEEN, values), atol=1e-6)
        if (rows, columns) == old.image_size:
            np.testing.assert_array_equal(np.isnan(heatmap.values), stored == each.FloatPixelPaddingValue)
        share, raw = each.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
        assert (share.RealWorldValueSlope, share.MeasurementUnitsCodeSequence[0].CodeValue) == (1, "1")
        assert raw.RealWorldValueSlope == pytest.approx(heatmap.raw_peak)
        assert raw.MeasurementUnitsCodeSequence[0].CodeValue == "[arb'U]"


def test_highdicom_reads_a_parametric_map_and_its_raw_values() -> None:
    result = written("ct")
    name = next(name for name in result.files if name.endswith("parametric_map.dcm"))
    read, heatmap = ParametricMap.from_dataset(opened(result.files[name])), result.explanation.heatmaps[0]
    assert read.number_of_frames == 1
    mapping = read.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[1]
    own = RealWorldValueMapping("RAW", "x", pydicom.sr.codedict.codes.UCUM.NoUnits, (0.0, 1.0), slope=1, intercept=0)
    own.RealWorldValueSlope = mapping.RealWorldValueSlope
    raw = heatmap.placement.restore(np.maximum(heatmap.raw, 0))
    np.testing.assert_allclose(own.apply(read.pixel_array), raw, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "position", "spacing"),
    [
        ("ct", None, None),
        ("mr, big-endian", None, None),
        ("ct, three frames", [10, 20, 40], [0.661468, 0.661468]),
        ("ct, pixels not square", None, [0.545455, 0.596847]),
    ],
)
def test_a_parametric_map_lies_where_its_source_lies(
    case: str, position: list[float] | None, spacing: list[float] | None
) -> None:
    result = written(case)
    each, source = result.of(PM)[0], result.source
    shared, frames = each.SharedFunctionalGroupsSequence[0], each.PerFrameFunctionalGroupsSequence
    own = next(frame for frame in frames if frame.DerivationImageSequence)
    assert each.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert own.PlanePositionSequence[0].ImagePositionPatient == (position or source.ImagePositionPatient)
    assert shared.PixelMeasuresSequence[0].PixelSpacing == (spacing or source.PixelSpacing)
    groups = source.get("SharedFunctionalGroupsSequence")
    orientation = groups[0].PlaneOrientationSequence[0] if groups else source
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == orientation.ImageOrientationPatient


def slices(count: int, change: Callable[[int, Dataset], None]) -> bytes:
    """A stack of a CT slice repeated every 5 mm."""

    def at(place: int) -> bytes:
        def move(dataset: Dataset) -> None:
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.{place + 1}"
            dataset.ImagePositionPatient, dataset.InstanceNumber = [-1.5, 2, 5 * place], place + 1
            dataset.PatientName, dataset.BodyPartExamined = "", "CHEST"
            change(place, dataset)

        return dicom_sources.changed(move)

    return stacks_of([(str(place), at(place)) for place in range(count)])[0][1]


def first_map(stack: bytes, *, frame: int = 1, targets: Sequence[int] = (1,)) -> tuple[Explanation, bytes]:
    explanation = explain(read_image(stack, frame=frame), model(), targets=targets, methods=("grad_cam",))
    return explanation, next(content for name, content in dicom_objects(explanation, source=stack) if "map" in name)


def test_a_map_of_a_stack_has_a_frame_for_each_slice_and_padding_but_for_the_explained_one(tmp_path: Path) -> None:
    explanation, content = first_map(slices(4, lambda place, dataset: None), frame=2)
    each, values = opened(content), explanation.heatmaps[0].values
    np.testing.assert_array_equal(each.pixel_array[2], np.where(np.isnan(values), np.float32(UNSEEN), values))
    assert (np.delete(each.pixel_array, 2, axis=0) == each.FloatPixelPaddingValue).all()
    frames = each.PerFrameFunctionalGroupsSequence
    assert [frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames] == [
        [-1.5, 2, 5 * place] for place in range(4)
    ]
    assert [frame.FrameContentSequence[0].DimensionIndexValues for frame in frames] == [1, 2, 3, 4]
    assert [len(frame.DerivationImageSequence) for frame in frames] == [0, 0, 1, 0]
    (reference,) = frames[2].DerivationImageSequence[0].SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == "2.25.3"
    anatomy = each.SharedFunctionalGroupsSequence[0].FrameAnatomySequence[0]
    assert (anatomy.AnatomicRegionSequence[0].CodeMeaning, anatomy.FrameLaterality) == ("Chest", "U")
    assert ParametricMap.from_dataset(each).number_of_frames == 4
    (tmp_path / "map.dcm").write_bytes(content)
    assert not validator_errors(tmp_path / "map.dcm")


def tilted(place: int, dataset: Dataset) -> None:
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0] if place else [1, 0, 0, 0, 0.8, 0.6]


def elsewhere(place: int, dataset: Dataset) -> None:
    dataset.FrameOfReferenceUID = f"2.25.{place + 7}"


def at_one_place(place: int, dataset: Dataset) -> None:
    dataset.ImagePositionPatient = [0, 0, 5 * min(place, 1)]


def unplaced(place: int, dataset: Dataset) -> None:
    if place == 2:
        del dataset.ImagePositionPatient


@pytest.mark.parametrize("change", [tilted, elsewhere, at_one_place, unplaced])
def test_slices_that_do_not_lie_behind_one_another_get_no_frames(change: Callable[[int, Dataset], None]) -> None:
    assert opened(first_map(slices(3, change))[1]).NumberOfFrames == 1


def test_maps_of_a_stack_have_a_bound_for_the_whole_export(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = slices(3, lambda place, dataset: None)
    monkeypatch.setattr(objects, "MOST_VALUES", 3 * 128 * 128)
    assert opened(first_map(stack)[1]).NumberOfFrames == 3
    assert opened(first_map(stack, targets=(1, 2))[1]).NumberOfFrames == 1


@pytest.mark.parametrize(
    ("case", "spacing"), [("dx", [0.2, 0.2]), ("cr without spacing", None), ("ct without a frame of reference", True)]
)
def test_what_the_source_does_not_state_is_not_invented(case: str, spacing: object) -> None:
    result = written(case)
    first, second = result.of(PM)
    # A frame of reference of its own: a viewer must not lay the map over other pictures by its position.
    assert first.FrameOfReferenceUID.startswith("2.25.")
    assert first.FrameOfReferenceUID != second.FrameOfReferenceUID
    measures = first.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.get("PixelSpacing") == (result.source.PixelSpacing if spacing is True else spacing)
    assert "SpacingBetweenSlices" not in measures
    directions = first.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    if spacing is not True:  # the row runs to the left, the column to the feet
        assert list(result.source.PatientOrientation) == ["L", "F"]
        assert directions == [1, 0, 0, 0, 0, -1]


@pytest.mark.parametrize("case", ["us, frames", "sc"])
def test_a_source_without_directions_gets_no_parametric_map(case: str) -> None:
    result = written(case)
    assert not result.of(PM)
    assert len(result.of(SC)) == 2
    assert len(result.of(SR)) == 1


def test_frames_without_positions_of_their_own_are_not_placed_by_the_first_ones() -> None:
    content = dicom_sources.shipped("rtdose.dcm")
    assert opened(content).FrameOfReferenceUID
    plane = sources.read_source(content, dicom_sources.read(content, 3)).plane
    assert plane is not None
    assert plane.reference == ""


def test_a_secondary_capture_is_the_overlay_with_words_below() -> None:
    result = written("us, frames")
    for each, heatmap in zip(result.of(SC), result.explanation.heatmaps, strict=True):
        pixels = each.pixel_array
        times = pixels.shape[1] // result.source.Columns
        drawn = pixels[: result.source.Rows * times : times, : result.source.Columns * times : times]
        np.testing.assert_array_equal(drawn, overlay(result.explanation.image, heatmap))
        below = pixels[result.source.Rows * times :]
        assert (below < 100).all(axis=-1).sum() > 1000, "words"
        assert (each.BurnedInAnnotation, each.ConversionType) == ("YES", "WSD")
        assert each.ImageComments == "Research and demonstration. Not for diagnostic use."


def test_a_small_capture_says_class_probability_cell_and_banner(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[str, ...]] = []
    real = secondary_capture.with_caption
    monkeypatch.setattr(
        secondary_capture,
        "with_caption",
        lambda pixels, lines, **style: drawn.append(lines) or real(pixels, lines, **style),
    )
    result = written("dx")
    dicom_objects(result.explanation, source=dicom_sources.radiograph(), heatmaps=[0])
    (lines,) = drawn
    heatmap = result.explanation.heatmaps[0]
    assert lines[0] == "Research and demonstration. Not for diagnostic use."
    assert "结节与钙化 (class 1)" in lines[1]
    assert f"{heatmap.target.probability:.1%}"[:-1] in lines[1]
    height, width = heatmap.placement.cell_size(heatmap.raw.shape)  # type: ignore[arg-type]
    assert (
        f"covers {width:.0f} × {height:.0f} px, {0.2 * width:.3g} × {0.2 * height:.3g} mm on the detector" in lines[2]
    )


def test_the_structured_report_has_answers_checks_and_the_other_objects() -> None:
    result = written("ct")
    (report,) = result.of(SR)
    items = contents(report)
    texts = {item.TextValue for item in items if "TextValue" in item}
    explanation = result.explanation
    checks = trust(explanation, explanation.heatmaps[0], model())
    assert {"Research and demonstration. Not for diagnostic use.", DISCLAIMER, explanation.fingerprint} <= texts
    assert {"Class: 结节与钙化", "No checks were made of this heatmap."} <= texts
    for check in checks.checks:
        assert any(text.startswith(f"{check.question} {check.outcome}: ") for text in texts)
    first = next(item for item in report.ContentSequence if item.RelationshipType == "CONTAINS")
    assert first.TextValue == "Research and demonstration. Not for diagnostic use."
    assert f"torch {explanation.versions['torch']}" in report.SoftwareVersions
    assert not any("torch" in text for text in texts)
    numbers = [item for item in items if "MeasuredValueSequence" in item]
    name = "Probability that the model gives"
    values = [
        item.MeasuredValueSequence[0].NumericValue
        for item in numbers
        if item.ConceptNameCodeSequence[0].CodeMeaning == name
    ]
    shares = [
        *(each.probability for each in explanation.predictions),
        *(h.target.probability for h in explanation.heatmaps),
    ]
    assert [float(value) for value in values] == pytest.approx(shares, rel=1e-9)
    uids = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items if item.ValueType == "IMAGE"}
    assert uids == {
        result.source.SOPInstanceUID,
        *(each.SOPInstanceUID for uid in (PM, SC, SEG) for each in result.of(uid)),
    }
    evidence = {
        instance.ReferencedSOPInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert evidence == uids


def test_highdicom_reads_the_report_as_template_1500() -> None:
    result = written("ct")
    report = srread(io.BytesIO(result.files["structured_report.dcm"]))
    assert isinstance(report.content, MeasurementReport)
    groups = report.content.get_image_measurement_groups()
    assert len(groups) == len(result.explanation.predictions) + 2
    assert groups[-1].get_qualitative_evaluations()[0].value.meaning == "a/b"


def test_the_report_as_pdf_comes_back_byte_for_byte() -> None:
    (document,) = written("ct").of(ENCAPSULATED)
    assert document.EncapsulatedDocument[: document.EncapsulatedDocumentLength] == PDF
    with pytest.raises(GradcamError, match="no PDF"):
        dicom_objects(written("ct").explanation, source=dicom_sources.shipped("CT_small.dcm"), report=b"PK")


def test_a_segmentation_is_written_on_request_only_and_named_attention() -> None:
    result = written("ct")
    plain = dict(dicom_objects(result.explanation, source=dicom_sources.shipped("CT_small.dcm"), heatmaps=[1]))
    assert [name for name in plain if "segmentation" in name] == []
    assert len(plain) == 3
    for each, heatmap in zip(result.of(SEG), result.explanation.heatmaps, strict=True):
        assert each.SegmentSequence[0].SegmentLabel.startswith("Model attention")
        inside, values = each.pixel_array.astype(bool), heatmap.values
        assert 0.1 <= inside.sum() / np.isfinite(values).sum() <= 0.21
        assert values[inside].min() >= np.nanmax(values[~inside])


@pytest.mark.parametrize("case", CASES)
def test_identifiers_and_series_numbers_are_new_and_distinct(case: str) -> None:
    result = written(case)
    uids = [each.SOPInstanceUID for each in result.objects.values()]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    series = {(each.SeriesInstanceUID, int(each.SeriesNumber)) for each in result.objects.values()}
    assert len({uid for uid, _ in series}) == len({number for _, number in series}) == len(series)
    assert min(number for _, number in series) >= 900
    assert {each.ContentQualification for each in result.of(PM)} <= {"RESEARCH"}
    for each in result.objects.values():
        assert each.Manufacturer == "CAM Lightbox"
        assert f"cam-lightbox {result.explanation.versions['cam-lightbox']}" in each.SoftwareVersions


def test_without_a_source_only_captures_are_written_and_no_patient_is_invented() -> None:
    explanation = explain(networks.picture(), model(), top_k=2, methods=("grad_cam",))
    objects = [opened(content) for _, content in dicom_objects(explanation, source=None, report=PDF, segmentation=True)]
    assert [each.SOPClassUID for each in objects] == [SC, SC]
    for each in objects:
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber"):
            assert not each[keyword].value
        assert "SourceImageSequence" not in each
    assert len({each.StudyInstanceUID for each in objects}) == 1
    again = [opened(content) for _, content in dicom_objects(explanation, source=None)]
    assert again[0].StudyInstanceUID != objects[0].StudyInstanceUID


def test_names_in_other_alphabets_are_kept() -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"

    def change(dataset: Dataset) -> None:
        dataset.SpecificCharacterSet, dataset.PatientName = ["", "ISO 2022 IR 87"], name

    content = dicom_sources.changed(change)
    explanation = explain(dicom_sources.read(content), model(), top_k=1, methods=("grad_cam",))
    for _, file in dicom_objects(explanation, source=content):
        assert opened(file).SpecificCharacterSet == "ISO_IR 192"
        assert str(opened(file).PatientName) == name


def test_former_ways_to_write_dates_and_times_are_not_written_again() -> None:
    content = dicom_sources.shipped("ExplVR_BigEnd.dcm")
    assert opened(content).StudyDate == "1997.04.24"
    explanation = explain(dicom_sources.read(content), model(), top_k=1, methods=("grad_cam",))
    for _, file in dicom_objects(explanation, source=content):
        assert (opened(file).StudyDate, opened(file).StudyTime) == ("19970424", "140438")


def test_damaged_values_do_no_harm_and_nothing_about_the_patient_is_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "SECRET-PERSON-WITH-A-NAME-THAT-IS-FAR-LONGER-THAN-SIXTY-FOUR-LETTERS-ALLOWED"

    def change(dataset: Dataset) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.PatientName = dataset.PatientID = dataset.AccessionNumber = secret
        for keyword, value in (("PatientBirthDate", b"notadate"), ("PatientSex", b"unknown!"), ("SeriesNumber", b"x1")):
            dataset[keyword] = pydicom.dataelem.RawDataElement(
                pydicom.tag.Tag(keyword), dataset[keyword].VR, len(value), value, 0, False, True
            )

    content = dicom_sources.changed(change)
    explanation = explain(dicom_sources.read(content), model(), top_k=1, methods=("grad_cam",))
    with caplog.at_level(logging.DEBUG):
        objects = dicom_objects(explanation, source=content)
    assert [opened(file).PatientID for _, file in objects] == [secret] * len(objects)
    assert not any(secret in name for name, _ in objects)
    spoken = "".join(capfd.readouterr()) + caplog.text
    assert "SECRET" not in spoken
    assert "notadate" not in spoken


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: dicom_sources.shipped("MR_small.dcm"), "another one"),
        (lambda: dicom_sources.changed(lambda dataset: dataset.__delitem__("StudyInstanceUID")), "name itself"),
    ],
)
def test_a_source_that_cannot_be_referred_to_is_refused_in_words(content, words: str) -> None:  # type: ignore[no-untyped-def]
    own = dicom_sources.shipped("CT_small.dcm") if words == "another one" else content()
    explanation = explain(dicom_sources.read(own), model(), top_k=1, methods=("grad_cam",))
    with pytest.raises(GradcamError, match=words):
        dicom_objects(explanation, source=content())


@pytest.mark.filterwarnings("ignore")  # pydicom's guesses
def test_bytes_that_are_no_dicom_file_are_refused_in_words() -> None:
    content = b"no DICOM file at all" * 50
    image = replace(networks.picture(), sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(GradcamError, match="DICOM file"):
        dicom_objects(explain(image, model(), top_k=1), source=content)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gradcam_core.exporters.dicom.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    explanation = explain(networks.picture(), model(), top_k=1, methods=("grad_cam",))
    with pytest.raises(GradcamError, match="pip install highdicom"):
        dicom_objects(explanation, source=None)


def test_the_terminal_writes_objects_beside_the_record(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(png(np.zeros((40, 56, 3), np.uint8)))
    code = main(
        [
            "explain",
            str(picture),
            "--model",
            "bundled:radiograph_clean",
            "--method",
            "grad_cam",
            "--top-k",
            "1",
            "--dicom",
            "--out",
            str(tmp_path / "out"),
        ]
    )
    assert code == 0
    files = sorted(file.name for file in (tmp_path / "out" / "picture").iterdir() if file.suffix != ".png")
    assert len(files) == 2
    assert files[1] == "explanation.json"
    assert opened((tmp_path / "out" / "picture" / files[0]).read_bytes()).SOPClassUID == SC
    source = tmp_path / "ct.dcm"
    source.write_bytes(dicom_sources.shipped("CT_small.dcm"))
    write_dicom(tmp_path, source, written("ct").explanation)
    assert (tmp_path / "structured_report.dcm").is_file()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (package dicom3tools) is not installed")
@pytest.mark.parametrize("case", CASES)
def test_the_validator_has_no_error(case: str, tmp_path: Path) -> None:
    for name, content in written(case).files.items():
        file = tmp_path / name
        file.write_bytes(content)
        assert not validator_errors(file), name
