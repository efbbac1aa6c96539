"""Append to the audit log: under a lock, flushed to the disk, chained to the last entry."""

import dataclasses
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from gradcam_core.audit.chain import HEAD, Head, log_files, read_head, sha256
from gradcam_core.audit.entries import LONGEST_LINE, START, AuditEntry, from_line, to_line
from gradcam_core.errors import AuditError
from gradcam_core.files import is_disk_full, whole_file

APP, FOLDER, LOCK = "cam-lightbox", "audit", "audit.lock"
LOCK_SECONDS = 10
TAILS = (16_384, 2 * LONGEST_LINE)


def audit_folder() -> Path:
    """Where the audit log is unless a setting says otherwise: in the user's data folder."""
    from platformdirs import user_data_path

    return user_data_path(APP, appauthor=False) / FOLDER


def append_audit(folder: Path, entries: Sequence[AuditEntry], now: datetime | None = None) -> tuple[AuditEntry, ...]:
    """Append entries in one write; return them as written, with number, time and hash.

    Several programs and threads may append to one folder. When this returns, the entries are on the disk. Raises
    AuditError where they cannot be written: nothing that is to be logged may then be shown.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=LOCK_SECONDS):
            return _append(folder, entries, now or datetime.now(UTC))
    except Timeout as error:
        raise AuditError("Another program is writing the audit log.", "Try once more.") from error
    except OSError as error:
        message = "The disk with the audit log is full." if is_disk_full(error) else "The audit log cannot be written."
        remedy = "Nothing is shown that is not logged: give the log space and permission to write, then try again."
        raise AuditError(message, remedy) from error


def _append(folder: Path, entries: Sequence[AuditEntry], now: datetime) -> tuple[AuditEntry, ...]:
    files = log_files(folder)
    last, rest = _end_of(files)
    time = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    torn, counted = sha256(rest.removesuffix(b"\n")) if rest else "", _disagreement(folder, last)
    lines, written, previous = list[bytes](), list[AuditEntry](), last.hash
    for number, entry in enumerate(entries, last.count + 1):
        numbered = dataclasses.replace(entry, number=number, time=time, previous=previous, torn=torn, counted=counted)
        lines.append(to_line(numbered))
        new = from_line(lines[-1])
        if new is None:
            raise AuditError("An entry for the audit log has the wrong form.", "Please report this error.")
        written.append(new)
        previous, torn, counted = new.hash, "", ""
    if written:
        if not last.count and read_head(folder) is None:
            _write_head(folder, last)  # first, so that a log without a count is one whose count was removed
        # A clock that was set back does not put entries into an older file.
        path = max([*files[-1:], folder / f"{time[:7]}.jsonl"], key=lambda file: file.name)
        _write(path, b"".join(lines), is_new=path not in files)
        _write_head(folder, Head(written[-1].number, previous))
    return tuple(written)


def _end_of(files: Sequence[Path]) -> tuple[Head, bytes]:
    """Return number and hash of the last entry, and what stands after it: the remains of a write that was cut off."""
    rest = b""
    for path in reversed(files):
        for size in TAILS:
            start = max(0, path.stat().st_size - size)
            with path.open("rb") as file:
                file.seek(start)
                tail = file.read(size)
            end = len(tail)
            while end > 0:
                begin = tail.rfind(b"\n", 0, end - 1) + 1
                entry = from_line(tail[begin:end])
                if entry is not None:
                    return Head(entry.number, entry.hash), tail[end:] + rest
                end = begin
            if start == 0:
                break
        rest = tail + rest
    return Head(0, START), rest


def _disagreement(folder: Path, last: Head) -> str:
    """What the file of counts says where it does not fit the log. After a write that was cut off it may be behind."""
    head = read_head(folder)
    if head is None:
        return "missing" if last.count else ""
    fits = head.count < last.count or head == last
    return "" if fits else f"{head.count} {head.hash}"


def _write(path: Path, content: bytes, *, is_new: bool) -> None:
    with path.open("ab+") as file:
        if file.tell() > 0:  # what was cut off gets its line break now
            file.seek(-1, os.SEEK_END)
            content = content if file.read(1) == b"\n" else b"\n" + content
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if is_new and os.name == "posix":  # so that the file's name outlives a power failure too
        place = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _write_head(folder: Path, head: Head) -> None:
    with whole_file(folder / HEAD) as part, part.open("w", encoding="ascii") as file:
        json.dump(dataclasses.asdict(head), file)
        file.flush()
        os.fsync(file.fileno())
