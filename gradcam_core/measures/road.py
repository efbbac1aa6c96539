"""ROAD: remove the hottest and the coldest parts, and fill them so that the shape of the hole gives nothing away."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Float64
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu

from gradcam_core.measures.needs import Probability, Shown, Visible, measurement
from gradcam_core.measures.ranking import Order, hottest_first, mask_of
from gradcam_core.measures.readings import Curve, NotMeasurable, Reading
from gradcam_core.progress import Progress
from gradcam_core.registry import Range
from gradcam_core.shapes import InputTensor

SHARES = (0.2, 0.4, 0.6, 0.8)
# Weights of a pixel's neighbours, by the steps down and to the right that lead there.
WEIGHTS = {(y, x): 1 / 6 if 0 in (y, x) else 1 / 12 for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)}
# Deviation of the noise on imputed pixels: without it, their smoothness would give the hole away.
NOISE = 0.01

Plane = Bool[np.ndarray, "h w"]


@measurement("ROAD", paper="Rong et al. 2022", url="https://arxiv.org/abs/2202.00449")
def road(
    inputs: InputTensor,
    shown: Shown,
    visible: Visible,
    probability: Probability,
    progress: Progress,
    *,
    seed: Annotated[int, Range(0, 2**31 - 1, "Another seed, another noise and order among equal pixels")] = 0,
) -> Reading:
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
    whole = float(probability(inputs)[0])
    noise = np.random.default_rng(seed)
    hottest: list[float] = []
    coldest: list[float] = []
    for done, count in enumerate(counts, 1):
        pictures = [impute(inputs, part, visible, noise) for part in _removed(order, count, visible)]
        for values, value in zip((hottest, coldest), probability(torch.cat(pictures)).tolist(), strict=True):
            values.append(value)
        progress(done / len(counts))
    return Reading(float(np.mean(coldest) - np.mean(hottest)), Curve((0.0, *SHARES), (whole, *hottest)))


def _removed(order: Order, count: int, visible: Visible) -> Iterator[Visible]:
    """Exactly `count` pixels, the hottest and then the coldest."""
    size = (visible.shape[0], visible.shape[1])
    yield mask_of(order[:count], size)
    yield mask_of(order[len(order) - count :], size)


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
    known = visible & ~hidden
    picture = inputs[0].cpu().numpy().astype(np.float64)
    system, right = _equations(picture, hidden, known)
    # The matrix is symmetric and its diagonal dominates: no pivoting is needed, and this ordering is the fastest.
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solved = factors.solve(right)
    picture[:, hidden] = (solved + NOISE * noise.standard_normal(solved.shape)).T
    return torch.from_numpy(picture.astype(np.float32))[None].to(inputs.device)


def _equations(
    picture: Float64[np.ndarray, "C h w"], hidden: Plane, known: Plane
) -> tuple[csc_matrix, Float64[np.ndarray, "hidden C"]]:
    """For each hidden pixel: its neighbours' weights times itself, less the hidden ones, equals the known ones."""
    count = int(hidden.sum())
    number = np.full(hidden.shape, -1)
    number[hidden] = np.arange(count)
    total, right = np.zeros(count), np.zeros((count, len(picture)))
    rows, columns, entries = [], [], []
    for (down, across), weight in WEIGHTS.items():
        here, there = _shifted(hidden.shape, down, across)
        beside_hidden, beside_known = hidden[here] & hidden[there], hidden[here] & known[there]
        rows.append(number[here][beside_hidden])
        columns.append(number[there][beside_hidden])
        entries.append(np.full(len(rows[-1]), -weight))
        total[rows[-1]] += weight
        total[number[here][beside_known]] += weight
        right[number[here][beside_known]] += weight * picture[(slice(None), *there)][:, beside_known].T
    diagonal = np.arange(count)
    rows, columns, entries = [*rows, diagonal], [*columns, diagonal], [*entries, total]
    places = (np.concatenate(rows), np.concatenate(columns))
    return csc_matrix((np.concatenate(entries), places), shape=(count, count)), right


def _shifted(shape: tuple[int, ...], down: int, across: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where pixels with a neighbour that many steps away lie, and where these neighbours lie."""

    def along(length: int, step: int) -> tuple[slice, slice]:
        return slice(max(0, -step), length - max(0, step)), slice(max(0, step), length - max(0, -step))

    (top, below), (left, right) = along(shape[0], down), along(shape[1], across)
    return (top, left), (below, right)
