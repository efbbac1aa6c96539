"""`audit`: read the audit log, check its chain, export it."""

from __future__ import annotations

import os
from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, say
from gradcam_core.errors import AuditError
from gradcam_core.files import write_whole


def audit_flags(flags: Flags) -> None:
    """Add the flags of `audit`."""
    words = "a log's folder, or a file of one (that of LIGHTBOX_AUDIT, or this user's)"
    flags.add_argument("place", nargs="?", metavar="PLACE", help=words)
    flags.add_argument("--export", metavar="FILE", help="write the entries: .csv, or .jsonl as they are in the log")


@command(audit_flags)
def audit(given: Given) -> int:
    """Check the chain of the app's audit log, and export it.

    The exit code is 1 where an entry was changed, removed, inserted or moved. Note the last hash elsewhere: only that
    shows whether the whole log was written again.
    """
    place = Path(given.place) if given.place else _usual_place()
    if not place.exists():
        remedy = "Start the app with LIGHTBOX_AUDIT set to on, or name a log's folder."
        raise AuditError("There is no audit log here.", remedy)
    reading = core.read_audit(place)
    say(str(place))
    say(reading.sentence)
    for words in (*(fault.words for fault in reading.faults), *reading.notes):
        say(f"  {words}")
    if reading.more_faults:
        say(f"  {reading.more_faults:,} more")
    if reading.count:
        say(f"Last hash: {reading.last_hash}")
    if given.export:
        _export(place, Path(given.export), reading)
    return WORKED if reading.is_whole else SOME_FAILED


def _usual_place() -> Path:
    """The folder that the app's setting names, or the one in the user's data folder."""
    stated = Path(os.environ.get("LIGHTBOX_AUDIT", "")).expanduser()
    return stated if stated.is_absolute() else core.audit_folder()


def _export(place: Path, file: Path, reading: core.AuditReading) -> None:
    if file.suffix.lower() not in (".csv", ".jsonl"):
        raise AuditError(
            "An audit log is exported as CSV or JSONL.", "End the file's name in .csv or .jsonl.", "export"
        )
    if reading.count > len(reading.entries):
        say(f"A CSV contains the newest {len(reading.entries):,} entries.")
    content = core.audit_to_csv(reading.entries) if file.suffix.lower() == ".csv" else core.audit_lines(place)
    try:
        write_whole(file, content)
    except OSError as error:
        raise AuditError("The export cannot be written.", "Check the folder and the free space.", "export") from error
