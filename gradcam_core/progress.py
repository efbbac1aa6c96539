"""Progress of long work: one value, passed down and divided into parts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

# Called with the share done (0..1), what is being done, and the heatmaps so far.
# Raise an exception in it to cancel the work.
OnProgress = Callable[[float, str, tuple[Any, ...]], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """Report the share of a piece of work that is done; `part` gives a step of that work its own 0..1.

    Without a `callback` nothing is reported. `start` and `length` place this part within the whole.
    `convert` turns a part's drafts (a method's maps) into those of the whole (heatmaps).
    """

    callback: OnProgress | None = None
    words: str = ""
    start: float = 0.0
    length: float = 1.0
    convert: Callable[[Any], tuple[Any, ...]] | None = None

    def __call__(self, share: float, drafts: Any = None, words: str = "") -> None:
        """Report that `share` (0..1) of this part is done, with its drafts if there are any."""
        if self.callback is None:
            return
        converted = () if drafts is None else self.convert(drafts) if self.convert else drafts
        self.callback(self.start + self.length * share, words or self.words, converted)

    def part(
        self, place: float, of: float, words: str = "", convert: Callable[[Any], tuple[Any, ...]] | None = None
    ) -> "Progress":
        """Return the progress of step `place` (from 0) out of `of` equal steps."""
        length = self.length / of
        start, words, convert = self.start + place * length, words or self.words, convert or self.convert
        return Progress(self.callback, words, start, length, convert)

    def without_drafts(self) -> "Progress":
        """Return the same progress for work whose drafts are not those of the whole."""
        return replace(self, convert=lambda drafts: ())


SILENT = Progress()
