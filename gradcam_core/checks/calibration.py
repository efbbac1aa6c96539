"""Derive thresholds of the checks from a folder of one's own pictures and one's own model.

Each threshold comes from cases in which nothing is to be found, on these very pictures: what the maps of two random
classifiers have in common, what hiding an arbitrary area costs. So no picture needs a label. `least_probability` and
`least_lost` stay as they are: they are conventions, not measurements.

A derived threshold does not promise that only RARE of a hundred ordinary pictures lie beyond it. Ordinary pictures are
not cases without any effect: on 118 photographs held back from a calibration on 50 others, 6 to 54 of a hundred lay
beyond, depending on the check (version 0.3).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from gradcam_core.checks.edges import costliest, edge_regions, without_edges
from gradcam_core.checks.reruns import Rerun, begin_rerun, noisy_maps, randomised_maps, without_hot_areas
from gradcam_core.checks.thresholds import Thresholds, read_thresholds
from gradcam_core.devices import with_enough_memory
from gradcam_core.errors import GradcamError
from gradcam_core.explanation import Method, explain
from gradcam_core.measures.similar import similarities
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import Explanation, Heatmap, ImageRecord, LoadedModel
from gradcam_core.tasks import TASK_WORDS

FEWEST = 20
# Percentile from the rare end of the cases in which nothing is to be found.
RARE = 5
# Random classifiers that are compared with each other.
PAIRED = 16
BOUNDS = {
    "most_like_randomised": (0.4, 0.9),
    "least_lost_more": (0.0, 0.5),
    "least_stability": (0.5, 0.95),
    "most_lost_at_edge": (0.05, 0.5),
    "most_like_other_class": (0.5, 0.9),
}


def derive_thresholds(
    images: Iterable[ImageRecord],
    model: LoadedModel,
    *,
    name: str,
    version: int = 1,
    method: Method = "grad_cam",
    layers: str | Sequence[str] | None = None,
    count: int | None = None,
    on_progress: OnProgress | None = None,
) -> Thresholds:
    """Derive a set of thresholds called `name`, on what this model sees in these pictures.

    One picture at a time is in memory; `count` tells how many are to come, for the progress. Each number is
    taken at the rare end of its cases and kept within BOUNDS: see `_numbers`. Raises GradcamError for fewer
    than FEWEST usable pictures.
    """
    if not model.outputs.has_probabilities:
        raise GradcamError(
            f"Thresholds are derived from probabilities, and this model gives {TASK_WORDS[model.task]}.",
            "Use the project's own thresholds.",
        )
    own, rows, seen = read_thresholds(), [], 0
    of = count or (len(images) if isinstance(images, Sequence) else 1_000)
    for image in images:
        Progress(on_progress, "Measuring")(min(1.0, seen / max(1, of)))
        seen += 1
        explanation = explain(image, model, top_k=1, methods=[method], layers=layers)
        heatmap = explanation.heatmaps[-1]
        if heatmap.state == "ok" and heatmap.target.probability >= _least(heatmap, model, own):
            rows.append(with_enough_memory(model, partial(_numbers_of, explanation, heatmap))[0])
    if len(rows) < FEWEST:
        raise GradcamError(
            f"Only {len(rows)} of {seen} pictures can be used: the others have no clear top answer.",
            f"Give at least {FEWEST} pictures of the kind that this model was made for.",
        )
    derived = {name: _threshold(name, [row[name] for row in rows]) for name in BOUNDS}
    return replace(own, version=version, set=name, numbers={**own.numbers, **derived})


def _least(heatmap: Heatmap, model: LoadedModel, own: Thresholds) -> float:
    """The probability from which on a top answer is clear: of a finding, its own threshold."""
    findings = model.outputs.has_findings
    return model.outputs.threshold(heatmap.target.index) if findings else own.numbers["least_probability"]


def _numbers_of(explanation: Explanation, heatmap: Heatmap, model: LoadedModel) -> dict[str, list[float]]:
    return _numbers(begin_rerun(explanation, heatmap, model))


def _numbers(rerun: Rerun) -> dict[str, list[float]]:
    """One picture's values of cases in which nothing is to be found, by threshold.

    - most_like_randomised: how similar the maps of random classifiers are to each other.
    - least_lost_more: how much more hiding one arbitrary area costs than hiding the others of its size.
    - least_stability: how similar the map and those of its noisy copies are.
    - most_lost_at_edge: what the costliest region costs that does not touch the costliest one. The costliest itself is
      left out, or a folder in which a marker gives the class away would hide that very marker.
    - most_like_other_class: two classes have the same map if it is as similar as those of noisy copies.
    """
    before = rerun.probability
    noisy = float(similarities(rerun.heatmap.raw, noisy_maps(rerun)).mean())
    return {
        "most_like_randomised": _among_each_other(randomised_maps(rerun)[:PAIRED]),
        "least_lost_more": [
            (float(np.mean(area.elsewhere[:place] + area.elsewhere[place + 1 :])) - after) / before
            for area in without_hot_areas(rerun)
            for place, after in enumerate(area.elsewhere)
        ],
        "least_stability": [noisy],
        "most_lost_at_edge": [_lost_elsewhere_at_the_edge(rerun)],
        "most_like_other_class": [noisy],
    }


def _among_each_other(maps: Sequence[np.ndarray]) -> list[float]:
    """The mean similarity of each two of these maps, as one value; none for fewer than two."""
    pairs = [similarities(first, maps[place:]) for place, first in enumerate(maps[:-1], 1)]
    return [float(np.concatenate(pairs).mean())] if pairs else []


def _lost_elsewhere_at_the_edge(rerun: Rerun) -> float:
    before, (after, _) = rerun.probability, without_edges(rerun)
    regions = edge_regions(rerun.heatmap.placement)
    largest = regions[costliest([before - value for value in after])]
    apart = [value for value, region in zip(after, regions, strict=True) if not bool((region & largest).any())]
    return (before - min(apart)) / before if apart else 0.0


def _threshold(name: str, values: Sequence[Sequence[float]]) -> float:
    """A percentile of all pictures' values, within the bounds of this threshold; the project's own without any."""
    flat = [value for row in values for value in row]
    if not flat:
        return read_thresholds().numbers[name]
    rare = RARE if name in ("least_stability", "most_like_other_class") else 100 - RARE
    return float(np.clip(np.percentile(flat, rare), *BOUNDS[name]))
