"""Files: written whole or not at all, read up to a bound, and named in a way that every system agrees on."""

import errno
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileTooLargeError(OSError):
    """A file that is larger than its reader accepts."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, even if the process is killed meanwhile. Raises OSError."""
    with whole_file(path) as part:
        part.write_bytes(content)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the path of a file to write in a `with` block; it takes the place of `path` if the block ends well."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def is_disk_full(error: OSError) -> bool:
    """Whether there is no space left, on the disk or for this user."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def read_bounded(path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes. Raises FileTooLargeError for a larger one, OSError if it cannot be read.

    The bound holds for what is read, since the size that the system states can be wrong (a file in /proc, one that
    grows).
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise FileTooLargeError(f"more than {most} bytes")
    return content


def last_part(path: str) -> str:
    """Return a file's name without its folders, for paths of any system."""
    return re.split(r"[/\\]", path)[-1]


def folded(name: str) -> str:
    """Return the form in which names are compared: systems differ in capital letters, and in how they write accents."""
    return unicodedata.normalize("NFC", name).casefold()
