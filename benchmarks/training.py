"""What heatmaps cost a training: 8 pictures each epoch of 2,000."""

import itertools
import tempfile
import time
from collections.abc import Iterator

import cv2
import torch
from torch import nn

from benchmarks import subjects
from benchmarks.measure import Row, at_most
from gradcam_core.training import TrainingHeatmaps

PICTURES, BATCH, SIDE, EPOCHS, WATCHED = 2000, 50, 64, 3, 8


def training_heatmaps(rounds: int) -> Iterator[Row]:
    """A small network (four convolutions, 64 x 64) that trains on one core: what the heatmaps of 8 pictures add."""
    torch.manual_seed(0)
    network = _network()
    optimiser = torch.optim.Adam(network.parameters())
    images, classes = torch.rand(PICTURES, 3, SIDE, SIDE), torch.randint(3, (PICTURES,))
    small = cv2.resize(subjects.photograph().pixels, (SIDE, SIDE))
    picture = type(subjects.photograph())(small, "0" * 64, "", "PNG", bits=32)
    settings = {"labels": ["a", "b", "c"], "preprocessing": {"size": (SIDE, SIDE), "fit": "squash"}}
    with tempfile.TemporaryDirectory() as out:
        heatmaps = TrainingHeatmaps([picture] * WATCHED, truths=[0] * WATCHED, out=out, **settings)
        heatmaps(network, 0)  # the first call copies the network and measures it
        epochs, calls = _trained(network, optimiser, images, classes, heatmaps)
    yield Row("An epoch of 2,000 pictures", f"{min(epochs):.1f} s")
    yield Row("The heatmaps of 8 pictures, with the film strip", f"{1000 * min(calls):.0f} ms")
    yield at_most("What they add to an epoch", 100 * min(calls) / min(epochs), 2.0, "%")


def _trained(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: torch.Tensor,
    classes: torch.Tensor,
    heatmaps: TrainingHeatmaps,
) -> tuple[list[float], list[float]]:
    """Seconds of each epoch, and of each call."""
    epochs, calls = [], []
    for epoch in range(1, EPOCHS + 1):
        begin = time.process_time()
        for place in torch.randperm(PICTURES).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[place]), classes[place]).backward()
            optimiser.step()
        middle = time.process_time()
        heatmaps(network, epoch)
        epochs.append(middle - begin)
        calls.append(time.process_time() - middle)
    return epochs, calls


def _network() -> nn.Module:
    widths = (3, 16, 32, 64, 64)
    steps: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        steps += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*steps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 3))
