"""What the viewer shows, as data for the browser: pictures, panels, colour tables."""

import base64
import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import streamlit as st

from gradcam_core import COLOUR_MAPS, Heatmap, ImageRecord, amount_of, colour_table, outlines_of, place_words
from pages.components.pixels import offer

LONGEST_SIDE = 1600
LARGEST_PNG = 1_000_000
JPEG_QUALITY = 92
MOST_ENCODED = 8


def picture_of(image: ImageRecord) -> dict[str, Any]:
    """Describe a picture for the viewer: an 8-bit preview of at most 1600 pixels a side, and where its own pixels are.

    `range` holds the stored values shown as black and white; only a grey picture can be shown through another
    window. The session keeps what it encoded last, and drops it with the picture (see session.forget_upload).
    """
    encoded: dict[str, dict[str, dict[str, Any]]] = st.session_state.setdefault("encoded", {})
    variants = encoded.pop(image.sha256.split(" ")[0], {})
    encoded[image.sha256.split(" ")[0]] = variants
    variant = f"{image.identity}"
    if variant not in variants:
        variants[variant] = _preview(image)
    for old in list(variants)[:-MOST_ENCODED]:
        del variants[old]
    for former in list(encoded)[:-MOST_ENCODED]:
        del encoded[former]
    preview = variants[variant]
    return preview | {
        "key": hashlib.sha256(f"{image.sha256} {image.frame} {image.blanked or ''}".encode()).hexdigest()[:12],
        "width": image.width,
        "height": image.height,
        "range": list(image.stored_range),
        "window": image.window,
        **_greys(image),
        "file": hashlib.sha256(f"{image.sha256} {image.blanked or ''}".encode()).hexdigest()[:12],
        "frame": image.frame,
        "frames": image.frames,
        "stack": offer(image, preview["grey"]) if image.frames > 1 else "",
        "pixels": "" if _is_whole(preview, image) else offer(image, preview["grey"]),
    }


def _greys(image: ImageRecord) -> dict[str, Any]:
    """How the file wants its greys shown, and how large its pixels are. A window of the model's replaces the curve."""
    greys = image.greys
    curve = greys.curve if image.window is None else None
    return {
        "unit": greys.unit,
        "spacing": image.spacing,
        "counted": greys.counted,
        "named": [[window.name, window.centre, window.width, _curve(window.curve)] for window in greys.windows],
        "curve": _curve(curve),
    }


def _curve(curve: Any) -> dict[str, Any] | None:
    if curve is None:
        return None
    shades = np.rint(curve.shades * 255).astype(np.uint8)
    return {"first": curve.first, "step": curve.step, "shades": _base64(shades.tobytes())}


def _is_whole(preview: Mapping[str, Any], image: ImageRecord) -> bool:
    """Whether the preview has all that the file has."""
    stored = not preview["grey"] or (image.bits == 8 and image.window is None)
    return bool(preview["exact"]) and stored


def panel_of(heatmap: Heatmap, *, id: str, title: str = "", subtitle: str = "", note: str = "") -> dict[str, Any]:
    """Turn a heatmap into a panel: its grid in full precision, and the grid's box on the picture.

    `title` stands for the class's name where the page says that elsewhere. A number instead of a probability, and the
    probability of a class that is lowered, stand in the subtitle.
    """
    peak = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
    shown = heatmap.raw if heatmap.signed else np.maximum(heatmap.raw, 0)
    shown = shown / peak if heatmap.state == "ok" else np.zeros_like(heatmap.raw)
    target, probability = heatmap.target, heatmap.target.probability
    lowered = getattr(target, "class_label", "")
    if not title and not subtitle and amount_of(target) != "–" and (lowered or not math.isfinite(probability)):
        subtitle = f"{lowered}: {amount_of(target)}" if lowered else amount_of(target)
    return {
        "id": id,
        "title": title or heatmap.target.label,
        "about": heatmap.target.label,
        "signed": heatmap.signed,
        "probability": probability if math.isfinite(probability) and not title and not lowered else None,
        "subtitle": subtitle,
        "grid": grid_of(shown),
        "box": list(heatmap.placement.box),
        "offset": list(heatmap.placement.cell_offset),
        "place": place_words(heatmap.placement, brief=True),
        "peak": peak if math.isfinite(peak) else None,
        # A fused map is made of scaled maps: its peak is 1, whatever the evidence.
        "fused": bool(heatmap.fusion),
        "unit": f"{heatmap.method} {heatmap.layer}",
        "state": heatmap.state,
        "note": note,
        "outlines": [polygon.round(2).tolist() for polygon in outlines_of(target, heatmap.placement)],
    }


def grid_of(values: np.ndarray) -> dict[str, Any]:
    """Pack a map [h w] as little-endian float32 in base64."""
    height, width = values.shape
    return {"h": height, "w": width, "data": _base64(values.astype("<f4").tobytes())}


def colours_of(
    table: Callable[[str], np.ndarray] = colour_table, labels: Mapping[str, str] = COLOUR_MAPS
) -> dict[str, Any]:
    """Pack the colour tables (uint8 [256 3] RGB), in the order in which the viewer offers them."""
    tables = {name: {"label": label, "table": _base64(table(name).tobytes())} for name, label in labels.items()}
    return {"colormaps": tables, "diverging": _base64(table("diverging").tobytes())}


def _preview(image: ImageRecord) -> dict[str, Any]:
    """Encode as PNG up to a megapixel, else as JPEG."""
    pixels = image.pixels
    height, width = pixels.shape[:2]
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    if shrink < 1:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    shown = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)[:, :, ::-1]
    exact = shrink == 1 and height * width <= LARGEST_PNG
    if shown.shape[0] * shown.shape[1] <= LARGEST_PNG:
        kind, options = "png", [cv2.IMWRITE_PNG_COMPRESSION, 3]
    else:
        kind, options = "jpeg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, encoded = cv2.imencode(f".{kind}", np.ascontiguousarray(shown), options)
    grey = all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2)) and not image.laid_on_white
    return {"src": f"data:image/{kind};base64,{_base64(encoded.tobytes())}", "grey": grey, "exact": exact}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
