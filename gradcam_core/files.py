"""Files: written whole or not at all, and read up to a bound."""

import os
from pathlib import Path


class FileTooLargeError(OSError):
    """A file that is larger than its reader accepts."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, even if the process is killed meanwhile. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


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
