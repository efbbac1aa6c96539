"""The heatmap viewer: one picture and its heatmaps, painted in the browser.

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

import base64
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np
import streamlit as st

from gradcam_core import Heatmap, ImageRecord, colour_table

LONGEST_SIDE = 1600
LARGEST_PNG = 1_000_000
JPEG_QUALITY = 92
VIEWS = ("overlay", "heatmap", "original")
SCALES = ("own", "shared")


class Settings(TypedDict):
    """What the viewer's user chose: opacity and threshold in 0..1, and names."""

    opacity: float
    threshold: float
    colormap: str
    view: str
    scale: str


DEFAULTS = Settings(opacity=0.6, threshold=0.0, colormap="inferno", view="overlay", scale="own")

_HERE = Path(__file__).parent
_SCRIPTS = ("grid.js", "colour.js", "view.js", "stage.js", "toolbar.js", "pointer.js", "viewer.js")
_mount = st.components.v2.component(
    "cam_lightbox_viewer",
    html=(_HERE / "viewer.html").read_text("utf-8"),
    css=(_HERE / "viewer.css").read_text("utf-8"),
    js="\n".join((_HERE / script).read_text("utf-8") for script in _SCRIPTS),
)


def viewer(
    picture: Mapping[str, Any],
    panels: Iterable[Mapping[str, Any]],
    *,
    colormaps: Mapping[str, Mapping[str, str]],
    settings: Settings,
    key: str,
    columns: int | None = None,
    selectable: bool = False,
    strip: bool = False,
) -> dict[str, Any]:
    """Show a picture with its heatmaps; return the settings that its user chose, and `selected`.

    Pass as `settings` where it starts and, from then on, those it returned last; others overrule its user. So
    they are kept over pages, too. `columns` fixes how many panels stand in a row. With `selectable`, a click
    on a title gives that panel's id once, as `selected`. A `strip` has all panels in one row to be moved through.
    """
    sent, overruled = _settings_to_send(settings, key)
    data = {
        "picture": dict(picture),
        "panels": [dict(panel) for panel in panels],
        "colormaps": {name: dict(entry) for name, entry in colormaps.items()},
        "settings": dict(sent),
        "overruled": overruled,
        "columns": columns,
        "selectable": selectable,
        "strip": strip,
        "diverging": _base64(colour_table("diverging").tobytes()),
    }
    data["sent"] = _since(data, key)
    result = _mount(key=key, data=data, on_settings_change=_noted, on_selected_change=_noted)
    chosen = result.get("settings")
    returned = sent if chosen == overruled else _checked(chosen, sent, colormaps)
    st.session_state[f"{key} returned"] = returned
    return {**returned, "selected": result.get("selected")}


def picture_of(image: ImageRecord) -> dict[str, Any]:
    """Encode a picture for the screen: 8 bits, at most 1600 pixels a side; its size stays the original's."""
    src = _encoded(image.sha256, image.frame, image.window, image.pixels)
    return {"src": src, "width": image.width, "height": image.height}


def panel_of(heatmap: Heatmap, *, id: str, title: str = "", subtitle: str = "", note: str = "") -> dict[str, Any]:
    """Turn a heatmap into a panel: its grid in full precision, and where the grid lies on the picture.

    `title` stands for the class's name where the page says that elsewhere.
    """
    peak = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
    shown = heatmap.raw if heatmap.signed else np.maximum(heatmap.raw, 0)
    shown = shown / peak if heatmap.state == "ok" else np.zeros_like(heatmap.raw)
    probability = heatmap.target.probability
    return {
        "id": id,
        "title": title or heatmap.target.label,
        "about": heatmap.target.label,
        "signed": heatmap.signed,
        "probability": probability if math.isfinite(probability) and not title else None,
        "subtitle": subtitle,
        "grid": grid_of(shown),
        "box": list(heatmap.placement.box),
        "peak": peak if math.isfinite(peak) else None,
        "unit": f"{heatmap.method} {heatmap.layer}",
        "state": heatmap.state,
        "note": note,
    }


def grid_of(values: np.ndarray) -> dict[str, Any]:
    """Pack a map [h w] as little-endian float32 in base64."""
    height, width = values.shape
    return {"h": height, "w": width, "data": _base64(values.astype("<f4").tobytes())}


def colormaps_of(colour_table: Callable[[str], np.ndarray], labels: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Pack colour tables (uint8 [256 3] RGB), in the order in which the viewer offers them."""
    return {name: {"label": label, "table": _base64(colour_table(name).tobytes())} for name, label in labels.items()}


@st.cache_data(max_entries=8, scope="session", show_spinner=False)
def _encoded(sha256: str, frame: int, window: tuple[float, float] | None, _pixels: np.ndarray) -> str:
    """Encode as PNG up to a megapixel, else as JPEG.

    The hash stands for the pixels in the cache's key; the cache ends with the session, as the picture does.
    """
    height, width = _pixels.shape[:2]
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        _pixels = cv2.resize(_pixels, size, interpolation=cv2.INTER_AREA)
    shown = np.rint(np.clip(_pixels, 0, 1) * 255).astype(np.uint8)[:, :, ::-1]
    if shown.shape[0] * shown.shape[1] <= LARGEST_PNG:
        kind, options = "png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(f".{kind}", np.ascontiguousarray(shown), options)
    return f"data:image/{kind};base64,{_base64(encoded.tobytes())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _since(data: Mapping[str, Any], key: str) -> float:
    """When these data were first sent, in milliseconds. A new time would send all of them over the wire anew."""
    digest = hashlib.sha256(json.dumps(data).encode()).hexdigest()
    known, since = st.session_state.get(f"{key} first sent", ("", 0.0))
    if known != digest:
        since = 1000 * time.time()
        st.session_state[f"{key} first sent"] = (digest, since)
    return since


def _settings_to_send(settings: Settings, key: str) -> tuple[Settings, Any]:
    """Hold on to the settings sent last, until the page wants others; and what choice those overrule.

    What the viewer returned comes back as `settings` on the next run; sending that would send the whole
    picture anew. Where the viewer holds no choice it is new on the page, and starts from `settings`.
    """
    chosen = (st.session_state.get(key) or {}).get("settings")
    sent = st.session_state.get(f"{key} sent")
    if chosen is None or sent is None or settings != st.session_state.get(f"{key} returned"):
        st.session_state[f"{key} sent"] = sent = (settings, chosen)
    return sent


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


def _noted() -> None:
    """Do nothing: Streamlit returns only those values for which it has a callback."""
