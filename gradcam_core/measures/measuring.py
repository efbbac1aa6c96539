"""One heatmap -> every measurement that the given things allow."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import DeviceError
from gradcam_core.measures.given import serve
from gradcam_core.measures.readings import Measurement, NotMeasurable, Reading
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import Explanation, Heatmap, LoadedModel
from gradcam_core.registry import Choice, Member, family, run

_FAMILY = family("measurement", "gradcam_core.measures", first=("localisation", "complexity", "faithfulness", "road"))
Options = Mapping[str, Mapping[str, Any]]


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
        reason = _without_evidence(heatmap) or _lacking(choice.member, served)
        measurements.append(_refused(choice.member, reason) if reason else _taken(choice, served, progress))
        progress(1.0)
    return tuple(measurements)


def _without_evidence(heatmap: Heatmap) -> str:
    """Why a heatmap without evidence on the picture has no numbers; "" where it has some."""
    if heatmap.raw_peak <= 0:
        return "The heatmap has no positive evidence for the target, so there is nothing to measure."
    return "" if heatmap.state == "ok" else f"This heatmap has {heatmap.state}, so there is nothing to measure."


def _lacking(member: Member, served: Mapping[str, Any]) -> str:
    """What a measure needs and was not given, in words; "" where it has everything."""
    missing = set(member.needs) - set(served)
    if "truth" in missing:
        return "This needs a reference region."
    return "This needs the explanation and its model." if missing else ""


def _taken(choice: Choice, served: Mapping[str, Any], progress: Progress) -> Measurement:
    """Take one measurement, or say why there is none."""
    member = choice.member
    device = served["inputs"].device.type if "inputs" in member.needs else "cpu"
    try:
        # The caller may use mixed precision or record gradients; measures need full precision and no gradients.
        with torch.no_grad(), torch.autocast(device, enabled=False):
            reading: Reading = run(choice, served, progress)
    except NotMeasurable as refusal:
        return _refused(member, str(refusal))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(f"There is too little memory for {member.title} here.", "Use a smaller input.") from error
    return Measurement(member.name, member.title, reading.value, "", reading.curve, member.better)


def _refused(member: Member, reason: str) -> Measurement:
    return Measurement(member.name, member.title, None, reason, None, member.better)
