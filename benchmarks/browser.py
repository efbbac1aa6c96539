"""In the app: from the opacity slider to changed pixels, and from an upload to its heatmaps."""

import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

from benchmarks import subjects
from benchmarks.measure import Row, at_most
from tests import browser as drive

# The viewer lies in a shadow tree.
FIND = """
  const within = (root, name) => [...root.querySelectorAll(name),
    ...[...root.querySelectorAll('*')].flatMap((one) => (one.shadowRoot ? within(one.shadowRoot, name) : []))];
"""
SLIDER = f"""async () => {{ {FIND}
  const [slider] = within(document, 'input[name=opacity]');
  const canvas = within(document, '.panel canvas').at(-1);
  const times = [];
  for (let turn = 0; turn < 12; turn++) {{
    const before = canvas.toDataURL();
    const start = performance.now();
    slider.value = turn % 2 ? 0.2 : 0.9;
    slider.dispatchEvent(new Event('input', {{ bubbles: true }}));
    while (true) {{
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      if (canvas.toDataURL() !== before) {{ times.push(now - start); break; }}
    }}
  }}
  return times;
}}"""
MARK = f"() => {{ {FIND} window.old = within(document, '.panel canvas')[0]; window.started = performance.now(); }}"
NEW_PICTURE = f"""async () => {{ {FIND}
  while (performance.now() - window.started < 30000) {{
    const [canvas] = within(document, '.panel canvas');
    if (canvas && canvas !== window.old && canvas.width > 50 && canvas.toDataURL().length > 20000) break;
    await new Promise(requestAnimationFrame);
  }}
  return performance.now() - window.started;
}}"""


@contextmanager
def serving() -> Iterator[str]:
    """The app on a free port of this machine."""
    port = drive.free_port()
    # The app decides by itself how many threads it takes.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    environment["PYTHONPATH"] = "."
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def measure() -> Iterator[Row]:
    """Start the app, upload two 1024-pixel photographs (the first warms up) and drag the opacity."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, drive.NAMES)), None)
    if program is None:
        yield Row("In the browser", "not measured: no Chromium is installed")
        return
    photographs = []
    for turn in range(4):
        pixels = cv2.resize(subjects.photograph().pixels, (1024, 1024)) * (1 - 0.08 * turn)
        photographs.append(cv2.imencode(".jpg", (pixels[..., ::-1] * 255).astype(np.uint8))[1].tobytes())
    with serving() as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(drive.QUIET))
        page = chromium.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{address}/Explain")
        page.locator(".viewer .cell", has_text="map cell").wait_for(timeout=120_000)
        seconds = []
        for turn, content in enumerate(photographs):
            page.locator("[data-test-script-state=notRunning]").wait_for(timeout=60_000)
            page.wait_for_timeout(500)
            page.evaluate(MARK)
            page.locator('section[data-testid="stSidebar"] input[type=file]').set_input_files(
                {"name": f"{turn}.jpg", "mimeType": "image/jpeg", "buffer": content}
            )
            seconds.append(page.evaluate(NEW_PICTURE) / 1000)
        yield at_most("Warm upload of 1024 px until its heatmaps stand", statistics.median(seconds[1:]), 1, "s")
        yield at_most("Opacity slider to changed pixels, 1024 px", statistics.median(page.evaluate(SLIDER)), 50, "ms")
        chromium.close()
