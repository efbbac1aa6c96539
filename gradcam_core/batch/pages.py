"""Results -> the gallery and the contact sheet of a batch."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gradcam_core.batch.records import FAILED, TRUE, Result
from gradcam_core.batch.summary import BatchSummary, true_class
from gradcam_core.exporters.gallery import GalleryRow, write_gallery
from gradcam_core.exporters.sheets import contact_sheet
from gradcam_core.text import counted

# So many rows of the gallery have a small picture: some 5 kB each, which a browser keeps in memory.
MOST_TILES = 10_000
ON_SHEET = 64

TileOf = Callable[[str], bytes]


def write_batch_gallery(path: Path, results: Iterable[Result], tile_of: TileOf, summary: BatchSummary) -> None:
    """Write the gallery of results that come worst first. `tile_of` gives a small picture by a result's id.

    Raises OSError, and JournalError where the results come from a damaged journal.
    """
    title = f"{counted(summary.total - summary.failed, 'picture')} explained"
    confusion = summary.confusion or None
    write_gallery(path, _rows(results, tile_of), title=title, sentences=summary.sentences, confusion=confusion)


def batch_sheet(results: Iterable[Result], tile_of: TileOf) -> bytes:
    """The contact sheet (JPEG) of the first results."""
    return contact_sheet(_rows(itertools.islice(results, ON_SHEET), tile_of), most=ON_SHEET)


def _rows(results: Iterable[Result], tile_of: TileOf) -> Iterator[GalleryRow]:
    for place, result in enumerate(results):
        yield _row(result, tile_of(result.id) if place < MOST_TILES else b"")


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
