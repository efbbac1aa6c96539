"""Methods that change the input or the layer and compare the scores. They return signed maps [K 1 h w].

One picture at a time (N = 1); all classes share the same passes.
"""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch.nn import functional

from gradcam_core.devices import pictures_at_once
from gradcam_core.errors import MethodError
from gradcam_core.methods.needs import Rescore, method
from gradcam_core.progress import Progress
from gradcam_core.registry import Range
from gradcam_core.shapes import Activations, InputTensor, Maps, Scores

# Channels that are taken at a time through a network's tail, and how large they may be together.
TAIL_BATCH, TAIL_BYTES = 32, 16 << 20


@method("Score-CAM", paper="Wang et al. 2020", url="https://arxiv.org/abs/1910.01279")
def score_cam(
    activations: Activations,
    inputs: InputTensor,
    forward: Rescore,
    progress: Progress,
    *,
    share: Annotated[
        float, Range(0.01, 1, "Below 1 a draft: only so many of the channels, the most varied first")
    ] = 1.0,
) -> Maps:
    """Weight each channel by the class's score when the picture is seen through that channel alone.

    alpha = softmax over the channels of f(X * H_k), H_k the channel brought to the input's size and to
    0..1 (their Algorithm 1; its baseline f(X_b) is the same for all channels and cancels). Channels
    that are 0 everywhere add nothing to the map: they count in the softmax and are not run. The
    others come in order of falling deviation, so that drafts settle early.
    """
    layer = activations[0]
    alive = layer.flatten(1).any(dim=1)
    order = layer.flatten(1).std(dim=1, correction=0).argsort(descending=True, stable=True)
    order = order[alive[order]]
    # A channel without contrast hides the whole picture. One pass covers all such channels.
    exponents = torch.where(alive, -torch.inf, forward(torch.zeros_like(inputs)))
    for done, chunk in _chunks(order[: max(1, round(share * len(order)))], pictures_at_once(inputs.device)):
        exponents[:, chunk] = forward(inputs * _masks(layer[chunk], inputs.shape[-2:]))
        progress(done, _weighted(exponents.softmax(dim=1), layer) if done < 1 else None)
    return _weighted(exponents.softmax(dim=1), layer)


def _masks(channels: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Channels [B h w] at the input's size, each from 0 to 1 [B 1 H' W']; 0 where one is the same everywhere."""
    large = functional.interpolate(channels[:, None], size=tuple(size), mode="bilinear", align_corners=False)
    low, high = large.amin(dim=(2, 3), keepdim=True), large.amax(dim=(2, 3), keepdim=True)
    return torch.where(high > low, (large - low) / (high - low), 0)


def _weighted(weights: torch.Tensor, layer: torch.Tensor) -> Maps:
    """Sum a layer's channels [C h w] with weights [K C]."""
    return torch.einsum("kc,chw->khw", weights, layer)[:, None]


@method("Ablation-CAM", paper="Desai & Ramaswamy 2020", url="https://doi.org/10.1109/WACV45572.2020.9093360")
def ablation_cam(activations: Activations, scores: Scores, tail: Rescore, progress: Progress) -> Maps:
    """Weight each channel by how much of the class's score is lost when the channel is set to 0.

    w_k = (y - y_k) / |y|. The paper divides by y itself, which inverts the evidence where y is negative.
    Channels that are 0 lose nothing and are not run.
    """
    layer = activations[0]
    batch = max(2, min(TAIL_BATCH, TAIL_BYTES // (layer.numel() * layer.element_size())))
    without = scores.expand(-1, len(layer)).clone()
    for done, chunk in _chunks(layer.flatten(1).any(dim=1).nonzero().flatten(), batch):
        ablated = layer.expand(len(chunk), *layer.shape).clone()
        ablated[torch.arange(len(chunk)), chunk] = 0
        without[:, chunk] = tail(ablated)
        progress(done)
    return _weighted(torch.where(scores != 0, (scores - without) / scores.abs(), 0), layer)


@method("Occlusion", paper="Zeiler & Fergus 2014", url="https://arxiv.org/abs/1311.2901")
def occlusion(
    inputs: InputTensor,
    scores: Scores,
    forward: Rescore,
    progress: Progress,
    *,
    patch: Annotated[int, Range(2, 1024, "Side of the grey square, in pixels of the model's input")] = 32,
    stride: Annotated[int, Range(1, 1024, "Step between two places of the square, in the same pixels")] = 16,
) -> Maps:
    """Cover a square with the mean colour, place by place: by how much does the score fall?

    The map has a cell for each stride; a cell's value is the mean fall over the squares that cover its
    middle. With a stride equal to the patch that is the paper's map, one square per cell. Raises
    MethodError for a stride larger than the patch, which would leave parts that are never covered.
    """
    height, width = inputs.shape[-2:]
    patch, stride = min(patch, height, width), min(stride, height, width)
    if stride > patch:
        gaps = f"With squares of {patch} pixels every {stride} pixels, parts of the picture would never be covered."
        raise MethodError(gaps, f"Choose a stride of at most {patch}.")
    places = [(top, left) for top in _places(height, patch, stride) for left in _places(width, patch, stride)]
    falls = []
    for done, chunk in _chunks(torch.arange(len(places)), pictures_at_once(inputs.device)):
        covered = inputs.repeat(len(chunk), 1, 1, 1)
        for one, place in zip(covered, chunk.tolist(), strict=True):
            top, left = places[place]
            one[:, top : top + patch, left : left + patch] = 0  # 0 is the mean once the input is normalised
        falls.append(scores - forward(covered))
        progress(done)
    return _mean_over_squares(torch.cat(falls, dim=1), places, patch, stride, (height, width))[:, None]


def _places(length: int, patch: int, stride: int) -> list[int]:
    """Where squares begin: every stride, and one more flush with the far edge."""
    return sorted({*range(0, length - patch + 1, stride), length - patch})


def _mean_over_squares(
    falls: torch.Tensor, places: list[tuple[int, int]], patch: int, stride: int, size: tuple[int, int]
) -> torch.Tensor:
    """Falls [K P] of P squares -> map [K h w], the mean over the squares that hold each cell's middle."""
    rows, columns = (max(1, -(-length // stride)) for length in size)
    middle_y = (torch.arange(rows, device=falls.device) + 0.5) * size[0] / rows
    middle_x = (torch.arange(columns, device=falls.device) + 0.5) * size[1] / columns
    top, left = torch.tensor(places, device=falls.device).T[:, :, None]
    in_rows = ((middle_y >= top) & (middle_y <= top + patch)).to(falls.dtype)
    in_columns = ((middle_x >= left) & (middle_x <= left + patch)).to(falls.dtype)
    count = torch.einsum("ph,pw->hw", in_rows, in_columns)
    total = torch.einsum("kp,ph,pw->khw", falls, in_rows, in_columns)
    return torch.where(count > 0, total / count, 0)


@method("RISE", paper="Petsiuk et al. 2018", url="https://arxiv.org/abs/1806.07421")
def rise(
    inputs: InputTensor,
    forward: Rescore,
    progress: Progress,
    *,
    masks: Annotated[int, Range(50, 20000, "Random masks; more give a calmer map")] = 1000,
    cells: Annotated[int, Range(2, 32, "Cells along each side of a mask")] = 7,
    keep: Annotated[float, Range(0.05, 0.95, "Share of the cells that stay visible")] = 0.5,
    seed: Annotated[int, Range(0, 2**31 - 1, "Another seed, other masks")] = 0,
) -> Maps:
    """Show the network many randomly masked pictures: which parts are visible when the score is high?

    S = 1 / (E[M] N) * sum of f(I * M_i) M_i (their eq. 6), less the mean score, which in the paper's sum
    raises every position equally. Masks are made on a coarse grid, enlarged and shifted at random.
    """
    size = inputs.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    shown = torch.zeros((), device=inputs.device)
    weighted, scored = shown, shown
    for done, chunk in _chunks(torch.arange(masks), pictures_at_once(inputs.device)):
        mask = _random_masks(len(chunk), cells, keep, (size[0], size[1]), generator).to(inputs)
        scores = forward(inputs * mask[:, None])
        weighted = weighted + torch.einsum("kb,bhw->khw", scores, mask)
        shown, scored = shown + mask.sum(0), scored + scores.sum(1)
        so_far = max(1, round(done * masks))
        maps = (weighted - (scored / so_far)[:, None, None] * shown) / (keep * so_far)
        progress(done, maps[:, None])
    return maps[:, None]


def _random_masks(
    count: int, cells: int, keep: float, size: tuple[int, int], generator: torch.Generator
) -> torch.Tensor:
    """Smooth random masks [B H W] in 0..1: a coarse grid enlarged to a cell more than the input, and cut at random."""
    cell = tuple(-(-length // cells) for length in size)
    coarse = (torch.rand(count, 1, cells + 1, cells + 1, generator=generator) < keep).float()
    large = functional.interpolate(
        coarse, size=((cells + 1) * cell[0], (cells + 1) * cell[1]), mode="bilinear", align_corners=False
    )
    down = torch.randint(0, cell[0], (count,), generator=generator).tolist()
    right = torch.randint(0, cell[1], (count,), generator=generator).tolist()
    return torch.stack([one[0, y : y + size[0], x : x + size[1]] for one, y, x in zip(large, down, right, strict=True)])


def _chunks(indices: torch.Tensor, batch: int) -> Iterator[tuple[float, torch.Tensor]]:
    """Parts of a list of indices, and the share 0..1 that is done with each."""
    for first in range(0, len(indices), batch):
        yield min(1.0, (first + batch) / len(indices)), indices[first : first + batch]
