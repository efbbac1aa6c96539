"""Uploaded files in private folders: checkpoints until they are not used, a session’s files. Loads no torch."""

import functools
import hashlib
import os
import re
import shutil
import tempfile
import time
import weakref
from pathlib import Path

PREFIX = "lightbox-"
IDLE_S = 3600


class PrivateFolder:
    """A folder that only this user can open; it is removed with its session, or when the server ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-")


def keep_file(content: bytes) -> Path:
    """Write an uploaded file into this process's private folder, under a name made of its content only."""
    folder = Path(_folder().name) / hashlib.sha256(content).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    path = folder / "weights"
    if not path.exists():
        # Whole or not at all: another session may be loading the same file.
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:
            part.write(content)
        Path(part.name).replace(path)
    os.utime(folder)
    return path


def touch(reference: str) -> None:
    """Note that an uploaded checkpoint is in use."""
    folder = Path(reference.removeprefix("file:")).parent
    if reference.startswith("file:") and folder.parent == Path(_folder().name) and folder.is_dir():
        os.utime(folder)


def sweep() -> None:
    """Remove uploaded checkpoints that were not used for an hour."""
    if _folder.cache_info().currsize == 0:
        return
    for folder in Path(_folder().name).iterdir():
        if folder.stat().st_mtime < time.time() - IDLE_S:
            shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers() -> None:
    """Remove the folders of servers of this user that were killed and could not do it themselves."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        match = re.fullmatch(rf"{PREFIX}(\d+)-\w+", folder.name)
        if match and _is_ours(folder) and not _runs(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether this user made the folder, and no other user can write to it."""
    if not hasattr(os, "getuid") or folder.is_symlink() or not folder.is_dir():
        return False
    status = folder.lstat()
    return status.st_uid == os.getuid() and status.st_mode & 0o077 == 0


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user, or out of range
        return True
    return True
