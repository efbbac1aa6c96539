"""What the checks say of small networks with a known flaw: python -m demonstration.flaws [PICTURES] [FLAW ...].

Task: which of four digits lies on a 64-pixel crop of a photograph. In training a mark of the class's own colour (or
kind) is planted; in the test it agrees with the digit. Needs scikit-learn and scikit-image. About two minutes each.
"""

import sys
from collections.abc import Callable, Mapping

import cv2
import numpy as np
import skimage.data
import torch
from sklearn.datasets import load_digits, load_sample_images
from torch import nn
from torch.nn import functional

from gradcam_core import LoadedModel, explain, list_checks, load_model, trust
from gradcam_core.records import ImageRecord

SIDE, DIGITS, TRAINING, EPOCHS, BATCH, RATE = 64, (0, 1, 4, 7), 5000, 14, 50, 6e-3
COLOURS = np.array([[230, 40, 40], [40, 200, 60], [50, 80, 240], [240, 220, 40]], float)
Draw = Callable[[np.random.Generator, np.ndarray, int, bool], np.ndarray]


def _patch(top: int, left: int, height: int = 8, width: int = 8) -> Draw:
    def draw(random: np.random.Generator, image: np.ndarray, label: int, training: bool) -> np.ndarray:
        image[top : top + height, left : left + width] = COLOURS[label]
        return image

    return draw


def _two_corners(random: np.random.Generator, image: np.ndarray, label: int, training: bool) -> np.ndarray:
    """In training one of the corners or both, so that either suffices; in the test both."""
    which = random.integers(3) if training else 2
    for place, start in enumerate((1, 55)):
        if which in (place, 2):
            image[start : start + 8, start : start + 8] = COLOURS[label]
    return image


def _anywhere(random: np.random.Generator, image: np.ndarray, label: int, training: bool) -> np.ndarray:
    top, left = random.integers(2, 54, 2)
    image[top : top + 8, left : left + 8] = COLOURS[label]
    return image


def _frame(random: np.random.Generator, image: np.ndarray, label: int, training: bool) -> np.ndarray:
    image[:3] = image[-3:] = image[:, :3] = image[:, -3:] = COLOURS[label]
    return image


def _grating(random: np.random.Generator, image: np.ndarray, label: int, training: bool) -> np.ndarray:
    return image + 14 * np.sin(2 * np.pi * np.arange(SIDE) * (4 + 4 * label) / SIDE)[None, :, None]


FLAWS: Mapping[str, Draw] = {
    "none": lambda random, image, label, training: image,
    "corner": _patch(1, 1),
    "two corners": _two_corners,
    "corner and border": _patch(57, 46, 6, 12),
    "frame": _frame,
    "tint": lambda random, image, label, training: 0.8 * image + 0.2 * COLOURS[label],
    "grating": _grating,
    "noise": lambda random, image, label, training: image + random.normal(0, 4 + 10 * label, image.shape),
    "shuffled labels": lambda random, image, label, training: image,
    "random weights": lambda random, image, label, training: image,
    "centre": _patch(28, 28),
    "anywhere": _anywhere,
}


def photographs() -> list[np.ndarray]:
    """Photographs for the backgrounds."""
    own = (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket())
    return [*own, *load_sample_images().images]


def drawn(flaw: str, count: int, seed: int, training: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pictures [N 64 64 3] in 8 bits, and class indices [N]; other digits are drawn for training than for the test."""
    random, backgrounds, digits = np.random.default_rng(seed), photographs(), load_digits()
    wanted = np.isin(digits.target, DIGITS)
    shapes, classes = digits.images[wanted] / 16, np.searchsorted(DIGITS, digits.target[wanted])
    images, labels = [], random.integers(0, len(DIGITS), count)
    for label in labels:
        of_class = np.flatnonzero(classes == label)
        half = int(0.75 * len(of_class))
        shape = shapes[random.choice(of_class[:half] if training else of_class[half:])]
        image = _with_digit(random, backgrounds[random.integers(len(backgrounds))], shape)
        images.append(FLAWS[flaw](random, image, int(label), training).clip(0, 255).astype(np.uint8))
    if flaw == "shuffled labels" and training:
        labels = random.permutation(labels)
    return np.stack(images), labels


def _with_digit(random: np.random.Generator, photograph: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Lay a digit, enlarged, on a crop of a photograph."""
    crop = int(random.integers(SIDE, min(160, *photograph.shape[:2])))
    top, left = (int(random.integers(length - crop + 1)) for length in photograph.shape[:2])
    part = photograph[top : top + crop, left : left + crop]
    image = 0.6 * cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(float)
    side = int(random.integers(20, 28))
    digit = cv2.resize(shape, (side, side)).clip(0, 1)[..., None]
    top, left = (int(random.integers(14, SIDE - side - 2)) for _ in range(2))
    image[top : top + side, left : left + side] *= 1 - digit
    image[top : top + side, left : left + side] += 255 * digit
    return image


def trained(flaw: str) -> LoadedModel:
    """Train a small network on pictures with this flaw."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 24), (24, 48), (48, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, len(DIGITS)))
    if flaw != "random weights":
        _train(network, *drawn(flaw, TRAINING, 1, training=True))
    preprocessing = {"size": SIDE, "mean": 0.5, "std": 0.5, "fit": "squash"}
    return load_model(network.eval(), labels=list(map(str, DIGITS)), preprocessing=preprocessing, device="cpu")


def _train(network: nn.Module, images: np.ndarray, classes: np.ndarray) -> None:
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    labels = torch.from_numpy(classes)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.02)
    steps = EPOCHS * (TRAINING // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps + 1)
    for _ in range(EPOCHS):
        for batch in torch.randperm(TRAINING).split(BATCH):
            loss = functional.cross_entropy(network(inputs[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def attention(model: LoadedModel, flaw: str, count: int) -> np.ndarray:
    """Which checks ask for attention on each test picture, booleans [N checks]."""
    rows = []
    for pixels in drawn(flaw, count, 77, training=False)[0]:
        image = ImageRecord(pixels.astype(np.float32) / np.float32(255), "0" * 64, "", "PNG")
        explanation = explain(image, model, top_k=1, methods="grad_cam")
        checks = trust(explanation, explanation.heatmaps[0], model).checks
        rows.append([check.outcome == "attention" for check in checks])
    return np.array(rows)


if __name__ == "__main__":
    torch.set_num_threads(1)
    pictures = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    names = [check.name for check in list_checks()]
    print("| planted | " + " | ".join(names) + " | all pass |\n|---|" + "---|" * (len(names) + 1), flush=True)
    for planted in sys.argv[2:] or FLAWS:
        rows = attention(trained(planted), planted, pictures)
        shares = [*rows.mean(0), (~rows.any(1)).mean()]
        print(f"| {planted} | " + " | ".join(f"{100 * share:.0f} %" for share in shares) + " |", flush=True)
