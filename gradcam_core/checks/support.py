"""Is the evidence strong enough to be read?"""

from gradcam_core.checks.needs import Finding, check
from gradcam_core.checks.reruns import Rerun
from gradcam_core.records import Heatmap
from gradcam_core.text import number, percent


@check("Is the evidence strong enough?")
def support(heatmap: Heatmap, rerun: Rerun, probability: float, least_probability: float) -> Finding:
    """Read the class's probability: a map of an improbable class is weak evidence at full colour."""
    label, peak = rerun.label, heatmap.raw_peak
    numbers = {"probability": probability, "raw_peak": peak}
    if heatmap.state != "ok":
        return Finding("attention", _nothing_there(heatmap.state, label, probability), numbers)
    which = f" This map compares {heatmap.target.label}; the probability is that of {label}." if rerun.against else ""
    raw = number(peak, ".3g")
    if probability >= least_probability:
        words = f"The probability of {label} is {percent(probability)}, and the map’s raw peak is {raw}.{which}"
        return Finding("passed", words, numbers)
    words = (
        f"The probability of {label} is only {percent(probability)}. {_rank(rerun)}{which} "
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
    """Where the class stands among the model's answers. A single score answers yes or no."""
    if len(rerun.labels) == 1:
        return "The model’s answer is no."
    top = int(rerun.probabilities.argmax())
    return "It is still the top answer." if top == rerun.index else f"The top answer is {rerun.labels[top]}."
