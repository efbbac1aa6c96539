"""A journal -> the gallery and the contact sheet, the pictures to look at first on top."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from gradcam_core.batch.journal import Journal
from gradcam_core.batch.records import FAILED, TRUE, Result
from gradcam_core.batch.summary import BatchSummary, true_class
from gradcam_core.exporters.gallery import GalleryRow, write_gallery
from gradcam_core.exporters.sheets import contact_sheet
from gradcam_core.files import write_whole

# So many rows of the gallery have a small picture: some 5 kB each, which a browser keeps in memory.
MOST_TILES = 10_000
ON_SHEET = 64


def write_batch_pages(journal: Journal, summary: BatchSummary, gallery: Path, sheet: Path) -> None:
    """Write the gallery (HTML) and the contact sheet (JPEG) of a journal. Raises OSError, JournalError."""
    counts = f"{summary.total - summary.failed:,} pictures explained"
    confusion = summary.confusion or None
    write_gallery(gallery, _rows(journal), title=counts, sentences=summary.sentences, confusion=confusion)
    write_whole(sheet, contact_sheet(itertools.islice(_rows(journal), ON_SHEET), most=ON_SHEET))


def _rows(journal: Journal) -> Iterator[GalleryRow]:
    for place, result in enumerate(journal.results(order="worst")):
        yield _row(result, journal.tile(result.id) if place < MOST_TILES else b"")


def _row(result: Result, tile: bytes) -> GalleryRow:
    answer = next((each for each in result.maps if each.role != TRUE), None)
    true = next((each for each in result.maps if each.role == TRUE), None)
    return GalleryRow(
        name=result.name,
        sha256=result.sha256,
        label=result.label,
        probability=result.probability,
        true_label=true_class(result),
        correct=result.correct,
        true_probability=result.true_probability,
        border=result.border,
        problem=result.problem if result.status == FAILED else "",
        note=result.note,
        tile=tile or None,
        raw=answer.raw if answer else None,
        true_raw=true.raw if true else None,
        offset=answer.offset if answer else (0.0, 0.0),
        signed=answer.signed if answer else False,
    )
