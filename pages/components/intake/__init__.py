"""Files that are dropped anywhere or pasted, and the words before and after a tab loses its work. Loads no torch."""

import secrets
from pathlib import Path

import streamlit as st

from gradcam_core import counted
from pages.components import remembered, session
from pages.components.component import component, ignore

_mount = component("intake", Path(__file__).parent, ("lost.js", "intake.js"))


def show_intake() -> None:
    """Hand dropped and pasted files to the page's uploader, and warn before the session's own work is lost."""
    tab = st.session_state.setdefault("tab", secrets.token_hex(8))
    with st.container(key="intake", height="content"):
        data = {"session": tab, "holds": _own_work()}
        _mount(key="intake of the page", data=data, on_returned_change=ignore)


def drop_zone(label: str) -> None:
    """A large place for pictures on the page itself; files that are dropped elsewhere come here, too."""
    with st.container(key="takes-drops"):
        st.file_uploader(
            label,
            accept_multiple_files=True,
            key=session.uploader_key("main"),
            on_change=session.take_uploads,
            args=("main",),
            max_upload_size=session.MOST_MEGABYTES,
        )


def _own_work() -> str:
    """What this session has that would be lost with its tab, in words; empty where there is nothing."""
    state = st.session_state
    pictures = len(state.uploads) + sum(bool(sha256) for _, sha256 in state.get("folder_files", {}))
    models = len(state.models) - len(session.bundled()) - len(remembered.known())
    parts = [counted(pictures, "picture") if pictures else "", counted(models, "own model") if models else ""]
    return " and ".join(filter(None, parts))
