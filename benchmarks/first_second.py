"""The first second: `python -m benchmarks.first_second` starts the app and times what its first visitor sees.

From the start of the server to the first paint, to the example, and to the first heatmap of an own picture; each as
a ratio to the bare time of `import torch, timm, streamlit`, measured in turns with it.
"""

import os
import statistics
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from typing import Any

from tests import browser

GOALS = {"first paint": 0.5, "example": 0.8, "own picture": 1.5}
TURNS = 3


def bare_import() -> float:
    """Seconds of the imports alone, in a process of their own."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, timm, streamlit"], check=True)
    return time.perf_counter() - start


def first_visit(chromium: Any, picture: bytes) -> dict[str, float]:
    """Seconds from the server's start to what its first visitor sees."""
    page = chromium.new_page(viewport={"width": 1366, "height": 768})
    page.goto("about:blank")
    port = browser.free_port()
    start = time.perf_counter()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": "."})
    try:
        _wait(port)
        page.goto(f"http://127.0.0.1:{port}", wait_until="commit")
        page.locator("h1").wait_for(timeout=120_000)
        seconds = {"first paint": time.perf_counter() - start}
        page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=120_000)
        seconds["example"] = time.perf_counter() - start
        file = {"name": "own.png", "mimeType": "image/png", "buffer": picture}
        page.locator('section[data-testid="stSidebar"] input[type=file]').set_input_files([file])
        page.wait_for_url("**/Explain", timeout=120_000)
        page.locator(".viewer .panel canvas").nth(1).wait_for(timeout=120_000)
        seconds["own picture"] = time.perf_counter() - start
    finally:
        server.terminate()
        server.wait(20)
        page.close()
    return seconds


def _wait(port: int) -> None:
    while True:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5):
            return
        time.sleep(0.02)


def main() -> None:
    """Measure in turns, and print medians and ratios."""
    from playwright.sync_api import sync_playwright

    from gradcam_core import read_sample

    picture = read_sample("coffee")
    imports, visits = [], []
    with sync_playwright() as playwright:
        program = browser.find_browser(playwright.chromium.executable_path)
        chromium = playwright.chromium.launch(executable_path=program, args=list(browser.QUIET))
        for _ in range(TURNS):
            imports.append(bare_import())
            visits.append(first_visit(chromium, picture))
        chromium.close()
    bare = statistics.median(imports)
    print(f"import torch, timm, streamlit: {bare:.2f} s")
    for name, goal in GOALS.items():
        seconds = statistics.median(visit[name] for visit in visits)
        ratio = statistics.median(visit[name] / own for visit, own in zip(visits, imports, strict=True))
        print(f"{name}: {seconds:.2f} s, {ratio:.2f} x (goal {goal} x)")


if __name__ == "__main__":
    main()
