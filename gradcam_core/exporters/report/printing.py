"""The report of an explanation, as PDF and as HTML."""

from gradcam_core.exporters.extras import Extras
from gradcam_core.exporters.names import Names
from gradcam_core.exporters.report.contents import Report, report_of
from gradcam_core.exporters.report.on_screen import html_page
from gradcam_core.exporters.report.pictures import Style
from gradcam_core.exporters.report.printed import pdf_pages
from gradcam_core.records import Explanation
from gradcam_core.render import COLOUR_MAP, OPACITY, THRESHOLD, Share

FILES = ("report.pdf", "report.html")


def report_pdf(
    explanation: Explanation,
    *,
    names: Names = "hash",
    opacity: Share = OPACITY,
    threshold: Share = THRESHOLD,
    colormap: str = COLOUR_MAP,
    extras: Extras | None = None,
) -> bytes:
    """Print an explanation on a page of A4, or more where it needs them. Nothing is computed again.

    The page has the picture, the model's input, predictions, heatmaps with raw values, the checks in `extras`, the
    reader's note and the provenance. The same explanation in the same style gives the same bytes.
    """
    return pdf_pages(_report(explanation, names, opacity, threshold, colormap, extras))


def report_html(
    explanation: Explanation,
    *,
    names: Names = "hash",
    opacity: Share = OPACITY,
    threshold: Share = THRESHOLD,
    colormap: str = COLOUR_MAP,
    extras: Extras | None = None,
) -> bytes:
    """Write the same as one HTML file with all its pictures: it makes no request and has no script."""
    return html_page(_report(explanation, names, opacity, threshold, colormap, extras))


def report_files(
    explanation: Explanation,
    *,
    names: Names = "hash",
    opacity: Share = OPACITY,
    threshold: Share = THRESHOLD,
    colormap: str = COLOUR_MAP,
    extras: Extras | None = None,
) -> dict[str, bytes]:
    """Both files of a report by name; its pictures are drawn once."""
    report = _report(explanation, names, opacity, threshold, colormap, extras)
    return dict(zip(FILES, (pdf_pages(report), html_page(report)), strict=True))


def _report(
    explanation: Explanation, names: Names, opacity: Share, threshold: Share, colormap: str, extras: Extras | None
) -> Report:
    style: Style = {"opacity": opacity, "threshold": threshold, "colormap": colormap}
    return report_of(explanation, names, style, extras or Extras())
