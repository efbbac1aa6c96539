"""A decoded picture, and how grey its values are shown."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped

from gradcam_core.shapes import Pixels

Area = tuple[float, float, float, float]  # left, top, right, bottom: shares (0..1) of width and height


@dataclass(frozen=True, slots=True, eq=False)
class GreyCurve:
    """How grey values are shown where that is no straight line: 0 (black) to 1 (white) at first, first + step, ..."""

    first: float
    step: float
    shades: Float32[np.ndarray, " N"]


@dataclass(frozen=True, slots=True)
class NamedWindow:
    """A window on a picture's values, as its file or its field names it. `curve` replaces the straight line."""

    name: str
    centre: float
    width: float
    curve: GreyCurve | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Greys:
    """How grey values are meant to be shown, as far as the file says.

    `unit` is that of the values, and `windows` are those that the file and its field offer. Without a window that the
    user sets, `curve` is followed if there is one, else the window (centre, width) that is `usual`, if there is one.
    A `counted` window counts whole values, as DICOM's do (PS3.3, C.11.2.1.2): its shade of a value is
    (value - (centre - 0.5)) / (width - 1) + 0.5.
    """

    unit: str = ""
    windows: tuple[NamedWindow, ...] = ()
    usual: tuple[float, float] | None = None
    curve: GreyCurve | None = None
    counted: bool = False


AS_STORED = Greys()


class PictureIdentity(NamedTuple):
    """What a picture's pixels follow from: its file, and how that is read."""

    sha256: str
    frame: int
    window: tuple[float, float] | None
    blanked: tuple[Area, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImageRecord:
    """One decoded picture, upright, as it is shown and as the model gets it.

    `pixels` is float32 in 0..1. `bits` is 8 where `pixels * 255` are whole numbers, so that the model's own 8-bit
    resampling can be followed exactly; otherwise 16 or 32. `stored_range` holds the stored values shown as black and
    white, `usual_range` those without a `window`; `value_range` are the least and the largest that there are.
    `laid_on_white` is true where see-through parts were laid on white. `sha256` is that of the file's bytes. `notes`
    are sentences about what was done to the picture (stretched, turned upright, ...). `seconds` is how long decoding
    took. `channels` are all stored channels where there are more than are shown, and `channel_range` the stored values
    that a model for as many channels gets as 0 and 1. `greys` is how the file wants grey values shown. `spacing` is
    how many mm lie from one pixel to the next, where that is known. `blanked` are areas whose pixels were deleted.
    """

    pixels: Pixels
    sha256: str
    name: str
    format: str
    bits: int = 8
    stored_range: tuple[float, float] = (0.0, 255.0)
    frame: int = 0
    frames: int = 1
    window: tuple[float, float] | None = None
    laid_on_white: bool = False
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    usual_range: tuple[float, float] | None = None
    channels: Shaped[np.ndarray, "H W N"] | None = None
    channel_range: tuple[float, float] = (0.0, 1.0)
    spacing: float | None = None
    greys: Greys = AS_STORED
    value_range: tuple[float, float] = (0.0, 255.0)
    blanked: tuple[Area, ...] = ()

    @property
    def identity(self) -> PictureIdentity:
        """The file's checksum, and how it was read."""
        return PictureIdentity(self.sha256, self.frame, self.window, self.blanked)

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])
