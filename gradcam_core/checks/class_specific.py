"""Is the heatmap about its own class?"""

from types import MappingProxyType

import numpy as np

from gradcam_core.checks.needs import Finding, NotTestable, check, check_evidence
from gradcam_core.checks.reruns import Rerun, other_class_maps
from gradcam_core.measures.similar import similarities
from gradcam_core.records import Heatmap
from gradcam_core.tasks import amount_of
from gradcam_core.text import signed

# What a heatmap is about, one and several, where it is not a class.
NOUNS = MappingProxyType(
    {
        "detection": ("object", "objects"),
        "segmentation": ("region", "regions"),
        "embedding": ("feature", "features"),
        "regression": ("output", "outputs"),
    }
)


@check("Is it about this class?")
def class_specific(heatmap: Heatmap, rerun: Rerun, most_like_other_class: float) -> Finding:
    """Compute the maps of other classes, from the next most probable to the least: they should differ.

    Of an object or a region, those of the picture's other ones. The next class alone may be a sister class, such as
    another breed of cat, which may well share the map.
    """
    check_evidence(heatmap)
    others, maps = other_class_maps(rerun)
    if not others:
        raise NotTestable(_why_no_other(rerun))
    alike = similarities(heatmap.raw, maps)
    mean = float(alike.mean())
    numbers = {"similarity": mean, "next_class": float(alike[0])}
    noun, nouns = NOUNS.get(rerun.outputs.task, ("class", "classes"))
    if all(_same(heatmap, raw) for raw in maps):
        words = f"Every {noun} gets this very map: by construction, the method does not depend on the {noun}."
        return Finding("attention", words, numbers)
    if len(others) == 1:
        subject, look, differ, average = f"The map of the other {noun}", "looks", "differs", ""
    else:
        subject, look, differ, average = f"The maps of {len(others)} other {nouns}", "look", "differ", " on average"
    words = f"similarity {signed(mean)}{average}, where 1 is the same map"
    if mean > most_like_other_class:
        same = f"{subject} {look} the same ({words}): this one says little about its {noun}."
        return Finding("attention", same, numbers)
    sister = ""
    if alike[0] > most_like_other_class:
        next_class = f"{others[0].label} ({amount_of(others[0])})"
        similar = f"has a similar map ({signed(float(alike[0]))}), as related {nouns} often do."
        sister = f" The next {noun}, {next_class}, {similar}"
    return Finding("passed", f"{subject} {differ} ({words}).{sister}", numbers)


def _same(heatmap: Heatmap, raw: np.ndarray) -> bool:
    return heatmap.raw.shape == raw.shape and np.allclose(raw, heatmap.raw, rtol=1e-3, atol=1e-4 * heatmap.raw_size)


def _why_no_other(rerun: Rerun) -> str:
    if rerun.outputs.has_places:
        noun, _ = NOUNS[rerun.outputs.task]
        return f"The model sees no other {noun} in this picture, so there is no other map to compare with."
    if len(rerun.labels) == 1:
        return "This model has one output only, so there is no other map to compare with."
    if rerun.against:
        return "This map compares two classes, and the model has no third one to compare with."
    return "This target is not one class of the model, so there is no other class to compare it with."
