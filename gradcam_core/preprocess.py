"""ImageRecord -> model input, and the Placement that leads back to the picture's pixels."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image

from gradcam_core.errors import ModelError, PictureError
from gradcam_core.placement import Placement
from gradcam_core.records import ImageRecord, Preprocessing
from gradcam_core.shapes import InputArray, Pixels

FITS = ("model", "crop", "squash", "letterbox")
CROP_MODES = ("center", "squash", "border")
INTERPOLATIONS = {name.lower(): value for name, value in Image.Resampling.__members__.items()}
SMALLEST, LARGEST = 8, 4096
LARGEST_RESIZED = 64_000_000
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class _Window:
    """The picture resized to `resized`, seen through the input's frame at `offset` (negative: padding)."""

    resized: tuple[int, int]
    offset: tuple[int, int]
    fill: tuple[float, ...]


def prepare(image: ImageRecord, preprocessing: Preprocessing) -> tuple[InputArray, Placement]:
    """Resize, cut or pad, and normalise a picture to the model's input [C H' W'].

    8-bit pictures are resampled in 8 bits by Pillow, as timm and torchvision do in evaluation;
    deeper ones take the same steps in float. A model for neither one nor three channels gets a picture's stored
    channels. Raises PictureError where there are not as many.
    """
    (height, width), window = preprocessing.size, _window(image.height, image.width, preprocessing)
    down, across = image.height / window.resized[0], image.width / window.resized[1]
    top, left = window.offset
    box = (top * down, left * across, (top + height) * down, (left + width) * across)
    values = _resample(image, preprocessing, window)
    normalised = (values - _per_channel(preprocessing.mean)) / _per_channel(preprocessing.std)
    return normalised, Placement((image.height, image.width), preprocessing.size, box)


def shown_input(values: InputArray, preprocessing: Preprocessing) -> UInt8[np.ndarray, "Hin Win *colours"]:
    """A model input as a picture in 8 bits: the way back from mean and std. One channel gives [H' W'], three RGB.

    Of other numbers of channels, the first or the first three are shown.
    """
    shares = values * _per_channel(preprocessing.std) + _per_channel(preprocessing.mean)
    pixels = np.clip(shares * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return pixels[:, :, 0] if pixels.shape[2] < 3 else np.ascontiguousarray(pixels[:, :, :3])


def _per_channel(numbers: tuple[float, ...]) -> Float32[np.ndarray, "C 1 1"]:
    return np.array(numbers, np.float32)[:, None, None]


def _window(height: int, width: int, preprocessing: Preprocessing) -> _Window:
    picture, size, target = (height, width), preprocessing.size, preprocessing.resize
    fill: tuple[float, ...] = (0.0,) * preprocessing.channels
    match preprocessing.fit, preprocessing.crop_mode:
        case "squash", _:
            resized = size
        case "crop", _:
            resized = _scaled(picture, size, min)
        case "letterbox", _:
            resized, fill = _scaled(picture, size, max), preprocessing.mean
        case _, "squash":
            resized = target
        case _, "border":
            resized = _scaled(picture, target, max)
            fill = tuple(round(255 * value) / 255 for value in preprocessing.mean)
        case _:
            resized = _keep_shape(picture, target)
    return _Window(resized, _centred(resized, size), fill)


def _keep_shape(picture: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """Bring the shorter side to the target; torchvision cuts the longer one to an int, timm rounds."""
    if target[0] != target[1]:
        return _scaled(picture, target, min)
    height, width = picture
    longer = int(target[0] * max(picture) / min(picture))
    return (target[0], longer) if height <= width else (longer, target[0])


def _scaled(picture: tuple[int, int], target: tuple[int, int], choose: Any) -> tuple[int, int]:
    ratio = choose(picture[0] / target[0], picture[1] / target[1])
    return max(1, round(picture[0] / ratio)), max(1, round(picture[1] / ratio))


def _centred(resized: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Where the frame stands; both hubs round half to even when cutting and down when padding."""

    def along(full: int, part: int) -> int:
        return -((part - full) // 2) if part > full else round((full - part) / 2)

    return along(resized[0], size[0]), along(resized[1], size[1])


def _resample(image: ImageRecord, preprocessing: Preprocessing, window: _Window) -> InputArray:
    """Fill the frame [C H' W'] with 0..1 values: the resized picture where it lies, `fill` elsewhere."""
    size, (top, left) = preprocessing.size, window.offset
    first = max(0, top), max(0, left)
    last = min(window.resized[0], top + size[0]), min(window.resized[1], left + size[1])
    resampling = INTERPOLATIONS[preprocessing.interpolation]
    planes = [_cut(plane, window.resized, first, last, resampling) for plane in _planes(image, preprocessing.channels)]
    seen = np.concatenate([_shares(plane) for plane in planes], axis=2)
    canvas = np.tile(_per_channel(window.fill), (1, *size))
    canvas[:, first[0] - top : last[0] - top, first[1] - left : last[1] - left] = seen.transpose(2, 0, 1)
    return canvas


def _shares(plane: Image.Image) -> Float32[np.ndarray, "H W C"]:
    values = np.atleast_3d(np.asarray(plane, np.float32))
    return np.clip(values, 0, 1) if plane.mode == "F" else values / np.float32(255)


def _cut(
    plane: Image.Image,
    resized: tuple[int, int],
    first: tuple[int, int],
    last: tuple[int, int],
    resampling: Image.Resampling,
) -> Image.Image:
    """Resize a plane and keep rows and columns [first, last).

    Resizing all of a picture that is far longer than wide would take gigabytes. There only the kept
    part is made, which Pillow places to single precision: not bit-equal to the hubs' own way.
    """
    height, width = resized
    if height * width <= LARGEST_RESIZED:
        return _resize_plane(plane, (width, height), resampling).crop((first[1], first[0], last[1], last[0]))
    across, down = plane.width / width, plane.height / height
    box = (first[1] * across, first[0] * down, min(last[1] * across, plane.width), min(last[0] * down, plane.height))
    return plane.resize((last[1] - first[1], last[0] - first[0]), resampling, box=box)


def _resize_plane(plane: Image.Image, size: tuple[int, int], resampling: Image.Resampling) -> Image.Image:
    """Resize columns, then rows. In 8 bits Pillow keeps to black and white in between; in float we do."""
    if plane.mode != "F":
        return plane.resize(size, resampling)
    across = np.asarray(plane.resize((size[0], plane.height), resampling))
    return Image.fromarray(np.clip(across, 0, 1)).resize(size, resampling)


def _planes(image: ImageRecord, channels: int) -> list[Image.Image]:
    stored = image.channels
    if channels not in (1, 3):
        if stored is None or stored.shape[2] != channels:
            own = 3 if stored is None else stored.shape[2]
            raise PictureError(
                f"This model takes {channels} channels, and this picture has {own}.",
                f"Give a TIFF with {channels} channels, or use a model for colour (3) or grey (1) pictures.",
            )
        return [_channel(stored[..., place], image.channel_range) for place in range(channels)]
    if image.bits == 8:
        steps = Image.fromarray(np.asarray(cv2.convertScaleAbs(image.pixels, alpha=255), np.uint8))
        return [steps.convert("L") if channels == 1 else steps]
    pixels: Pixels = image.pixels
    layers = [pixels @ LUMA] if channels == 1 else [pixels[..., channel] for channel in range(3)]
    return [Image.fromarray(np.ascontiguousarray(layer, np.float32)) for layer in layers]


def _channel(stored: Shaped[np.ndarray, "H W"], values: tuple[float, float]) -> Image.Image:
    """One of many channels; where a pixel holds no finite number, it is 0."""
    if stored.dtype == np.uint8:
        return Image.fromarray(np.ascontiguousarray(stored))
    low, high = values
    with np.errstate(all="ignore"):
        shares = (stored.astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)
    return Image.fromarray(np.clip(np.nan_to_num(shares), 0, 1).astype(np.float32))


def override_preprocessing(preprocessing: Preprocessing, changes: Mapping[str, Any]) -> Preprocessing:
    """Replace parts of a model's preprocessing by what its user knows better.

    Takes the fields of Preprocessing, and single numbers for `size`, `resize`, `mean` and `std`. A new size
    keeps the model's share of cropping. Raises ModelError for an unknown name or an impossible value.
    """
    allowed = [field.name for field in fields(Preprocessing)]
    unknown = sorted(set(changes) - set(allowed))
    if unknown:
        raise ModelError(f"Preprocessing has no {', '.join(map(repr, unknown))}.", f"It takes {', '.join(allowed)}.")
    channels = _whole(changes.get("channels", preprocessing.channels), "channels", 1, 64)
    size = _pair(changes.get("size", preprocessing.size), "size")
    crop_pct = _share(changes.get("crop_pct"), preprocessing.crop_pct)
    new = replace(
        preprocessing,
        size=size,
        resize=_resize(changes, preprocessing, size, crop_pct),
        channels=channels,
        crop_pct=crop_pct,
        mean=_numbers(changes.get("mean", preprocessing.mean), "mean", channels),
        std=_numbers(changes.get("std", preprocessing.std), "std", channels),
        fit=_choice(changes.get("fit", preprocessing.fit), "fit", FITS),
        crop_mode=_choice(changes.get("crop_mode", preprocessing.crop_mode), "crop_mode", CROP_MODES),
        interpolation=_choice(
            changes.get("interpolation", preprocessing.interpolation), "interpolation", tuple(INTERPOLATIONS)
        ),
    )
    if not all(0 < np.float32(value) < np.inf for value in new.std):
        raise ModelError("Preprocessing divides by std, which must be above 0.", "Give std as in training, e.g. 0.5.")
    if any(value > 1 for value in (*new.mean, *new.std)):
        raise ModelError(
            "Pictures run from 0 to 1 here; a mean or std above 1 belongs to pictures from 0 to 255.",
            "Divide mean and std by 255.",
        )
    return new


def requested_size(changes: Mapping[str, Any]) -> tuple[int, int] | None:
    """The input's (height, width) if changes of the preprocessing set it. Raises ModelError for an impossible one."""
    return _pair(changes["size"], "size") if "size" in changes else None


def _resize(
    changes: Mapping[str, Any], model: Preprocessing, size: tuple[int, int], crop_pct: float | None
) -> tuple[int, int]:
    if "resize" in changes:
        return _pair(changes["resize"], "resize")
    if changes.get("crop_pct") is None and size == model.size:
        return model.resize
    if crop_pct is not None:
        return math.floor(size[0] / crop_pct), math.floor(size[1] / crop_pct)
    return round(size[0] * model.resize[0] / model.size[0]), round(size[1] * model.resize[1] / model.size[1])


def _share(value: Any, otherwise: float | None) -> float | None:
    if value is None:
        return otherwise
    (share,) = _numbers(value, "crop_pct", 1)
    if not 0.05 <= share <= 1:
        raise ModelError(f"crop_pct cannot be {share:g}.", "Give the share of the side that is kept: 0.05 to 1.")
    return share


def _whole(value: Any, name: str, least: int, most: int) -> int:
    try:
        number = int(value)
        exact = number == value and not isinstance(value, bool)
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or not least <= number <= most:
        raise ModelError(f"{name} cannot be {value!r}.", f"Give a whole number from {least} to {most}.")
    return number


def _pair(value: Any, name: str) -> tuple[int, int]:
    several = isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim)
    both = tuple(value) if several else (value, value)
    if len(both) != 2:
        raise ModelError(f"{name} cannot be {value!r}.", "Give one number, or height and width, each from 8 to 4096.")
    height, width = (_whole(side, name, SMALLEST, LARGEST) for side in both)
    return height, width


def _numbers(value: Any, name: str, count: int) -> tuple[float, ...]:
    """Floats for every channel; a single one serves all, several serve one channel by their average."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    try:
        values = [float(number) for number in (value if isinstance(value, tuple | list) else (value,))]
    except (TypeError, ValueError, OverflowError):
        values = []
    if len(values) == 1:
        values = values * count
    elif count == 1 and values:
        values = [sum(values) / len(values)]
    if len(values) != count or not all(map(math.isfinite, values)):
        shown = ", ".join(map(str, value)) if isinstance(value, tuple | list) else value
        raise ModelError(f"{name} cannot be {shown}.", f"Give one finite number, or {count} of them.")
    return tuple(values)


def _choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ModelError(f"{name} cannot be {value!r}.", f"Choose one of {', '.join(allowed)}.")
    return str(value)
