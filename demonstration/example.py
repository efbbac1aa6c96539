"""Compute the worked example that Start draws without loading a model: `python -m demonstration.example`."""

import json
from typing import Any

from gradcam_core import explain, load_model, read_image, read_sample
from pages.components.example import FILE, SAMPLE
from pages.components.panels.heatmaps import PICTURE_PANEL
from pages.components.viewer.encoding import colours_of, panel_of

EGYPTIAN_CAT, ESPRESSO = 285, 967


def example() -> dict[str, Any]:
    """The picture's size, its panels and the colour tables, as the viewer takes them."""
    image = read_image(read_sample(SAMPLE))
    model = load_model("bundled:efficientnet_lite0", preprocessing={"fit": "squash"}, device="cpu")
    explanation = explain(image, model, targets=[EGYPTIAN_CAT, ESPRESSO], methods="grad_cam")
    panels = [panel_of(heatmap, id=f"grad_cam/{heatmap.target.index}") for heatmap in explanation.heatmaps]
    size = {"width": image.width, "height": image.height}
    return {"picture": size, "panels": [PICTURE_PANEL, *panels], "colours": colours_of()}


if __name__ == "__main__":
    FILE.write_text(json.dumps(example(), indent=1) + "\n", "utf-8")
