"""The archive on the pages: nothing without the setting; with it, a series comes in, and objects go out."""

import re
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gradcam_core import dicomweb_server, list_series, read_audit, search_studies, store_objects
from pages.components import audited
from tests.browser import ROOT, free_port, running
from tests.orthanc import orthanc
from tests.test_app import settled
from tests.test_dicomweb import PATIENT, STUDY, slice_at
from tests.test_pages import text_of

__all__ = ["orthanc"]


@pytest.fixture
def archive(orthanc: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Orthanc with a study, as the setting of this server, whose audit log is on."""
    for name, value in {**orthanc, audited.SETTING: str(tmp_path / "log")}.items():
        monkeypatch.setenv(name, value)
    server = dicomweb_server(orthanc)
    assert server is not None
    assert not store_objects(server, [(str(place), slice_at(place)) for place in range(3)]).failed
    return server


def searching() -> None:
    from pages.components import session
    from pages.components.dicomweb import search

    session.start_session()
    search._search()


def taking() -> None:
    from gradcam_core import GradcamError, list_series, search_studies
    from pages.components import session
    from pages.components.dicomweb import search, server
    from pages.components.words import show_error

    session.start_session()
    archive = server.server()
    (study,), _ = search_studies(archive, patient_id="4711")
    (series,) = (each for each in list_series(archive, study.uid) if each.modality == "CT")
    if not session.st.session_state.uploads:
        try:
            search._take(archive, study, series)
        except GradcamError as error:
            show_error(error)


def sending() -> None:
    from pages.components.dicomweb import sending
    from tests.test_dicomweb import slice_at

    sending._confirm([("nodule_secondary_capture.dcm", slice_at(7)), ("report.dcm", b"broken")])


def sending_elsewhere() -> None:
    from pages.components.dicomweb import sending
    from tests.dicom_sources import shipped

    sending._confirm([("report.dcm", shipped("CT_small.dcm"))])


def offering() -> None:
    from pages.components.dicomweb import search, sending

    search.offer_archive()
    sending.offer_sending(list, "explain")


def of(script: Any) -> AppTest:
    return AppTest.from_function(script, default_timeout=90).run()


def click(run: AppTest, label: str) -> AppTest:
    return next(button for button in run.button if button.label == label).click().run()


def events(archive_log: Path) -> list[str]:
    return [entry.event for entry in read_audit(archive_log).entries] if archive_log.exists() else []


def test_nothing_of_it_shows_without_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTBOX_DICOMWEB", raising=False)
    assert not of(offering).button
    monkeypatch.setenv("LIGHTBOX_DICOMWEB", "http://user:secret@host")
    run = of(offering)
    assert [button.label for button in run.button] == ["From the archive", "Send to the archive"]
    click(run, "From the archive")
    assert "contains a name or password" in run.error[0].value
    assert "secret" not in text_of(run)


def test_the_search_lists_studies_in_this_session_only(archive: Any) -> None:
    run = of(searching)
    run.text_input(key="archive patient").set_value("doe")
    click(run, "Search")
    assert not run.exception
    assert list(run.dataframe[0].value["Patient"]) == [PATIENT]
    assert not run.query_params
    run.text_input(key="archive patient").set_value("not there")
    click(run, "Search")
    assert "no such study" in text_of(run)
    run.text_input(key="archive patient").set_value("a\\b")
    click(run, "Search")
    assert "cannot be searched for" in run.error[0].value


def test_a_series_becomes_a_stack_of_the_session_and_is_logged(archive: Any, tmp_path: Path) -> None:
    run = of(taking)
    assert not run.exception
    ((sha256, upload),) = run.session_state.uploads.items()
    assert upload.name == "CT 2026-03-01 Lung and 2 more"
    assert upload.content[:4] == b"PK\3\4"
    (entry,) = read_audit(tmp_path / "log").entries
    assert (entry.event, entry.picture) == ("fetched", sha256)
    assert "Doe" not in repr(entry)


def test_what_cannot_be_logged_is_neither_kept_nor_sent(archive: Any, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a file where the folder should be")
    run = of(taking)
    assert "audit log" in run.error[0].value
    assert not run.session_state.uploads
    before = list_series(archive, STUDY)
    run = click(of(sending), "Send")
    assert "audit log" in run.error[0].value
    assert list_series(archive, STUDY) == before


def test_sending_says_what_goes_where_and_what_came_of_it(archive: Any, tmp_path: Path) -> None:
    run = of(sending)
    said = text_of(run).replace("\\", "")
    assert "1 secondary capture, 1 PDF report, as new series." in said
    assert f"{archive.name}, into the study of the picture: 2026-03-01, CT, Chest CT, {PATIENT}." in said
    assert not (tmp_path / "log").exists(), "nothing is sent before it is confirmed"
    click(run, "Send")
    assert not run.exception
    assert run.success[0].value == "The archive stored 1 object."
    assert "**1 object not stored.**" in run.error[0].value
    (entry,) = read_audit(tmp_path / "log").entries
    assert (entry.event, entry.export) == ("sent", f"2 DICOM objects to {archive.name}")


def test_a_study_that_the_archive_does_not_have_is_named_as_new(archive: Any) -> None:
    assert "does not have the picture’s study" in text_of(of(sending_elsewhere)).replace("\\", "")


@pytest.mark.slow
def test_from_the_archive_to_the_heatmap_and_back(chromium: Any, archive: Any, tmp_path: Path) -> None:
    with running(ROOT / "app.py", ROOT, free_port()) as address:
        page = chromium.new_page(viewport={"width": 1366, "height": 768})
        page.goto(address)
        page.get_by_role("button", name="From the archive").click(timeout=90_000)
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox", name="Patient’s name").fill("doe")
        dialog.get_by_role("button", name="Search").click()
        tables = dialog.get_by_test_id("stDataFrame")
        for place in range(2):
            tables.nth(place).wait_for(timeout=60_000)
            page.wait_for_timeout(1500)
            box = tables.nth(place).bounding_box()
            page.mouse.click(box["x"] + 15, box["y"] + 54)
        dialog.get_by_role("button", name="Add this series").click(timeout=60_000)
        page.wait_for_url("**/Explain", timeout=90_000)
        page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=120_000)
        settled(page)
        page.get_by_role("button", name="Send to the archive").click(timeout=60_000)
        page.get_by_role("button", name="Send", exact=True).click(timeout=120_000)
        page.get_by_text(re.compile(r"The archive stored \d objects")).wait_for(timeout=60_000)
        assert "Doe" not in page.url
        page.close()
    assert {series.modality for series in list_series(archive, STUDY)} == {"CT", "OT", "SR", "DOC"}
    assert [study.uid for study in search_studies(archive, patient="doe", modality="SR")[0]] == [STUDY]
    assert events(tmp_path / "log") == ["fetched", "analysed", "viewed", "sent"]
