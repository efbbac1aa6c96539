"""Does the model need the highlighted area?"""

import numpy as np

from gradcam_core.checks.amounts import Amount, testable_amount
from gradcam_core.checks.needs import Finding, NotTestable, Outcome, check, check_evidence
from gradcam_core.checks.reruns import Hidden, Rerun, without_hot_areas
from gradcam_core.records import Heatmap
from gradcam_core.text import percent


@check("Does the model need the highlighted area?")
def matters(heatmap: Heatmap, rerun: Rerun, least_lost: float, least_lost_more: float) -> Finding:
    """Hide the hottest area, small and large, and as much elsewhere: the first should cost more.

    It is the target's own number that falls: a probability, a score, a value in its unit. One of the two sizes is
    enough: a large object survives the loss of a small area, and a large area filled in from its surroundings can look
    like an object itself.
    """
    check_evidence(heatmap)
    amount = testable_amount(rerun)
    areas = without_hot_areas(rerun)
    if not any(area.share for area in areas):
        raise NotTestable("The highlighted area is smaller than a pixel of the model’s input, so it cannot be hidden.")
    judged = [(_judged(amount, area, least_lost, least_lost_more), area) for area in areas]
    (outcome, meaning), area = next((one for one in judged if one[0][0] == "passed"), judged[-1])
    elsewhere = float(np.mean(area.elsewhere))
    words = (
        f"Hiding the hottest {percent(area.share, 0)} of the picture takes {amount.name} from "
        f"{amount.words(amount.before)} to {amount.words(area.after)}; hiding as much elsewhere, to "
        f"{amount.words(elsewhere)} on average.{amount.empty_words}"
    )
    lost = amount.lost(area.after)
    numbers = {"hidden": area.share, "before": amount.before, "after": area.after, "after_elsewhere": elsewhere}
    return Finding(outcome, words + meaning, {**numbers, "lost": lost}, area.shown, "the hottest area hidden")


def _judged(amount: Amount, area: Hidden, least_lost: float, least_lost_more: float) -> tuple[Outcome, str]:
    """The outcome for one size of area, and what a failure means."""
    lost = amount.lost(area.after)
    if lost < least_lost:
        return "attention", " No single area carries this answer: look for colour, texture or a frame."
    if lost - amount.lost(float(np.mean(area.elsewhere))) < least_lost_more:
        return "attention", " Other areas of that size cost about as much: this one does not stand out."
    return "passed", ""
