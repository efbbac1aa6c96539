"""What the checks of a heatmap found -> plain values for JSON."""

from typing import Any

from gradcam_core.checks.panel import Trust


def trust_to_dict(found: Trust) -> dict[str, Any]:
    """Tell what was checked, found and held against which thresholds, in values that strict JSON can hold."""
    heatmap = found.heatmap
    return {
        "method": heatmap.method,
        "layer": heatmap.layer,
        "target": {"index": heatmap.target.index, "label": heatmap.target.label},
        "outcome": found.outcome,
        "checks": [
            {"name": one.name, "question": one.question, "outcome": one.outcome, "sentence": one.sentence}
            | {"numbers": {name: round(value, 6) for name, value in one.numbers.items()}}
            for one in found.checks
        ],
        "always": list(found.always),
        "thresholds": found.thresholds.to_dict(),
    }
