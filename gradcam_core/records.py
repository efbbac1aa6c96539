"""The nouns: frozen values that pass from step to step. Read this first.

Shape letters are explained in shapes.py. Records compare by identity (eq=False), since they hold
arrays; what tells two of them apart is their sha256 or fingerprint.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from gradcam_core.placement import Placement
from gradcam_core.shapes import Head, Heat, InputArray, Map, Pixels


@dataclass(frozen=True, slots=True, eq=False)
class ImageRecord:
    """One decoded picture, upright, as it is shown and as the model gets it.

    `pixels` is float32 in 0..1. `bits` is 8 where `pixels * 255` are whole numbers, so that the
    model's own 8-bit resampling can be followed exactly; otherwise 16 or 32. `stored_range` holds
    the stored values shown as black and white. `sha256` is that of the file's bytes. `notes` are
    sentences about what was done to the picture on the way (laid on white, turned upright, ...).
    `seconds` is how long decoding took.
    """

    pixels: Pixels
    sha256: str
    name: str
    format: str
    bits: int = 8
    stored_range: tuple[float, float] = (0.0, 255.0)
    frame: int = 0
    frames: int = 1
    window: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes the model's input.

    `size` is the input (height, width). With fit "model" the picture is resized so that its
    shorter side is `resize` and the centre of `size` is cut out (`crop_mode` "center"), or as
    timm's "squash" and "border" modes do. "crop" cuts the largest centred part of the input's
    shape, "squash" stretches the whole picture, "letterbox" keeps its shape and pads with the mean.
    `crop_pct` is the share of `resize` that `size` is, where the model's own config states one; it
    tells `resize` at another size.
    """

    size: tuple[int, int]
    resize: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    fit: str = "model"
    crop_mode: str = "center"
    channels: int = 3
    crop_pct: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The values that JSON shows and that `load_model(..., preprocessing=)` takes back."""
        return {
            "size": list(self.size),
            "resize": list(self.resize),
            "mean": list(self.mean),
            "std": list(self.std),
            "interpolation": self.interpolation,
            "fit": self.fit,
            "crop_mode": self.crop_mode,
            "channels": self.channels,
            "crop_pct": self.crop_pct,
        }


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A layer whose output can be explained.

    `grid` is the map's (height, width) at the model's own input size. `layout` is "NCHW", "NHWC"
    or "tokens"; `prefix_tokens` counts class and register tokens before the patches.
    `pooling` tells how the classifier reads the layer: "mean" or "mean of relu" where its input is
    just that of this map, "convolution" or "convolution, relu" for a 1x1-convolution head, else "".
    """

    name: str
    kind: str
    channels: int
    grid: tuple[int, int]
    layout: str = "NCHW"
    prefix_tokens: int = 0
    pooling: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A private copy of a network that runs faster, and whose maps equal the network's own at `layers`.

    `weights` are the network's own tensors, each with its place in memory and its version when the copy
    was made: once one of them was changed, the copy is out of date and not used.
    """

    network: nn.Module
    layers: frozenset[str]
    weights: tuple[tuple[torch.Tensor, int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A network that is ready to be explained: frozen, in evaluation mode, with its taps installed.

    `fingerprint` is the sha256 of the weights with their names and shapes. `layers` come in the
    order in which the network computes them; `default_layer` is a name among them. `head` is the
    classifier's weight [classes C] where it has one linear step, `head_name` that step's name. `activations`
    are the kinds of nonlinear steps that were met, such as "gelu". `folded` is a private, faster copy.
    `outputs` is what the network gives per class: "scores", of which one class is right; "independent
    scores", where several can be; or "probabilities" and "independent probabilities", in 0..1 already.
    `notes` are sentences about how it was loaded that its user should know.
    """

    module: nn.Module
    reference: str
    architecture: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    fingerprint: str
    device: torch.device
    layers: tuple[LayerInfo, ...]
    default_layer: str
    head: torch.Tensor | None
    refused_layers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    activations: tuple[str, ...] = ()
    folded: Folded | None = None
    head_name: str = ""
    outputs: str = "scores"


@runtime_checkable
class Target(Protocol):
    """What to explain: one score per picture out of the model's outputs [N classes]."""

    @property
    def index(self) -> int:
        """The class that it is about."""

    @property
    def label(self) -> str:
        """Its name for people."""

    @property
    def probability(self) -> float:
        """What the model gives it, 0..1; NaN where that means nothing."""

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Scores [N] out of the model's outputs [N classes]."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class with the probability that the model gives it (see targets.probabilities)."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What one forward and one batched backward pass leave for the methods, at one layer.

    `activations` [N C h w], `gradients` [K N C h w] of the K target scores, `scores` [K N].
    `head` [K C] holds the classifier's weights of the targets where it reads this layer directly.
    What only some methods need is there where it was asked for: `guided` [K N Cin Hin Win], the
    gradients by the input through guided ReLUs; `forward`, which scores [K B] any inputs
    [B Cin Hin Win]; and `tail`, which scores [K B] any maps [B C h w] at the layer.
    """

    layer: LayerInfo
    activations: torch.Tensor
    gradients: torch.Tensor | None
    scores: torch.Tensor
    head: Head | None
    inputs: torch.Tensor | None = None
    guided: torch.Tensor | None = None
    forward: Callable[[torch.Tensor], torch.Tensor] | None = None
    tail: Callable[[torch.Tensor], torch.Tensor] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """One map of one target, by one method, at one layer.

    `raw` is before the final ReLU and before any scaling. `layer` is "" where the map is one of the
    model's input. `state` is "ok", or "no positive evidence" where nothing in the map speaks for the
    target: `values` is 0 then and must be shown as words, never stretched. A `signed` method's map
    speaks in both directions, and is shown so: it lacks evidence only where it is 0 everywhere.
    """

    method: str
    options: Mapping[str, Any]
    target: Target
    layer: str
    raw: Map
    placement: Placement
    fusion: str = ""
    signed: bool = False

    @property
    def raw_peak(self) -> float:
        """The largest raw value: what 1.0 in `values` stands for, where it is positive."""
        return float(self.raw.max())

    @property
    def raw_size(self) -> float:
        """The largest raw value of either sign: what 1.0 and -1.0 in `signed_values` stand for."""
        return float(np.abs(self.raw).max())

    @property
    def state(self) -> str:
        """Whether there is anything to show: "ok", "no positive evidence", or of a signed map "no evidence"."""
        if self.signed:
            return "ok" if self.raw_size > 0 else "no evidence"
        return "ok" if self.raw_peak > 0 else "no positive evidence"

    @property
    def values(self) -> Heat:
        """The heatmap on the picture's own pixels, 0..1; NaN where the model did not look.

        Made anew at each access, since fifteen of them on a large picture would fill the memory.
        """
        positive = np.maximum(self.raw, 0)
        return self.placement.restore(positive / self.raw_peak if self.raw_peak > 0 else positive)

    @property
    def signed_values(self) -> Heat:
        """The same with both signs, -1..1; made anew at each access."""
        return self.placement.restore(self.raw / self.raw_size if self.raw_size > 0 else self.raw)


class Progress(Protocol):
    """Whoever wants to hear how far an analysis is. What it raises cancels the analysis."""

    def __call__(self, share: float, words: str, drafts: tuple[Heatmap, ...]) -> None:
        """Take the share 0..1 that is done, what is being done, and the heatmaps of it so far."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Everything that one analysis found, with what is needed to do it again.

    `heatmaps` come with methods outermost, then targets, then layers (fused last). `seconds` tells
    what each step took. `notes` are sentences its reader should know.
    """

    image: ImageRecord
    reference: str
    architecture: str
    fingerprint: str
    device: str
    preprocessing: Preprocessing
    placement: Placement
    predictions: tuple[Prediction, ...]
    heatmaps: tuple[Heatmap, ...]
    model_input: InputArray
    seconds: Mapping[str, float]
    versions: Mapping[str, str]
    created: str
    notes: tuple[str, ...] = ()
