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
- outlined cells: dashes of 65 % white between the cells of the map, in exports as thick as the picture is large.
- a difference of two maps (`fixed`): as such a map with peak 1, but it covers fully from 0.5 on.
- the view "heatmap": cover 1 from the threshold on, nothing below it; dark grey and hatched where NaN.

- a grey picture through a window: `(stored - level) / width + 0.5`, cut to 0..1, and 1 minus that where low values are
  white or where it is inverted. A counted window has half a value less in its level and one less in its width; where
  the file has a curve, it stands for its usual window, and a named window's curve for that one.

`gradcam_core.render` follows the same formula and owns the colour tables; a browser test compares the two.
"""

import functools
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import streamlit as st

from pages.components.component import Exchange, component, ignore

VIEWS = ("overlay", "heatmap", "original")
SCALES = ("own", "shared")
MOST_VALUE = 1e30
CLICKS = ("selected", "turn", "model_window", "picked", "frame")
SCRIPTS = (
    "grid.js",
    "colour.js",
    "view.js",
    "window.js",
    "ruler.js",
    "stack.js",
    "picture.js",
    "tiles.js",
    "stage.js",
    "marks.js",
    "toolbar.js",
    "pointer.js",
    "big.js",
    "viewer.js",
)


# A picture of one frame without values of its own, as the example on Start is.
PLAIN: Mapping[str, Any] = {
    **{"named": [], "unit": "", "counted": False, "curve": None, "spacing": None},
    **{"file": "", "frames": 1, "frame": 0, "stack": ""},
}


class Settings(TypedDict):
    """What the viewer's user chose: opacity and threshold in 0..1, names, and whether the map's cells are outlined."""

    opacity: float
    threshold: float
    colormap: str
    view: str
    scale: str
    cells: bool


class Window(TypedDict):
    """The window through which a grey picture is displayed, in stored values.

    `named` is the place of one that has a curve, among the windows that the picture's file and its field name.
    """

    level: float
    width: float
    invert: bool
    named: NotRequired[int]


DEFAULTS = Settings(opacity=0.6, threshold=0.0, colormap="inferno", view="overlay", scale="own", cells=False)

_mount = component("viewer", Path(__file__).parent, SCRIPTS)


def viewer(
    picture: Mapping[str, Any],
    panels: Iterable[Mapping[str, Any]],
    *,
    colours: Mapping[str, Any],
    settings: Settings,
    key: str,
    window: Window | None = None,
    columns: int | None = None,
    **layout: Any,
) -> dict[str, Any]:
    """Show a picture with its heatmaps; return the settings and the `window` that its user chose, and what was clicked.

    `picture`, `panels` and `colours` are what viewer/encoding.py makes. Pass as `settings` and `window` where they
    start and, from then on, those it returned last; others overrule its user. So they are kept over pages, too.
    `columns` fixes how many panels stand in a row. `layout` may set: `selectable`, a click on a title gives that
    panel's id once, as `selected`; `strip`, all panels in one row that scrolls sideways, where they do not all stand in
    the window; `chosen`, the place of the picture in the sidebar's list and how many there are, so that the viewer
    offers the others (`turn`, a place, once) and to give the model a window (`model_window`, once); `places`, a click
    on a picture gives that place. So does one on a panel's `marks` (`picked`, once: `mark`, and x and y in the
    picture's pixels). Where one rests on another frame of the picture, `frame` names it once.
    """
    exchange = Exchange.of(key, "settings", {**settings, "window": window}, picture.get("key", ""))
    data = {
        "picture": {**PLAIN, **picture},
        "panels": [dict(panel) for panel in panels],
        **colours,
        "settings": dict(exchange.given),
        "overruled": exchange.overruled,
        "columns": columns,
        "layout": layout,
    }
    data["sent"] = _since(data, key)
    events = {f"on_{name}_change": ignore for name in ("settings", *CLICKS)}
    result = _mount(key=key, data=data, **events)
    read = functools.partial(_checked, colormaps=colours["colormaps"], picture=picture.get("key", ""))
    chosen = exchange.result(result.get("settings"), read, picture.get("key", ""))
    return {**chosen, **{name: result.get(name) for name in CLICKS}}


def _since(data: Mapping[str, Any], key: str) -> float:
    """When these data were first sent, in milliseconds. A new time would send all of them again."""
    digest = hashlib.sha256(json.dumps(data).encode()).hexdigest()
    known, since = st.session_state.get(f"{key} first sent", ("", 0.0))
    if known != digest:
        since = 1000 * time.time()
        st.session_state[f"{key} first sent"] = (digest, since)
    return float(since)


def _checked(chosen: object, fallback: dict[str, Any], colormaps: Iterable[str], picture: str) -> dict[str, Any]:
    """Take what the browser sent only as far as it is a valid choice."""
    choice = chosen if isinstance(chosen, Mapping) else {}

    def number(name: str) -> float:
        value = choice.get(name)
        return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else float(fallback[name])

    def name(name: str, allowed: Iterable[str]) -> str:
        value = choice.get(name)
        return value if isinstance(value, str) and value in allowed else str(fallback[name])

    settings = Settings(
        opacity=number("opacity"),
        threshold=number("threshold"),
        colormap=name("colormap", colormaps),
        view=name("view", VIEWS),
        scale=name("scale", SCALES),
        cells=choice["cells"] if isinstance(choice.get("cells"), bool) else bool(fallback["cells"]),
    )
    # A window chosen for the picture that was there before is none for this one.
    window = checked_window(choice.get("window")) if choice.get("picture") == picture else fallback["window"]
    return {**settings, "window": window}


def checked_window(chosen: object) -> Window | None:
    """Take a window that the browser sent only if it is one."""
    window = chosen if isinstance(chosen, Mapping) else {}
    level, width = window.get("level"), window.get("width")
    if not all(isinstance(value, int | float) and abs(value) < MOST_VALUE for value in (level, width)) or width <= 0:
        return None
    checked = Window(level=float(level), width=float(width), invert=window.get("invert") is True)
    named = window.get("named")
    return {**checked, "named": named} if type(named) is int and named >= 0 else checked
