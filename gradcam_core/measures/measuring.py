"""One heatmap -> every measurement that the given things allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gradcam_core.devices import memory_for
from gradcam_core.measures.given import serve
from gradcam_core.measures.needs import Curve, Measured, NotMeasurable
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import Explanation, Heatmap, LoadedModel
from gradcam_core.registry import Choice, Member, family, run

_FAMILY = family("measurement", "gradcam_core.measures", first=("localisation", "complexity", "faithfulness", "road"))
Options = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number about one heatmap, with its words.

    `value` is None where it could not be measured, and `reason` says why; otherwise `reason` is "".
    `better` is "higher" or "lower", or "" where neither is good or bad by itself. `chance` is what a heatmap of the
    same values that lie anywhere would give, where that is known.
    """

    name: str
    title: str
    value: float | None
    reason: str
    curve: Curve | None
    better: str
    chance: float | None = None


def list_measurements() -> tuple[Member, ...]:
    """Every measure, with its paper, what it needs and its options."""
    return tuple(_FAMILY.members.values())


def measure(
    heatmap: Heatmap,
    *,
    truth: Any = None,
    explanation: Explanation | None = None,
    model: LoadedModel | None = None,
    names: Sequence[str] | None = None,
    options: Options | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Measurement, ...]:
    """Measure a heatmap in every way that the given things allow, or only in those of these `names`.

    `truth` is the reference region, booleans [H W] on the picture's own pixels. With the `explanation`
    that the heatmap belongs to and its `model`, the picture is changed and shown to the model again.
    `options` are {measure: {option: value}}. A signed heatmap is measured on its positive part. A
    Measurement without a value says why. Raises a GradcamError for an unknown name or option, and for a
    region, explanation or model that does not fit the heatmap.
    """
    wanted = [names] if isinstance(names, str) else list(_FAMILY.members) if names is None else list(names)
    options = options or {}
    for name in options:
        _FAMILY.find(name)
    choices = [_FAMILY.choose(name, options.get(name, {})) for name in dict.fromkeys(wanted)]
    served = serve(heatmap, truth, explanation, model)
    if names is None:
        choices = [choice for choice in choices if set(choice.member.needs) <= set(served)]
    measurements = []
    for place, choice in enumerate(choices):
        progress = Progress(on_progress).part(place, len(choices), choice.member.title)
        measurements.append(_measured(choice, heatmap, served, progress))
        progress(1.0)
    return tuple(measurements)


def _measured(choice: Choice, heatmap: Heatmap, served: Mapping[str, Any], progress: Progress) -> Measurement:
    """Take one measurement, or say why there is none."""
    member = choice.member
    try:
        _check_measurable(heatmap, member, served)
        device = served["inputs"].device.type if "inputs" in member.needs else "cpu"
        # The caller may use mixed precision or record gradients; measures need full precision and no gradients.
        with memory_for(member.title), torch.no_grad(), torch.autocast(device, enabled=False):
            measured: Measured = run(choice, served, progress)
    except NotMeasurable as refusal:
        return Measurement(member.name, member.title, None, str(refusal), None, member.better)
    return Measurement(member.name, member.title, measured.value, "", measured.curve, member.better, measured.chance)


def _check_measurable(heatmap: Heatmap, member: Member, served: Mapping[str, Any]) -> None:
    """Raise NotMeasurable for a heatmap without evidence on the picture, and where something is missing."""
    if heatmap.raw_peak <= 0:
        raise NotMeasurable("The heatmap has no positive evidence for the target, so there is nothing to measure.")
    if heatmap.state != "ok":
        raise NotMeasurable(f"This heatmap has {heatmap.state}, so there is nothing to measure.")
    missing = set(member.needs) - set(served)
    if missing:
        region = "truth" in missing
        raise NotMeasurable(f"This needs {'a reference region' if region else 'the explanation and its model'}.")
