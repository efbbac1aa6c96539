"""Which label and which mask belong to which picture: by the last part of their files' names."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from gradcam_core.evaluation.records import TableRow

Load = Callable[[], bytes]
MASK = "_mask"


@dataclass(frozen=True, slots=True)
class Case:
    """A picture's file with what is known about it. `shared`: other pictures claim the same row of the table."""

    name: str
    load: Load
    entry: TableRow | None = None
    shared: bool = False
    mask: Load | None = None


def last_part(name: str) -> str:
    """A file's name without its folders, whatever system wrote it."""
    return re.split(r"[/\\]", name)[-1]


def key_of(name: str) -> str:
    """What files are matched by: systems differ in capital letters, and in how they write an accent."""
    return unicodedata.normalize("NFC", last_part(name)).casefold()


def match(pictures: Iterable[tuple[str, Load]], table: Sequence[TableRow], masks: Mapping[str, Load]) -> list[Case]:
    """Put pictures, rows and masks together.

    A row may leave the ending out. A mask is the one that the row names; without one, the file that is
    called as the picture is, with `_mask` before its ending.
    """
    rows = {key_of(entry.name): entry for entry in table}
    marks = {key_of(name): load for name, load in masks.items()}
    stems = {_stem(name): load for name, load in marks.items()}
    named = [(name, load, _row_of(name, rows)) for name, load in pictures]
    claims = Counter(id(entry) for _, _, entry in named)
    return [
        Case(
            last_part(name),
            load,
            entry,
            entry is not None and claims[id(entry)] > 1,
            marks.get(key_of(entry.mask)) if entry and entry.mask else stems.get(_stem(key_of(name)) + MASK),
        )
        for name, load, entry in named
    ]


def find_masks(names: Iterable[str], table: Sequence[TableRow]) -> frozenset[str]:
    """Those of some files that are masks: the table names them as such, or their names end in `_mask`."""
    named = {key_of(entry.mask) for entry in table if entry.mask}
    return frozenset(name for name in names if key_of(name) in named or _stem(key_of(name)).endswith(MASK))


def _row_of(name: str, rows: Mapping[str, TableRow]) -> TableRow | None:
    return rows.get(key_of(name)) or rows.get(_stem(key_of(name)))


def _stem(key: str) -> str:
    return key.rpartition(".")[0] or key
