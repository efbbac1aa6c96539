"""Where a report's heatmaps come from: what is needed to compute them again."""

from collections.abc import Iterator

from gradcam_core.exporters.drawing import Drawing
from gradcam_core.exporters.manifest import pixels_checksum
from gradcam_core.exporters.names import Names, file_name, shown_reference
from gradcam_core.exporters.report_contents import ReportContents
from gradcam_core.methods import find_method, what_it_reads
from gradcam_core.records import Explanation, Heatmap, ImageRecord
from gradcam_core.text import listed, number, one_line, percent

Row = tuple[str, str]
LONGEST = 400


def of_explanation(explanation: Explanation, contents: ReportContents) -> tuple[Row, ...]:
    """Rows of a name and a text: picture, model, method, preprocessing, drawing, thresholds, versions, time."""
    rows = [*_picture(explanation.image, contents.names), *_model(explanation, contents.names)]
    methods = dict.fromkeys(map(_with_options, explanation.heatmaps))
    rows += [("" if place else "Method", words) for place, words in enumerate(methods)]
    rows += [("Preprocessing", _preprocessing(explanation)), ("Drawing", _drawing(contents.drawing))]
    sets = dict.fromkeys(f"version {t.thresholds.version}, {t.thresholds.set}" for t in contents.checks.values())
    rows += [("Thresholds", words) for words in sets]
    rows += [
        ("Versions", ", ".join(f"{name} {version}" for name, version in explanation.versions.items())),
        ("Computed", f"{explanation.created}, on {explanation.device}"),
    ]
    return tuple((name, one_line(words, LONGEST)) for name, words in rows)


def place_of(heatmap: Heatmap) -> str:
    """A heatmap's method and layer."""
    layer = f"layer {one_line(heatmap.layer)}" if heatmap.layer else what_it_reads(heatmap.method)
    fused = f" (fused: {one_line(heatmap.fusion, LONGEST)})" if heatmap.fusion else ""
    return f"{find_method(heatmap.method, {}).title}, {layer}{fused}"


def _with_options(heatmap: Heatmap) -> str:
    options = ", ".join(f"{name} {value}" for name, value in heatmap.options.items())
    return f"{place_of(heatmap)}{f'; {options}' if options else ''}"


def _picture(image: ImageRecord, names: Names) -> Iterator[Row]:
    if names == "keep":
        yield "File", file_name(image.name)
    yield "Picture", f"SHA-256 {image.sha256}"
    yield "", f"SHA-256 of its pixels {pixels_checksum(image)}"
    black, white = (number(value) for value in image.stored_range)
    unit = f" {image.greys.unit}" if image.greys.unit else ", as stored"
    kind = f"{image.format}, {image.width} × {image.height} px, {image.bits} bits"
    frame = f", frame {image.frame + 1} of {image.frames}" if image.frames > 1 else ""
    window = ""
    if image.window is not None:
        window = f", given to the model with level {number(image.window[0])}, window {number(image.window[1])}"
    yield "", f"{kind}{frame}; black is {black} and white {white}{unit}{window}"


def _model(explanation: Explanation, names: Names) -> Iterator[Row]:
    reference = shown_reference(explanation.reference, explanation.fingerprint, names)
    architecture = "" if explanation.architecture == reference else f", {explanation.architecture}"
    yield "Model", f"{reference}{architecture}: {explanation.outputs.words}"
    yield "", f"SHA-256 of its weights {explanation.fingerprint}"


def _preprocessing(explanation: Explanation) -> str:
    spec = explanation.preprocessing
    mean, deviation = (" ".join(number(value) for value in values) for values in (spec.mean, spec.std))
    size = f"{spec.size[1]} × {spec.size[0]} px, {spec.interpolation}"
    share = percent(explanation.placement.seen_share, 0)
    return f"{size}, fit “{spec.fit}”; mean {mean}; standard deviation {deviation}; {share} of the picture seen"


def _drawing(drawing: Drawing) -> str:
    scale = "one scale for each method and layer" if drawing.shared_scale else "each map on its own scale"
    parts = [f"colours {drawing.colormap}", f"opacity {drawing.opacity:g}", f"threshold {drawing.threshold:g}"]
    return f"{listed(parts)}; {scale}"
