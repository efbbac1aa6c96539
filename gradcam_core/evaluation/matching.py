"""Match pictures with the rows of a table and with masks, by the last part of their files' names."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gradcam_core.evaluation.records import TableRow
from gradcam_core.files import folded, last_part

Load = Callable[[], bytes]
Value = TypeVar("Value")
MASK = "_mask"


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture's file, with its row of the table and its mask. `shared`: other pictures match the same row."""

    name: str
    load: Load
    row: TableRow | None = None
    shared: bool = False
    mask: Load | None = None


def key_of(name: str) -> str:
    """Return what files are matched by: the last part of the name, the same on every system."""
    return folded(last_part(name))


def match(
    pictures: Iterable[tuple[str, Load]], table: Sequence[TableRow], masks: Mapping[str, Load]
) -> list[PictureFile]:
    """Give each picture its row and its mask.

    A table may leave the endings out. The mask is the one that the row names; without one, the file that has the
    picture's name with `_mask` before its ending.
    """
    rows = {key_of(row.name): row for row in table}
    by_key = {key_of(name): load for name, load in masks.items()}
    by_key = {_stem(key): load for key, load in by_key.items()} | by_key
    matched = [(name, load, _look_up(key_of(name), rows)) for name, load in pictures]
    claims = Counter(id(row) for _, _, row in matched)
    return [
        PictureFile(
            last_part(name),
            load,
            row,
            row is not None and claims[id(row)] > 1,
            by_key.get(key_of(row.mask) if row and row.mask else _stem(key_of(name)) + MASK),
        )
        for name, load, row in matched
    ]


def find_masks(names: Iterable[str], table: Sequence[TableRow]) -> frozenset[str]:
    """Return those of these files that are masks.

    The table decides: what it names as a picture is one, whatever its name. A file that it does not name is a mask
    where its name is that of a picture, among the files or in the table, with `_mask` before the ending.
    """
    names = list(names)
    kinds = {key_of(row.mask): True for row in table if row.mask} | {key_of(row.name): False for row in table}
    stems = {_stem(key) for key in (*map(key_of, names), *(key_of(row.name) for row in table))}
    return frozenset(name for name in names if _is_mask(key_of(name), kinds, stems))


def _is_mask(key: str, kinds: Mapping[str, bool], stems: Iterable[str]) -> bool:
    named = _look_up(key, kinds)
    stem = _stem(key)
    return named if named is not None else stem.endswith(MASK) and stem.removesuffix(MASK) in stems


def _look_up(key: str, values: Mapping[str, Value]) -> Value | None:
    """Look a file up by its full name, else by its name without the ending."""
    return values.get(key, values.get(_stem(key)))


def _stem(key: str) -> str:
    return key.rpartition(".")[0] or key
