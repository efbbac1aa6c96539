"""A comparison of models -> plain values for JSON, and files in a folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradcam_core.comparison import Comparison, comparison_sentences, overlay_difference, pair_sentence
from gradcam_core.comparison.records import ComparedClass, Pair
from gradcam_core.errors import GradcamError
from gradcam_core.exporters.encoding import png, to_json
from gradcam_core.exporters.manifest import to_dict, trust_to_dict
from gradcam_core.exporters.names import Names, heatmap_names
from gradcam_core.files import write_whole
from gradcam_core.render import overlay

RECORD = "comparison.json"
SHARED = ("image", "versions", "created")
# File names by the model's place and the heatmap's; and by the class's place and the pair's.
Overlays = Mapping[tuple[int, int], str]
Differences = Mapping[tuple[int, int], str]


def comparison_to_dict(
    comparison: Comparison,
    *,
    names: Names = "keep",
    overlays: Overlays | None = None,
    differences: Differences | None = None,
) -> dict[str, Any]:
    """Return everything about a comparison but its pixels, in values that strict JSON allows.

    Models are numbered from 0, in the order in which they were given. `overlays` and `differences` name the files.
    """
    records = [_model(comparison, place, names, overlays or {}) for place in range(len(comparison.explanations))]
    shared = to_dict(comparison.explanations[0], names=names)
    classes = [
        _class(comparison, each, {pair: name for (which, pair), name in (differences or {}).items() if which == place})
        for place, each in enumerate(comparison.classes)
    ]
    return {
        "image": shared["image"],
        "outcome": comparison.outcome,
        "sentences": list(comparison_sentences(comparison)),
        "models": records,
        "scale": comparison.scale,
        "classes": classes,
        "notes": list(comparison.notes),
        "seconds": {"comparing": comparison.comparing_seconds},
        "versions": shared["versions"],
        "created": shared["created"],
    }


def _model(comparison: Comparison, place: int, names: Names, overlays: Overlays) -> dict[str, Any]:
    """A model's explanation, without what all of them share."""
    files = {which: {"file": name} for (model, which), name in overlays.items() if model == place}
    record = to_dict(comparison.explanations[place], names=names, files=files)
    record = {key: value for key, value in record.items() if key not in SHARED}
    record["seconds"] |= {"all": comparison.seconds[place]}
    record["same_answer"] = comparison.same_answer[place]
    if comparison.checks:
        checked = comparison.checks[place]
        record["checks"] = None if checked is None else trust_to_dict(checked)
    return record


def _class(comparison: Comparison, compared: ComparedClass, files: Mapping[int, str]) -> dict[str, Any]:
    """`heatmaps` has, for each model, the place in its list of heatmaps; null where it has no such class."""
    partners = [None if heatmap is None else heatmap.target for heatmap in compared.heatmaps]
    return {
        "index": compared.index,
        "label": compared.label,
        "partners": [None if target is None else {"index": target.index, "label": target.label} for target in partners],
        "heatmaps": [
            None if heatmap is None else explanation.heatmaps.index(heatmap)
            for heatmap, explanation in zip(compared.heatmaps, comparison.explanations, strict=True)
        ],
        "pairs": [_pair(pair) | {"file": files.get(place)} for place, pair in enumerate(compared.pairs)],
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "models": list(pair.places),
        "rank_correlation": pair.correlation,
        "overlap": pair.overlap,
        "overlap_by_chance": pair.chance,
        "standing": pair.standing,
        "sentence": pair_sentence(pair),
    }


def write_comparison(comparison: Comparison, out: Path, names: Names = "keep") -> Path:
    """Write an overlay for each heatmap, a picture of each difference, and comparison.json; return its path.

    The record is written last: a folder that has one is complete. Raises GradcamError where that is not possible.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / RECORD).unlink(missing_ok=True)
        overlays, differences = _write_overlays(comparison, out), _write_differences(comparison, out)
        values = comparison_to_dict(comparison, names=names, overlays=overlays, differences=differences)
        write_whole(out / RECORD, to_json(values))
    except OSError as error:
        raise GradcamError(
            f"The folder for results cannot be used: {error.strerror}.",
            "Choose another one, or check that you may write there.",
        ) from error
    return out / RECORD


def _write_overlays(comparison: Comparison, out: Path) -> Overlays:
    files = {}
    for place, explanation in enumerate(comparison.explanations):
        for which, name in enumerate(heatmap_names(explanation.heatmaps)):
            files[place, which] = f"model{place + 1}_{name}.png"
            write_whole(out / files[place, which], png(overlay(comparison.image, explanation.heatmaps[which])))
    return files


def _write_differences(comparison: Comparison, out: Path) -> Differences:
    files = {}
    for place, compared in enumerate(comparison.classes):
        for which, pair in enumerate(compared.pairs):
            if pair.difference_map is None:
                continue
            first, second = (number + 1 for number in pair.places)
            name = f"difference_{place + 1:02}_{compared.index}_model{first}_minus_model{second}.png"
            write_whole(out / name, png(overlay_difference(comparison.image, pair)))
            files[place, which] = name
    return files
