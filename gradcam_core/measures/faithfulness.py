"""Whether the model's probability follows the heatmap when the picture is changed where it is hot."""

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from gradcam_core.devices import pictures_at_once
from gradcam_core.measures.hiding import Order, fill_in, hottest_first, mask_of
from gradcam_core.measures.needs import Curve, Measured, NotMeasurable, Probability, Shown, Visible, measurement
from gradcam_core.progress import Progress
from gradcam_core.registry import Range
from gradcam_core.shapes import InputTensor

# Deviation of the blur that insertion starts from, as a share of the input's longer side.
BLUR = 0.1

Steps = Annotated[int, Range(2, 100, "Steps from nothing to the whole picture")]
Seed = Annotated[int, Range(0, 2**31 - 1, "Another seed, another order among equally hot pixels")]


@measurement("Deletion", paper="Petsiuk et al. 2018", url="https://arxiv.org/abs/1806.07421", better="lower")
def deletion(
    inputs: InputTensor,
    shown: Shown,
    visible: Visible,
    probability: Probability,
    progress: Progress,
    *,
    steps: Steps = 20,
    seed: Seed = 0,
) -> Measured:
    """Hide the hottest places first: the sooner the probability drops, the lower this number.

    The area under the curve of the probability over the share of hidden pixels. What is hidden is
    filled in from its surroundings: the paper's grey is a picture that no model was trained on.
    """

    def hide(hottest: Tensor) -> Tensor:
        return fill_in(inputs.expand(len(hottest), -1, -1, -1).contiguous(), hottest, visible)

    return _followed(hottest_first(shown, visible, seed), inputs, hide, probability, progress, steps)


@measurement("Insertion", paper="Petsiuk et al. 2018", url="https://arxiv.org/abs/1806.07421")
def insertion(
    inputs: InputTensor,
    shown: Shown,
    visible: Visible,
    probability: Probability,
    progress: Progress,
    *,
    steps: Steps = 20,
    seed: Seed = 0,
) -> Measured:
    """Uncover the hottest places of a blurred picture first: the sooner the probability rises, the higher this number.

    The area under the curve of the probability over the share of uncovered pixels.
    """
    blurred = _blurred(inputs, visible)

    def uncover(hottest: Tensor) -> Tensor:
        return torch.where(hottest, inputs, blurred)

    return _followed(hottest_first(shown, visible, seed), inputs, uncover, probability, progress, steps)


@measurement("Average drop", paper="Chattopadhyay et al. 2018", url="https://arxiv.org/abs/1710.11063", better="lower")
def average_drop(inputs: InputTensor, shown: Shown, probability: Probability) -> Measured:
    """How much of the probability is lost when the model sees the picture through the heatmap only; 0 is nothing.

    max(0, p - o) / p for this one picture, with o the probability of picture times heatmap. Where the
    heatmap is cold the model sees the mean colour (0 after normalisation), which it never saw in
    training; and a heatmap that is 1 everywhere gets the best value.
    """
    whole, through = _through(inputs, shown, probability)
    if whole == 0:
        raise NotMeasurable("The model gives this target no probability that could fall.")
    return Measured(max(0.0, whole - through) / whole)


@measurement("Increase in confidence", paper="Chattopadhyay et al. 2018", url="https://arxiv.org/abs/1710.11063")
def average_increase(inputs: InputTensor, shown: Shown, probability: Probability) -> Measured:
    """Whether the probability rises when the model sees the picture through the heatmap only: 1 is yes, 0 is no.

    Whether o > p for this one picture. It has the same limits as the average drop.
    """
    whole, through = _through(inputs, shown, probability)
    return Measured(float(through > whole))


def _through(inputs: InputTensor, shown: Shown, probability: Probability) -> tuple[float, float]:
    """The probability for the whole picture, and for the picture times the heatmap."""
    if not shown.any():
        raise NotMeasurable("The heatmap is 0 everywhere on the picture.")
    seen = inputs * torch.from_numpy(shown).to(inputs.device)
    whole, through = probability(torch.cat([inputs, seen])).tolist()
    return whole, through


def _followed(
    order: Order,
    inputs: InputTensor,
    change: Callable[[Tensor], Tensor],
    probability: Probability,
    progress: Progress,
    steps: int,
) -> Measured:
    """The area under the probability's curve (trapezoid rule) as more and more of the pixels change, in this order.

    `change` takes masks [B 1 Hin Win] of those so far. The area is 0..1, since both axes are.
    """
    shares = [step / steps for step in range(steps + 1)]
    values: list[float] = []
    while len(values) < len(shares):
        chunk = shares[len(values) : len(values) + pictures_at_once(inputs.device)]
        masks = np.stack([mask_of(order[: round(share * len(order))], inputs.shape[2:]) for share in chunk])
        values += probability(change(torch.from_numpy(masks)[:, None].to(inputs.device))).tolist()
        progress(len(values) / len(shares))
    return Measured(float(np.trapezoid(values, shares)), Curve(tuple(shares), tuple(values)))


def _blurred(inputs: InputTensor, visible: Visible) -> InputTensor:
    """Blur the picture with a wide Gaussian, so that colours stay and objects vanish; padding is left out."""
    known = torch.from_numpy(visible).to(inputs)
    deviation = BLUR * max(inputs.shape[2:])
    rows, columns = (_bell(length, deviation).to(inputs) for length in inputs.shape[2:])
    # At a visible pixel the weights include its own, 1.
    weights = (rows @ known @ columns).clamp(min=1)
    return torch.where(known > 0, rows @ (inputs * known) @ columns / weights, inputs)


def _bell(length: int, deviation: float) -> Tensor:
    """Gaussian weights [length length] between all places along one side."""
    places = torch.arange(length)
    return torch.exp(-0.5 * ((places[:, None] - places) / deviation) ** 2)
