"""An evaluation -> a table that a spreadsheet opens: one row a picture, those to look at first standing first."""

import csv
import io
from typing import Literal

from gradcam_core.evaluation.records import Evaluation, Row

# A spreadsheet takes a cell that begins so for a formula, and runs it.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
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
    """Write the rows as CSV in UTF-8 with its mark, as spreadsheets want it; with "hash" no file name is in it."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    kept = ("name",) if names == "keep" else ()
    writer.writerow(("sha256", *kept, *COLUMNS))
    for row in evaluation.rows:
        writer.writerow((row.sha256, *(harmless(row.name) for _ in kept), *_cells(row)))
    return text.getvalue().encode("utf-8-sig", "replace")


def harmless(cell: str) -> str:
    """Text from outside as a cell that stays text."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _cells(row: Row) -> list[str]:
    """What stands under COLUMNS. Numbers are the program's own: a minus sign before one is no formula."""
    failed = bool(row.problem)
    return [
        harmless(row.label),
        harmless(row.answer),
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
        harmless(row.problem),
        harmless(row.note),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
