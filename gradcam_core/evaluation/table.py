"""CSV tables: labels, as a spreadsheet saves them -> rows; an evaluation or a drift -> one row per picture.

The bytes of a table of labels are untrusted. It names pictures, so errors give a line's number and never a cell.
"""

import csv
import io
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from gradcam_core.errors import GradcamError
from gradcam_core.evaluation.drift_records import Drift, DriftRow
from gradcam_core.evaluation.matching import Parts, parts_of
from gradcam_core.evaluation.records import Evaluation, Row, TableRow
from gradcam_core.text import Cell, is_plain, to_csv

LARGEST_FILE = 20_000_000
MOST_ROWS = 200_000
LONGEST_CELL, LONGEST_HEADING = 300, 10_000
DELIMITERS = (",", ";", "\t")
# Accepted headings; where a table has several of them, the first one here counts.
COLUMNS: Mapping[str, Sequence[str]] = {
    "name": ("name", "file", "filename", "image"),
    "label": ("label", "class"),
    "mask": ("mask",),
}
# What is written about each picture.
RESULTS = (
    "label",
    "answer",
    "probability",
    "label_probability",
    "as_labelled",
    "edge_region",
    "edge_lost",
    "edge_decides",
    "iou_fixed",
    "iou_by_chance",
    "pointing_game",
    "relevance_mass",
    "look_at",
    "problem",
    "note",
)
# What is written about each class of a task whose classes have no probability.
FINDING_COLUMNS: Mapping[str, str] = {"detection": "best score", "segmentation": "share of the picture"}
DRIFT_RESULTS = (
    "answer_1",
    "probability_1",
    "answer_2",
    "probability_2",
    "same_answer",
    "compared_class",
    "evidence",
    "movement",
    "overlap",
    "overlap_by_chance",
    "rank_correlation",
    "look_at",
    "problem",
    "note",
)
FORMAT = (
    "Give a CSV file whose first line is name,label or name,label,mask, or name and a column for each finding, with "
    "one line per picture."
)


def read_table(content: bytes) -> tuple[TableRow, ...]:
    """Read a CSV of labels: columns name (or file, filename, image), label (or class) and, optionally, mask.

    Instead of a label, or beside it, each finding can have a column of its own. Cells are separated by commas,
    semicolons or tabs; the text is UTF-8 or UTF-16, or else Windows-1252 (`is_old_text`). Raises a GradcamError for
    anything that is no such table.
    """
    text = _decode(content)
    delimiter, places, others = _find_columns(text)
    rows: list[TableRow] = []
    seen: set[Parts] = set()
    for line, cells in itertools.islice(_lines(text, delimiter), 1, None):
        if len(rows) == MOST_ROWS:
            raise GradcamError(f"The table has more than {MOST_ROWS:,} rows.", "Split it, and evaluate its parts.")
        named = {column: cells[place] for column, place in places.items() if place < len(cells)}
        row = TableRow(**named, cells=tuple((name, cells[at]) for name, at in others if at < len(cells) and cells[at]))
        if not row.name:
            raise GradcamError(f"Line {line} of the table names no picture.", FORMAT)
        parts = parts_of(row.name)
        if parts in seen:
            raise GradcamError(
                f"Line {line} of the table names the same picture as an earlier line.",
                "Keep one line per picture. Capital letters make no difference.",
            )
        seen.add(parts)
        rows.append(row)
    if not rows:
        raise GradcamError("The table has a heading but no rows.", FORMAT)
    return tuple(rows)


def is_old_text(content: bytes) -> bool:
    """Whether a table is read as Windows-1252, as Excel saves plain CSV in Western Europe, since it is not UTF-8."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return False
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return True
    return False


def _decode(content: bytes) -> str:
    """Decode the table, after a check of its size and its first bytes."""
    if len(content) > LARGEST_FILE:
        raise GradcamError(
            f"The table is too large: at most {LARGEST_FILE / 1e6:.0f} MB are read.",
            "Split it, and evaluate its parts.",
        )
    try:
        # Windows programs write UTF-16 with a byte order mark, and older ones the bytes of their own code page.
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = content.decode("utf-16" if utf16 else "cp1252" if is_old_text(content) else "utf-8-sig")
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
    """Write the rows as CSV, the ones to look at first on top; "hash" leaves file names out."""
    named = ("name",) if names == "keep" else ()
    by_task = [values_by_task(row, evaluation) for row in evaluation.rows]
    more = list(dict.fromkeys(column for values in by_task for column in values))
    rows = [{**row_values(row), **values} for row, values in zip(evaluation.rows, by_task, strict=True)]
    return to_csv(("sha256", *named, *RESULTS, *more), rows)


def values_by_task(row: Row, evaluation: Evaluation) -> Mapping[str, Cell]:
    """Columns that follow the model's task, which is one itself.

    Each finding's probability, the best score of each class of a detector with the number of objects, the share of the
    picture that each class of a segmenter covers, numbers with their errors, or similarities.
    """
    outputs = evaluation.outputs
    values: dict[str, Cell] = {"task": outputs.task, "task_origin": outputs.origin}
    if outputs.task == "regression":
        values |= {"value": _known(row.value), "given": row.given, "error": row.error, "unit": outputs.unit}
    if outputs.task == "embedding":
        values |= {"similarity": row.value}
    if outputs.task == "detection":
        values |= {"objects": row.objects}
    what = FINDING_COLUMNS.get(outputs.task, "probability")
    amounts = ((each, _known(each.probability if each.area is None else each.area)) for each in row.findings)
    return values | {f"{what} of {each.label} ({each.index})": amount for each, amount in amounts}


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def drift_to_csv(drift: Drift, names: Literal["keep", "hash"] = "hash") -> bytes:
    """Write the rows of a drift as `evaluation_to_csv` writes those of an evaluation."""
    named = ("name",) if names == "keep" else ()
    return to_csv(("sha256", *named, *DRIFT_RESULTS), map(_drift_values, drift.rows))


def _drift_values(row: DriftRow) -> Mapping[str, Cell]:
    values = {column: getattr(row, column) for column in ("sha256", "name", *DRIFT_RESULTS) if hasattr(row, column)}
    for place, (answer, probability) in enumerate(zip(row.answers, row.probabilities, strict=True), 1):
        values |= {f"answer_{place}": answer, f"probability_{place}": None if row.problem else _known(probability)}
    values |= {"compared_class": row.label, "overlap_by_chance": row.chance, "rank_correlation": row.correlation}
    return values | {"evidence": "" if row.problem else row.evidence, "look_at": row.standing}


def row_values(row: Row) -> Mapping[str, Cell]:
    """The values of a row by column; None where something was not computed."""
    values = {column: getattr(row, column) for column in ("sha256", "name", *RESULTS) if hasattr(row, column)}
    values |= {"edge_region": row.region, "edge_lost": row.lost, "look_at": row.standing}
    edges = () if row.region and not row.problem else ("edge_lost", "edge_decides")
    empty = dict.fromkeys(("probability", *edges) if row.problem else edges)
    numbers = {name: _known(values[name]) for name in ("probability", "label_probability")}
    return values | numbers | empty
