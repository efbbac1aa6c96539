"""What every source hands over: a plain network with what is known about it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from gradcam_core.records import Preprocessing

RANDOM_WEIGHTS = "The weights are random: scores and heatmaps mean nothing before training."
NEW_HEAD = "The classifier is new and random: its scores mean nothing before training."
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A network that is ours to keep, not yet prepared for explanations.

    `labels` is None where the source knows no names of classes. `notes` are sentences about how it
    came to be that its user should know; `assumption` is one more, about how its pictures are
    prepared, for a user who did not say so. `multi_label` says whether a picture can have several of its
    classes, None where the source does not know.
    """

    module: nn.Module
    architecture: str
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    assumption: str = ""
    multi_label: bool | None = None


def assumed_preprocessing(channels: int = 3) -> Preprocessing:
    """Prepare pictures as ImageNet models mostly do, for networks that say nothing about it."""
    size = (224, 224)
    return for_channels(Preprocessing(size, (256, 256), IMAGENET_MEAN, IMAGENET_STD, "bilinear"), channels)


def for_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Prepare for another number of channels: each gets the average of the mean and of the std."""
    if channels == preprocessing.channels:
        return preprocessing
    mean, std = (sum(values) / len(values) for values in (preprocessing.mean, preprocessing.std))
    return replace(preprocessing, mean=(mean,) * channels, std=(std,) * channels, channels=channels)


def channel_notes(channels: int) -> tuple[str, ...]:
    """Say so where a network takes neither grey nor colour pictures."""
    if channels in (1, 3):
        return ()
    return (f"This network takes {channels} channels; a picture has one (grey) or three (colour).",)


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """A recipe for networks of one kind, without weights.

    `build` takes the `options` it names, out of num_classes, in_chans and size (height, width), as
    keywords. `describe` gives how pictures are prepared for a built network with that many
    channels, and what its user should know. `assumption` becomes that of the Network. Tensors whose names
    begin with one of `unused` serve training only: a file may hold them, the network goes without.
    """

    name: str
    build: Callable[..., nn.Module]
    options: frozenset[str]
    describe: Callable[[nn.Module, int], tuple[Preprocessing, tuple[str, ...]]]
    assumption: str = ""
    unused: tuple[str, ...] = ()
