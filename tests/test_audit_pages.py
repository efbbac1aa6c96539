"""The audit log and blind reading on the pages, without a browser."""

import functools
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gradcam_core import AuditEntry, AuditError, AuditReading, append_audit, read_audit
from pages.components import audited
from pages.components.analysis.requests import ModelChoice
from pages.components.models.candidate import Candidate
from tests.test_pages import ROOT, text_of

EXPLAIN, AUDIT = "pages/1_Explain.py", "pages/8_Audit.py"
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
IMPRESSION = "No nodule. A cat, I think."
ANSWERS = ("Egyptian cat", "espresso", "tiger cat")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An audit log that is on, in a folder of its own."""
    monkeypatch.setenv(audited.SETTING, str(tmp_path / "log"))
    return tmp_path / "log"


def started(page: str = "app.py") -> AppTest:
    run = AppTest.from_file(str(ROOT / "app.py"), default_timeout=90).run()
    if page != "app.py":
        run.switch_page(page).run()
    return run


def everything(run: AppTest) -> str:
    """All that was sent to the browser, as text: also what the viewer and tables get."""
    return repr(run._tree) + "".join(str(getattr(element, "proto", "")) for element in run._tree)


def events(log: Path) -> list[str]:
    return [entry.event for entry in read_audit(log).entries]


def read(log: Path) -> AuditReading:
    reading = read_audit(log)
    assert reading.is_whole
    return reading


# The log


def test_what_is_shown_is_logged_once_a_visit(log: Path) -> None:
    run = started(EXPLAIN)
    assert events(log) == ["analysed", "viewed"]
    first, second = read(log).entries
    assert (first.picture, first.methods) == (second.picture, ("grad_cam",))
    assert [answer.label for answer in first.targets][:2] == ["tiger cat", "Egyptian cat"]
    assert len(first.session) == 16
    run.run()
    assert events(log) == ["analysed", "viewed"], "the same run again is no new view"
    run.switch_page("app.py").run()
    run.switch_page(EXPLAIN).run()
    assert events(log) == ["analysed", "viewed", "viewed"]
    run.selectbox(key="picture").select("coffee").run()
    assert events(log)[3:] == ["analysed", "viewed"]
    assert not run.exception


def test_nothing_is_logged_and_no_page_listed_while_it_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv(audited.SETTING, raising=False)
    run = started(EXPLAIN)
    assert "Audit" not in [link.proto.label for link in run.get("page_link")]
    assert not list(tmp_path.rglob("*"))
    assert "The audit log is off" in text_of(run.switch_page(AUDIT).run())


def test_the_page_lists_entries_and_filters_them(log: Path) -> None:
    run = started(EXPLAIN)
    assert "Audit" in [link.proto.label for link in run.get("page_link")]
    append_audit(log, [AuditEntry("exported", export="PNG", user="Dr. =1+1 *A*", picture="f" * 64)])
    run.switch_page(AUDIT).run()
    assert not run.exception
    assert "The chain is whole: 3 entries" in text_of(run).replace("\\", "")
    assert list(run.dataframe[0].value["Event"]) == ["Exported", "Viewed", "Analysed"]
    run.multiselect[0].select("viewed").run()
    assert list(run.dataframe[0].value["Event"]) == ["Viewed"]
    run.multiselect[0].unselect("viewed").run()
    boxes = {box.label: box for box in run.selectbox}
    boxes["Picture"].select("f" * 64).run()
    assert list(run.dataframe[0].value["Event"]) == ["Exported"]
    assert not run.exception


def test_the_page_says_what_was_changed(log: Path) -> None:
    run = started(EXPLAIN)
    (path,) = log.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b"analysed", b"Analysed"))
    run.switch_page(AUDIT).run()
    assert "first at entry 1" in run.error[0].value
    assert "Entry 1 was changed." in run.error[0].value.replace("\\", "")


@pytest.mark.parametrize(
    "page", [EXPLAIN, slow("pages/2_Compare.py"), slow("pages/3_Layers.py"), slow("pages/4_Evaluate.py")]
)
def test_what_cannot_be_logged_is_not_shown(page: str, log: Path) -> None:
    log.write_bytes(b"a file where the folder should be")
    run = started(page)
    assert not run.exception
    assert [error.value.partition("\n")[0] for error in run.error] == ["**The audit log cannot be written.**"]
    assert "16.1" not in everything(run), "the probability of the top answer"
    assert not run.dataframe


def test_a_setting_that_is_not_understood_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(audited.SETTING, "offf")
    run = started(EXPLAIN)
    assert not run.exception
    assert "LIGHTBOX" in run.error[0].value
    assert not run.dataframe


@pytest.mark.parametrize("word", ["off", "OFF", " no ", "0", ""])
def test_off_is_off(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(audited.SETTING, word)
    assert not audited.is_on()


# Who it was


class Context:
    """Headers as a reverse proxy sends them."""

    headers = {"X-Forwarded-User": "anna"}  # noqa: RUF012


def test_a_header_names_the_user_only_where_the_owner_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audited.st, "context", Context)
    monkeypatch.delenv(audited.USER_HEADER, raising=False)
    assert audited.user() == ""
    monkeypatch.setenv(audited.USER_HEADER, "X-Forwarded-User")
    assert audited.user() == "anna"
    assert not audited.sees_everything()
    monkeypatch.setenv(audited.AUDITORS, "otto, anna")
    assert audited.sees_everything()
    monkeypatch.setattr(Context, "headers", {})
    assert not audited.sees_everything()


def test_a_user_sees_own_entries_only(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audited.remembered, "is_private", lambda: False)
    append_audit(log, [AuditEntry("impression", session="other", impression="secret")])
    run = started(EXPLAIN)
    run.switch_page(AUDIT).run()
    assert list(run.dataframe[0].value["Event"]) == ["Viewed", "Analysed"]
    assert "secret" not in everything(run)
    assert not [button for button in run.get("download_button") if "JSONL" in button.proto.label]


# Many pictures


@pytest.mark.slow
def test_a_job_is_logged_with_its_number_of_pictures(log: Path) -> None:
    run = started()
    run.session_state["folder_wanted"] = "no_markers"
    run.session_state["kept values"] = {"model": "bundled:radiograph_clean"}
    run.switch_page("pages/5_Folder.py").run()
    next(button for button in run.button if button.label.startswith("Evaluate")).click().run()
    assert not run.exception
    assert [(entry.event, entry.pictures, entry.model) for entry in read(log).entries] == [
        ("analysed", 45, "bundled:radiograph_clean"),
        ("viewed", 45, "bundled:radiograph_clean"),
    ]


# Exports


def test_an_export_is_logged_with_its_subject_and_made_only_then(log: Path) -> None:
    subject = AuditEntry("", picture="f" * 64, methods=("grad_cam",))
    audited.st.session_state[audited.SUBJECT] = subject
    make = audited.logged(lambda: b"content", "Overlay, PNG")
    assert not log.exists()
    assert make() == b"content"
    (entry,) = read(log).entries
    assert (entry.event, entry.export, entry.picture) == ("exported", "Overlay, PNG", "f" * 64)
    (path,) = log.glob("*.jsonl")
    path.unlink()
    path.mkdir()  # no file can be written there
    with pytest.raises(AuditError):
        make()


# Blind reading


def blind_run(page: str = EXPLAIN) -> AppTest:
    run = started()
    run.session_state["kept values"] = {"blind": True}
    run.switch_page(page).run()
    return run


def form_button(run: AppTest) -> Any:
    return next(button for button in run.button if button.label == "Show the model’s answer")


@pytest.mark.parametrize(
    "page",
    [
        EXPLAIN,
        *map(slow, ("pages/2_Compare.py", "pages/2_Compare_models.py", "pages/3_Layers.py", "pages/4_Evaluate.py")),
    ],
)
def test_nothing_of_the_answer_is_sent_before_the_impression(page: str, log: Path) -> None:
    run = blind_run(page)
    assert not run.exception
    assert not [word for word in ANSWERS if word in everything(run)]
    assert form_button(run)
    assert not log.exists()


@pytest.mark.parametrize("page", ["pages/5_Batch.py", slow("pages/5_Folder.py")])
def test_pages_for_many_pictures_wait_until_blind_reading_is_off(page: str) -> None:
    run = blind_run(page)
    assert "waits until blind reading is off" in text_of(run)
    run.toggle(key="blind").set_value(False).run()
    assert "waits until" not in text_of(run)


def test_the_models_page_tests_no_model_on_a_picture_that_is_read_blind() -> None:
    run = started()
    run.session_state["kept values"] = {"blind": True}
    run.session_state["candidate"] = Candidate(ModelChoice("Mine", "bundled:efficientnet_lite0"), "name")
    run.switch_page("pages/6_Models.py").run()
    assert not run.exception
    assert "Choose a picture in the sidebar" in text_of(run)
    assert "16.1" not in everything(run)
    run.session_state["kept values"] = {"blind": False}
    run.run()
    assert "16.1" in everything(run)


def test_an_empty_impression_reveals_nothing() -> None:
    run = blind_run()
    form_button(run).click().run()
    assert "The impression is empty" in run.error[0].value
    assert not [word for word in ANSWERS if word in everything(run)]


def test_the_impression_comes_first_and_a_changed_mind_is_kept(log: Path) -> None:
    run = blind_run()
    run.text_area[0].input(IMPRESSION)
    form_button(run).click().run()
    assert not run.exception
    assert "tiger cat" in text_of(run)
    assert "Did you change your mind?" in [header.value for header in run.header]
    assert events(log) == ["impression", "analysed", "viewed"]
    answered = everything(run)
    assert all(word in answered for word in ANSWERS), "what is searched for above can be seen here"
    control = next(group for group in run.button_group if str(group.key).startswith("mind "))
    control.set_value("I changed my mind").run()
    run.text_area[0].input("An Egyptian cat.")
    next(button for button in run.button if button.label == "Save").click().run()
    assert not run.exception
    assert events(log) == ["impression", "analysed", "viewed", "changed"]
    written, _, _, changed = read(log).entries
    assert (written.impression, written.answers) == (IMPRESSION, ())
    assert (changed.impression, changed.methods) == ("An Egyptian cat.", ("grad_cam",))
    assert changed.answers[0].label == "tiger cat"
    (reading,) = run.session_state["readings"].values()
    assert (reading.impression, reading.revised, reading.changed) == (IMPRESSION, "An Egyptian cat.", True)
    assert reading.written_at <= reading.revealed_at
    run.selectbox(key="picture").select("coffee").run()
    assert form_button(run), "the next picture waits for an impression of its own"
    assert "tiger cat" not in text_of(run)


def test_an_impression_that_cannot_be_logged_reveals_nothing(log: Path) -> None:
    log.write_bytes(b"")
    run = blind_run()
    run.text_area[0].input(IMPRESSION)
    form_button(run).click().run()
    assert "The audit log cannot be written" in run.error[0].value
    assert not [word for word in ANSWERS if word in everything(run)]


def test_a_picture_whose_answer_was_shown_before_is_not_called_blind() -> None:
    run = started(EXPLAIN)
    run.toggle(key="blind").set_value(True).run()
    assert "this reading is not blind" in text_of(run)
    run.toggle(key="blind").set_value(False).run()
    assert "tiger cat" in text_of(run)
