"""The heatmap viewer: one picture and its heatmaps, painted in the browser. Loads no torch.

How it paints, so that exported pictures can follow it:

- value: the map `max(raw, 0) / raw_peak` brought to the picture bilinearly, as `Placement.restore` does;
  on the shared scale it is multiplied by `raw_peak / highest raw_peak`, of all maps of its method and layer.
- colour: entry `round(value * 255)` of the colour table.
- cover: `opacity * ramp(value)`, where `ramp = x * x * (3 - 2 * x)` with `x = min(value / 0.5, 1)`, and 0 below the
  threshold. So cold areas leave the picture as it is, and everything from half the peak on has the full opacity.
- pixel: `picture * (1 - cover) + colour * cover`, on 8-bit sRGB values.
- where the model did not look (NaN): the picture at 40 % of its brightness, hatched.
- a map with both signs: value `raw / largest size`, -1..1; colour entry `round((value + 1) / 2 * 255)` of the
  diverging table; cover and threshold by the value's size, which covers fully from 0.2 on: fine lines have few peaks.
- the view "heatmap": cover 1 from the threshold on, nothing below it; dark grey and hatched where NaN.

`gradcam_core.render` follows the same formula and owns the colour tables; a browser test compares the two.
"""

import functools
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import streamlit as st

from pages.components.component import Exchange, component, ignore

VIEWS = ("overlay", "heatmap", "original")
SCALES = ("own", "shared")
SCRIPTS = ("grid.js", "colour.js", "view.js", "stage.js", "toolbar.js", "pointer.js", "viewer.js")


class Settings(TypedDict):
    """What the viewer's user chose: opacity and threshold in 0..1, and names."""

    opacity: float
    threshold: float
    colormap: str
    view: str
    scale: str


DEFAULTS = Settings(opacity=0.6, threshold=0.0, colormap="inferno", view="overlay", scale="own")

_mount = component("viewer", Path(__file__).parent, SCRIPTS)


def viewer(
    picture: Mapping[str, Any],
    panels: Iterable[Mapping[str, Any]],
    *,
    colours: Mapping[str, Any],
    settings: Settings,
    key: str,
    columns: int | None = None,
    selectable: bool = False,
    strip: bool = False,
) -> dict[str, Any]:
    """Show a picture with its heatmaps; return the settings that its user chose, and `selected`.

    `picture`, `panels` and `colours` are what viewer/encoding.py makes. Pass as `settings` where it starts and,
    from then on, those it returned last; others overrule its user. So they are kept over pages, too. `columns`
    fixes how many panels stand in a row. With `selectable`, a click on a title gives that panel's id once, as
    `selected`. A `strip` has all panels in one row that scrolls sideways.
    """
    exchange = Exchange.of(key, "settings", settings)
    data = {
        "picture": dict(picture),
        "panels": [dict(panel) for panel in panels],
        **colours,
        "settings": dict(exchange.given),
        "overruled": exchange.overruled,
        "columns": columns,
        "selectable": selectable,
        "strip": strip,
    }
    data["sent"] = _since(data, key)
    result = _mount(key=key, data=data, on_settings_change=ignore, on_selected_change=ignore)
    read = functools.partial(_checked, colormaps=colours["colormaps"])
    return {**exchange.result(result.get("settings"), read), "selected": result.get("selected")}


def _since(data: Mapping[str, Any], key: str) -> float:
    """When these data were first sent, in milliseconds. A new time would send all of them again."""
    digest = hashlib.sha256(json.dumps(data).encode()).hexdigest()
    known, since = st.session_state.get(f"{key} first sent", ("", 0.0))
    if known != digest:
        since = 1000 * time.time()
        st.session_state[f"{key} first sent"] = (digest, since)
    return float(since)


def _checked(chosen: object, fallback: Settings, colormaps: Iterable[str]) -> Settings:
    """Take what the browser sent only as far as it is a valid choice."""
    choice = chosen if isinstance(chosen, Mapping) else {}

    def number(name: str, otherwise: float) -> float:
        value = choice.get(name)
        return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else otherwise

    def name(name: str, allowed: Iterable[str], otherwise: str) -> str:
        value = choice.get(name)
        return value if isinstance(value, str) and value in allowed else otherwise

    return Settings(
        opacity=number("opacity", fallback["opacity"]),
        threshold=number("threshold", fallback["threshold"]),
        colormap=name("colormap", colormaps, fallback["colormap"]),
        view=name("view", VIEWS, fallback["view"]),
        scale=name("scale", SCALES, fallback["scale"]),
    )
