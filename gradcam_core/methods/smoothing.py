"""Options of every method: the average map over noisy and mirrored copies of the input.

After Smilkov et al. 2017 (SmoothGrad, https://arxiv.org/abs/1706.03825): a map that changes with
invisible noise says little. The signed maps are averaged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch

from gradcam_core.registry import Range

SEED = 0


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How many noisy copies, how strong the noise, and whether each copy is also mirrored."""

    copies: Annotated[int, Range(0, 100, "Average over so many noisy copies of the input; 0: the input itself")] = 0
    noise: Annotated[float, Range(0.001, 1.0, "Standard deviation of the noise, as a share of the input's range")] = 0.1
    flip: bool = False

    def __bool__(self) -> bool:
        return self.copies > 0 or self.flip

    @property
    def passes(self) -> int:
        """How many inputs the method is run on."""
        return max(self.copies, 1) * (2 if self.flip else 1)


def smoothed(inputs: torch.Tensor, smoothing: Smoothing, batch: int) -> Iterator[tuple[torch.Tensor, bool]]:
    """Give the copies [B Cin Hin Win] of one input [1 ...], at most `batch` at a time, and whether they are mirrored.

    The noise is the same at every call, on every device.
    """
    generator = torch.Generator().manual_seed(SEED)
    spread = smoothing.noise * float(inputs.max() - inputs.min())
    for first in range(0, max(smoothing.copies, 1), batch):
        count = min(batch, max(smoothing.copies, 1) - first)
        noise = torch.randn(count, *inputs.shape[1:], generator=generator).to(inputs.device)
        copies = inputs + spread * noise if smoothing.copies else inputs
        yield copies, False
        if smoothing.flip:
            yield copies.flip(-1), True


def average(parts: Iterator[tuple[torch.Tensor, bool]]) -> torch.Tensor:
    """Average maps [K N h w] of copies over all N, mirrored ones turned back: [K 1 h w]."""
    total, count = torch.zeros(()), 0
    for maps, mirrored in parts:
        total = total.to(maps.device) + (maps.flip(-1) if mirrored else maps).sum(1, keepdim=True)
        count += maps.shape[1]
    return total / count
