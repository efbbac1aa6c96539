"""Files dropped anywhere or pasted, and what is said before and after a tab loses its work."""

import base64
from collections.abc import Sequence
from typing import Any

import pytest

from gradcam_core import read_sample
from tests.browser import ROOT, free_port, running
from tests.test_app import address, page, settled, titles, upload

__all__ = ["address", "page"]

GIVE = """(element, [kind, given]) => {
  const files = new DataTransfer();
  for (const [name, data] of given)
    files.items.add(new File([Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0))], name));
  const how = { bubbles: true, cancelable: true, composed: true };
  const event = kind === "paste"
    ? new ClipboardEvent(kind, { ...how, clipboardData: files })
    : new DragEvent(kind, { ...how, dataTransfer: files });
  element.dispatchEvent(event);
  return event.defaultPrevented;
}"""


def give(page: Any, kind: str, files: Sequence[tuple[str, bytes]], place: str) -> bool:
    """Drag, drop or paste files on an element; whether the browser was kept from opening them."""
    given = [(name, base64.b64encode(content).decode()) for name, content in files]
    return bool(page.locator(place).first.evaluate(GIVE, [kind, given]))


def open_page(page: Any, address: str, marker: str = ".viewer .panel canvas") -> None:
    page.goto(address)
    page.locator(marker).first.wait_for(timeout=90_000)
    settled(page)


@pytest.mark.parametrize("place", [".viewer .panel canvas", "h1", '[data-testid="stSidebar"]'])
def test_a_picture_dropped_anywhere_on_start_is_explained(page: Any, address: str, place: str) -> None:
    open_page(page, address)
    assert give(page, "dragover", [("p.png", b"")], place)
    assert page.locator(".drop-here").is_visible()
    assert give(page, "drop", [("p.png", read_sample("coffee"))], place)
    page.wait_for_url("**/Explain", timeout=60_000)
    page.locator(".viewer .panel .title", has_text="espresso").wait_for(timeout=60_000)
    assert not page.locator(".drop-here").is_visible()


def test_a_pasted_picture_is_explained(page: Any, address: str) -> None:
    open_page(page, f"{address}/Explain")
    give(page, "paste", [("image.png", read_sample("coffee"))], "body")
    page.locator(".viewer .panel .title", has_text="cup").wait_for(timeout=60_000)
    assert "espresso" in titles(page)[1]


def test_files_dropped_on_folder_go_into_the_folder(page: Any, address: str) -> None:
    open_page(page, f"{address}/Folder", "text=Every nodule")
    give(page, "drop", [("a.png", read_sample("coffee"))], "h1")
    page.get_by_text("1 picture", exact=True).wait_for(timeout=60_000)


def test_what_is_lost_with_a_page_is_said_before_and_after(page: Any, address: str) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    open_page(page, f"{address}/Explain")
    page.reload()
    page.locator(".viewer .panel canvas").first.wait_for(timeout=90_000)
    settled(page)
    assert not asked, "nothing would be lost"
    assert not page.get_by_text("Lost:").is_visible()
    upload(page, "p.png", read_sample("coffee"))
    page.reload()
    page.get_by_text("Lost: 1 picture").wait_for(timeout=90_000)
    assert asked == ["beforeunload"]
    page.get_by_role("button", name="Close").click()
    assert not page.get_by_text("Lost: 1 picture").is_visible()


def test_a_stopped_server_is_said_in_the_apps_own_words(page: Any) -> None:
    port = free_port()
    page.on("dialog", lambda dialog: dialog.accept())
    with running(ROOT / "app.py", ROOT, port) as address:
        open_page(page, f"{address}/Explain")
        upload(page, "p.png", read_sample("coffee"))
    page.get_by_text("The server of this app has stopped").wait_for(timeout=60_000)
    assert page.get_by_text("connected to the internet").count() == 0
    with running(ROOT / "app.py", ROOT, port):
        page.get_by_text("Lost: 1 picture").wait_for(timeout=90_000)


def test_a_thumbnail_chooses_its_picture(page: Any, address: str) -> None:
    open_page(page, f"{address}/Explain")
    upload(page, "mine.png", read_sample("coffee"))
    mine = page.get_by_role("group", name="Pictures").get_by_role("button", name="mine.png")
    mine.locator("img").wait_for(timeout=30_000)
    page.get_by_role("button", name="Photographer (grey)").click()
    page.locator(".viewer .panel .title", has_text="tripod").first.wait_for(timeout=60_000)
    mine.click()
    page.locator(".viewer .panel .title", has_text="espresso").first.wait_for(timeout=60_000)
    settled(page)
    assert mine.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Remove this picture").click()
    mine.wait_for(state="detached", timeout=30_000)
