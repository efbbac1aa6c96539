"""Which pixels of a model's input are hidden, in which order, and what is put in their place.

Grey or black squares are pictures that no model was trained on, and their edges are evidence of their own.
So a hidden part is filled in from its surroundings, coarse to fine.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn import functional

from gradcam_core.measures.needs import NotMeasurable, Shown, Visible
from gradcam_core.shapes import InputTensor

Order = Int64[np.ndarray, "visible"]

# Smoothing after the coarse-to-fine filling removes the steps between its squares: how often, how far.
SMOOTHINGS, REACH = 2, 7


def hottest_first(shown: Shown, visible: Visible, seed: int) -> Order:
    """Order the visible pixels, as places in the flattened input, from hot to cold; equal ones at random, repeatably.

    A threshold cannot do this: half of many heatmaps is exactly 0, and a threshold of 0 takes all of it or
    nothing. Raises NotMeasurable where there is no order: the heatmap is 0, or the same everywhere.
    """
    places = np.flatnonzero(visible)
    heat = shown.ravel()[places]
    if not heat.any():
        raise NotMeasurable("The heatmap is 0 everywhere on the picture, so no pixel comes before another.")
    if heat.min() == heat.max():
        raise NotMeasurable("The heatmap is the same everywhere, so no pixel comes before another.")
    chance = np.random.default_rng(seed).permutation(len(places))
    order: Order = places[np.lexsort((chance, -heat))]
    return order


def mask_of(places: Order, size: tuple[int, ...]) -> Visible:
    """The input's pixels [Hin Win] that are among these places."""
    mask = np.zeros(size, bool)
    mask.ravel()[places] = True
    return mask


def fill_in(inputs: InputTensor, hidden: Bool[Tensor, "N 1 Hin Win"], visible: Visible) -> InputTensor:
    """Replace the hidden pixels of each input by what surrounds them.

    Each pixel takes the average of the nearest known ones, found on coarser and coarser grids (pull-push
    interpolation, after Gortler et al. 1996, https://doi.org/10.1145/237170.237200, section 3.4), then is
    smoothed within the hidden part. Known is what is `visible` and not hidden: padding gives nothing. An
    input that is hidden everywhere becomes 0, the mean colour.
    """
    seen = torch.from_numpy(visible).to(inputs.device)
    known = (seen & ~hidden).to(inputs.dtype)
    filled = torch.where(hidden, _pulled(inputs * known, known), inputs)
    smooth = filled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    weights = _blurred(visible.astype(np.float32))
    for picture, mask in zip(smooth, hidden[:, 0].cpu().numpy(), strict=True):
        for _ in range(SMOOTHINGS):
            near = _blurred(picture * visible[..., None])[mask] / np.maximum(weights[mask], 1 / REACH**2)
            picture[mask] = near
    return torch.from_numpy(smooth).permute(0, 3, 1, 2).contiguous().to(inputs.device)


def _blurred(values: Float32[np.ndarray, "h w *C"]) -> Float32[np.ndarray, "h w C"]:
    """The mean over a square around each pixel, mirrored at the border."""
    blurred: np.ndarray = np.atleast_3d(cv2.blur(values, (REACH, REACH), borderType=cv2.BORDER_REFLECT))
    return blurred


def _pulled(sums: Float32[Tensor, "N C h w"], known: Float32[Tensor, "N 1 h w"]) -> Float32[Tensor, "N C h w"]:
    """Values where something is known; elsewhere those of the next coarser grid. `sums` are values times `known`."""
    values = torch.where(known > 0, sums / known, 0)
    if bool((known > 0).all()) or max(known.shape[-2:]) == 1:
        return values
    coarse = _pulled(*(functional.avg_pool2d(one, 2, ceil_mode=True, count_include_pad=False) for one in (sums, known)))
    size = (known.shape[-2], known.shape[-1])
    large = functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    return torch.where(known > 0, values, large)
