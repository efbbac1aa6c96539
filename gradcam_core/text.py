"""Words: numbers and counts for people, and text from outside made safe to show."""

import math
import re
import unicodedata
from collections.abc import Sequence

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
    return f"{round(100 * share, digits) + 0.0:.{digits}f}{NARROW_SPACE}%"


def quantity(value: float, unit: str = "") -> str:
    """Write a number in four digits with its unit: "54.2 years", "−3.5 mm", "12,345"; a dash for NaN."""
    if math.isnan(value):
        return "–"
    digits = f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:.4g}"
    return f"{digits.replace('-', '−')}{NARROW_SPACE if unit else ''}{unit}"


def signed(value: float) -> str:
    """Write a number of either sign with two decimals and a real minus; never as minus nothing."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: "1 picture", "2,000 pictures"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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
