"""Can this heatmap be trusted? Six checks of one heatmap, in words, with the numbers behind them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from torch import Tensor

from gradcam_core.checks import reruns, sentences
from gradcam_core.checks.reruns import Trial
from gradcam_core.checks.sentences import QUESTIONS, Check, untested
from gradcam_core.checks.thresholds import Thresholds, read_thresholds
from gradcam_core.measures.similar import similarity
from gradcam_core.records import Explanation, Heatmap, LoadedModel, Progress
from gradcam_core.shapes import InputArray

# Below this probability, what hiding a part takes away is not worth telling.
NOTHING_TO_LOSE = 0.001
NOT_THE_DIAGNOSIS = "These checks test the map, not the diagnosis. A map can pass all of them while the model is wrong."


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """What the checks of one heatmap found. `cell` is height and width of a map cell in picture pixels."""

    heatmap: Heatmap
    checks: tuple[Check, ...]
    cell: tuple[float, float]
    thresholds: Thresholds

    @property
    def outcome(self) -> str:
        """How many checks passed, need attention and were not made: never one number for all of it."""
        passed, attention, missing = (
            sum(one.outcome == name for one in self.checks) for name in ("passed", "attention", "not tested")
        )
        words = [f"{passed} of {len(self.checks)} checks passed"]
        words += [f"{attention} need{'s' if attention == 1 else ''} your attention"] if attention else []
        words += [f"{missing} not tested"] if missing else []
        return f"{'; '.join(words)}."

    @property
    def always(self) -> tuple[str, str]:
        """What holds for every heatmap, whatever the checks say."""
        height, width = self.cell
        cell = f"One cell of this map covers {width:.0f} × {height:.0f} px of the picture"
        return f"{cell}. Smaller details are interpolated.", NOT_THE_DIAGNOSIS


def trust(
    explanation: Explanation,
    heatmap: Heatmap,
    model: LoadedModel,
    *,
    thresholds: Thresholds | None = None,
    on_progress: Progress | None = None,
) -> Trust:
    """Run the six checks on one of an explanation's heatmaps, with the model that it was made with.

    `on_progress` hears how far they are; what it raises cancels them. Raises ModelError where the model is another.
    """
    limits = thresholds or read_thresholds()
    case = reruns.begin_trial(explanation, heatmap, model)
    made = []
    for place, (name, check) in enumerate(_CHECKS.items()):

        def alive(place: int = place, name: str = name) -> None:
            if on_progress is not None:
                on_progress(place / len(_CHECKS), QUESTIONS[name], ())

        alive()
        reason = _why_untested(name, case)
        made.append(untested(name, reason) if reason else check(replace(case, alive=alive), limits))
    if on_progress is not None:
        on_progress(1.0, "Done", ())
    grid = (heatmap.raw.shape[0], heatmap.raw.shape[1])
    return Trust(heatmap, tuple(made), heatmap.placement.cell_size(grid), limits)


def _why_untested(name: str, case: Trial) -> str:
    """Why a check cannot be made of this heatmap, in words; "" where it can."""
    if case.heatmap.state != "ok" and name not in ("support", "edges"):
        return "The map is empty: there is nothing to test."
    if case.probability < NOTHING_TO_LOSE and name in ("matters", "edges"):
        return f"The model gives {case.heatmap.target.label} next to nothing, so hiding a part can take nothing away."
    return ""


def _support(case: Trial, limits: Thresholds) -> Check:
    heatmap, labels = case.heatmap, case.found.model.labels
    if heatmap.state != "ok":
        return sentences.nothing_there(heatmap.target.label, case.probability)
    first = labels[int(case.chances.argmax())]
    return sentences.support(heatmap.target.label, case.probability, heatmap.raw_peak, first, limits)


def _learned(case: Trial, limits: Thresholds) -> Check:
    drawn = reruns.redrawn_maps(case)
    if drawn is None:
        return untested("learned", "This network has no single linear classifier whose weights could be drawn anew.")
    return sentences.learned([similarity(case.heatmap.raw, one) for one in drawn], limits)


def _matters(case: Trial, limits: Thresholds) -> Check:
    share, (without, *others), filled = reruns.without_hot_area(case)
    return replace(sentences.matters(share, case.probability, without, others, limits), shown=_array(filled[0]))


def _stable(case: Trial, limits: Thresholds) -> Check:
    return sentences.stable([similarity(case.heatmap.raw, one) for one in reruns.noisy_maps(case)], limits)


def _edges(case: Trial, limits: Thresholds) -> Check:
    chances, filled = reruns.without_edges(case)
    return replace(sentences.edges(case.probability, chances, limits), shown=_array(filled[int(np.argmin(chances))]))


def _array(filled: Tensor) -> InputArray:
    return np.ascontiguousarray(filled.float().cpu().numpy())


def _class_specific(case: Trial, limits: Thresholds) -> Check:
    found = reruns.next_class_map(case)
    if found is None:
        return untested("class", "This model has one class only.")
    other, its = found
    raw = case.heatmap.raw
    same = bool(np.allclose(its, raw, rtol=1e-3, atol=1e-4 * case.heatmap.raw_size))
    return sentences.class_specific(other.label, other.probability, similarity(raw, its), same, limits)


_CHECKS: Mapping[str, Callable[[Trial, Thresholds], Check]] = MappingProxyType(
    {
        "support": _support,
        "learned": _learned,
        "matters": _matters,
        "stable": _stable,
        "edges": _edges,
        "class": _class_specific,
    }
)
