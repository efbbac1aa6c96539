"""An evaluation -> a CSV file that a spreadsheet opens: one row per picture, those to look at first on top."""

import csv
import io
from typing import Literal

from gradcam_core.evaluation.records import Evaluation, Row
from gradcam_core.text import csv_cell

COLUMNS = (
    "label",
    "answer",
    "probability",
    "label_probability",
    "as_labelled",
    "edge_region",
    "edge_lost",
    "edge_decides",
    "iou_top_fifth",
    "pointing_game",
    "relevance_mass",
    "look_at",
    "problem",
    "note",
)


def evaluation_to_csv(evaluation: Evaluation, names: Literal["keep", "hash"] = "hash") -> bytes:
    """Write the rows as CSV in UTF-8 with a byte order mark, as spreadsheets expect; "hash" leaves file names out.

    Every cell is quoted, and text from outside cannot become a formula.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    kept = ("name",) if names == "keep" else ()
    writer.writerow(("sha256", *kept, *COLUMNS))
    for row in evaluation.rows:
        writer.writerow((row.sha256, *(csv_cell(row.name) for _ in kept), *_cells(row)))
    return text.getvalue().encode("utf-8-sig", "replace")


def _cells(row: Row) -> list[str]:
    """Return what stands under COLUMNS. Numbers are the program's own: the minus sign before one is no formula."""
    failed = bool(row.problem)
    return [
        csv_cell(row.label),
        csv_cell(row.answer),
        "" if failed else _number(row.probability),
        _number(row.label_probability),
        _yes(row.as_labelled),
        row.region,
        "" if failed else _number(row.lost),
        "" if failed else _yes(row.edge_decides),
        _number(row.iou_top_fifth),
        _number(row.pointing_game),
        _number(row.relevance_mass),
        row.standing,
        csv_cell(row.problem),
        csv_cell(row.note),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
