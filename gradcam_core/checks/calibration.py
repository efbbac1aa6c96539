"""Derive the lines of the checks from a folder of somebody's own pictures and their own model.

Each line comes from a case in which nothing is to be found, on the very same pictures: what two classifiers drawn at
random have in common, what hiding an arbitrary area costs. So no picture needs a label. The line of `support` stays
where it is: it is a convention, and no measurement.
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from gradcam_core.checks import reruns
from gradcam_core.checks.thresholds import Thresholds, read_thresholds
from gradcam_core.errors import GradcamError
from gradcam_core.explanation import Method, explain
from gradcam_core.measures.similar import similarity
from gradcam_core.records import ImageRecord, LoadedModel, Progress

FEWEST = 20
# Of a hundred pictures, five may lie beyond a line although nothing is wrong with them.
RARE = 5
BOUNDS = {
    "most_like_redrawn": (0.4, 0.9),
    "least_lost": (0.05, 0.5),
    "least_stability": (0.5, 0.95),
    "most_lost_at_edge": (0.05, 0.5),
    "most_like_other_class": (0.5, 0.9),
}


def derive_thresholds(
    images: Sequence[ImageRecord],
    model: LoadedModel,
    *,
    name: str,
    version: int = 1,
    method: Method = "grad_cam",
    layers: str | Sequence[str] | None = None,
    on_progress: Progress | None = None,
) -> Thresholds:
    """Derive a set of thresholds called `name`, on what this model sees in these pictures.

    - most_like_redrawn: how alike the maps of two classifiers drawn at random are.
    - least_stability: how alike a map and those of its noisy copies are.
    - least_lost: by how much hiding one arbitrary area costs more than hiding others of its size.
    - most_lost_at_edge: what the second costliest of the eight edge regions costs. Not the costliest, or a folder in
      which a marker gives the class away would teach the check to keep silent about it.
    - most_like_other_class: two classes' maps are one if they are as alike as those of noisy copies.
    Each at the rare end, and kept within bounds. Raises GradcamError for fewer than FEWEST usable pictures.
    """
    rows = []
    for place, image in enumerate(images):
        if on_progress is not None:
            on_progress(place / len(images), "Measuring", ())
        heatmap = (found := explain(image, model, top_k=1, methods=[method], layers=layers)).heatmaps[-1]
        if heatmap.state == "ok" and heatmap.target.probability >= read_thresholds().least_probability:
            rows.append(_numbers(reruns.begin_trial(found, heatmap, model)))
    if len(rows) < FEWEST:
        raise GradcamError(
            f"Only {len(rows)} of {len(images)} pictures can be used: the others have no clear first answer.",
            f"Give at least {FEWEST} pictures of the kind that this model was made for.",
        )
    own = read_thresholds()
    return Thresholds(
        version,
        name,
        own.least_probability,
        _line("most_like_redrawn", (row["redrawn"] for row in rows), 100 - RARE, own.most_like_redrawn),
        _line("least_lost", (row["patches"] for row in rows), 100 - RARE, own.least_lost),
        _line("least_stability", (row["noisy"] for row in rows), RARE, own.least_stability),
        _line("most_lost_at_edge", (row["edges"] for row in rows), 100 - RARE, own.most_lost_at_edge),
        _line("most_like_other_class", (row["noisy"] for row in rows), RARE, own.most_like_other_class),
    )


def _numbers(case: reruns.Trial) -> dict[str, list[float]]:
    raw, before = case.heatmap.raw, case.probability
    drawn = reruns.redrawn_maps(case) or []
    others = reruns.without_hot_area(case)[1][1:]
    lost = sorted((before - after) / before for after in reruns.without_edges(case)[0])
    pairs = [similarity(one, other) for one, other in itertools.combinations(drawn, 2)]
    return {
        "redrawn": [float(np.mean(pairs))] if pairs else [],  # means over draws and copies, as the checks take them
        "patches": [(float(np.mean(others)) - one) / before for one in others],
        "noisy": [float(np.mean([similarity(raw, one) for one in reruns.noisy_maps(case)]))],
        "edges": [lost[-2]],
    }


def _line(name: str, values: Iterable[Sequence[float]], percentile: float, otherwise: float) -> float:
    """A percentile of all pictures' values, within the bounds of this line."""
    found = [value for some in values for value in some]
    return float(np.clip(np.percentile(found, percentile), *BOUNDS[name])) if found else otherwise
