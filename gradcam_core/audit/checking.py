"""Read an audit log and check its chain, a line at a time: memory does not grow with what was put into the files."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradcam_core.audit.chain import AuditFault, AuditReading, Head, log_files, read_head
from gradcam_core.audit.entries import LONGEST_LINE, START, AuditEntry, from_line
from gradcam_core.errors import AuditError

MOST_ENTRIES, MOST_FAULTS = 100_000, 100
NO_HEAD = "The file that counts the entries is missing: the newest entries may have been removed."


def read_audit(place: Path, most: int = MOST_ENTRIES) -> AuditReading:
    """Read a log's folder, or one exported file, and check the chain; keep the newest `most` entries.

    Raises AuditError where it cannot be read.
    """
    alone = place.is_file()
    head = None if alone else read_head(place)  # first: what is appended meanwhile is then not taken for missing
    chain = _Chain(entries=deque(maxlen=most), head=head)
    try:
        for line in _lines([place] if alone else log_files(place)):
            chain.take(line)
    except OSError as error:
        raise AuditError("The audit log cannot be read.", "Check its place and the permission to read it.") from error
    chain.end(has_count=not alone)
    return AuditReading(
        tuple(chain.entries),
        chain.count,
        chain.last.hash if chain.count else "",
        tuple(chain.faults),
        chain.more_faults,
        tuple(chain.notes),
    )


def audit_lines(place: Path) -> bytes:
    """Return the log as it is in its files, for an export whose chain can be checked elsewhere. Raises AuditError."""
    try:
        contents = [path.read_bytes() for path in ([place] if place.is_file() else log_files(place))]
    except OSError as error:
        raise AuditError("The audit log cannot be read.", "Check its place and the permission to read it.") from error
    # The remains of a write that was cut off end a file without a line break.
    return b"".join(content if content.endswith(b"\n") else content + b"\n" for content in contents)


def _lines(files: Sequence[Path]) -> Iterator[bytes]:
    """Every line with its line break; longer ones in pieces, which are no entries."""
    for path in files:
        with path.open("rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                yield line


@dataclass
class _Gap:
    """Lines between two entries that are no entries themselves."""

    digest: Any = field(default_factory=hashlib.sha256)
    before_break: str = ""  # the hash without the last line break
    lines: int = 0
    ended: bool = False

    def take(self, line: bytes) -> None:
        body = line.removesuffix(b"\n")
        self.digest.update(body)
        self.before_break = self.digest.hexdigest()
        self.digest.update(line[len(body) :])
        self.lines += 1
        self.ended = line.endswith(b"\n")


@dataclass
class _Chain:
    """The chain as far as it was read."""

    entries: deque[AuditEntry]
    head: Head | None
    last: Head = field(default_factory=lambda: Head(0, START))
    count: int = 0
    gap: _Gap = field(default_factory=_Gap)
    faults: list[AuditFault] = field(default_factory=list)
    more_faults: int = 0
    notes: list[str] = field(default_factory=list)
    more_notes: int = 0

    def take(self, line: bytes) -> None:
        """Take the next line."""
        entry = from_line(line)
        if entry is None:
            self.gap.take(line)
            return
        self._join(entry)
        self.count += 1
        self.entries.append(entry)
        self.gap = _Gap()
        if self.head is not None and entry.number == self.head.count and entry.hash != self.head.hash:
            self._fault(entry.number, f"Entry {entry.number:,} is not the one that was counted: it was changed.")

    def _join(self, entry: AuditEntry) -> None:
        """Compare an entry with the one before it and with what lies between them."""
        follows = entry.previous == self.last.hash and entry.number == self.last.count + 1
        noted = bool(entry.torn) and self.gap.lines > 0 and entry.torn == self.gap.before_break
        if entry.counted:
            self._fault(entry.number, _counted_words(entry))
        if follows and noted:
            self._note(f"Before entry {entry.number:,} a write was cut off: the program or the machine stopped.")
        elif follows and self.gap.lines:
            self._fault(entry.number, f"Before entry {entry.number:,} there are lines that are no entries.")
        elif follows and entry.torn:
            self._fault(entry.number, f"Before entry {entry.number:,} the remains of a cut-off write were removed.")
        if follows or entry.number > self.last.count:
            if not follows:
                self._fault(self.last.count + 1, self._break_words(entry))
            self.last = Head(entry.number, entry.hash)
        else:
            self._fault(
                entry.number, f"Entry {entry.number:,} stands a second time, or after entry {self.last.count:,}."
            )

    def _break_words(self, entry: AuditEntry) -> str:
        first, following = self.last.count + 1, entry.number
        if following == first and not first - 1:
            return f"Entry {following:,} does not begin the chain: it was changed, or entries before it were removed."
        if following == first:
            return (
                f"Entry {following:,} does not follow from entry {first - 1:,}: one of the two was changed or inserted."
            )
        which = f"Entry {first:,}" if following == first + 1 else f"Entries {first:,} to {following - 1:,}"
        verb = "was" if following == first + 1 else "were"
        if self.gap.lines == following - first:
            return f"{which} {verb} changed."
        return f"{which} {verb} removed, moved or changed."

    def end(self, has_count: bool) -> None:
        """Look at what is after the last entry, and compare with the count of entries."""
        after, number = self.last.count + 1, self.last.count
        if self.gap.lines and not self.gap.ended:
            self._note("The last write was cut off, or is under way. The next entry will note it.")
        elif self.gap.lines:
            self._fault(after, f"After entry {number:,} there are lines that are no entries.")
        if not has_count:
            self._note("One file alone does not show whether the newest entries were removed.")
        elif self.head is None and number:
            self._fault(after, NO_HEAD)
        elif self.head is not None and self.head.count > number:
            self._fault(after, f"{_range(after, self.head.count)} removed from the end, or changed.")
        if self.more_notes:
            self.notes.append(f"Writes were cut off at {self.more_notes:,} more places.")

    def _fault(self, number: int, words: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(AuditFault(number, words))
        else:
            self.more_faults += 1

    def _note(self, words: str) -> None:
        if len(self.notes) < MOST_FAULTS:
            self.notes.append(words)
        else:
            self.more_notes += 1


def _range(first: int, last: int) -> str:
    return f"Entry {first:,} was" if first == last else f"Entries {first:,} to {last:,} were"


def _counted_words(entry: AuditEntry) -> str:
    """What was wrong with the count of entries when an entry was written."""
    count = entry.counted.partition(" ")[0]
    if not count.isdecimal():
        return f"When entry {entry.number:,} was written, {NO_HEAD[0].lower()}{NO_HEAD[1:]}"
    last = int(count[:16])
    if last < entry.number:
        return f"When entry {entry.number:,} was written, the entry before it was not the one that was counted."
    return (
        f"When entry {entry.number:,} was written, {_range(entry.number, last).lower()} missing: removed from the end."
    )
