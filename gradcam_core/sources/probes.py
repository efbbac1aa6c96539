"""Run a network when it is loaded: on noise, and on an input with a picture's range of values."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from gradcam_core.capture import Call, Probe, is_bounded, naming_activations, probe, within_0_and_1
from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import DeviceError, ModelError
from gradcam_core.records import Outputs, Preprocessing

# What running somebody's network may raise.
UNFIT = (RuntimeError, ValueError, TypeError, AssertionError, IndexError, AttributeError, NotImplementedError)
# Strengths of the noise: a bounded step such as ReLU6 looks like a ReLU until the values are large.
WEAK, MEDIUM, STRONG = 1.0, 3.0, 10.0
OUTPUT_NOTES: Mapping[Outputs, str] = MappingProxyType(
    {
        "scores": "",
        "independent scores": "This model answers each class independently (several can be present): each class's "
        "probability is the sigmoid of its own score.",
        "probabilities": "This network's outputs are already probabilities (0 to 1, 1 in total). They are shown as "
        "they are, and heatmaps explain them instead of the scores before them.",
        "independent probabilities": "This network's outputs are already probabilities (0 to 1, each class "
        "independently). They are shown as they are, and heatmaps explain them instead of the scores before them.",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Passes on noise of three strengths, and on an input with a picture's range of values.

    The medium and the strong pass have averages of the modules that may be the head, or be read by it.
    `activations` are the kinds of nonlinear steps that ran.
    """

    weak: Probe
    medium: Probe
    strong: Probe
    picture: Probe
    activations: tuple[str, ...]

    @property
    def all(self) -> tuple[Probe, ...]:
        """The four passes."""
        return self.weak, self.medium, self.strong, self.picture


def run_probes(module: nn.Module, preprocessing: Preprocessing, device: torch.device) -> Probes:
    """Run the network four times. Raises ModelError where it does not run or its outputs are not finite."""

    def run(inputs: torch.Tensor, watched: Container[str] = ()) -> Probe:
        try:
            return probe(module, inputs, watched)
        except UNFIT as error:
            raise _failed(error, preprocessing) from error

    weak = run(noise(preprocessing, device, WEAK))
    watched = _worth_watching(weak.calls, weak.outputs.shape[1])
    medium, strong = (run(noise(preprocessing, device, strength), watched) for strength in (MEDIUM, STRONG))
    if not all(noisy.outputs.isfinite().all() for noisy in (weak, medium, strong)):
        raise ModelError(
            "The network's scores are not finite numbers.",
            "Check its weights for NaN or infinity, and save them again.",
        )
    inputs = _picture_values(preprocessing, device)
    with naming_activations() as kinds:
        picture = run(inputs)
    return Probes(weak, medium, strong, picture, tuple(sorted(kinds)))


def _failed(error: Exception, preprocessing: Preprocessing) -> DeviceError | ModelError:
    """Say in words why a network does not run."""
    if isinstance(error, RuntimeError) and is_out_of_memory(error):
        return DeviceError("The memory is too small for this model.", "Use a smaller one, or device='cpu'.")
    height, width = preprocessing.size
    channels = "1 channel" if preprocessing.channels == 1 else f"{preprocessing.channels} channels"
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return ModelError(
        f"The network does not run on one picture of {width} x {height} with {channels}: {reason}.",
        "Check the input size and number of channels, and that it takes one tensor [N C H W].",
    )


def noise(preprocessing: Preprocessing, device: torch.device, strength: float) -> torch.Tensor:
    """Noise [1 C H W], since different steps could look alike on a constant picture."""
    generator = torch.Generator().manual_seed(round(strength))
    return strength * torch.randn(1, preprocessing.channels, *preprocessing.size, generator=generator).to(device)


def _picture_values(preprocessing: Preprocessing, device: torch.device) -> torch.Tensor:
    """A grainy ramp from black to white [1 C H W], normalised as pictures are.

    Where mean and std are far from 0 and 1, noise alone may leave every ReLU closed.
    """
    height, width = preprocessing.size
    generator = torch.Generator().manual_seed(0)
    ramp = (torch.linspace(0, 1, height)[:, None] + torch.linspace(0, 1, width)) / 2
    grain = torch.rand(preprocessing.channels, height, width, generator=generator) - 0.5
    mean, std = (torch.tensor(values)[:, None, None] for values in (preprocessing.mean, preprocessing.std))
    return (((ramp + grain).clamp(0, 1) - mean) / std)[None].to(device)


def kind_of_outputs(module: nn.Module, probes: Probes, preprocessing: Preprocessing, multi_label: bool) -> Outputs:
    """Tell probabilities from scores by their values; `multi_label` where classes are known to be independent."""
    scores: Outputs = "independent scores" if multi_label else "scores"
    outputs = torch.cat([probe.outputs for probe in probes.all])
    if not within_0_and_1(outputs):
        return scores
    if outputs.shape[1] > 1 and bool(((outputs.sum(dim=1) - 1).abs() < 1e-4).all()):
        return "probabilities"
    try:
        bounded = is_bounded(module, probes.medium.calls, noise(preprocessing, outputs.device, MEDIUM))
    except UNFIT:  # the network refuses large values
        return scores
    return "independent probabilities" if bounded else scores


def _worth_watching(calls: Mapping[str, Call], classes: int) -> frozenset[str]:
    """Steps that could be the head, and modules as wide as what such a step reads."""
    heads = {name: call.module.weight for name, call in calls.items() if isinstance(call.module, nn.Linear | nn.Conv2d)}
    heads = {name: weight for name, weight in heads.items() if weight.shape[0] == classes}
    widths = {weight.shape[1] for weight in heads.values()}
    wide = {name for name, call in calls.items() if widths & set(getattr(call.output, "shape", ())[1:])}
    return frozenset(wide | heads.keys())
