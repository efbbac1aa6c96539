"""The pictures of a comparison: each model's heatmaps, and the differences, as they are displayed."""

from collections.abc import Iterator

from gradcam_core.comparison import Comparison, overlay_difference
from gradcam_core.comparison.records import Pair
from gradcam_core.exporters.caption import Captioned, display_words, with_caption
from gradcam_core.exporters.drawing import Drawing, draw_heatmap
from gradcam_core.exporters.names import Names, heatmap_names, shown_reference
from gradcam_core.methods import find_method
from gradcam_core.records import Explanation, Heatmap
from gradcam_core.text import DISCLAIMER, one_line


def pictures_of(
    comparison: Comparison, names: Names, drawing: Drawing
) -> Iterator[tuple[tuple[str, int, int], str, Captioned]]:
    """Draw one picture after another, each with what it shows and the name of its file."""
    for place, explanation in enumerate(comparison.explanations):
        for which, name in enumerate(heatmap_names(explanation.heatmaps)):
            pixels = _heatmap(comparison, explanation, explanation.heatmaps[which], names, drawing)
            yield ("model", place, which), f"model{place + 1}_{name}.png", pixels
    for place, compared in enumerate(comparison.classes):
        for which, pair in enumerate(compared.pairs):
            if pair.difference_map is not None:
                first, second = (number + 1 for number in pair.places)
                name = f"difference_{place + 1:02}_{compared.index}_model{first}_minus_model{second}.png"
                yield ("class", place, which), name, difference_picture(comparison, pair, names, drawing)


def _heatmap(
    comparison: Comparison, explanation: Explanation, heatmap: Heatmap, names: Names, drawing: Drawing
) -> Captioned:
    peak = _shared_peak(comparison, explanation, heatmap) if drawing.shared_scale else None
    return draw_heatmap(explanation, heatmap, drawing, peak, names=names)


def _shared_peak(comparison: Comparison, explanation: Explanation, heatmap: Heatmap) -> float:
    """The highest peak among the heatmaps whose raw values have the same unit."""
    alike = [
        other
        for each in comparison.explanations
        for other in each.heatmaps
        if (each.architecture, other.method, other.layer) == (explanation.architecture, heatmap.method, heatmap.layer)
    ]
    return max(other.raw_size if other.signed else other.raw_peak for other in alike)


def difference_picture(comparison: Comparison, pair: Pair, names: Names, drawing: Drawing) -> Captioned:
    """Draw one difference over the picture. Raises GradcamError where the models saw no part of it in common."""
    image, threshold = drawing.shown or comparison.image, drawing.threshold
    pixels = overlay_difference(image, pair, opacity=drawing.opacity, threshold=threshold)
    if not drawing.captions:
        return pixels
    first, second = (place + 1 for place in pair.places)
    scale = "each heatmap on its own scale" if pair.scale == "own" else "both heatmaps on the same scale"
    meaning = f"hotter in model {first}; below 0 in model {second} ({scale})"
    return with_caption(pixels, _lines(comparison, pair, names, drawing), signed=True, meaning=meaning)


def _lines(comparison: Comparison, pair: Pair, names: Names, drawing: Drawing) -> tuple[str, ...]:
    """What a difference shows: the class, both models, the picture, the date, and what it is for."""
    heatmap, image = pair.heatmaps[0], comparison.image
    numbers = [place + 1 for place in pair.places]
    several = [comparison.explanations[place] for place in pair.places]
    models = [
        f"Model {number}: {one_line(shown_reference(each.reference, each.fingerprint, names))} "
        f"({each.fingerprint[:12]}), {f'layer {one_line(own.layer)}' if own.layer else 'its input'}."
        for number, each, own in zip(numbers, several, pair.heatmaps, strict=True)
    ]
    window = drawing.window
    return (
        f"{one_line(pair.label)} (class {heatmap.target.index} of model {numbers[0]}): model {numbers[0]} minus model "
        f"{numbers[1]}. {find_method(heatmap.method, {}).title}",
        " ".join(models),
        f"Picture {image.sha256[:12]}. {several[0].created}",
        *([f"{display_words(window)} The models did not see it so."] if window else []),
        DISCLAIMER,
    )
