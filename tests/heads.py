"""Small networks with heads of every kind, as a model in memory or behind `python:tests.heads:NAME`."""

import torch
from torch import nn

from tests import networks

FINDINGS = tuple(f"finding {letter}" for letter in "ABCDEFGHIJKLMN")
SIZE = {"size": 32, "mean": 0.5, "std": 0.5, "fit": "squash"}


class Spread(nn.Module):
    """Scores that differ between pictures and classes, then a last step."""

    def __init__(self, classes: int, end: nn.Module | None = None, shift: float = 0.0) -> None:
        super().__init__()
        self.body, self.end, self.shift = networks.conv_net(classes), end or nn.Identity(), shift
        with torch.no_grad():
            self.body[-1].weight.mul_(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.body(x) + self.shift)


def fourteen() -> nn.Module:
    """Fourteen scores without a last step."""
    return Spread(14)


def fourteen_sigmoids() -> nn.Module:
    """Fourteen probabilities of their own."""
    return Spread(14, nn.Sigmoid())


def one_score() -> nn.Module:
    """One score: a yes or no, or a number."""
    return Spread(1)


def regressor() -> nn.Module:
    """One number around 50."""
    return Spread(1, shift=50.0)


def headless() -> nn.Module:
    """A backbone that ends with the average of its last activations."""
    return nn.Sequential(*list(networks.conv_net())[:-1])


class Broken(Spread):
    """Five scores; the first is not a number on any picture with a bright corner, and does not touch the others."""

    def __init__(self) -> None:
        super().__init__(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = super().forward(x)
        bright = x[:, :, 0, 0].mean(dim=1, keepdim=True) > 0.9
        return torch.cat([torch.where(bright, torch.nan, scores[:, :1]), scores[:, 1:]], dim=1)


class Levels(nn.Module):
    """A backbone that hands on two maps: 16 x 16 and 8 x 8 cells of a picture of 32 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.coarse = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        fine = self.fine(x)
        return {"fine": fine, "coarse": self.coarse(fine)}


class Detector(nn.Module):
    """A tiny detector of three classes: of a box around each cell of both maps, those with the six highest scores."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = Levels()
        self.classification, self.edges = nn.Conv2d(8, 3, 3, 1, 1), nn.Conv2d(8, 4, 3, 1, 1)
        self.classification.num_classes = 4
        with torch.no_grad():
            self.classification.weight.mul_(6)

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        levels = self.backbone(x).values()
        scores = torch.cat([self.classification(level).sigmoid().flatten(2) for level in levels], dim=2)
        boxes = torch.cat([self._boxes(level, x.shape[2]) for level in levels], dim=1)
        return [self._objects(own, around) for own, around in zip(scores, boxes, strict=True)]

    def _boxes(self, level: torch.Tensor, size: int) -> torch.Tensor:
        """Boxes [N cells 4] around the cells' middles."""
        side = level.shape[2]
        rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        middle = (torch.stack([columns, rows, columns, rows], dim=-1).flatten(0, 1) + 0.5) * size / side
        half = torch.tensor([-1.5, -1.5, 1.5, 1.5]) * size / side
        return middle.to(level) + half.to(level) + self.edges(level).flatten(2).transpose(1, 2)

    def _objects(self, scores: torch.Tensor, boxes: torch.Tensor) -> dict[str, torch.Tensor]:
        best, places = scores.flatten().topk(6)
        return {"boxes": boxes[places % len(boxes)], "labels": places // len(boxes) + 1, "scores": best}


class Segmenter(nn.Module):
    """A tiny segmenter of three classes, read off the coarser map of its backbone."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone, self.classifier = Levels(), nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.classifier(self.backbone(x)["coarse"])
        usual = scores.new_tensor([0.01, -0.1, -0.26])[:, None, None]  # without it, one class would cover everything
        return {"out": nn.functional.interpolate(scores - usual, size=x.shape[2:], mode="bilinear")}


def detector() -> nn.Module:
    """Objects of three classes."""
    return Detector()


def segmenter() -> nn.Module:
    """A class for each pixel."""
    return Segmenter()


class Blobs(nn.Module):
    """A detector of two classes: an object in each quarter of the picture, as sure as the quarter is bright."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.ReLU())
        self.head = nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        scores = nn.functional.adaptive_avg_pool2d(self.head(self.backbone(x)), 2).flatten(1).sigmoid()
        half = x.shape[-1] / 2
        corners = [(left, top, left + half, top + half) for top in (0.0, half) for left in (0.0, half)]
        boxes, labels = x.new_tensor(corners), torch.tensor([0, 1, 0, 1], device=x.device)
        seen = [score > x.new_tensor(0.001) for score in scores]
        return [
            {"boxes": boxes[kept], "labels": labels[kept], "scores": score[kept]}
            for score, kept in zip(scores, seen, strict=True)
        ]


def blobs() -> nn.Module:
    """The detector, with the same weights each time."""
    torch.manual_seed(0)
    return Blobs()


def blind() -> nn.Module:
    """The detector that is sure of nothing."""
    network = blobs()
    with torch.no_grad():
        network.head.bias.fill_(-20)
    return network


class Painter(nn.Module):
    """A segmenter of three classes, by colour."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.ReLU())
        self.head = nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(self.head(self.backbone(x)), x.shape[-2:], mode="bilinear")


def painter() -> nn.Module:
    """The segmenter, with the same weights each time."""
    torch.manual_seed(1)
    return Painter()
