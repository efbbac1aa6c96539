"""Uploaded files on disk: in a private folder of the session, under their checksums, and removed with the session."""

import hashlib
import secrets
from collections.abc import Iterator
from typing import BinaryIO

import streamlit as st

from gradcam_core import GradcamError, Job
from pages.components.analysis.files import PrivateFolder

BLOCK = 2**20


def session_folder() -> PrivateFolder:
    """The private folder of this session. Work that outlives the session holds it, so that it stays until then."""
    folder: PrivateFolder | None = st.session_state.get("private folder")
    if folder is None:
        folder = st.session_state["private folder"] = PrivateFolder()
    return folder


def remove_folder() -> None:
    """Remove all that this session has on disk."""
    folder: PrivateFolder | None = st.session_state.pop("private folder", None)
    if folder is not None:
        folder.remove()


def keep(name: str, file: BinaryIO) -> tuple[str, Job]:
    """Copy a file to the disk; return its sha256, and where it is. Raises GradcamError where there is no space."""
    folder, checksum = session_folder().path / "files", hashlib.sha256()
    part = folder / f"part-{secrets.token_hex(8)}"
    try:
        folder.mkdir(exist_ok=True)
        with part.open("wb") as copy:
            for block in _blocks(file):
                checksum.update(block)
                copy.write(block)
        size = part.stat().st_size
        path = part.replace(folder / checksum.hexdigest())
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GradcamError("The server cannot keep this file.", "Ask its owner to free some space.") from error
    # A part of the checksum in the place of a time: the same file again is not computed again.
    return checksum.hexdigest(), Job(name, str(path), size, int(checksum.hexdigest()[:12], 16))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(BLOCK):
        yield block
