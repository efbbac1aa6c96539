"""A real server and a real browser, as fixtures: `serve` and `chromium`.

Without a browser these tests are skipped, and say so; with LIGHTBOX_BROWSER_TESTS=required they fail.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_WITHIN_S = 60

Serve = Callable[..., str]


def free_port() -> int:
    """Let the system choose a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """Run a Streamlit script with the settings of a folder's .streamlit, and give its address once it answers.

    A script that runs already with the same options is not started again: its visitors have sessions of their own.
    """
    with ExitStack() as servers:
        addresses: dict[tuple[Any, ...], str] = {}

        def start(script: Path, folder: Path, *options: str) -> str:
            wanted = (script, folder, *options)
            if wanted not in addresses:
                addresses[wanted] = servers.enter_context(running(script, folder, free_port(), *options))
            return addresses[wanted]

        yield start


@contextmanager
def running(script: Path, folder: Path, port: int, *options: str) -> Iterator[str]:
    """Run a Streamlit script on a port until the block ends; give its address once it answers."""
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [*command, f"--server.port={port}", *options], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        _wait_until_healthy(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session")
def chromium() -> Iterator["Browser"]:
    """Give a headless browser with a profile of its own."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _go_without("playwright is not installed")
    with sync_playwright() as playwright:
        program = find_browser(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield browser
        browser.close()


def find_browser(playwrights_own: str) -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and Path(playwrights_own).exists():
        found = playwrights_own
    if found is None:
        _go_without(f"none of {', '.join(NAMES)} is installed")
    return found


def _go_without(reason: str) -> NoReturn:
    if os.environ.get("LIGHTBOX_BROWSER_TESTS") == "required":
        pytest.fail(f"Browser tests are required, but {reason}.")
    pytest.skip(f"No browser tests: {reason}.")


def _wait_until_healthy(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"The server ended with exit code {server.returncode}.")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"The server did not answer within {START_WITHIN_S} s.")
