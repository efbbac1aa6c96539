"""Own weights in a real browser: from Start to heatmaps in four clicks, without typing."""

import io
import json
from typing import Any

import pytest
import torch
import torchvision

from tests.test_app import address, page, settled, titles
from tests.test_front_door import start

__all__ = ["address", "page"]
pytestmark = pytest.mark.xdist_group("second browser")
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
