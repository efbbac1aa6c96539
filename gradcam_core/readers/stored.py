"""What every reader hands on, and the checks that all of them make before they decode."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Shaped
from PIL import Image

from gradcam_core.errors import PictureError

RETRY = "Export or download the picture again, and check that another viewer opens it whole."


@dataclass(frozen=True, slots=True, eq=False)
class StoredPicture:
    """A decoded picture in its stored values: `samples` [H W 1] of a grey one, [H W 3] of a colour one.

    `alpha` is 0 (see-through) to 1; None where all is opaque. `inverted` tells that low values
    mean white. `orientation` is EXIF's number, 1 for upright. `frames` counts pages or frames.
    """

    samples: Shaped[np.ndarray, "H W C"]
    format: str
    alpha: Float32[np.ndarray, "H W"] | None = None
    inverted: bool = False
    orientation: int = 1
    frames: int = 1
    notes: tuple[str, ...] = ()


def damaged(kind: str, detail: str) -> PictureError:
    """The error for a file that contradicts itself or its format."""
    return PictureError(f"This {kind} file is damaged: {detail}.", RETRY)


def cut_short(kind: str) -> PictureError:
    """The error for a file that ends before its picture does."""
    return damaged(kind, "it ends before the picture is complete")


def check_size(kind: str, width: int, height: int, max_pixels: int) -> None:
    """Refuse a picture without pixels, or with more than `max_pixels`, by what its header says."""
    if width < 1 or height < 1:
        raise damaged(kind, f"its header gives a size of {width} x {height} pixels")
    # Pillow warns beyond a limit of its own, which is for the whole process and not ours to move.
    limit = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    if width * height > limit:
        raise PictureError(
            f"The picture is too large: {width} x {height} pixels, and at most {limit:,} pixels are read.",
            "Make it smaller in an image editor, or cut out the part that matters.",
        )


def check_frame(frame: int, frames: int) -> None:
    """Refuse a frame that the file does not have."""
    if 0 <= frame < frames:
        return
    if frames == 1:
        raise PictureError(f"Frame {frame} was asked for, but the file holds one picture.", "Ask for frame 0.")
    raise PictureError(
        f"Frame {frame} was asked for, but the file holds {frames} frames.",
        f"Ask for a frame from 0 to {frames - 1}.",
    )
