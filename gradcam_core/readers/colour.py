"""Inks to RGB, and the colour profile that a picture carries, named in a note where it is not sRGB.

Profiles are not applied, since models are trained on pixels as stored.
"""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms

_LARGEST = 1 << 20
# The red, green and blue primaries of sRGB, adapted to D50 (ICC.1:2022, annex C of sRGB's own profile).
_SRGB = ((0.436, 0.222, 0.014), (0.385, 0.717, 0.097), (0.143, 0.061, 0.714))


def profile_note(profile: bytes) -> tuple[str, ...]:
    """A sentence about an ICC profile other than sRGB; () for sRGB, and where there is no usable profile."""
    if not profile or len(profile) > _LARGEST or profile[16:20] != b"RGB ":
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


def inks_to_rgb(inks: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W 3"]:
    """Turn cyan, magenta, yellow and black into screen colours; 0 means no ink."""
    return np.asarray(Image.frombytes("CMYK", inks.shape[1::-1], np.ascontiguousarray(inks).tobytes()).convert("RGB"))
