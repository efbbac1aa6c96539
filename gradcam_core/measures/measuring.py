"""One heatmap -> every measurement that what was given allows."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import DeviceError, GradcamError
from gradcam_core.measures import complexity, faithfulness, localisation, road
from gradcam_core.measures.given import serve
from gradcam_core.measures.needs import Report
from gradcam_core.measures.readings import Measurement, NotMeasurable, Reading
from gradcam_core.records import Explanation, Heatmap, LoadedModel, Progress
from gradcam_core.registry import Member, collect, nearest, wrong_value

_FAMILY = collect(localisation, complexity, faithfulness, road)
Options = Mapping[str, Mapping[str, Any]]


def list_measurements() -> tuple[Member, ...]:
    """Every measurement, with its paper, what it needs and its options."""
    return tuple(_FAMILY.values())


def measure(
    heatmap: Heatmap,
    *,
    truth: Any = None,
    explanation: Explanation | None = None,
    model: LoadedModel | None = None,
    names: Sequence[str] | None = None,
    options: Options | None = None,
    on_progress: Progress | None = None,
) -> tuple[Measurement, ...]:
    """Measure a heatmap in every way that what is given allows, or only in those of these `names`.

    `truth` is a region that somebody marked, booleans [H W] on the picture's own pixels. With the
    `explanation` that the heatmap comes from and its `model` the picture is changed and shown to the
    model again. `options` are {measurement: {option: value}}. A signed heatmap is measured on its
    positive part. Where there is no honest number a Measurement says why; what lacks its truth or
    model is left out, or says so if it was asked for by name. What `on_progress` raises cancels it.
    Raises a GradcamError for an unknown name or option and for a truth, explanation or model that does
    not fit the heatmap.
    """
    options = options or {}
    entries = _chosen(names, options)
    served = serve(heatmap, truth, explanation, model)
    if names is None:
        entries = [entry for entry in entries if set(entry.needs) <= set(served)]
    without = _without_evidence(heatmap)
    found = []
    for place, entry in enumerate(entries):
        lacking = without or _lacking(entry, served)
        report = _reporting(on_progress, place, len(entries), entry.title)
        found.append(_refused(entry, lacking) if lacking else _taken(entry, served, options, report))
        report(1.0)
    return tuple(found)


def _chosen(names: Sequence[str] | None, options: Options) -> list[Member]:
    """Look measurements up, and check every option. Raises GradcamError for what does not exist or cannot be."""
    wanted = [names] if isinstance(names, str) else list(_FAMILY) if names is None else list(names)
    for name in (*wanted, *options):
        if name not in _FAMILY:
            raise GradcamError(f"There is no measurement '{name}'.", nearest(str(name), _FAMILY))
    for name, values in options.items():
        entry = _FAMILY[name]
        for option, value in values.items():
            if option not in entry.options:
                known = f"It takes {', '.join(entry.options) or 'none'}."
                raise GradcamError(f"{entry.title} has no option '{option}'.", known)
            remedy = wrong_value(entry, option, value)
            if remedy:
                raise GradcamError(f"The option {option} of {entry.title} cannot be {value!r}.", remedy)
    return [_FAMILY[name] for name in dict.fromkeys(wanted)]


def _without_evidence(heatmap: Heatmap) -> str:
    """Why a heatmap without positive evidence has no numbers; "" where it has some."""
    if heatmap.raw_peak > 0:
        return ""
    return "Nothing in this heatmap speaks for the target, so there is nothing to measure."


def _lacking(entry: Member, served: Mapping[str, Any]) -> str:
    """What a measurement needs and was not given, in words; "" where it has all."""
    missing = set(entry.needs) - set(served)
    if "truth" in missing:
        return "This needs the region that the heatmap should show."
    return "This needs the explanation and its model." if missing else ""


def _taken(entry: Member, served: Mapping[str, Any], options: Options, report: Report) -> Measurement:
    """Take one measurement, or say why there is none."""
    given = {need: served[need] for need in entry.needs}
    reporting = {"report": report} if entry.reports else {}
    device = served["inputs"].device.type if "inputs" in given else "cpu"
    try:
        # Whoever calls may be in mixed precision or recording gradients; this needs full precision and none.
        with torch.no_grad(), torch.autocast(device, enabled=False):
            reading: Reading = entry.function(**given, **reporting, **options.get(entry.name, {}))
    except NotMeasurable as refusal:
        return _refused(entry, str(refusal))
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(f"The memory is too small for {entry.title} here.", "Use a smaller input.") from error
    return Measurement(entry.name, entry.title, reading.value, "", reading.curve, _better(entry))


def _refused(entry: Member, reason: str) -> Measurement:
    return Measurement(entry.name, entry.title, None, reason, None, _better(entry))


def _better(entry: Member) -> str:
    better: str = entry.function.better  # type: ignore[attr-defined]
    return better


def _reporting(on_progress: Progress | None, place: int, count: int, title: str) -> Report:
    """A measurement's own share of what is done -> the share of all."""

    def report(share: float) -> None:
        if on_progress:
            on_progress((place + share) / count, title, ())

    return report
