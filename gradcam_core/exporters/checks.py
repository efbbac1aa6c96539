"""The checks of a heatmap -> plain values for JSON."""

from typing import Any

from gradcam_core.checks.panel import Trust


def trust_to_dict(trust: Trust) -> dict[str, Any]:
    """Return the checks with their numbers and thresholds, in values that strict JSON allows."""
    heatmap = trust.heatmap
    return {
        "method": heatmap.method,
        "layer": heatmap.layer,
        "target": {"index": heatmap.target.index, "label": heatmap.target.label},
        "outcome": trust.outcome,
        "checks": [
            {"name": check.name, "question": check.question, "outcome": check.outcome, "sentence": check.sentence}
            | {"numbers": {name: round(value, 6) for name, value in check.numbers.items()}}
            for check in trust.checks
        ],
        "always": list(trust.always),
        "thresholds": trust.thresholds.to_dict(),
    }
