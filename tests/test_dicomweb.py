"""DICOMweb against a real server, Orthanc: search, fetch, explain, store, find again; and its failures in words."""

import io
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from dicomweb_client.session_utils import create_session_from_user_pass

from gradcam_core import (
    ArchivedSeries,
    ArchivedStudy,
    DicomwebError,
    DicomwebServer,
    dicom_objects,
    dicomweb_server,
    explain,
    fetch_series,
    list_series,
    read_image,
    report_pdf,
    search_studies,
    stacks_of,
    store_objects,
    study_of,
)
from gradcam_core.cli import main
from gradcam_core.records import LoadedModel
from tests import dicom_sources, networks
from tests.browser import free_port
from tests.orthanc import PASSWORD, USER, orthanc

__all__ = ["orthanc"]

STUDY, SERIES, PATIENT = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2", "Doe^Jane Ann"
SLICES = 4
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"


def slice_at(place: int) -> bytes:
    def change(dataset: pydicom.Dataset) -> None:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{SERIES}.{place}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
        dataset.InstanceNumber, dataset.ImagePositionPatient = place + 1, [0, 0, 5 * place]
        dataset.PatientName, dataset.PatientID, dataset.AccessionNumber = PATIENT, "4711", "A17"
        dataset.StudyDate, dataset.StudyDescription, dataset.SeriesDescription = "20260301", "Chest CT", "Lung"
        dataset.PixelData = (dataset.pixel_array + place).tobytes()

    return dicom_sources.changed(change)


@pytest.fixture(scope="module")
def slices() -> list[bytes]:
    return [slice_at(place) for place in range(SLICES)]


@pytest.fixture(scope="module")
def server(orthanc: dict[str, str], slices: list[bytes]) -> DicomwebServer:
    """Orthanc with a study of a few slices, and another one."""
    server = dicomweb_server(orthanc)
    assert server is not None
    other = dicom_sources.shipped("MR_small.dcm")
    stored = store_objects(server, [(str(place), content) for place, content in enumerate([*slices, other])])
    assert (stored.stored, stored.failed) == (("0", "1", "2", "3", "4"), ())
    return server


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return networks.loaded(networks.conv_net(), labels=["nodule", "b", "c", "d", "e"])


def uid(content: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID)


def sop_class(content: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPClassUID)


def by_uid(contents: Sequence[bytes]) -> dict[str, bytes]:
    return {uid(content): content for content in contents}


@pytest.mark.parametrize(
    "criteria",
    [
        {"patient_id": "4711"},
        {"patient": "doe"},
        {"patient": "Doe Jane"},
        {"patient": "DOE^J*"},
        {"date": "20260301"},
        {"date": "20260101-20261231"},
        {"date": "20260101-"},
        {"modality": "ct"},
        {"accession": "A17"},
        {"description": "chest"},
        {"study": STUDY},
        {"patient": "Jane", "modality": "CT", "date": "-20260301"},
    ],
    ids=str,
)
def test_each_criterion_finds_the_study_and_no_other(server: DicomwebServer, criteria: dict[str, str]) -> None:
    studies, more = search_studies(server, **criteria)
    assert not more
    assert [study.uid for study in studies] == [STUDY]
    (study,) = studies
    assert (study.date, study.description, study.patient, study.patient_id) == (
        "2026-03-01",
        "Chest CT",
        PATIENT,
        "4711",
    )
    assert "CT" in study.modalities
    assert study.pictures
    assert study.pictures >= SLICES


def test_all_studies_are_listed_newest_first_and_none_where_none_fits(server: DicomwebServer) -> None:
    studies, _ = search_studies(server)
    assert [study.date for study in studies] == sorted((study.date for study in studies), reverse=True)
    assert len(studies) >= 2
    assert search_studies(server, patient_id="nobody") == ((), False)
    assert list_series(server, "1.2.3") == ()


def test_a_series_comes_as_the_very_files_and_becomes_a_stack(server: DicomwebServer, slices: list[bytes]) -> None:
    files = fetch_series(server, STUDY, SERIES)
    assert by_uid(files) == by_uid(slices)
    ((_, stack),) = stacks_of([("x", content) for content in files])
    assert read_image(stack, frame=2).sha256 != read_image(slices[2]).sha256
    assert np.array_equal(read_image(stack, frame=2).pixels, read_image(slices[2]).pixels)
    assert fetch_series(server, STUDY, SERIES, f"{SERIES}.3") == (slices[3],)


def test_objects_are_stored_and_come_back_bit_for_bit(
    server: DicomwebServer, slices: list[bytes], model: LoadedModel
) -> None:
    explanation = explain(read_image(slices[1]), model, top_k=1, methods="grad_cam")
    objects = dicom_objects(explanation, source=slices[1], report=report_pdf(explanation))
    stored = store_objects(server, objects)
    assert stored.stored == tuple(name for name, _ in objects)
    assert not stored.failed
    assert {study_of(content) for _, content in objects} == {STUDY}
    listed = {series.uid: series for series in list_series(server, STUDY)}
    assert sorted(series.modality for series in listed.values()) == ["CT", "DOC", "OT", "OT", "SR"]
    back = by_uid([content for series in listed for content in fetch_series(server, STUDY, series)])
    assert back == by_uid([*slices, *(content for _, content in objects)])
    maps = [pydicom.dcmread(io.BytesIO(each)) for each in back.values() if sop_class(each) == PARAMETRIC_MAP]
    assert len(maps) == 1
    values = np.frombuffer(maps[0].FloatPixelData, np.float32).reshape(explanation.image.height, -1)
    (heatmap,) = explanation.heatmaps
    seen = np.isfinite(heatmap.values)
    assert seen.any()
    assert np.array_equal(values[seen], heatmap.values[seen])


def test_another_client_finds_the_same(server: DicomwebServer, orthanc: dict[str, str], slices: list[bytes]) -> None:
    client = DICOMwebClient(orthanc["LIGHTBOX_DICOMWEB"], create_session_from_user_pass(USER, PASSWORD.encode()))
    studies = client.search_for_studies(search_filters={"PatientID": "4711"})
    assert [study["0020000D"]["Value"][0] for study in studies] == [STUDY]
    theirs = client.retrieve_instance(STUDY, SERIES, f"{SERIES}.1")
    assert theirs.PixelData == pydicom.dcmread(io.BytesIO(slices[1])).PixelData


def refused(settings: dict[str, str]) -> str:
    server = dicomweb_server(settings)
    assert server is not None
    with pytest.raises(DicomwebError) as error:
        search_studies(server, patient="Geheim")
    words = str(error.value)
    assert "Geheim" not in words
    assert PASSWORD not in words
    assert "127.0.0.1" not in words
    return words


def test_failures_are_said_in_words(server: DicomwebServer, orthanc: dict[str, str]) -> None:
    url = orthanc["LIGHTBOX_DICOMWEB"]
    assert "refused the program's credentials (401)" in refused({**orthanc, "LIGHTBOX_DICOMWEB_SECRET": "wrong"})
    assert "refused the program's credentials (401)" in refused({"LIGHTBOX_DICOMWEB": url})
    assert "no DICOMweb service" in refused({**orthanc, "LIGHTBOX_DICOMWEB": url.replace("dicom-web", "other")})
    assert "cannot be reached" in refused({**orthanc, "LIGHTBOX_DICOMWEB": f"http://127.0.0.1:{free_port()}/dicom-web"})
    assert "no secure connection" in refused({**orthanc, "LIGHTBOX_DICOMWEB": url.replace("http:", "https:")})
    with pytest.raises(DicomwebError, match="does not have this series"):
        fetch_series(server, STUDY, "1.2.3")
    wrong = dicomweb_server({**orthanc, "LIGHTBOX_DICOMWEB_SECRET": "wrong"})
    assert wrong is not None
    with pytest.raises(DicomwebError, match="refused the program's credentials"):
        store_objects(wrong, [("x", slice_at(0))])


def test_what_is_no_object_is_not_sent(server: DicomwebServer) -> None:
    broken = dicom_sources.changed(lambda dataset: delattr(dataset, "StudyInstanceUID"))
    stored = store_objects(server, [("good", slice_at(0)), ("text", b"hello"), ("broken", broken)])
    assert stored.stored == ("good",)
    assert [name for name, _ in stored.failed] == ["text", "broken"]
    assert "was not sent" in stored.failed[0][1]


def test_nothing_is_logged_and_no_proxy_is_used(
    server: DicomwebServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with caplog.at_level(logging.DEBUG):
        assert search_studies(server, patient="Doe")[0]
        fetch_series(server, STUDY, SERIES)
    assert not caplog.records


def test_a_patient_is_in_no_representation(server: DicomwebServer) -> None:
    study = search_studies(server, patient_id="4711")[0][0]
    assert isinstance(study, ArchivedStudy)
    assert isinstance(list_series(server, STUDY)[0], ArchivedSeries)
    assert "Doe" not in repr(study)
    assert "4711" not in repr(study)
    assert server.authorization.startswith("Basic ")
    assert server.authorization not in repr(server)


def test_the_command_searches_fetches_and_stores(
    server: DicomwebServer,
    orthanc: dict[str, str],
    slices: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    for name, value in orthanc.items():
        monkeypatch.setenv(name, value)
    assert main(["dicomweb", "search", "--patient", "doe"]) == 0
    printed = capsys.readouterr().out
    assert printed.split("\t")[0] == STUDY
    assert "Doe" not in printed
    assert main(["dicomweb", "search", STUDY]) == 0
    assert SERIES in capsys.readouterr().out
    assert main(["dicomweb", "fetch", STUDY, SERIES, "--out", str(tmp_path)]) == 0
    files = sorted(tmp_path.iterdir())
    assert by_uid([file.read_bytes() for file in files]) == by_uid(slices)
    assert all(re.fullmatch(r"[0-9a-f]{16}\.dcm", file.name) for file in files)
    (tmp_path / "notes.txt").write_text("no picture")
    assert main(["dicomweb", "store", str(tmp_path)]) == 0
    assert "Stored: 4 of 4" in capsys.readouterr().out
    assert main(["dicomweb", "store", str(tmp_path / "notes.txt")]) == 1
    assert "was not sent" in capsys.readouterr().err


def test_the_command_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in list(os.environ):
        if name.startswith("LIGHTBOX_DICOMWEB"):
            monkeypatch.delenv(name)
    assert main(["dicomweb", "search"]) == 2
    assert "No DICOMweb server is named. Set LIGHTBOX_DICOMWEB, or give --server URL." in capsys.readouterr().err
    address = f"http://127.0.0.1:{free_port()}"
    assert main(["dicomweb", "fetch", "--server", address]) == 2
    assert main(["dicomweb", "store", str(tmp_path), "--server", address]) == 2
    assert main(["dicomweb", "fetch", "1/../2", "--server", address, "--out", str(tmp_path)]) == 2
    assert "not the identifier" in capsys.readouterr().err
