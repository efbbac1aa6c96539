"""ROAD: remove the hottest and the coldest parts, and fill them so that the shape of the hole gives nothing away."""

import functools
from typing import Annotated

import numpy as np
import scipy
import torch

from gradcam_core.measures.hiding import Order, hottest_first, mask_of
from gradcam_core.measures.needs import Curve, Measured, NotMeasurable, Probability, Shown, Visible, measurement
from gradcam_core.progress import Progress
from gradcam_core.registry import Range
from gradcam_core.shapes import InputTensor

SHARES = (0.2, 0.4, 0.6, 0.8)
# Weights of a pixel's direct and diagonal neighbours.
DIRECT, DIAGONAL = 1 / 6, 1 / 12
# Deviation of the noise on imputed pixels: without it, their smoothness would give the hole away.
NOISE = 0.01


@measurement("ROAD", paper="Rong et al. 2022", url="https://arxiv.org/abs/2202.00449")
def road(
    inputs: InputTensor,
    shown: Shown,
    visible: Visible,
    probability: Probability,
    progress: Progress,
    *,
    seed: Annotated[int, Range(0, 2**31 - 1, "Another seed, another noise and order among equal pixels")] = 0,
) -> Measured:
    """How much more probability is lost when hot places are removed than when cold ones are; 1 is most, 0 none.

    20, 40, 60 and 80 % of the pixels are removed, hottest first (MoRF) and coldest first (LeRF), and
    imputed by the paper's noisy linear interpolation. The value is the mean over these shares of
    p(LeRF) - p(MoRF), -1..1; the curve is MoRF's. Equally hot pixels are removed in random order. A heatmap
    is refused where chance would pick most of the first 20 %. Among the coldest pixels chance may pick
    freely, since a heatmap that is 0 on half of the picture gives no order there.
    """
    order = hottest_first(shown, visible, seed)
    counts = [round(share * len(order)) for share in SHARES]
    if counts[0] < 1 or counts[-1] >= len(order):
        raise NotMeasurable("The model saw too few pixels of this picture to remove parts of it.")
    _check_ties(shown, order, counts[0])
    whole, noise = float(probability(inputs)[0]), np.random.default_rng(seed)
    after = []
    for done, count in enumerate(counts, 1):
        parts = order[:count], order[-count:]
        pictures = [impute(inputs, mask_of(part, visible.shape), visible, noise) for part in parts]
        after.append(probability(torch.cat(pictures)).tolist())
        progress(done / len(counts))
    hottest, coldest = zip(*after, strict=True)
    return Measured(float(np.mean(coldest) - np.mean(hottest)), Curve((0.0, *SHARES), (whole, *hottest)))


def _check_ties(shown: Shown, order: Order, count: int) -> None:
    """Refuse a heatmap that leaves it to chance which pixels are the `count` hottest, for more than half of them."""
    heat = shown.ravel()[order]
    edge = heat[count - 1]
    tied = int((heat[:count] == edge).sum())
    if heat[count] == edge and tied > count / 2:
        raise NotMeasurable(
            f"Of the {SHARES[0]:.0%} hottest pixels {tied / count:.0%} are only as hot as others that are left: "
            "which ones to remove would be chance."
        )


def impute(inputs: InputTensor, hidden: Visible, visible: Visible, noise: np.random.Generator) -> InputTensor:
    """Replace hidden pixels of one input by the weighted mean of their neighbours, all at once, and a little noise.

    A direct neighbour weighs 1/6, a diagonal one 1/12; at the border, and beside padding, there are fewer
    and their weights are scaled up to sum to 1. Neighbours may be hidden themselves, which gives one
    linear equation per hidden pixel; they are solved together. At least one visible pixel must stay.
    """
    known = (visible & ~hidden).ravel()
    picture = inputs[0].cpu().numpy().astype(np.float64)
    weights = _neighbours(hidden.shape)[hidden.ravel()]
    to_hidden, to_known = weights[:, hidden.ravel()], weights[:, known]
    total = to_hidden.sum(axis=1) + to_known.sum(axis=1)
    system = (scipy.sparse.diags_array(total) - to_hidden).tocsc()
    right = to_known @ picture.reshape(len(picture), -1)[:, known].T
    # The matrix is symmetric and its diagonal dominates: no pivoting is needed, and this ordering is the fastest.
    plain = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    factors = scipy.sparse.linalg.splu(system, permc_spec="MMD_AT_PLUS_A", **plain)
    solved = factors.solve(right)
    picture[:, hidden] = (solved + NOISE * noise.standard_normal(solved.shape)).T
    return torch.from_numpy(picture.astype(np.float32))[None].to(inputs.device)


@functools.lru_cache(maxsize=1)
def _neighbours(shape: tuple[int, ...]) -> "scipy.sparse.csr_array":
    """The weight [pixels pixels] that each pixel gives each of its neighbours."""
    (down, rows), (across, columns) = (
        (scipy.sparse.diags_array([1.0, 1.0], offsets=[-1, 1], shape=(length, length)), scipy.sparse.eye_array(length))
        for length in shape
    )
    direct = scipy.sparse.kron(down, columns) + scipy.sparse.kron(rows, across)
    return scipy.sparse.csr_array(DIRECT * direct + DIAGONAL * scipy.sparse.kron(down, across))
