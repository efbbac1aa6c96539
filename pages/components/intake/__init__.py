"""Files that are dropped anywhere or pasted, and the words before and after a tab loses its work. Loads no torch."""

import secrets
from pathlib import Path

import streamlit as st

from pages.components import session
from pages.components.component import component, ignore

_mount = component("intake", Path(__file__).parent, ("lost.js", "intake.js"))


def show_intake() -> None:
    """Hand dropped and pasted files to the page's uploader, and warn before the session's own work is lost."""
    tab = st.session_state.setdefault("tab", secrets.token_hex(8))
    with st.container(key="intake", height="content"):
        data = {"session": tab, "holds": session.own_work()}
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
