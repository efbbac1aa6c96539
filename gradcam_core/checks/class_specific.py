"""Is the heatmap about its own class?"""

import numpy as np

from gradcam_core.checks.needs import Finding, NotTestable, check, check_evidence
from gradcam_core.checks.reruns import Rerun, other_class_maps
from gradcam_core.measures.similar import similarities
from gradcam_core.records import Heatmap
from gradcam_core.text import percent


@check("Is it about this class?")
def class_specific(heatmap: Heatmap, rerun: Rerun, most_like_other_class: float) -> Finding:
    """Compute the maps of other classes, from the next most probable to the least: they should differ.

    The next class alone may be a sister class, such as another breed of cat, which may well share the map.
    """
    check_evidence(heatmap)
    others, maps = other_class_maps(rerun)
    if not others:
        raise NotTestable(_why_no_other(rerun))
    alike = similarities(heatmap.raw, maps)
    mean = float(alike.mean())
    numbers = {"similarity": mean, "next_class": float(alike[0])}
    if all(_same(heatmap, raw) for raw in maps):
        words = "Every class gets this very map: by construction, the method does not depend on the class."
        return Finding("attention", words, numbers)
    several = len(others) > 1
    of = f"The maps of {len(others)} other classes" if several else "The map of the other class"
    words = f"similarity {mean:.2f}{' on average' if several else ''}, where 1 is the same map"
    if mean > most_like_other_class:
        alike_words = f"{of} look{'' if several else 's'} the same ({words}): this one says little about its class."
        return Finding("attention", alike_words, numbers)
    next_one = f"{others[0].label} ({percent(others[0].probability)})"
    sister = (
        f" The next class, {next_one}, has a similar map ({alike[0]:.2f}), as related classes often do."
        if alike[0] > most_like_other_class
        else ""
    )
    return Finding("passed", f"{of} differ{'' if several else 's'} ({words}).{sister}", numbers)


def _same(heatmap: Heatmap, raw: np.ndarray) -> bool:
    return heatmap.raw.shape == raw.shape and np.allclose(raw, heatmap.raw, rtol=1e-3, atol=1e-4 * heatmap.raw_size)


def _why_no_other(rerun: Rerun) -> str:
    if len(rerun.labels) == 1:
        return "This model has one class only."
    if rerun.against:
        return "This map compares two classes, and the model has no third one to compare with."
    return "This target is not one class of the model, so there is no other class to compare it with."
