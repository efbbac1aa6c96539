"""What every reader hands on, and what they share: checks before decoding, errors, inks and colour profiles."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8
from PIL import Image, ImageCms

from gradcam_core.errors import PictureError
from gradcam_core.picture import AS_STORED, Greys

# Memory for one decoded picture: its stored samples and the float32 copy that is shown and analysed.
MOST_BYTES = 1 << 30
MOST_FRAMES = 10_000
_LARGEST_PROFILE = 1 << 20
# The red, green and blue primaries of sRGB, adapted to D50 (ICC.1:2022, annex C of sRGB's own profile).
_SRGB = ((0.436, 0.222, 0.014), (0.385, 0.717, 0.097), (0.143, 0.061, 0.714))
_RETRY = "Export or download the picture again, and check that another viewer opens it whole."
INK_NOTE = "Ink colours (CMYK) were turned into screen colours without a colour profile; print may look different."
BURNED_NOTE = (
    "The file says that text is burned into its pixels, which may name the patient: blank it before you export."
)
MAY_BE_BURNED_NOTE = "Pictures of this kind often have text burned into their pixels: look before you export."
EXTRA_NOTE = "A further channel without a stated meaning is left out."
CHANNELS_NOTE = "It has {} channels, of which {} shown. A model for as many gets all of them, another what is shown."

Function = TypeVar("Function", bound=Callable[..., "StoredPicture"])


@dataclass(frozen=True, slots=True, eq=False)
class StoredPicture:
    """A decoded picture in its stored values: `samples` is [H W 1] for grey, [H W 3] for colour.

    `alpha` is 0 (see-through) to 1; None where the file states no opacity. `inverted` means that low
    values are white. `orientation` is EXIF's number, 1 for upright. `frames` counts pages or frames.
    `nodata` is the value that stands for "no data". `profile` is the embedded ICC colour profile.
    `channels` are all of a picture that has more than are shown, as satellites and microscopes record.
    `missing` pixels hold no value. `greys` and `spacing` are as in ImageRecord. `greys_note` says how the file
    wants its greys shown.
    """

    samples: Shaped[np.ndarray, "H W C"]
    format: str
    alpha: Float32[np.ndarray, "H W"] | None = None
    inverted: bool = False
    orientation: int = 1
    frames: int = 1
    notes: tuple[str, ...] = ()
    nodata: float | None = None
    profile: bytes = b""
    channels: Shaped[np.ndarray, "H W N"] | None = None
    missing: Bool[np.ndarray, "H W"] | None = None
    greys: Greys = AS_STORED
    greys_note: str = ""
    spacing: float | None = None


def reader(kind: str) -> Callable[[Function], Function]:
    """Mark a function (bytes, frame, max_pixels) -> StoredPicture as the reader of a kind in kinds.py."""

    def mark(function: Function) -> Function:
        function.reads = kind  # type: ignore[attr-defined]
        return function

    return mark


def damaged(kind: str, detail: str) -> PictureError:
    """The error for a file that contradicts itself or its format."""
    return PictureError(f"This {kind} file is damaged: {detail}.", _RETRY)


def cut_short(kind: str) -> PictureError:
    """The error for a file that ends before its picture does."""
    return damaged(kind, "it ends before the picture is complete")


def not_read(kind: str, what: str) -> PictureError:
    """The error for a sound but rare variant of a format."""
    return PictureError(f"This {kind} {what}, which is not read.", "Save it as PNG, or as TIFF without compression.")


def check_size(kind: str, width: int, height: int, max_pixels: int, bytes_per_pixel: int = 3) -> None:
    """Refuse a picture by its header: no pixels, more than `max_pixels`, or too much memory once decoded.

    `bytes_per_pixel` counts the stored samples and 4 for opacity; the copy that is shown takes 12 more (three float32).
    """
    if width < 1 or height < 1:
        raise damaged(kind, f"its header gives a size of {width} x {height} pixels")
    if width * height > max_pixels:
        raise PictureError(
            f"The picture is too large: {width} x {height} pixels, and at most {max_pixels:,} pixels are read.",
            "Make it smaller in an image editor, or cut out the part that matters.",
        )
    needed = width * height * (bytes_per_pixel + 12)
    if needed > MOST_BYTES:
        raise PictureError(
            f"The picture is too large: decoded, it takes {needed / 1e6:,.0f} MB of memory, "
            f"and at most {MOST_BYTES / 1e6:,.0f} MB are used.",
            "Save it with fewer bits or channels, or make it smaller in an image editor.",
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


def check_animation(frame: int, width: int, height: int, max_pixels: int) -> None:
    """Refuse a late frame of a large animation: every frame before it has to be decoded as well."""
    if (frame + 1) * width * height > 4 * max_pixels:
        raise PictureError(
            f"Frame {frame} lies too far into the animation: all frames before it have to be decoded first.",
            "Save this frame as a picture of its own.",
        )


def profile_note(profile: bytes) -> tuple[str, ...]:
    """A sentence about an ICC profile other than sRGB; () for sRGB, and where there is no usable profile.

    Profiles are not applied, since models are trained on pixels as stored.
    """
    if not profile or len(profile) > _LARGEST_PROFILE or profile[16:20] != b"RGB ":
        return ()
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(opened)
        primaries = [opened.profile.red_colorant, opened.profile.green_colorant, opened.profile.blue_colorant]
        close = all(primaries) and np.allclose([both[0] for both in primaries], _SRGB, atol=0.01)  # type: ignore[index]
    except Exception:  # a broken profile must not cost the picture, and littlecms raises many kinds of exceptions
        return ()
    if close or "srgb" in name.lower():
        return ()
    name = "".join(sign for sign in name if sign.isprintable()).strip()[:60] or "without a name"
    return (f"Its colours follow the profile '{name}', not sRGB; they are used as stored, so they may look different.",)


def to_rgb(mode: str, samples: UInt8[np.ndarray, "H W C"]) -> UInt8[np.ndarray, "H W 3"]:
    """Turn CMYK (0 means no ink), YCbCr or LAB into screen colours."""
    packed = np.ascontiguousarray(samples).tobytes()
    return np.asarray(Image.frombytes(mode, samples.shape[1::-1], packed).convert("RGB"))
