"""The reference region of a picture: known, drawn or uploaded, and outlined on the picture."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import streamlit as st

from gradcam_core import (
    Explanation,
    GradcamError,
    Heatmap,
    ImageRecord,
    amount_of,
    draw_truth,
    list_samples,
    read_truth,
    read_truths,
)
from pages.components import session
from pages.components.analysis.decoding import DECODER
from pages.components.marker import marker
from pages.components.panels.figures import figures
from pages.components.panels.heatmaps import METHODS, show_panels
from pages.components.viewer.encoding import panel_of, picture_of
from pages.components.words import show_error

OUTLINE = np.array([64, 224, 208], np.float32) / 255
DRAW, UPLOAD = "Draw", "Upload a mask"


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """The reference region, booleans [H W], or None; where it comes from, its class if known, and the drawn shapes."""

    mask: np.ndarray | None
    source: str
    label: str = ""
    shapes: Sequence[Mapping[str, Any]] = ()


def pick_region(image: ImageRecord) -> Region:
    """Pick the reference region: known, drawn or uploaded."""
    known = _known_regions()
    ways = [*known, DRAW, UPLOAD]
    kept = session.kept(f"region of {image.sha256} {len(known)}", ways[0], ways)
    way = st.segmented_control("Reference region", ways, required=True, **kept)
    if way == DRAW:
        return _drawn(image)
    if way == UPLOAD:
        return Region(_uploaded(image), "uploaded mask")
    region = read_truth(known[str(way)], image, DECODER.decode)
    figures([(np.uint8(255 * outlined(image, region).pixels), f"Where the {way} is, known exactly")], height=18)
    return Region(region, "known exactly", str(way))


def _known_regions() -> Mapping[str, bytes]:
    """The masks that come with a sample, by class."""
    picture = session.chosen_picture()
    return read_truths(picture) if picture in {sample.name for sample in list_samples()} else {}


def _drawn(image: ImageRecord) -> Region:
    drawings = st.session_state.setdefault("regions", {})
    drawings[image.sha256] = marker(picture_of(image), shapes=drawings.get(image.sha256, []), key="marker")
    region = draw_truth(drawings[image.sha256], (image.height, image.width))
    return Region(region if region.any() else None, "drawn", shapes=drawings[image.sha256])


def _uploaded(image: ImageRecord) -> np.ndarray | None:
    """Take a mask for this picture; it is kept, since the uploader forgets it on the next page."""
    masks = st.session_state.setdefault("masks", {})

    def keep() -> None:
        file = st.session_state.get(key)
        for upload in session.taken([file] if file else []):
            masks[image.sha256] = upload.content

    key = f"mask of {image.sha256}"
    st.file_uploader("A mask of the same size, white inside the region", key=key, on_change=keep, max_upload_size=64)
    if image.sha256 not in masks:
        return None
    try:
        region = read_truth(masks[image.sha256], image, DECODER.decode)
    except GradcamError as error:
        show_error(error)
        return None
    figures([(np.uint8(255 * outlined(image, region).pixels), "The mask’s outline")], height=22)
    return region


def outlined(image: ImageRecord, region: np.ndarray) -> ImageRecord:
    """The picture with a line around the region, outside of it."""
    pixels = image.pixels.copy()
    pixels[outline_of(region)] = OUTLINE
    return dataclasses.replace(image, pixels=pixels, channels=None, sha256=f"{image.sha256} {region_key(region)}")


def outline_of(region: np.ndarray) -> np.ndarray:
    """The pixels of a line around a region, outside of it: booleans [H W]."""
    thick = max(1, round(max(region.shape) / 400))
    grown = cv2.dilate(region.astype(np.uint8), np.ones((2 * thick + 1,) * 2, np.uint8)).astype(bool)
    line: np.ndarray = grown & ~region
    return line


def share_of(heatmap: Heatmap, region: np.ndarray) -> float:
    """The region's share of what the model saw: how much of a heatmap's heat lies in it by chance."""
    return float(region[np.isfinite(heatmap.values)].mean())


def region_key(region: np.ndarray) -> str:
    """The identity of a region, by content."""
    return hashlib.sha256(f"{region.shape}".encode() + np.packbits(region).tobytes()).hexdigest()


def show_with_region(explanation: Explanation, region: np.ndarray) -> None:
    """Show the heatmaps of all methods side by side, over the picture with the region outlined."""
    heatmaps = explanation.heatmaps
    panels = [
        panel_of(
            heatmap,
            id=heatmap.method,
            title=METHODS[heatmap.method].title,
            subtitle=f"{heatmap.target.label} {amount_of(heatmap.target)}",
        )
        for heatmap in heatmaps
    ]
    show_panels(outlined(explanation.image, region), panels, "evaluate", columns=max(3, len(panels)))
