"""Does the model need the highlighted area?"""

import numpy as np

from gradcam_core.checks.needs import Finding, Outcome, check, check_evidence, check_probability, percent
from gradcam_core.checks.reruns import Rerun, without_hot_area
from gradcam_core.records import Heatmap


@check("Does the model need the highlighted area?")
def matters(heatmap: Heatmap, rerun: Rerun, probability: float, least_lost: float, least_lost_more: float) -> Finding:
    """Hide the hottest area, and as much elsewhere: the first should cost more of the probability."""
    check_evidence(heatmap)
    check_probability(probability, rerun.label)
    share, (hot, *others), filled = without_hot_area(rerun)
    elsewhere = float(np.mean(others))
    lost, more = (probability - hot) / probability, (elsewhere - hot) / probability
    words = (
        f"Hiding the hottest {percent(share, 0)} of the picture takes the probability from {percent(probability)} to "
        f"{percent(hot)}; hiding as much elsewhere, to {percent(elsewhere)} on average."
    )
    outcome, meaning = _judged(lost, more, least_lost, least_lost_more)
    numbers = {"hidden": share, "before": probability, "after": hot, "after_elsewhere": elsewhere, "lost": lost}
    return Finding(outcome, f"{words}{meaning}", numbers, filled[0].float().cpu().numpy(), "the hottest area hidden")


def _judged(lost: float, more: float, least_lost: float, least_lost_more: float) -> tuple[Outcome, str]:
    """The outcome, and what a failure means; `lost` and `more` are shares of the class's probability."""
    if lost < least_lost:
        return "attention", " No single area carries this answer: look for colour, texture or a frame."
    if more < least_lost_more:
        return "attention", " Other areas of that size cost about as much: this one does not stand out."
    return "passed", ""
