"""A table of labels, as a spreadsheet saves it -> what it says about each picture. Its bytes are hostile.

The table names pictures, so no error here repeats one of its cells: a line's number is enough to find it.
"""

import csv
import io
import itertools
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from gradcam_core.errors import GradcamError
from gradcam_core.evaluation.matching import key_of
from gradcam_core.evaluation.records import TableRow
from gradcam_core.sources.labels import BIDI

LARGEST_FILE = 5_000_000
MOST_ROWS = 10_000
LONGEST_CELL, LONGEST_HEADING = 300, 10_000
DELIMITERS = (",", ";", "\t")
# Where a table has several of these, the first one named here counts.
COLUMNS: Mapping[str, Sequence[str]] = {
    "name": ("name", "file", "filename", "image"),
    "label": ("label", "class"),
    "mask": ("mask",),
}
FORMAT = "Give a CSV file whose first line is name,label or name,label,mask, with one picture a line."


def read_table(content: bytes) -> tuple[TableRow, ...]:
    """Read a CSV of labels: columns name (or file, filename, image), label (or class) and, if wanted, mask.

    Commas, semicolons or tabs part the cells; the text is UTF-8 or UTF-16. Of paths only the last part
    counts. Raises a GradcamError, which never holds a cell, for anything that is no such table.
    """
    text = _decode(content)
    delimiter, places = _find_columns(text)
    entries: list[TableRow] = []
    seen: set[str] = set()
    for line, cells in itertools.islice(_lines(text, delimiter), 1, None):
        if len(entries) == MOST_ROWS:
            raise GradcamError(f"The table has more than {MOST_ROWS:,} rows.", "Split it, and evaluate its parts.")
        entry = TableRow(**{column: cells[place] for column, place in places.items() if place < len(cells)})
        if not entry.name:
            raise GradcamError(f"Line {line} of the table names no picture.", FORMAT)
        if key_of(entry.name) in seen:
            raise GradcamError(
                f"Line {line} of the table names a picture that an earlier line names.",
                "Keep one line a picture. Folders do not count, and neither do capital letters.",
            )
        seen.add(key_of(entry.name))
        entries.append(entry)
    if not entries:
        raise GradcamError("The table has a heading but no rows.", FORMAT)
    return tuple(entries)


def _decode(content: bytes) -> str:
    """The table as text, after a look at its size and its first bytes."""
    if len(content) > LARGEST_FILE:
        raise GradcamError("The table is far too large for a list of labels.", FORMAT)
    try:
        # As Windows' programs write, with its mark in front.
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise GradcamError("The table is not text in UTF-8.", "Save it as “CSV UTF-8” in the spreadsheet.") from error
    if "\0" in text:
        raise GradcamError("The table holds bytes that are no text.", "Save it as “CSV UTF-8” in the spreadsheet.")
    return text


def _find_columns(text: str) -> tuple[str, Mapping[str, int]]:
    """What parts the cells, and at which place each column stands."""
    heading = next((line for line in io.StringIO(text, newline=None) if line.strip()), "")[:LONGEST_HEADING]
    for delimiter in DELIMITERS:
        names = [cell.strip().casefold() for cell in next(csv.reader([heading], delimiter=delimiter), [])]
        found = {column: next((name for name in known if name in names), "") for column, known in COLUMNS.items()}
        if found["name"] and found["label"]:
            return delimiter, {column: names.index(name) for column, name in found.items() if name}
    raise GradcamError("The table’s first line does not name the columns name and label.", FORMAT)


def _lines(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The table's lines that hold anything, each with its number."""
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
        raise GradcamError(f"Line {line} of the table has a cell of more than {LONGEST_CELL} letters.", FORMAT)
    if any(unicodedata.category(sign) in ("Cc", "Cs") or sign in BIDI for sign in cell):
        raise GradcamError(f"Line {line} of the table holds signs that cannot be shown.", "Write the line anew.")
    return cell
