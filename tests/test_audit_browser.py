"""A blind reading with the audit log on, in a real browser: what reaches it, and when."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gradcam_core import read_audit
from pages.components.audited import AUDITORS, SETTING, USER_HEADER
from tests.browser import ROOT, free_port, running
from tests.test_app import settled
from tests.test_front_door import pick

pytestmark = pytest.mark.slow
PICTURES = ".viewer .panel canvas"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def page(chromium: Any, log: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A visitor of a server whose audit log is on; `page.received` is all that the server sent over its socket."""
    monkeypatch.setenv(SETTING, str(log))
    monkeypatch.setenv(USER_HEADER, "X-Forwarded-User")
    monkeypatch.setenv(AUDITORS, "anna")
    with running(ROOT / "app.py", ROOT, free_port()) as address:
        context = chromium.new_context(
            viewport={"width": 1440, "height": 900},
            accept_downloads=True,
            extra_http_headers={"X-Forwarded-User": "anna"},
        )
        page = context.new_page()
        page.received = []

        def listen(socket: Any) -> None:
            socket.on("framereceived", lambda part: page.received.append(part if isinstance(part, bytes) else b""))

        page.on("websocket", listen)
        page.goto(f"{address}/Explain")
        page.locator(PICTURES).nth(2).wait_for(timeout=90_000)
        settled(page)
        yield page
        context.close()


def test_a_blind_reading_from_the_impression_to_the_log(page: Any, log: Path) -> None:
    page.locator(".st-key-blind label").first.click()
    page.get_by_text("What do you see?").wait_for(timeout=60_000)
    settled(page)
    page.received.clear()
    pick(page, "Picture", "Coffee")
    page.get_by_text("this reading is not blind").wait_for(state="detached", timeout=60_000)
    for name in ("Compare methods", "Layers", "Models", "Batch", "Explain"):
        page.locator(".st-key-navigation").get_by_role("link", name=name, exact=True).click()
        settled(page)
        assert page.get_by_test_id("stException").count() == 0, name
    assert b"95.1" not in b"".join(page.received), "the probability of the top answer"
    page.get_by_label("Your impression").fill("A cup of coffee.")
    page.get_by_role("button", name="Show the model’s answer").click()
    page.locator(PICTURES).nth(2).wait_for(timeout=60_000)
    settled(page)
    assert b"95.1" in b"".join(page.received), "what was looked for before is seen when it is sent"
    page.get_by_text("I keep my impression").click()
    settled(page)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("the same.").wait_for(timeout=60_000)
    settled(page)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="Record, JSON").click()
    assert waiting.value.path()
    reading = read_audit(log)
    assert reading.is_whole
    events = [(entry.event, entry.picture == reading.entries[-1].picture) for entry in reading.entries]
    before, own = [("analysed", False), ("viewed", False)], ["impression", "analysed", "viewed", "kept", "exported"]
    assert events == [*before, *((event, True) for event in own)]
    assert reading.entries[-1].export == "Record, JSON"
    assert {entry.user for entry in reading.entries} == {"anna"}
    page.locator(".st-key-navigation").get_by_role("link", name="Audit", exact=True).click()
    page.get_by_text("The chain is whole: 7 entries").wait_for(timeout=60_000)
    settled(page)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="The whole log, JSONL").click()
    assert len(Path(waiting.value.path()).read_bytes().splitlines()) == 7
    assert read_audit(log).entries[-1].export == "The whole log, JSONL"


def test_a_file_that_cannot_be_logged_is_not_saved(page: Any, log: Path) -> None:
    (path,) = log.glob("*.jsonl")
    path.unlink()
    path.mkdir()  # so that no entry can be written
    page.get_by_role("button", name="Record, JSON").click()
    page.get_by_text("Failed to generate file").first.wait_for(timeout=60_000)
