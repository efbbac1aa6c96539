"""Words: numbers and counts for people, and text from outside made safe to show."""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

Cell = str | float | bool | None
BANNER = "Research and demonstration. Not for diagnostic use."
DISCLAIMER = "For research and teaching, not for diagnosis. A heatmap shows where the model’s score is sensitive."

NARROW_SPACE = "\u202f"  # no line breaks at it
# These turn the direction of what follows: a name could pass for another one.
BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# A spreadsheet runs a cell that begins like this, full width included. Where its list separator is a
# semicolon, as in German Excel, the part behind a semicolon is a cell of its own, even inside quotes.
FORMULA = re.compile(r"(^|;)(\s*)(?=[=+\-@＝＋－＠])")


def percent(share: float | None, digits: int = 1) -> str:
    """Write a share 0..1 as a percentage; a dash for None and NaN. A small share never reads as nothing."""
    if share is None or math.isnan(share):
        return "–"
    least = 10**-digits
    if 0 < 100 * share < least / 2:
        return f"<{NARROW_SPACE}{least:g}{NARROW_SPACE}%"
    return f"{number(100 * share, f'.{digits}f')}{NARROW_SPACE}%"


def number(value: float, form: str = "g") -> str:
    """Write a number in a format such as ".3g", with a real minus; never as minus nothing."""
    text = f"{value:{form}}"
    return text.lstrip("-") if not any(sign in "123456789ni" for sign in text) else text.replace("-", "−")


def quantity(value: float, unit: str = "") -> str:
    """Write a number in four digits with its unit: "54.2 years", "−3.5 mm", "12,345"; a dash for NaN."""
    if math.isnan(value):
        return "–"
    digits = f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    return f"{digits.replace('-', '−')}{NARROW_SPACE if unit else ''}{unit}"


def signed(value: float) -> str:
    """Write a number of either sign with two decimals."""
    return number(value, ".2f")


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: "1 picture", "2,000 pictures", "3 classes"."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{'' if count == 1 else ending}"


def listed(parts: Sequence[str]) -> str:
    """Join parts as a sentence does: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def one_line(text: str, longest: int = 80) -> str:
    """Make text from outside, such as a label, safe to show on one line."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def is_plain(text: str) -> bool:
    """Whether text has no control character, lone surrogate or direction mark, and can be kept as written."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs") or sign in BIDI for sign in text)


def csv_cell(text: str) -> str:
    """Make text from outside a cell that no spreadsheet takes for a formula: one line, printable signs only."""
    return FORMULA.sub(r"\1\2'", one_line(text, 2000))


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> bytes:
    """Write rows as CSV in UTF-8 with a byte order mark, as spreadsheets expect. Columns that a row lacks stay empty.

    Every cell is quoted, and no text can become a formula. Numbers have six digits, and may begin with a minus sign;
    booleans are yes and no.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(map(csv_cell, columns))
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue().encode("utf-8-sig", "replace")


def _cell(value: Cell) -> str:
    if isinstance(value, str):
        return csv_cell(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:.6g}"
