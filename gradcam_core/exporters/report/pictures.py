"""The pictures of a report, encoded and no larger than they are printed."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
import simplejpeg
from jaxtyping import UInt8

from gradcam_core.exporters.drawing import Drawing
from gradcam_core.exporters.encoding import png
from gradcam_core.placement import Placement
from gradcam_core.preprocess import shown_input
from gradcam_core.records import Explanation, Heatmap, ImageRecord
from gradcam_core.render import colour_table, outline_cells, overlay, picture_pixels
from gradcam_core.shapes import Colours

# Pixels of the longer side: the picture, and each heatmap.
LARGEST, LARGEST_HEATMAP = 1400, 720
# A model's input is kept exactly up to this size.
EXACT = 512
QUALITY = 90


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An encoded picture ("png" or "jpeg"), its size in pixels, and what it shows in words."""

    content: bytes
    kind: str
    width: int
    height: int
    words: str


def reduced(image: ImageRecord, longest: int) -> ImageRecord:
    """The picture in 8 bits, its longer side not longer than this."""
    pixels = _reduced(picture_pixels(image), longest)
    return replace(image, pixels=pixels.astype(np.float32) / np.float32(255), channels=None)


def whole_picture(image: ImageRecord) -> Picture:
    """The picture, as a JPEG."""
    return _jpeg(picture_pixels(image), "The picture")


def input_picture(explanation: Explanation) -> Picture:
    """What the model was given, every pixel of it where it is small."""
    pixels = shown_input(explanation.model_input, explanation.preprocessing)
    colours = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    words = "What the model saw"
    if max(colours.shape) > EXACT:
        return _jpeg(_reduced(colours, EXACT), words)
    return Picture(png(colours), "png", colours.shape[1], colours.shape[0], words)


def heatmap_picture(image: ImageRecord, heatmap: Heatmap, drawing: Drawing, peak: float | None, words: str) -> Picture:
    """A heatmap over its picture, which may be reduced: drawn at that size, it is quicker than at its own."""
    placed = replace(heatmap, placement=_placed(heatmap.placement, image))
    drawn = overlay(image, placed, **drawing.style, peak=peak)
    return _jpeg(outline_cells(drawn, placed) if drawing.outlined else drawn, words)


def bar_picture(colormap: str, words: str) -> Picture:
    """The colours of a scale, from its lowest value to its highest."""
    return Picture(png(np.ascontiguousarray(colour_table(colormap)[None])), "png", 256, 1, words)


def _placed(placement: Placement, image: ImageRecord) -> Placement:
    """Where the model's input lies on a picture that was reduced."""
    down, across = image.height / placement.image_size[0], image.width / placement.image_size[1]
    top, left, bottom, right = placement.box
    box = top * down, left * across, bottom * down, right * across
    return replace(placement, image_size=(image.height, image.width), box=box)


def _reduced(pixels: UInt8[np.ndarray, "_ _ 3"], longest: int) -> UInt8[np.ndarray, "_ _ 3"]:
    """Make a picture smaller, never larger."""
    height, width = pixels.shape[:2]
    share = longest / max(height, width)
    if share >= 1:
        return pixels
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(pixels: Colours, words: str) -> Picture:
    content = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorsubsampling="444")
    return Picture(content, "jpeg", pixels.shape[1], pixels.shape[0], words)
