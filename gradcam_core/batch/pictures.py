"""A folder -> its pictures, in one order on every machine. What a file is, its bytes tell later."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gradcam_core.batch.records import Job
from gradcam_core.errors import GradcamError, PictureError
from gradcam_core.files import FileTooLargeError, read_bounded

LARGEST_PICTURE = 256 * 2**20
# What lies beside pictures and is none.
OTHERS = frozenset((".csv", ".tsv", ".txt", ".json", ".md", ".html", ".pdf", ".xml", ".parquet", ".sqlite", ".py"))
SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini"))


def find_pictures(folder: Path) -> tuple[Job, ...]:
    """Every file below a folder that can be a picture, by name; links are followed, and loops left.

    Broken links, devices and what cannot be read are listed with their problem. Raises GradcamError without pictures.
    """
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise GradcamError("The folder of pictures cannot be read.", "Give a folder that you may open.") from error
    jobs = tuple(sorted(_below(folder, "", frozenset()), key=lambda job: job.name))
    if not jobs:
        raise GradcamError("There are no pictures in this folder.", "Give a folder with picture files.")
    return jobs


def _below(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[Job]:
    """The files below a folder; `above` are the folders on the way to it, which a link could lead back to."""
    try:
        status = folder.stat()
        entries = list(os.scandir(folder))
    except OSError:
        yield Job(prefix.rstrip("/"), str(folder), problem="This folder cannot be opened.")
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX" or entry.name.casefold() in SYSTEM_FILES:
            continue
        name = f"{prefix}{entry.name}"
        try:
            kind = entry.stat()
        except OSError:
            yield Job(name, entry.path, problem="This link leads to no file.")
            continue
        if stat.S_ISDIR(kind.st_mode):
            yield from _below(Path(entry.path), f"{name}/", above | {here})
        elif not stat.S_ISREG(kind.st_mode):
            yield Job(name, entry.path, problem="This is a device or a pipe, not a file.")
        elif Path(entry.name).suffix.casefold() not in OTHERS:
            yield Job(name, entry.path, "", kind.st_size, kind.st_mtime_ns)


def read_picture(job: Job) -> bytes:
    """The bytes of a picture's file. Raises PictureError without the system's own words, which contain its name."""
    if job.problem:
        raise PictureError(job.problem, "Remove it, or put the picture itself there.")
    try:
        return read_bounded(Path(job.path), LARGEST_PICTURE)
    except FileTooLargeError:
        raise PictureError("The file is too large to be a picture.", "Save it with stronger compression.") from None
    except OSError:
        raise PictureError("The file cannot be opened.", "Check that you may read it.") from None
