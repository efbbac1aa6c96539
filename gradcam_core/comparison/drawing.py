"""A pair of heatmaps -> a picture of where the first is hotter, and where the second is."""

import cv2
import numpy as np

from gradcam_core.comparison.records import Pair
from gradcam_core.errors import GradcamError
from gradcam_core.records import Heatmap, ImageRecord
from gradcam_core.render import OPACITY, THRESHOLD, colour_table, heat_opacity, overlay
from gradcam_core.shapes import Colours

# The difference at which the colours cover fully: half of the scale.
FULL = 0.5


def overlay_difference(
    image: ImageRecord, pair: Pair, *, opacity: float = OPACITY, threshold: float = THRESHOLD
) -> Colours:
    """Lay the difference on the picture: orange where the first model's heatmap is hotter, blue where the second's is.

    The scale is fixed, -1 to 1, so that a small difference looks small. What either model did not see is veiled.
    Raises GradcamError where the models saw no part of the picture in common.
    """
    drawn = pair.difference_map
    if drawn is None:
        raise GradcamError("The models saw no part of the picture in common.", "Show both models the whole picture.")
    nothing = Heatmap(drawn.method, {}, drawn.target, "", np.zeros_like(drawn.raw), drawn.placement, signed=True)
    veiled = overlay(image, nothing)
    steps = cv2.convertScaleAbs((np.nan_to_num(pair.difference) + 1) / 2, alpha=255)
    sizes = np.abs(2 * np.linspace(0, 1, 256, dtype=np.float32) - 1)
    share = heat_opacity(sizes, opacity, threshold, FULL)[:, None]
    kept, tint = (
        cv2.applyColorMap(steps, np.rint(rows).astype(np.uint8).reshape(256, 1, 3))
        for rows in (255 * (1 - share.repeat(3, axis=1)), colour_table("diverging") * share)
    )
    return np.asarray(cv2.add(cv2.multiply(veiled, kept, scale=1 / 255), tint), np.uint8)
