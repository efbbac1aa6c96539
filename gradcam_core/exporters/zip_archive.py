"""Explanation -> one ZIP archive: pictures, raw maps, the record, and a README how to read them."""

import io
import zipfile
from collections.abc import Iterator, Sequence

from gradcam_core.checks.panel import Trust
from gradcam_core.exporters.drawing import draw_heatmap, shared_peak
from gradcam_core.exporters.encoding import npy, png, to_json
from gradcam_core.exporters.manifest import seal, to_dict
from gradcam_core.exporters.names import heatmap_names
from gradcam_core.exporters.report import report_files
from gradcam_core.exporters.report_contents import PLAIN, ReportContents
from gradcam_core.methods import what_it_reads
from gradcam_core.placement import place_words
from gradcam_core.records import Explanation
from gradcam_core.render import picture_pixels
from gradcam_core.tasks import amount_of
from gradcam_core.text import DISCLAIMER, NARROW_SPACE, one_line

README = """\
WHAT THIS IS
Heatmaps of an image model. A heatmap shows where the model's score for one class is sensitive to
the picture: bright places raised the score most. It does not show that the model is right, nor
what is in the picture.
{disclaimer}

THE FILES
picture.png         the picture as it was shown, {width} x {height} pixels
overlays/           each heatmap in colours over the picture (colour map {colormap}, opacity {opacity:g},
                    nothing coloured below {threshold:g})
heatmaps/           each heatmap alone, in the same colours, black below the threshold
raw/                the model's own maps before any scaling, as signed numbers (NumPy, float32, one
                    array row per row of the map): numpy.load("raw/...npy")
explanation.json    the record: model, preprocessing, predictions, versions
report.pdf          all of it on a page to file; report.html says the same on the screen

HOW TO READ A HEATMAP
Colours run from 0 (no positive evidence) to 1 (the map's own largest value). Each map has its own
scale, so equal colours in two maps can stand for very different values: compare the raw peaks below.
A map is as coarse as the layer that it comes from. Detail finer than one cell is interpolated.
Hatched, dark areas were not seen by the model; nothing is known about them.
"No positive evidence" means that nothing at this layer supports the class: the picture has no colours.
Text or faces inside the picture itself are still there. Check before you share it.

PREDICTIONS: {task}
{predictions}

HEATMAPS
{heatmaps}
"""


def archive(explanation: Explanation, contents: ReportContents = PLAIN) -> bytes:
    """Pack an explanation as ZIP. The same explanation with the same contents gives the same bytes."""
    drawing, stems = contents.drawing, heatmap_names(explanation.heatmaps)
    files = {
        index: {"file": f"overlays/{stem}.png", "heatmap_file": f"heatmaps/{stem}.png", "raw_file": f"raw/{stem}.npy"}
        for index, stem in enumerate(stems)
    }
    record = to_dict(explanation, names=contents.names, files=files, checks=contents.checks)
    record |= {"drawing": drawing.to_dict()}
    if contents.note:
        record["note"] = contents.note
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        add_file(target, "README.txt", _readme(explanation, stems, contents).encode())
        add_file(target, "explanation.json", to_json(seal(record)))
        add_file(target, "picture.png", png(picture_pixels(drawing.shown or explanation.image)))
        for heatmap, paths in zip(explanation.heatmaps, files.values(), strict=True):
            peak = shared_peak(explanation, heatmap) if drawing.shared_scale else None
            for path, alone in ((paths["file"], False), (paths["heatmap_file"], True)):
                drawn = draw_heatmap(explanation, heatmap, drawing, peak, alone=alone, names=contents.names)
                add_file(target, path, png(drawn))
            add_file(target, paths["raw_file"], npy(heatmap.raw))
        for name, content in report_files(explanation, contents).items():
            add_file(target, name, content)
    return packed.getvalue()


def add_file(target: zipfile.ZipFile, path: str, content: bytes) -> None:
    """Add a file with a fixed time, system and access rights, so that equal content gives equal bytes."""
    entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_STORED if path.endswith(".png") else zipfile.ZIP_DEFLATED
    target.writestr(entry, content)


def _readme(explanation: Explanation, stems: Sequence[str], contents: ReportContents) -> str:
    checks = "\n".join(line for place, trust in contents.checks.items() for line in _checked(stems[place], trust))
    return (README + f"\nCHECKS\n{checks}\n" * bool(checks)).format(
        **contents.drawing.style,
        disclaimer=DISCLAIMER,
        width=explanation.image.width,
        height=explanation.image.height,
        task=explanation.outputs.words,
        predictions="\n".join(
            f"{amount_of(p).replace(NARROW_SPACE, ' '):>8}  {one_line(p.label)} (class {p.index})"
            for p in explanation.predictions
        ),
        heatmaps="\n".join(_described(explanation, stems)),
    )


def _checked(stem: str, trust: Trust) -> Iterator[str]:
    yield f"{stem}: {one_line(trust.outcome)}".replace("{", "{{").replace("}", "}}")
    for check in trust.checks:
        line = f"  {check.question} {check.outcome}. {check.sentence}"
        yield one_line(line).replace("{", "{{").replace("}", "}}")


def _described(explanation: Explanation, stems: Sequence[str]) -> Iterator[str]:
    for heatmap, stem in zip(explanation.heatmaps, stems, strict=True):
        height, width = heatmap.placement.cell_size((heatmap.raw.shape[0], heatmap.raw.shape[1]))
        largest = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
        peak = f"raw peak {largest:.3g}" if heatmap.state == "ok" else heatmap.state
        where = one_line(heatmap.layer) if heatmap.layer else what_it_reads(heatmap.method)
        place = "".join(f", {words}" for words in [place_words(heatmap.placement)] if words)
        yield (
            f"{stem}: {heatmap.method} for {one_line(heatmap.target.label)} at {where}, "
            f"{peak}, one cell is {width:.0f} x {height:.0f} pixels{place}"
        )
