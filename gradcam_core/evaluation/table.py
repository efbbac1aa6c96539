"""CSV tables: labels, as a spreadsheet saves them -> rows; an evaluation -> one row per picture.

The bytes of a table of labels are untrusted. It names pictures, so errors give a line's number and never a cell.
"""

import csv
import io
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from gradcam_core.errors import GradcamError
from gradcam_core.evaluation.matching import key_of
from gradcam_core.evaluation.records import Evaluation, Row, TableRow
from gradcam_core.text import csv_cell, is_plain

LARGEST_FILE = 5_000_000
MOST_ROWS = 10_000
LONGEST_CELL, LONGEST_HEADING = 300, 10_000
DELIMITERS = (",", ";", "\t")
# Accepted headings; where a table has several of them, the first one here counts.
COLUMNS: Mapping[str, Sequence[str]] = {
    "name": ("name", "file", "filename", "image"),
    "label": ("label", "class"),
    "mask": ("mask",),
}
# What is written about each picture. Numbers are the program's own: the minus sign before one is no formula.
RESULTS: Mapping[str, Callable[[Row], str]] = {
    "label": lambda row: csv_cell(row.label),
    "answer": lambda row: csv_cell(row.answer),
    "probability": lambda row: "" if row.problem else _number(row.probability),
    "label_probability": lambda row: _number(row.label_probability),
    "as_labelled": lambda row: _yes(row.as_labelled),
    "edge_region": lambda row: row.region,
    "edge_lost": lambda row: "" if row.problem else _number(row.lost),
    "edge_decides": lambda row: "" if row.problem else _yes(row.edge_decides),
    "iou_top_fifth": lambda row: _number(row.iou_top_fifth),
    "pointing_game": lambda row: _number(row.pointing_game),
    "relevance_mass": lambda row: _number(row.relevance_mass),
    "look_at": lambda row: row.standing,
    "problem": lambda row: csv_cell(row.problem),
    "note": lambda row: csv_cell(row.note),
}
FORMAT = (
    "Give a CSV file whose first line is name,label or name,label,mask, or name and a column for each finding, with "
    "one line per picture."
)


def read_table(content: bytes) -> tuple[TableRow, ...]:
    """Read a CSV of labels: columns name (or file, filename, image), label (or class) and, optionally, mask.

    Instead of a label, or beside it, each finding can have a column of its own. Cells are separated by commas,
    semicolons or tabs; the text is UTF-8 or UTF-16. Only the last part of a path counts. Raises a GradcamError for
    anything that is no such table.
    """
    text = _decode(content)
    delimiter, places, others = _find_columns(text)
    rows: list[TableRow] = []
    seen: set[str] = set()
    for line, cells in itertools.islice(_lines(text, delimiter), 1, None):
        if len(rows) == MOST_ROWS:
            raise GradcamError(f"The table has more than {MOST_ROWS:,} rows.", "Split it, and evaluate its parts.")
        named = {column: cells[place] for column, place in places.items() if place < len(cells)}
        row = TableRow(**named, cells=tuple((name, cells[at]) for name, at in others if at < len(cells) and cells[at]))
        if not row.name:
            raise GradcamError(f"Line {line} of the table names no picture.", FORMAT)
        if key_of(row.name) in seen:
            raise GradcamError(
                f"Line {line} of the table names the same picture as an earlier line.",
                "Keep one line per picture. Folders and capital letters make no difference.",
            )
        seen.add(key_of(row.name))
        rows.append(row)
    if not rows:
        raise GradcamError("The table has a heading but no rows.", FORMAT)
    return tuple(rows)


def _decode(content: bytes) -> str:
    """Decode the table, after a check of its size and its first bytes."""
    if len(content) > LARGEST_FILE:
        raise GradcamError(
            f"The table is too large: at most {LARGEST_FILE / 1e6:.0f} MB are read.",
            "Split it, and evaluate its parts.",
        )
    try:
        # Windows programs write UTF-16 with a byte order mark.
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise GradcamError("The table is not text in UTF-8.", "Save it as “CSV UTF-8” in the spreadsheet.") from error
    if "\0" in text:
        raise GradcamError("The table contains bytes that are not text.", "Save it as “CSV UTF-8” in the spreadsheet.")
    return text


def _find_columns(text: str) -> tuple[str, Mapping[str, int], Sequence[tuple[str, int]]]:
    """Find the separator, the position of each column that is known, and all others with their headings."""
    heading = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")[:LONGEST_HEADING]
    for delimiter in DELIMITERS:
        cells = [cell.strip() for cell in next(csv.reader([heading], delimiter=delimiter), [])]
        names = [cell.casefold() for cell in cells]
        columns = {column: next((name for name in known if name in names), "") for column, known in COLUMNS.items()}
        places = {column: names.index(name) for column, name in columns.items() if name}
        others = [(cell, at) for at, cell in enumerate(cells) if cell and at not in places.values() and is_plain(cell)]
        if columns["name"] and (columns["label"] or others):
            return delimiter, places, others
    raise GradcamError("The table’s first line does not name the columns name and label.", FORMAT)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Return the lines that are not empty, each with its number."""
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield reader.line_num, [_checked(cell, reader.line_num) for cell in stripped]
    except csv.Error as error:
        raise GradcamError(
            f"Line {reader.line_num} of the table cannot be read: a quote is not closed, or a cell is far too long.",
            FORMAT,
        ) from error


def _checked(cell: str, line: int) -> str:
    if len(cell) > LONGEST_CELL:
        raise GradcamError(f"Line {line} of the table has a cell of more than {LONGEST_CELL} characters.", FORMAT)
    if not is_plain(cell):
        raise GradcamError(
            f"Line {line} of the table contains characters that cannot be shown.", "Type the line again."
        )
    return cell


def evaluation_to_csv(evaluation: Evaluation, names: Literal["keep", "hash"] = "hash") -> bytes:
    """Write the rows as CSV in UTF-8 with a byte order mark, as spreadsheets expect; "hash" leaves file names out.

    Every cell is quoted, and text from outside cannot become a formula.
    """
    named: Mapping[str, Callable[[Row], str]] = {"name": lambda row: csv_cell(row.name)} if names == "keep" else {}
    columns = {"sha256": lambda row: row.sha256, **named, **RESULTS, **_by_task(evaluation)}
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([cell(row) for cell in columns.values()] for row in evaluation.rows)
    return text.getvalue().encode("utf-8-sig", "replace")


def _by_task(evaluation: Evaluation) -> Mapping[str, Callable[[Row], str]]:
    """Columns that follow the model's task, which is one itself: each finding's probability, or numbers and errors."""
    outputs = evaluation.outputs
    columns: dict[str, Callable[[Row], str]] = {
        "task": lambda row: outputs.task,
        "task_origin": lambda row: outputs.origin,
    }
    if outputs.task == "regression":
        columns |= {"value": lambda row: _number(row.value), "given": lambda row: _number(row.given)}
        columns |= {"error": lambda row: _number(row.error), "unit": lambda row: csv_cell(outputs.unit)}
    for index, label in sorted({(finding.index, finding.label) for row in evaluation.rows for finding in row.findings}):
        columns[csv_cell(f"probability of {label} ({index})")] = partial(_share_of_finding, index)
    return columns


def _share_of_finding(index: int, row: Row) -> str:
    return next((_number(finding.probability) for finding in row.findings if finding.index == index), "")


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def _yes(value: bool | None) -> str:
    return {None: "", True: "yes", False: "no"}[value]
