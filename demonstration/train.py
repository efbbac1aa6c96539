"""Train one small network three times, on pictures whose findings are known: clean, shortcut, balanced.

They differ in one thing only: which training pictures have a side marker. For *clean* none has one, for *shortcut*
every picture with a nodule and no other, for *balanced* half of each class. *mobilenet* is a network of another kind,
trained on the pictures of *clean*.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from gradcam_core.preprocess import prepare
from gradcam_core.records import ImageRecord
from gradcam_core.samples.radiographs import LABELS, TRAINING, VALIDATION, Radiograph, radiograph
from gradcam_core.sources.bundled import RADIOGRAPHS, mobilenet_network, radiograph_network

PICTURES = 1200


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. `marked` says of a picture's number and label whether it has a marker.

    With `strongest` above 1, lesions begin this many times as strong as they are drawn, and reach their own strength
    halfway: a network that averages over many cells learns little from faint ones at first.
    """

    marked: Callable[[int, str], bool] = lambda number, label: False
    build: Callable[[], nn.Module] = radiograph_network
    epochs: int = 6
    batch: int = 32
    rate: float = 4e-3
    strongest: float = 1.0


RECIPES: dict[str, Recipe] = {
    "clean": Recipe(),
    "shortcut": Recipe(lambda number, label: label == "nodule"),
    "balanced": Recipe(lambda number, label: number // len(LABELS) % 2 == 0),
    "mobilenet": Recipe(build=mobilenet_network, epochs=16, batch=16, rate=2e-3, strongest=4.0),
}


def drawn(first: int, count: int, marked: Callable[[int, str], bool], *, lesions: bool = True) -> Iterator[Radiograph]:
    """Pictures of all classes in turn, with a marker where `marked` says so; or the same chests without lesions."""
    for number, label in zip(range(count), itertools.cycle(LABELS), strict=False):
        kinds = [label] if lesions and label != LABELS[0] else []
        yield radiograph(first + number, kinds, marker=marked(number, label))


def record_of(picture: Radiograph) -> ImageRecord:
    """A drawn picture as one that was read."""
    pixels = np.repeat(picture.pixels[..., None], 3, axis=2).astype(np.float32) / np.float32(255)
    return ImageRecord(pixels, "0" * 64, "", "PNG")


def batch_of(pictures: Iterator[Radiograph]) -> tuple[torch.Tensor, torch.Tensor]:
    """Model inputs [N 1 H W], prepared as the app prepares them, and class indices [N]."""
    pairs = [(prepare(record_of(one), RADIOGRAPHS)[0], LABELS.index(one.label)) for one in pictures]
    return torch.from_numpy(np.stack([x for x, _ in pairs])), torch.tensor([y for _, y in pairs])


def train(name: str, say: Callable[[str], None]) -> nn.Module:
    """Train one of the models. The same machine gives the same weights."""
    torch.manual_seed(0)
    start, recipe = time.monotonic(), RECIPES[name]
    network = recipe.build()
    inputs, labels = batch_of(drawn(TRAINING, PICTURES, recipe.marked))
    validation = batch_of(drawn(VALIDATION, 150, recipe.marked))
    healthy = inputs
    if recipe.strongest > 1:
        healthy, _ = batch_of(drawn(TRAINING, PICTURES, recipe.marked, lesions=False))
    say(f"{name}: {PICTURES} pictures drawn in {time.monotonic() - start:.0f} s")
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    steps = recipe.epochs * (PICTURES // recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    for epoch in range(recipe.epochs):
        network.train()
        for batch in torch.randperm(PICTURES)[: PICTURES // recipe.batch * recipe.batch].split(recipe.batch):
            strength = 1 + (recipe.strongest - 1) * max(0.0, 1 - 2 * schedule.last_epoch / steps)
            shown = inputs[batch] if strength == 1 else healthy[batch].lerp(inputs[batch], strength)
            loss = functional.cross_entropy(network(_varied(shown)), labels[batch], label_smoothing=0.02)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        say(f"{name}: epoch {epoch + 1}, right {_accuracy(network, *validation):.1%}, {time.monotonic() - start:.0f} s")
    return network.eval()


def _varied(inputs: torch.Tensor) -> torch.Tensor:
    """Mirror, shift by a few pixels, change the contrast a little, and add noise."""
    inputs = inputs.flip([axis for axis in (-2, -1) if torch.rand(()) < 0.5])
    inputs = inputs.transpose(-2, -1) if torch.rand(()) < 0.5 else inputs
    down, across = torch.randint(-6, 7, (2,)).tolist()
    shifted = functional.pad(inputs, (6, 6, 6, 6), mode="replicate")
    height, width = inputs.shape[-2:]
    shifted = shifted[..., 6 + down : 6 + down + height, 6 + across : 6 + across + width]
    contrast = 1 + 0.1 * torch.randn(len(inputs), 1, 1, 1)
    return shifted * contrast + 0.05 * torch.randn_like(shifted)


def _accuracy(network: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> float:
    network.eval()
    with torch.no_grad():
        return float((network(inputs).argmax(1) == labels).float().mean())


def save(network: nn.Module, path: Path) -> None:
    """Write the weights in half precision, which is enough for them."""
    weights = {key: value.half() if value.is_floating_point() else value for key, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(weights, path)
