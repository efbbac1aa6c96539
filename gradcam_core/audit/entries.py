"""One entry of the audit log, and its line: JSON whose last part is the sha256 of everything before it."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from gradcam_core.text import Cell, to_csv

AUDIT_EVENTS: Mapping[str, str] = {
    "analysed": "Analysed",
    "viewed": "Viewed",
    "checked": "Checks run",
    "exported": "Exported",
    "fetched": "Fetched from the archive",
    "sent": "Sent to the archive",
    "impression": "Impression written",
    "kept": "Impression kept",
    "changed": "Impression changed",
}
START = "0" * 64  # what the first entry has as the hash of the one before it
LONGEST_LINE, LONGEST_TEXT, LONGEST_PART, MOST_PARTS = 1_000_000, 4_000, 200, 50
_LINE = re.compile(rb'(\{.*),"hash":"([0-9a-f]{64})"\}\n?', re.DOTALL)
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class AuditAnswer:
    """A class with what the model gave it: a probability 0..1, or a number in its unit."""

    label: str
    probability: float | None = None
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One event. What does not apply is empty, and is left out of the line.

    `picture` is the sha256 of the picture's file; a job over several `pictures` names itself in `job` instead.
    `blanked` counts the areas of the picture that were deleted before. `model` is a reference, or "file". `answers` are
    the model's top answers, `targets` what the heatmaps explain. `user` is the name that a proxy gave, `session` a
    random word. `impression` is the reader's own text.

    The rest is filled in when the entry is written. `torn` is the sha256 of the remains of a write that was cut off
    before it, `counted` what the file of counts said where that did not fit the log: "missing" or a count and a hash.
    """

    event: str
    session: str = ""
    user: str = ""
    picture: str = ""
    frame: int = 0
    blanked: int = 0
    pictures: int = 0
    job: str = ""
    model: str = ""
    fingerprint: str = ""
    layers: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    targets: tuple[AuditAnswer, ...] = ()
    answers: tuple[AuditAnswer, ...] = ()
    checks: tuple[str, ...] = ()
    export: str = ""
    impression: str = ""
    number: int = 0
    time: str = ""
    torn: str = ""
    counted: str = ""
    previous: str = ""
    hash: str = ""


FIRST = ("number", "time", "event")
ORDER = (*FIRST, *(field.name for field in fields(AuditEntry) if field.name not in (*FIRST, "hash")))
TEXTS = tuple(field.name for field in fields(AuditEntry) if field.type is str)
NUMBERS = tuple(field.name for field in fields(AuditEntry) if field.type is int)


def to_line(entry: AuditEntry) -> bytes:
    """Write an entry as its line; its own `hash` is computed. Long texts are cut."""
    values = asdict(entry)
    kept = {name: _bounded(values[name]) for name in ORDER if values[name] or name == "number"}
    body = json.dumps(kept, separators=(",", ":"), allow_nan=False).encode()[:-1]
    return body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def _bounded(value: Any, longest: int = LONGEST_TEXT) -> Any:
    """A value with no more than an entry may hold, and text that can be written and shown everywhere."""
    if isinstance(value, str):
        return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in value[:longest])
    if isinstance(value, Mapping):
        return {name: _bounded(part, LONGEST_PART) for name, part in value.items() if part not in ("", None)}
    if isinstance(value, list | tuple):
        return [_bounded(part, LONGEST_PART) for part in value[:MOST_PARTS]]
    return value


def from_line(line: bytes) -> AuditEntry | None:
    """Read a line, with or without its line break; None where it was cut off or changed, or has another form."""
    match = _LINE.fullmatch(line) if len(line) <= LONGEST_LINE else None
    if match is None or hashlib.sha256(match[1]).hexdigest() != match[2].decode():
        return None
    try:
        values = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return _checked(values)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _checked(values: Any) -> AuditEntry | None:
    """An entry of the known parts, if each is of its kind. Parts that a newer version added are left out."""
    if not isinstance(values, dict) or not {"number", "time", "event", "previous"} <= set(values):
        return None
    known = {name: values[name] for name in (*ORDER, "hash") if name in values}
    answers = {name: _answers(known.get(name, [])) for name in ("targets", "answers")}
    lists = {name: known.get(name, []) for name in ("layers", "methods", "checks")}
    fits = (
        all(_is_text(known.get(name, "")) for name in TEXTS)
        and all(_is_count(known.get(name, 0)) for name in NUMBERS)
        and all(isinstance(parts, list) and all(map(_is_text, parts)) for parts in lists.values())
        and all(parts is not None for parts in answers.values())
        and _HASH.fullmatch(known["previous"]) is not None
    )
    if not fits:
        return None
    return AuditEntry(**{**known, **{name: tuple(parts) for name, parts in lists.items()}, **answers})


def _answers(values: Any) -> tuple[AuditAnswer, ...] | None:
    names = {field.name for field in fields(AuditAnswer)}
    if not isinstance(values, list) or not all(isinstance(each, dict) and "label" in each for each in values):
        return None
    answers = tuple(AuditAnswer(**{name: each[name] for name in names & set(each)}) for each in values)
    fits = all(
        _is_text(each.label) and _is_text(each.unit) and _is_number(each.probability) and _is_number(each.value)
        for each in answers
    )
    return answers if fits else None


def _is_text(value: Any) -> bool:
    """Text that can be written and shown everywhere."""
    return isinstance(value, str) and all(sign.isprintable() or sign == "\n" for sign in value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_number(value: Any) -> bool:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return value is None or (fits and math.isfinite(value))


def audit_to_csv(entries: Iterable[AuditEntry]) -> bytes:
    """Write entries as CSV, one a row. Lists are joined with "; "; no text can become a formula."""
    return to_csv((*ORDER, "hash"), map(_row, entries))


def _row(entry: AuditEntry) -> dict[str, Cell]:
    row: dict[str, Cell] = {}
    for name, value in asdict(entry).items():
        parts = value if isinstance(value, tuple) else ()
        words = [part if isinstance(part, str) else _answer_words(**part) for part in parts]
        row[name] = "; ".join(words) if parts else value or None
    return row


def _answer_words(label: str, probability: float | None, value: float | None, unit: str) -> str:
    amount = probability if value is None else value
    return label if amount is None else f"{label} {amount:.6g} {unit}".strip()
