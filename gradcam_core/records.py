"""The nouns: frozen values that pass from step to step. Read this first.

Shape letters are explained in shapes.py. Records that hold arrays compare by identity (eq=False).
"""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import nn

from gradcam_core.picture import GreyCurve as GreyCurve
from gradcam_core.picture import Greys as Greys
from gradcam_core.picture import ImageRecord as ImageRecord
from gradcam_core.picture import NamedWindow as NamedWindow
from gradcam_core.picture import PictureIdentity
from gradcam_core.placement import Centres, Placement
from gradcam_core.shapes import Head, Heat, InputArray, Map
from gradcam_core.tasks import UNSTATED, Outputs, Task
from gradcam_core.tasks import Origin as TaskOrigin
from gradcam_core.tasks import Prediction as Prediction
from gradcam_core.tasks import Target as Target
from gradcam_core.tasks import TextEncoder as TextEncoder

# Evidence on the picture below this share of the map's peak would not change one of 255 steps of colour.
VISIBLE = 0.5 / 255


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a picture becomes the model's input.

    `size` is the input (height, width). With fit "model" the picture is resized so that its shorter side is `resize`
    and the centre of `size` is cut out (`crop_mode` "center"), or as timm's "squash" and "border" modes do. "crop" cuts
    the largest centred part of the input's shape, "squash" stretches the whole picture, "letterbox" keeps its shape and
    pads with the mean. `crop_pct` is the share of `resize` that `size` is, where the model's own config states one; it
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
            field.name: list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            for field in fields(self)
        }


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """A layer whose output can be explained.

    `grid` is the map's (height, width) at the model's own input size. `layout` is "NCHW", "NHWC", "tokens" [N T C] or
    "tokens first" [T N C], with `prefix_tokens` class and register tokens before the patches. `pooling` says how the
    classifier reads the layer: "mean" or "mean of relu" of exactly this map, "convolution" or "convolution, relu" for a
    1x1-convolution head. `attention` names the module, if any, in which it is a step of attention; `blocked` says why
    no gradient comes back.
    """

    name: str
    kind: str
    channels: int
    grid: tuple[int, int]
    layout: str = "NCHW"
    prefix_tokens: int = 0
    pooling: str = ""
    attention: str = ""
    blocked: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """A private copy of a network that runs faster, and whose maps equal the network's own at `layers`.

    `weights` are the network's own tensors, each with its address in memory and its version at the time of
    copying. The copy is no longer used once one of them has changed.
    """

    network: nn.Module
    layers: frozenset[str]
    weights: tuple[tuple[torch.Tensor, int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A network that is ready to be explained: frozen, in evaluation mode, with its taps installed.

    `fingerprint` is the sha256 of the weights with their names and shapes. `layers` come in the
    order in which the network computes them; `default_layer` is a name among them. `head` is the
    classifier's weight [classes C] where it has one linear step, `head_name` that step's name. `refused_layers`
    gives the reason for each layer that cannot be explained. `activations` are the kinds of nonlinear steps
    that ran, such as "gelu". `folded` is a private, faster copy. `outputs` says what the network's numbers
    mean: see tasks.py. `attention` names the blocks of a plain vision transformer, in which every token attends to
    every token. `pyramid` names the layers that are explained together where none is named, if any. `text` encodes
    texts, of a model that compares them with pictures. `notes` are sentences that its user should know. `centres`
    remembers what was measured of a layer, by its name and the input's size (see capture/centres.py): the only part
    that fills while the model is used.
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
    outputs: Outputs = UNSTATED
    attention: tuple[str, ...] = ()
    pyramid: tuple[str, ...] = ()
    text: TextEncoder | None = None
    centres: MutableMapping[tuple[str, tuple[int, int]], Centres] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What the network answers: one class of several, independent findings, a number, ..."""
        return self.outputs.task

    @property
    def task_origin(self) -> TaskOrigin:
        """Whether the task was "read" off the model, "given", or "assumed"."""
        return self.outputs.origin


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Activations and gradients of one forward and one batched backward pass, at one layer.

    `activations` [N C h w], `gradients` [K N C h w] of the K target scores, `scores` [K N].
    `head` [K C] holds the classifier's weights of the targets where it reads this layer directly.
    The rest is present only where a method needs it: `guided` [K N Cin Hin Win], the gradients by the input through
    guided ReLUs; and `passes`, functions by name that run the network again (see methods/needs.py).
    """

    layer: LayerInfo
    activations: torch.Tensor
    gradients: torch.Tensor | None
    scores: torch.Tensor
    head: Head | None
    inputs: torch.Tensor | None = None
    guided: torch.Tensor | None = None
    passes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a heatmap was computed from: a picture, model and preprocessing."""

    picture: PictureIdentity
    fingerprint: str
    preprocessing: Preprocessing


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """One map of one target, by one method, at one layer.

    `raw` is before the final ReLU and before any scaling. `layer` is "" where the map is one of the model's input. A
    `signed` method's map has evidence for and against the target. `origin` tells which explanation it belongs to.
    """

    method: str
    options: Mapping[str, Any]
    target: Target
    layer: str
    raw: Map
    placement: Placement
    fusion: str = ""
    signed: bool = False
    origin: Origin | None = None

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
        """Whether there is anything to show.

        "ok", or in words: "no positive evidence" ("no evidence" of a signed map) where it is 0 everywhere;
        "evidence in the padding only" where nothing of it lies on the picture.
        """
        evidence = np.abs(self.raw) if self.signed else np.maximum(self.raw, 0)
        largest = evidence.max()
        if not largest > 0:
            return "no evidence" if self.signed else "no positive evidence"
        if self.placement.padded and self.placement.largest_on_picture(evidence) < VISIBLE * largest:
            return "evidence in the padding only"
        return "ok"

    @property
    def values(self) -> Heat:
        """The heatmap on the picture's own pixels, 0..1; NaN where the model did not look.

        Computed at each access: fifteen of them on a large picture would fill the memory.
        """
        positive = np.maximum(self.raw, 0)
        return self.placement.restore(positive / self.raw_peak if self.raw_peak > 0 else positive)

    @property
    def signed_values(self) -> Heat:
        """The same with both signs, -1..1; computed at each access."""
        return self.placement.restore(self.raw / self.raw_size if self.raw_size > 0 else self.raw)


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The result of one analysis, with what is needed to repeat it.

    `outputs` says what the model's numbers mean. `predictions` are () for an embedding. `heatmaps` are ordered by
    method, then target, then layer (fused last). `seconds` is the time of each step. `notes` are sentences that the
    reader should know; `unsuited` are those that say that model and picture do not match.
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
    outputs: Outputs = UNSTATED
    notes: tuple[str, ...] = ()
    unsuited: tuple[str, ...] = ()

    @property
    def origin(self) -> Origin:
        """What its heatmaps were computed from."""
        return Origin(self.image.identity, self.fingerprint, self.preprocessing)
