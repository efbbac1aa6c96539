"""Match pictures with the rows of a table and with masks, by how much of the ends of their paths agree."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from gradcam_core.evaluation.records import TableRow
from gradcam_core.files import folded

Load = Callable[[], bytes]
Value = TypeVar("Value")
# A path's parts, the last one first.
Parts = tuple[str, ...]
MASK = "_mask"
# So many parts of a path are compared.
DEEPEST = 12


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture's file, with its row of the table and its mask.

    `shared`: other pictures match the same row, or other rows match this picture, as well as this one does.
    """

    name: str
    load: Load
    row: TableRow | None = None
    shared: bool = False
    mask: Load | None = None


def parts_of(path: str) -> Parts:
    """Return what files are matched by: the parts of a path, the last one first, the same on every system."""
    name = folded(path)
    if "/" not in name and "\\" not in name:
        return (name,)
    parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
    return tuple(parts[: -DEEPEST - 1 : -1]) or ("",)


class _Files(Generic[Value]):
    """Values by the paths of files, which other paths to the same file lead to. Two values of a path are enough."""

    def __init__(self, pairs: Iterable[tuple[str, Value]]) -> None:
        self._whole: dict[Parts, list[Value]] = {}
        self._ends: dict[Parts, list[Value]] = {}
        for path, value in pairs:
            parts = parts_of(path)
            self._whole.setdefault(parts, []).append(value)
            for length in range(1, len(parts)):
                if len(values := self._ends.setdefault(parts[:length], [])) < 2:
                    values.append(value)

    def best(self, parts: Parts) -> tuple[int, list[Value]]:
        """How many parts agree at most, and the values of these paths. One path is always the end of the other."""
        for values in (self._whole.get(parts), self._ends.get(parts)):
            if values:
                return len(parts), values
        for length in range(len(parts) - 1, 0, -1):
            if values := self._whole.get(parts[:length]):
                return length, values
        return 0, []

    def named(self, parts: Parts) -> tuple[int, list[Value]]:
        """The same, also where the paths here leave the ending out."""
        agreed, values = self.best(parts)
        return (agreed, values) if values else self.best(_without_ending(parts))


def match(
    pictures: Iterable[tuple[str, Load]], table: Sequence[TableRow], masks: Mapping[str, Load]
) -> list[PictureFile]:
    """Give each picture its row and its mask.

    A row that names folders fits only a picture in folders of these names. A table may leave the endings out. The mask
    is the one that the row names; without one, the file that has the picture's name with `_mask` before its ending.
    """
    pairs = [(name, load, parts_of(name)) for name, load in pictures]
    rows = _Files((row.name, row) for row in table)
    fits = [rows.named(parts) for _, _, parts in pairs]
    closest: dict[int, int] = {}
    for agreed, fitting in fits:
        closest |= {id(row): max(agreed, closest.get(id(row), 0)) for row in fitting}
    own = [[row for row in fitting if closest[id(row)] == agreed] for agreed, fitting in fits]
    claims = Counter(id(row) for each in own for row in each)
    names = Counter(_without_ending(parts)[0] for _, _, parts in pairs)
    find_mask = _masks_by(masks, names)
    return [
        PictureFile(
            name,
            load,
            row := each[0] if each else None,
            len(each) > 1 or (row is not None and claims[id(row)] > 1),
            find_mask(parts, row.mask if row else ""),
        )
        for (name, load, parts), each in zip(pairs, own, strict=True)
    ]


def _masks_by(masks: Mapping[str, Load], names: Mapping[str, int]) -> Callable[[Parts, str], Load | None]:
    """A function that finds the mask of a picture, by its parts and the mask's name in the table, "" without one.

    `names` has how many pictures have a name without its ending: that of one alone is enough to find its mask.
    """
    files = _Files(masks.items())
    stems = _Files(("/".join(_without_ending(parts_of(name))[::-1]), load) for name, load in masks.items())

    def find_mask(parts: Parts, named: str) -> Load | None:
        stem = _without_ending(parts)
        wanted = parts_of(named) if named else (stem[0] + MASK,)
        places = [(*wanted, *parts[1:])] if len(wanted) == 1 else [wanted]
        for place in places + [wanted[:1]] * (names[stem[0]] == 1):
            values = files.best(place)[1] or stems.best(place)[1]
            if len(values) == 1:
                return values[0]
        return None

    return find_mask


def find_masks(names: Iterable[str], table: Sequence[TableRow]) -> frozenset[str]:
    """Return those of these files that are masks.

    The table decides: what it names as a picture is one, whatever its name. A file that it does not name is a mask
    where its name is that of a picture, among the files or in the table, with `_mask` before the ending.
    """
    names = list(names)
    pictures, masks = ([(row.name, True) for row in table], [(row.mask, True) for row in table if row.mask])
    known, marked = _Files(pictures), _Files(masks)
    stems = {_without_ending(parts_of(name))[0] for name in (*names, *(row.name for row in table))}

    def is_mask(parts: Parts) -> bool:
        for form in (parts, _without_ending(parts)):
            if known.best(form)[1]:
                return False
            if marked.best(form)[1]:
                return True
        stem = _without_ending(parts)[0]
        return stem.endswith(MASK) and stem.removesuffix(MASK) in stems

    return frozenset(name for name in names if is_mask(parts_of(name)))


def _without_ending(parts: Parts) -> Parts:
    return (parts[0].rpartition(".")[0] or parts[0], *parts[1:])
