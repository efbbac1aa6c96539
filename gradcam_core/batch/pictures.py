"""A folder -> its pictures, in one order on every machine. What a file is, its bytes tell later."""

import os
import stat
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from gradcam_core.batch.records import Job
from gradcam_core.batch.zips import members_of, read_member, read_start
from gradcam_core.errors import GradcamError, PictureError
from gradcam_core.files import FileTooLargeError, read_bounded
from gradcam_core.kinds import HEAD_BYTES, is_dicom

LARGEST_PICTURE = 256 * 2**20
# What lies beside pictures and is none.
OTHERS = frozenset((".csv", ".tsv", ".txt", ".json", ".md", ".html", ".xml", ".parquet", ".sqlite", ".py"))
SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini"))


def find_pictures(folder: Path, *, without: Collection[Path] = (), within: Path | None = None) -> tuple[Job, ...]:
    """Every file below a folder that can be a picture, by name; links are followed, each folder is read once.

    A ZIP in the place of the folder counts as one, and a picture as a folder with it alone. Broken links, devices and
    what cannot be read are listed with their problem. The folders `without` which to look, such as that of the results,
    are left out. Links are followed only `within` that folder, if one is given. Raises GradcamError without pictures.
    """
    try:
        if folder.is_file():
            listed = _in_file(folder)
        else:
            os.scandir(folder).close()
            listed = _below(folder, without, within)
        jobs = tuple(sorted(listed, key=lambda job: job.name))
    except OSError as error:
        raise GradcamError("The folder of pictures cannot be read.", "Give a folder that you may open.") from error
    if not jobs:
        raise GradcamError("There are no pictures in this folder.", "Give a folder with picture files.")
    return jobs


def _in_file(path: Path) -> Iterator[Job]:
    with path.open("rb") as file:
        packed = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    if not packed:
        status = path.stat()
        yield Job(_readable(path.name), str(path), status.st_size, status.st_mtime_ns)
        return
    for job in members_of(path):
        *folders, name = job.name.split("/")
        if may_be_picture(name) and not any(map(_is_hidden, set(folders) - {"..", "."})):
            nested = job.name.casefold().endswith(".zip")
            yield replace(job, problem="This is a ZIP within a ZIP.") if nested else job


def _below(folder: Path, without: Collection[Path], within: Path | None) -> Iterator[Job]:
    """The files below a folder. Folders behind links come last, so that a folder has its own name where it has one."""
    read = {(status.st_dev, status.st_ino) for status in (path.stat() for path in without if path.exists())}
    waiting, linked = deque([(str(folder), "")]), deque[tuple[str, str]]()
    while waiting or linked:
        path, prefix = (waiting or linked).popleft()
        try:
            status = os.stat(path)  # noqa: PTH116
            if (status.st_dev, status.st_ino) in read:
                continue
            read.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:
            yield Job(prefix.rstrip("/"), path, problem="This folder cannot be opened.")
            continue
        for entry in entries:
            name = f"{prefix}{_readable(entry.name)}"
            if _is_hidden(entry.name):
                continue
            if (
                entry.is_symlink()
                and within
                and not Path(os.path.realpath(entry.path)).is_relative_to(within.resolve())
            ):
                yield Job(name, entry.path, problem="This link leads out of the folder.")
                continue
            try:
                kind = entry.stat()
            except OSError:
                problem = "This link leads to no file." if entry.is_symlink() else "This file cannot be opened."
                yield Job(name, entry.path, problem=problem)
                continue
            if stat.S_ISDIR(kind.st_mode):
                (linked if entry.is_symlink() else waiting).append((entry.path, f"{name}/"))
            elif not stat.S_ISREG(kind.st_mode):
                yield Job(name, entry.path, problem="This is a device or a pipe, not a file.")
            elif may_be_picture(entry.name):
                yield Job(name, entry.path, kind.st_size, kind.st_mtime_ns)


def has_dicom(jobs: Iterable[Job]) -> bool:
    """Whether one of the files is DICOM, by its first bytes. Files that cannot be read are none."""
    return any(is_dicom(_first_bytes(job)) for job in jobs if not job.problem)


def _first_bytes(job: Job) -> bytes:
    try:
        if job.member is not None:
            return read_start(job, HEAD_BYTES, LARGEST_PICTURE)
        with Path(job.path).open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, PictureError):  # reading it says what is wrong
        return b""


def may_be_picture(name: str) -> bool:
    """Whether a file of this name can be a picture, or a folder of this name is looked into."""
    return not _is_hidden(name) and Path(name).suffix.casefold() not in OTHERS


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX" or name.casefold() in SYSTEM_FILES


def _readable(name: str) -> str:
    """A file's name as text; bytes that are none are written as escapes, so that no two names become one."""
    return name.encode("utf-8", "backslashreplace").decode()


def read_picture(job: Job) -> bytes:
    """The bytes of a picture's file. Raises PictureError without the system's own words, which contain its name."""
    if job.problem:
        raise PictureError(job.problem, "Remove it, or put the pictures themselves there.")
    if job.member is not None:
        return read_member(job, LARGEST_PICTURE)
    try:
        return read_bounded(Path(job.path), LARGEST_PICTURE)
    except FileTooLargeError:
        raise PictureError("The file is too large to be a picture.", "Save it with stronger compression.") from None
    except OSError:
        raise PictureError("The file cannot be opened.", "Check that you may read it.") from None
