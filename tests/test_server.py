"""What stands around the pages: headers, limits, what is forgotten; and what the frame does before torch is loaded."""

import asyncio
import io
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg

from demonstration.example import example
from gradcam_core import read_sample
from pages.components.analysis import files
from pages.components.analysis.shelf import Shelf
from pages.components.example import _shipped
from pages.components.frame.navigation import pages
from pages.components.server import MOST_UPLOADED, Guard
from pages.components.words import plain
from tests.browser import ROOT, Serve
from tests.test_app import address, page, settled, unfold, upload

__all__ = ["address", "page"]


# Headers and refusals


def answer(url: str, **headers: str) -> tuple[int, Any, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as response:
            return response.status, response.headers, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode("utf-8", "replace")


def test_every_answer_has_security_headers(address: str) -> None:
    for path in ("", "Explain", "_stcore/health", "media/nothing", "_stcore/metrics"):
        _, headers, _ = answer(f"{address}/{path}")
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
    assert answer(f"{address}/media/nothing")[1]["Cache-Control"] == "no-store"


def test_foreign_hosts_and_metrics_are_refused_in_words(address: str) -> None:
    status, _, words = answer(address, Host="hospital.example")
    assert status == 400
    assert "allowedHosts" in words
    assert answer(f"{address}/_stcore/metrics")[0] == 404


def test_hosts_are_allowed_as_for_streamlits_own_connection(serve: Serve) -> None:
    hosts = ("127.0.0.1", "*.hospital.example", "::1")
    address = serve(ROOT / "app.py", ROOT, *(f"--server.allowedHosts={host}" for host in hosts))
    port = address.rpartition(":")[2]
    for host in ("reading.hospital.example", f"Reading.Hospital.example:{port}", f"[::1]:{port}"):
        assert answer(address, Host=host)[0] == 200, host
    for host in ("hospital.example", "reading.hospital.example.evil.example", "localhost"):
        assert answer(address, Host=host)[0] == 400, host


def test_a_session_uploads_no_more_than_its_share(page: Any, address: str) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    with page.expect_request(lambda request: request.method == "PUT") as sent:
        upload(page, "anna.png", read_sample("coffee"))
    url = urlsplit(sent.value.url)
    fresh = url.path.replace(url.path.split("/")[-2], "another-session")
    nearly_all = {"Content-Length": str(MOST_UPLOADED - 1000)}
    assert refused(url.netloc, url.path, nearly_all)
    assert not refused(url.netloc, fresh, nearly_all), "the first picture is what goes over the limit"
    assert refused(url.netloc, fresh, {"Content-Length": str(MOST_UPLOADED + 1)})
    assert refused(url.netloc, fresh, {"Transfer-Encoding": "chunked"}), "an upload of unknown length"


def refused(host: str, path: str, headers: dict[str, str]) -> bool:
    """Announce an upload without sending it: whether it is refused at once, in words."""
    connection = HTTPConnection(host, timeout=2)
    connection.putrequest("PUT", path)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    try:
        with connection.getresponse() as response:
            return response.status == 413 and b"Remove some files first" in response.read()
    except TimeoutError:  # the server waits for the upload
        return False
    finally:
        connection.close()


def test_no_table_offers_its_rows_for_download(page: Any, address: str) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    page.get_by_text("Numbers", exact=True).click()
    table = page.locator(".st-key-numbers").get_by_test_id("stDataFrame")
    table.wait_for(timeout=30_000)
    table.scroll_into_view_if_needed()
    table.hover()
    toolbar = table.get_by_test_id("stElementToolbar")
    toolbar.wait_for(state="attached", timeout=30_000)  # else Streamlit calls it by another name
    page.wait_for_timeout(500)
    assert not toolbar.is_visible()
    assert page.get_by_role("button", name="Download as CSV").count() == 0, "hidden from screen readers too"


async def messages_behind_the_guard(sent: list[bytes]) -> list[bytes]:
    waiting, seen = [{"type": "websocket.receive", "bytes": content} for content in sent], []

    async def receive() -> Any:
        return waiting.pop(0) if waiting else {"type": "websocket.disconnect"}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] != "websocket.disconnect":
            seen.append(message["bytes"])

    async def send(message: Any) -> None:
        raise AssertionError(message)

    await Guard(app)({"type": "websocket"}, receive, send)
    return seen


def test_no_browser_can_clear_the_caches_of_all_sessions() -> None:
    clear = BackMsg(clear_cache=True).SerializeToString()
    rerun = BackMsg(app_heartbeat=True).SerializeToString()
    sent = [rerun, clear, b"\xff rubbish", clear, rerun]
    with ThreadPoolExecutor(1) as thread:  # the browser's driver has a loop of its own in this one
        seen = thread.submit(asyncio.run, messages_behind_the_guard(sent)).result()
    assert seen == [rerun, b"\xff rubbish", rerun]


def test_what_a_closed_tab_leaves_is_no_longer_served(chromium: Any, serve: Serve) -> None:
    address = serve(ROOT / "app.py", ROOT, "--server.disconnectedSessionTTL=1")
    context = chromium.new_context(accept_downloads=True)
    page = context.new_page()
    media = []
    page.on("request", lambda request: media.append(request.url) if "/media/" in request.url else None)
    tiles = []
    page.on("request", lambda request: tiles.append(request.url) if "/pixels/" in request.url else None)
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    written = io.BytesIO()
    Image.fromarray(np.arange(10_000, dtype=np.uint16).reshape(100, 100)).save(written, "PNG")
    upload(page, "deep.png", written.getvalue())
    page.locator('.viewer[data-depth="16"]').wait_for(timeout=30_000)
    assert answer(tiles[-1])[0] == 200
    with page.expect_download(timeout=30_000):
        page.get_by_role("button", name="All as ZIP").click()
    assert media
    assert answer(media[-1])[0] == 200
    context.close()
    deadline = time.monotonic() + 90
    while answer(media[-1])[0] == 200 and time.monotonic() < deadline:
        time.sleep(2)
    assert answer(media[-1])[0] == 404
    assert answer(tiles[-1])[0] == 404


# What is kept


def test_a_shelf_is_bounded_in_number_bytes_and_time() -> None:
    made, released = [], []
    shelf = Shelf(3, most_bytes=100, idle_s=0.2, size=len, release=lambda: released.append(1))
    for key in "abcd":
        shelf.get(key, lambda key=key: made.append(key) or key * 10)
    assert "a" not in shelf
    assert shelf.get("b", lambda: "computed again") == "b" * 10
    shelf.get("large", lambda: "x" * 85)
    assert "b" in shelf, "what was used last stays"
    assert "c" not in shelf
    shelf.get("too large", lambda: "x" * 101)
    assert "too large" not in shelf
    shelf.drop("lar")
    assert "large" not in shelf
    time.sleep(0.3)
    shelf.sweep()
    assert "b" not in shelf
    assert made == list("abcd")
    assert released


def test_an_error_is_not_kept_on_a_shelf() -> None:
    shelf: Shelf[int] = Shelf(2)
    with pytest.raises(ZeroDivisionError):
        shelf.get("a", lambda: 1 // 0)
    assert shelf.get("a", lambda: 7) == 7


def test_folders_of_killed_servers_are_removed_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    names = {
        f"lightbox-{gone.pid}-abc": False,  # of a server that is gone
        f"lightbox-{os.getpid()}-abc": True,  # of one that runs
        "lightbox-notes": True,
        f"other-{gone.pid}-abc": True,
    }
    for name in names:
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / "weights.pth").write_bytes(b"x")
    shared = tmp_path / f"lightbox-{gone.pid}-shared"
    shared.mkdir()
    shared.chmod(0o777)
    (tmp_path / f"lightbox-{gone.pid}-link").symlink_to(tmp_path / "lightbox-notes")
    files.remove_leftovers()
    assert {name: (tmp_path / name).exists() for name in names} == names
    assert shared.exists(), "other users can write to it"
    assert (tmp_path / "lightbox-notes" / "weights.pth").exists()


@pytest.mark.parametrize("name", ["www.evil.example", "see http://evil.example/a", "HTTPS://x.de", "a@b.example"])
def test_names_never_become_links(name: str, page: Any, serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "words.py").write_text(f"import streamlit as st\nst.markdown({plain(name)!r})\nst.text('end')", "utf-8")
    page.goto(serve(tmp_path / "words.py", ROOT))
    page.get_by_text("end").wait_for(timeout=30_000)
    assert page.locator('[data-testid="stMarkdown"] a').count() == 0
    assert page.locator('[data-testid="stMarkdown"]').first.inner_text().replace("\u2060", "") == name


# Before torch is loaded


def test_the_frame_of_every_page_stands_before_torch_is_loaded() -> None:
    script = """
import sys
from streamlit.testing.v1 import AppTest
from pages.components.frame.navigation import pages
tried = []
class NoTorch:
    def find_spec(self, name, *rest):
        if name.split(".")[0] in ("torch", "timm", "torchvision"):
            tried.append(name)
            raise RuntimeError("too early: " + name)
sys.meta_path.insert(0, NoTorch())
for page in pages():
    run = AppTest.from_file(page.path, default_timeout=60).run()
    assert run.title, page.path
    assert run.sidebar.get("page_link") or run.sidebar.caption, page.path
    if page.path == "app.py":
        assert not run.exception and not tried, (run.exception, tried)
    else:
        assert tried.pop() == "torch", "it goes on to load torch, and to nothing else that fails"
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_the_shipped_example_is_what_the_model_gives() -> None:
    shipped, computed = _shipped(), example()
    assert shipped["colours"] == computed["colours"]
    assert shipped["picture"]["width"] == computed["picture"]["width"]
    assert len(shipped["panels"]) == len(computed["panels"]) == 3
    for kept, new in zip(shipped["panels"][1:], computed["panels"][1:], strict=True):
        assert kept.keys() == new.keys(), "run `make example`"
        assert kept["title"] == new["title"]
        assert kept["offset"] == pytest.approx(new["offset"], abs=0.1)
        assert kept["probability"] == pytest.approx(new["probability"], abs=2e-3)
        assert kept["peak"] == pytest.approx(new["peak"], rel=1e-2)
        assert kept["box"] == new["box"]
        np.testing.assert_allclose(_grid(kept), _grid(new), atol=5e-3)


def _grid(panel: dict[str, Any]) -> np.ndarray:
    import base64

    return np.frombuffer(base64.b64decode(panel["grid"]["data"]), "<f4")


def test_the_pages_are_read_off_their_files() -> None:
    assert pages()[0].path == "app.py"
    assert len(pages()) == 1 + len(list((ROOT / "pages").glob("[0-9]*.py")))
    assert pages()[1].title == "Explain"
    assert pages()[1].icon == ":material/center_focus_strong:"


# A large picture, and one that cannot be read


def large_png(path: Path) -> Path:
    pixels = np.tile(np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8), (12, 16, 1))
    Image.fromarray(pixels).save(path, compress_level=1)
    return path


def test_a_large_picture_is_announced_and_the_former_maps_are_gone(page: Any, address: str, tmp_path: Path) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    file = large_png(tmp_path / "chest.png")
    box = page.locator('section[data-testid="stSidebar"] input[type=file]')
    box.set_input_files(str(file))
    page.get_by_text(re.compile(r"Reading chest\.png \(\d+ MB\) …")).wait_for(timeout=30_000)
    assert not page.locator(".viewer .panel").first.is_visible(), "a map of the former picture stands there"
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    assert page.get_by_text("Reading chest.png").count() == 0


def test_a_refused_picture_is_said_once_and_leaves_the_former_one_chosen(page: Any, address: str) -> None:
    page.goto(f"{address}/Explain")
    page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=90_000)
    settled(page)
    upload(page, "anna.png", b"no picture at all")
    page.get_by_test_id("stAlert").wait_for(timeout=30_000)
    page.locator(".viewer .panel .title", has_text="espresso").first.wait_for(timeout=30_000)
    assert "The picture that was chosen before is shown again." in page.get_by_test_id("stAlert").inner_text()
    assert "anna" not in page.get_by_test_id("stAlert").inner_text()
    page.get_by_test_id("stSidebar").filter(has_text="anna").wait_for(state="hidden", timeout=30_000)
    unfold(page)
    page.locator(".st-key-top button").first.click()
    settled(page)
    assert page.get_by_test_id("stAlert").count() == 0
