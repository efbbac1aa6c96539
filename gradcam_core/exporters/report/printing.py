"""The report of an explanation, as PDF and as HTML."""

from gradcam_core.exporters.report.contents import report_of
from gradcam_core.exporters.report.on_screen import html_page
from gradcam_core.exporters.report.printed import pdf_pages
from gradcam_core.exporters.report_contents import PLAIN, ReportContents
from gradcam_core.records import Explanation

FILES = ("report.pdf", "report.html")


def report_pdf(explanation: Explanation, contents: ReportContents = PLAIN) -> bytes:
    """Print an explanation on a page of A4, or more where it needs them. Nothing is computed again.

    The page has the picture, the model's input, predictions, heatmaps with raw values, the checks, the reader's note
    and the provenance. The same explanation with the same contents gives the same bytes.
    """
    return pdf_pages(report_of(explanation, contents))


def report_html(explanation: Explanation, contents: ReportContents = PLAIN) -> bytes:
    """Write the same as one HTML file with all its pictures: it makes no request and has no script."""
    return html_page(report_of(explanation, contents))


def report_files(explanation: Explanation, contents: ReportContents = PLAIN) -> dict[str, bytes]:
    """Both files of a report by name; its pictures are drawn once."""
    report = report_of(explanation, contents)
    return dict(zip(FILES, (pdf_pages(report), html_page(report)), strict=True))
