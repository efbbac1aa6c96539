"""The family of sources: each is one function in a file of this folder, marked with `@source`, that gives a Network.

Its first parameter is what follows the colon of a reference. It asks for what else it needs by naming
keyword parameters; a caller's option that it does not name is refused.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import nn

from gradcam_core.records import Preprocessing
from gradcam_core.tasks import Task, TextEncoder

# What load_model's caller may set. `pretrained` is given where it is False, the others where they are not None.
SETTINGS = ("architecture", "pretrained", "num_classes", "in_chans", "weights")
# Besides, a source may ask for the input's Size if the caller chose one, whether the caller names the classes, and
# a Progress to report to.
SERVED = (*SETTINGS, "size", "labels_given", "progress")
Size = tuple[int, int]  # height, width
WEIGHTS = ("plain", "averaged")
LIMITS = {"num_classes": (0, 100_000), "in_chans": (1, 64)}
ASSUMED = (
    "How its pictures are prepared was assumed: 224 x 224, ImageNet's mean and std. "
    "Give size, mean and std as in training if they differ."
)
ASSUMED_AS_HUB = (
    "The file does not say how its pictures were prepared; as {} does for this architecture was assumed. "
    "Give size, mean and std as in training if they differ."
)


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """What every source gives: a network that is ours to keep, not yet prepared for explanations.

    `labels` is None where the source knows no names of classes. `notes` are sentences about how it
    came to be that its user should know; `assumption` is one more, about how its pictures are
    prepared, for a user who did not say so. `task` is what the source or the file says of its outputs, None where
    they say nothing. `text` encodes texts, of a model that compares them with pictures. `closed`
    says why neither layers nor gradients of it can be had.
    """

    module: nn.Module
    architecture: str
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    assumption: str = ""
    task: Task | None = None
    text: TextEncoder | None = None
    closed: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """A recipe for networks of one kind, without weights.

    `build` takes the `options` it names, out of num_classes, in_chans and size (height, width), as
    keywords. `describe` gives, for a built network with that many channels, how pictures are prepared,
    and the Network's notes and assumption. Tensors whose names begin with one of `unused` serve training only:
    a file may hold them, the network goes without. `translate` turns tensors under names of old into those of a
    given network. `split` takes a network of pictures and texts apart. `headless` networks end in features, without
    a classifier.
    """

    name: str
    build: Callable[..., nn.Module]
    options: frozenset[str]
    describe: Callable[[nn.Module, int], tuple[Preprocessing, tuple[str, ...], str]]
    unused: tuple[str, ...] = ()
    translate: Callable[[dict[str, torch.Tensor], nn.Module], Mapping[str, torch.Tensor]] | None = None
    split: Callable[[nn.Module], tuple[nn.Module, TextEncoder]] | None = None
    headless: bool = False


Load = TypeVar("Load", bound=Callable[..., Network])


@dataclass(frozen=True, slots=True)
class Source:
    """One source: `takes` are the keywords that its function names; some also know architectures without weights."""

    name: str
    example: str
    load: Callable[..., Network]
    takes: frozenset[str]
    architecture: Callable[[str], Architecture] | None


def source(
    name: str, *, example: str, architecture: Callable[[str], Architecture] | None = None
) -> Callable[[Load], Load]:
    """Mark a function as the source behind `name:`. Raises TypeError at import where it asks for an unknown keyword.

    `example` is a reference for error messages; `architecture` looks up a recipe for weights of one's own.
    """

    def mark(function: Load) -> Load:
        takes = frozenset(list(inspect.signature(function).parameters)[1:])
        if takes - set(SERVED):
            raise TypeError(f"{function.__name__} asks for {sorted(takes - set(SERVED))}; it may ask for {SERVED}")
        function.source = Source(name, example, function, takes, architecture)  # type: ignore[attr-defined]
        return function

    return mark


@cache
def list_sources() -> Mapping[str, Source]:
    """Every marked function of this folder by the name of its source, in the order of the files' names."""
    package = __name__.rpartition(".")[0]
    paths = import_module(package).__path__
    modules = [import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(paths)]
    functions: list[Any] = [value for module in modules for value in vars(module).values() if callable(value)]
    marked = [function.source for function in functions if isinstance(getattr(function, "source", None), Source)]
    return {source.name: source for source in marked}


def did_you_mean(name: str, known: Iterable[str], scheme: str, otherwise: str) -> str:
    """A remedy for an unknown name: references that are close to it, or else another sentence."""
    close = get_close_matches(name, list(known), n=3)
    return f"Did you mean {' or '.join(f'{scheme}:{other}' for other in close)}?" if close else otherwise


def weight_notes(pretrained: bool, new_head: bool) -> tuple[str, ...]:
    """What the user of a hub's network must know of its weights."""
    if not pretrained:
        return ("The weights are random: scores and heatmaps mean nothing before training.",)
    return ("The classifier is new and random: its scores mean nothing before training.",) if new_head else ()


def assumed_preprocessing(channels: int = 3) -> Preprocessing:
    """Prepare pictures as ImageNet models mostly do, for networks that say nothing about it."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return for_channels(Preprocessing((224, 224), (256, 256), mean, std, "bilinear"), channels)


def for_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Prepare for another number of channels: each gets the average of the mean and of the std."""
    if channels == preprocessing.channels:
        return preprocessing
    mean, std = (sum(values) / len(values) for values in (preprocessing.mean, preprocessing.std))
    return replace(preprocessing, mean=(mean,) * channels, std=(std,) * channels, channels=channels)
