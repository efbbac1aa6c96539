"""What is read of an audit log: its files, its count, its entries, and what is wrong with the chain."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from gradcam_core.audit.entries import AuditEntry
from gradcam_core.files import FileTooLargeError, read_bounded
from gradcam_core.text import counted

HEAD = "head.json"
NAME = re.compile(r"\d{4}-\d{2}\.jsonl")


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries a log has, and the hash of the last one."""

    count: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditFault:
    """Something that is wrong with the chain, in words, and the number of the entry where it shows."""

    number: int
    words: str


@dataclass(frozen=True, slots=True)
class AuditReading:
    """A log as it was read: its newest entries, the oldest of them first, and what is wrong with the chain.

    `count` is that of all intact entries, `last_hash` that of the last one. `notes` are sentences about what is odd and
    no fault. `more_faults` counts those that are not listed.
    """

    entries: tuple[AuditEntry, ...]
    count: int
    last_hash: str
    faults: tuple[AuditFault, ...] = ()
    more_faults: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong with the chain."""
        return not self.faults

    @property
    def sentence(self) -> str:
        """The outcome in a sentence."""
        if not self.count and self.is_whole:
            return "The log has no entries yet."
        if self.is_whole:
            noun = "entry" if self.count == 1 else "entries"
            return f"The chain is whole: {self.count:,} {noun}, none changed, removed, inserted or moved."
        places = counted(len(self.faults) + self.more_faults, "place")
        return f"The chain is broken in {places}, first at entry {self.faults[0].number:,}."


def log_files(folder: Path) -> list[Path]:
    """The files of a log, the oldest first. Raises OSError."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name) and path.is_file())


def read_head(folder: Path) -> Head | None:
    """What the file of counts says; None where it is missing or cannot be read."""
    try:
        stored = json.loads(read_bounded(folder / HEAD, 1000))
        head = Head(stored["count"], stored["hash"])
    except (FileTooLargeError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    fits = isinstance(head.count, int) and isinstance(head.hash, str) and 0 <= head.count < 2**53
    return head if fits and re.fullmatch(r"[0-9a-f]{64}", head.hash) else None


def sha256(content: bytes) -> str:
    """The sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
