"""Is the evidence strong enough to be read?"""

import math

from gradcam_core.checks.needs import Finding, NotTestable, check
from gradcam_core.checks.reruns import Rerun
from gradcam_core.records import Heatmap
from gradcam_core.targets import LoweredTarget
from gradcam_core.tasks import TASK_WORDS
from gradcam_core.text import number, percent


@check("Is the evidence strong enough?")
def support(heatmap: Heatmap, rerun: Rerun, probability: float, least_probability: float) -> Finding:
    """Read the class's probability: a map of an improbable class is weak evidence at full colour.

    A finding of its own is judged by its own threshold, one class of several and an object by `least_probability`.
    """
    if math.isnan(probability):
        words = TASK_WORDS[rerun.outputs.task]
        raise NotTestable(f"There is no probability that tells strong evidence from weak: the model gives {words}.")
    number_of_it, peak = rerun.followed, heatmap.raw_peak
    label, name = number_of_it.label, number_of_it.name
    numbers = {"probability": probability, "raw_peak": peak}
    least = rerun.threshold if rerun.outputs.has_findings else least_probability
    if heatmap.state != "ok":
        return Finding("attention", _nothing_there(heatmap.state, label, probability), numbers)
    which = f" This map compares {heatmap.target.label}; the probability is that of {label}." if rerun.against else ""
    raw = number(peak, ".3g")
    if probability >= least:
        words = f"{name.capitalize()} of {label} is {percent(probability)}, and the map’s raw peak is {raw}.{which}"
        return Finding("passed", words, numbers)
    words = (
        f"{name.capitalize()} of {label} is only {percent(probability)}. {_rank(rerun)}{which} "
        f"Evidence this weak (raw peak {raw}) is drawn in full colour like any other: do not read it as a finding."
    )
    return Finding("attention", words, numbers)


def _nothing_there(state: str, label: str, probability: float) -> str:
    if state == "evidence in the padding only":
        where = f"The evidence for {label} ({percent(probability)}) lies in the padding only, outside the picture."
    else:
        where = f"This map has {state} for {label} ({percent(probability)})."
    return f"{where} There is nothing to read in it."


def _rank(rerun: Rerun) -> str:
    """Where the class stands: a finding by its threshold, one class of several among the others."""
    if rerun.outputs.has_places:
        return "The model itself is not sure that it is there."
    if rerun.outputs.task == "binary":
        answer = "yes" if isinstance(rerun.heatmap.target, LoweredTarget) else "no"
        return f"The model’s answer is {answer}. The threshold is {percent(rerun.threshold)}."
    if rerun.outputs.has_findings:
        return f"It counts as absent: its threshold is {percent(rerun.threshold)}."
    top = int(rerun.probabilities.argmax())
    return "It is still the top answer." if top == rerun.index else f"The top answer is {rerun.labels[top]}."
