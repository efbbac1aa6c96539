"""Own weights in a real browser: from Start to heatmaps in four clicks, without typing; other tools' files; paths."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision

from tests import test_checkpoints as broken
from tests.browser import ROOT, free_port, running
from tests.provenance import data_parallel, lightning, mmpretrain, timm_folder
from tests.test_app import address, page, settled, titles
from tests.test_front_door import start

__all__ = ["address", "page"]
FLOWERS = ("daisy", "dandelion", "iris", "rose", "sunflower", "tulip", "water lily")
COUNT = """
for (const kind of ["click", "keydown"])
  addEventListener(kind, (event) => { if (event.isTrusted) window[kind] = (window[kind] ?? 0) + 1; }, true);
"""


def checkpoint() -> bytes:
    """MobileNetV2 with seven classes, as DataParallel saves it."""
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(num_classes=len(FLOWERS))
    written = io.BytesIO()
    torch.save(torch.nn.DataParallel(network).state_dict(), written)
    return written.getvalue()


@pytest.mark.slow
def test_weights_and_names_lead_to_heatmaps_in_four_clicks_and_no_typing(page: Any, address: str) -> None:
    page.add_init_script(COUNT)
    start(page, address)
    page.locator(".st-key-navigation").get_by_role("link", name="Models", exact=True).click()
    box = page.locator(".st-key-takes-drops input[type=file]")
    box.wait_for(state="attached", timeout=60_000)
    settled(page)
    names = json.dumps({index: name for index, name in enumerate(FLOWERS)}).encode()
    box.set_input_files(
        [
            {"name": "flowers.pth.tar", "mimeType": "application/octet-stream", "buffer": checkpoint()},
            {"name": "class_indices.json", "mimeType": "application/json", "buffer": names},
        ]
    )
    dropped = 1
    page.get_by_role("button", name="Use it everywhere").click(timeout=60_000)
    # The bundled models' buttons of the same name are quieter.
    leads_on = page.get_by_test_id("stBaseButton-primary").filter(has_text="Explain with it")
    leads_on.click(timeout=60_000)
    page.wait_for_url("**/Explain", timeout=30_000)
    page.locator(".viewer .panel canvas").nth(2).wait_for(timeout=90_000)
    settled(page)
    assert set(titles(page)) & set(FLOWERS)
    assert page.evaluate("window.click") + dropped <= 4
    assert page.evaluate("window.keydown ?? 0") == 0
    assert "flowers" not in page.url
    assert page.get_by_test_id("stException").count() == 0


GOOD = (data_parallel, lightning, mmpretrain)
WRONG = (
    (broken.web_page, "web page (HTML)"),
    (broken.command, "asks to run code on this computer"),
    (broken.optimizer_only, "only the state of an optimizer"),
)


@pytest.fixture
def own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with a catalogue of its own, whose owner opens one folder."""
    (tmp_path / "models").mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LIGHTBOX_MODEL_FOLDERS", str(tmp_path / "models"))
    with running(ROOT / "app.py", ROOT, free_port()) as address:
        yield address


def drop_one(page: Any, path: Path) -> None:
    settled(page)
    box = page.locator(".st-key-takes-drops input[type=file]")
    box.set_input_files([{"name": path.name, "mimeType": "application/octet-stream", "buffer": path.read_bytes()}])


def open_path(page: Any, text: str) -> None:
    box = page.get_by_role("combobox", name="Path on this server")
    box.click()
    box.fill(text)
    page.wait_for_timeout(500)
    box.press("Enter")
    page.wait_for_timeout(500)
    page.get_by_test_id("stForm").get_by_role("button", name="Load", exact=True).click()


def test_files_and_paths_in_one_page(page: Any, own_server: str, tmp_path: Path) -> None:
    page.goto(f"{own_server}/Models")
    page.locator(".st-key-takes-drops input[type=file]").wait_for(state="attached", timeout=90_000)
    settled(page)
    alert = page.get_by_test_id("stAlert")
    for number, (write, words) in enumerate(WRONG):
        write(tmp_path / f"{number}.pth", tmp_path / "canary")
        drop_one(page, tmp_path / f"{number}.pth")
        alert.filter(has_text=words).wait_for(timeout=60_000)
    use = page.get_by_role("button", name="Use it everywhere")
    assert use.count() == 0
    assert not (tmp_path / "canary").exists()
    for write in GOOD:
        path, _ = write(tmp_path)
        drop_one(page, path)
        page.locator(".st-key-offer").locator("strong", has_text=path.name).wait_for(timeout=60_000)
        use.click(timeout=60_000)
        page.locator("[class*=st-key-model-row-0]").locator("strong", has_text=path.name).wait_for(timeout=60_000)
        assert alert.count() == 0, write.__name__
    folder, _ = timm_folder(tmp_path / "models")
    open_path(page, "/etc/passwd")
    alert.filter(has_text="not inside the folders that this server opens").wait_for(timeout=60_000)
    open_path(page, "timm:no_such_network")
    alert.filter(has_text="timm has no model").wait_for(timeout=60_000)  # while it was loaded: seen, not hidden
    open_path(page, str(folder))
    use.click(timeout=60_000)
    page.get_by_text(f"Remembered · {folder}").wait_for(timeout=60_000)
    assert page.get_by_test_id("stException").count() == 0
    assert "models" not in page.url.removeprefix(own_server), "no path in the address"
    assert '"title": "timm"' in (tmp_path / "config" / "cam-lightbox" / "models.json").read_text("utf-8")
