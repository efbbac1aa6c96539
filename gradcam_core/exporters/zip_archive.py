"""Explanation -> one ZIP archive: pictures, raw maps, the record, and a README how to read them."""

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence

from gradcam_core.exporters.encoding import npy, png, to_json
from gradcam_core.exporters.manifest import to_dict
from gradcam_core.exporters.names import Names, heatmap_names
from gradcam_core.records import Explanation
from gradcam_core.render import COLOUR_MAP, OPACITY, THRESHOLD, Share, colour_heatmap, overlay, picture_pixels
from gradcam_core.text import one_line

README = """\
WHAT THIS IS
Heatmaps of an image model. A heatmap shows where the model's score for one class is sensitive to
the picture: bright places raised the score most. It does not show that the model is right, nor
what is in the picture.
For research and demonstration. Not for diagnostic use.

THE FILES
picture.png         the picture as it was shown, {width} x {height} pixels
overlays/           each heatmap in colours over the picture (colour map {colormap}, opacity {opacity:g},
                    nothing coloured below {threshold:g})
heatmaps/           each heatmap alone, in the same colours
raw/                the model's own maps before any scaling, as signed numbers (NumPy, float32, one
                    array row per row of the map): numpy.load("raw/...npy")
explanation.json    the record: model, preprocessing, predictions, versions

HOW TO READ A HEATMAP
Colours run from 0 (no positive evidence) to 1 (the map's own largest value). Each map has its own
scale, so equal colours in two maps can stand for very different values: compare the raw peaks below.
A map is as coarse as the layer that it comes from. Detail finer than one cell is interpolated.
Hatched, dark areas were not seen by the model; nothing is known about them.
"No positive evidence" means that nothing at this layer supports the class: the picture has no colours.
Text or faces inside the picture itself are still there. Check before you share it.

PREDICTIONS
{predictions}

HEATMAPS
{heatmaps}
"""


def archive(
    explanation: Explanation,
    *,
    names: Names = "hash",
    opacity: Share = OPACITY,
    threshold: Share = THRESHOLD,
    colormap: str = COLOUR_MAP,
) -> bytes:
    """Pack an explanation as ZIP. The same explanation in the same style gives the same bytes."""
    style: dict[str, float | str] = {"opacity": opacity, "threshold": threshold, "colormap": colormap}
    stems = heatmap_names(explanation.heatmaps)
    files = {
        index: {"file": f"overlays/{stem}.png", "heatmap_file": f"heatmaps/{stem}.png", "raw_file": f"raw/{stem}.npy"}
        for index, stem in enumerate(stems)
    }
    record = to_dict(explanation, names=names, files=files) | {"drawing": style}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        _add(target, "README.txt", _readme(explanation, stems, style).encode())
        _add(target, "explanation.json", to_json(record))
        _add(target, "picture.png", png(picture_pixels(explanation.image)))
        for heatmap, paths in zip(explanation.heatmaps, files.values(), strict=True):
            drawn = overlay(explanation.image, heatmap, opacity=opacity, threshold=threshold, colormap=colormap)
            _add(target, paths["file"], png(drawn))
            _add(target, paths["heatmap_file"], png(colour_heatmap(heatmap, colormap=colormap)))
            _add(target, paths["raw_file"], npy(heatmap.raw))
    return packed.getvalue()


def _add(target: zipfile.ZipFile, path: str, content: bytes) -> None:
    """Add a file with a fixed time, system and access rights, so that equal content gives equal bytes."""
    entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_STORED if path.endswith(".png") else zipfile.ZIP_DEFLATED
    target.writestr(entry, content)


def _readme(explanation: Explanation, stems: Sequence[str], style: Mapping[str, float | str]) -> str:
    return README.format(
        **style,
        width=explanation.image.width,
        height=explanation.image.height,
        predictions="\n".join(
            f"{p.probability:7.1%}  {one_line(p.label)} (class {p.index})" for p in explanation.predictions
        ),
        heatmaps="\n".join(_described(explanation, stems)),
    )


def _described(explanation: Explanation, stems: Sequence[str]) -> Iterator[str]:
    for heatmap, stem in zip(explanation.heatmaps, stems, strict=True):
        height, width = heatmap.placement.cell_size((heatmap.raw.shape[0], heatmap.raw.shape[1]))
        largest = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
        peak = f"raw peak {largest:.3g}" if heatmap.state == "ok" else heatmap.state
        where = one_line(heatmap.layer) if heatmap.layer else "the model's input"
        yield (
            f"{stem}: {heatmap.method} for {one_line(heatmap.target.label)} at {where}, "
            f"{peak}, one cell is {width:.0f} x {height:.0f} pixels"
        )
