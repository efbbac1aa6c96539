"""Nothing about a patient leaves a DICOM file but in the objects that return to its own study."""

import io
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from gradcam_core import (
    Decoder,
    GradcamError,
    LoadedModel,
    archive,
    explain,
    load_model,
    read_image,
    report_html,
    report_pdf,
    seal,
    stacks_of,
    to_dict,
    to_json,
)
from gradcam_core.cli import main
from tests.test_dicom import FILES, dicom, picture_files, written

PEOPLE_AND_PLACES = {
    *("InstitutionName", "InstitutionAddress", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName"),
    *("PhysiciansOfRecord", "AccessionNumber", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "StudyID"),
    *("StationName", "StudyDescription", "SeriesDescription", "PatientComments", "DeviceSerialNumber"),
}


def elements(dataset: Dataset) -> Iterator[Any]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)
        else:
            yield element


def secrets_of(path: Path) -> set[bytes]:
    """What a file says about a patient, a person, a place or a study, in its own words."""
    secrets = set()
    for element in elements(dcmread(path, force=True)):
        if element.tag.group == 0x0010 or element.VR == "PN" or element.keyword in PEOPLE_AND_PLACES:
            for value in element.value if element.VM > 1 else [element.value]:
                text = str(value)
                # Short ones, such as "M" or "060Y", stand in any text.
                secrets |= {part.encode() for part in [text, *text.split("^")] if len(part) > 5 and len(set(part)) > 2}
    return secrets


def written_about(content: bytes, model: LoadedModel) -> Iterator[bytes]:
    """All that the program writes about a picture, unpacked."""
    explanation = explain(read_image(content), model, methods="grad_cam", top_k=1)
    yield repr(explanation.image.notes).encode() + repr(explanation.image.greys.unit).encode()
    yield to_json(seal(to_dict(explanation, names="hash")))
    yield report_html(explanation)
    yield report_pdf(explanation)
    with zipfile.ZipFile(io.BytesIO(archive(explanation))) as packed:
        for name in packed.namelist():
            yield name.encode()
            yield packed.read(name)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("bundled:radiograph_clean", device="cpu")


def check(paths: list[Path], model: LoadedModel, caplog: pytest.LogCaptureFixture, capfd: Any) -> int:
    checked = 0
    for path in paths:
        content, secrets = path.read_bytes(), secrets_of(path)
        caplog.clear()
        try:
            texts = list(written_about(content, model))
        except GradcamError as error:
            texts = [str(error).encode()]
        texts += [caplog.text.encode(), *(text.encode() for text in capfd.readouterr())]
        for secret in secrets:
            assert not any(secret in text for text in texts), (path.name, secret)
        checked += bool(secrets)
    return checked


def test_nothing_of_the_patient_is_written(
    model: LoadedModel, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    names = {"CT_small.dcm", "6154", "examples_ybr_color.dcm", "badVR.dcm", "chrH31.dcm", "reportsi.dcm"}
    assert check([path for path in FILES if path.name in names], model, caplog, capfd) >= 4


@pytest.mark.slow
def test_nothing_of_any_patient_is_written_over_the_whole_corpus(
    model: LoadedModel, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    assert check(FILES, model, caplog, capfd) > 150


def test_the_terminal_names_dicom_pictures_by_their_checksum(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "Secret_Name_1960.dcm"
    picture.write_bytes(written(dicom(dcmread(next(picture_files())).pixel_array[:64, :64])))
    out = tmp_path / "out"
    options = ["--model", "bundled:radiograph_clean", "--method", "grad_cam", "--top-k", "1", "--report"]
    assert main(["explain", str(picture), *options, "--out", str(out)]) == 0
    printed = "".join(capfd.readouterr()).replace(str(out), "")
    results = [path for path in out.rglob("*") if path.is_file()]
    assert len(results) == 4
    assert "Secret" not in printed + "".join(map(str, results)).replace(str(tmp_path), "")
    assert not any(re.search(b"Secret|ID-12345", path.read_bytes()) for path in results)
    assert main(["explain", str(picture), *options, "--names", "keep", "--out", str(out)]) == 0
    assert (out / "Secret_Name_1960" / "explanation.json").exists()


def test_damaged_files_say_nothing_of_the_patient(capfd: pytest.CaptureFixture[str]) -> None:
    dataset = dicom(dcmread(next(picture_files())).pixel_array[:64, :64])
    dataset.WindowCenter, dataset.WindowWidth = 10, 20
    content = written(dataset)
    decoder = Decoder(1)
    for place in range(0, len(content) - 60, 97):
        changed = bytearray(content)
        changed[place : place + 4] = b"\xff\x00SN"
        try:
            read_image(bytes(changed))
        except GradcamError as error:
            assert "Secret" not in str(error)  # noqa: PT017
            assert "12345" not in str(error)  # noqa: PT017
    stacks_of([("a", content), ("b", content + b"\0")])
    decoder.end()
    assert "Secret" not in "".join(capfd.readouterr())
