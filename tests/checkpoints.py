"""A small network, and checkpoints of it."""

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcam_core.sources import load_model

NAMES = ("daisy", "rose", "tulip", "daisy", "Löwenzahn")
Tensors = Mapping[str, torch.Tensor]


class SmallNet(nn.Module):
    """Three layers under the usual names; takes any number of classes and channels."""

    def __init__(self, num_classes: int = 10, in_chans: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(in_chans, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Conv2d(4, 6, 3, padding=1)
        self.fc = nn.Linear(6, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(self.stem(x)).relu().mean((2, 3)))


def small(classes: int = 5, channels: int = 3) -> SmallNet:
    """A SmallNet whose statistics and counters have moved, as after training."""
    net = SmallNet(classes, channels)
    net(torch.rand(4, channels, 16, 16))
    return net.eval()


def load(path: Path, architecture: Any = SmallNet, **options: Any) -> Any:
    options = {"device": "cpu", "preprocessing": {"size": 32}, **options}
    return load_model(f"file:{path}", architecture=architecture, **options)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def same_outputs(first: nn.Module, second: nn.Module, channels: int = 3, size: int = 64) -> bool:
    x = torch.rand(2, channels, size, size)
    with torch.no_grad():
        return torch.allclose(first.eval()(x), second.eval()(x), atol=1e-5)


def weights(classes: int = 5) -> dict[str, torch.Tensor]:
    return dict(SmallNet(classes).state_dict())


def rezip(source: Path, target: Path, change: Callable[[str, bytes], bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, change(entry.filename, old.read(entry)))
