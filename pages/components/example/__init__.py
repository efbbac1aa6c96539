"""The worked example of Start: drawn from a result that ships with the app. Loads no torch.

`make example` computes the result again (demonstration/example.py); a test compares it with the model's own.
"""

import base64
import functools
import json
from pathlib import Path
from typing import Any

import streamlit as st

from gradcam_core import read_sample
from pages.components.viewer import DEFAULTS, viewer

SAMPLE = "cat_and_coffee"
FILE = Path(__file__).with_name("example.json")


@functools.cache
def _shipped() -> dict[str, Any]:
    shipped: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    picture = base64.b64encode(read_sample(SAMPLE)).decode("ascii")
    shipped["picture"]["src"] = f"data:image/png;base64,{picture}"
    return shipped


def show_example() -> None:
    """Show the picture and its heatmaps in the viewer, with the display that is kept over pages."""
    shipped = _shipped()
    result = viewer(
        shipped["picture"],
        shipped["panels"],
        colours=shipped["colours"],
        settings=st.session_state.get("display", DEFAULTS),
        key="viewer start",
        columns=3,
    )
    st.session_state.display = {name: result[name] for name in DEFAULTS}
