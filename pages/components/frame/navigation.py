"""The pages, read off their own files: each page's first line gives its title and icon, its name the place."""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from streamlit.errors import StreamlitAPIException, StreamlitPageNotFoundError

from pages.components import audited

ROOT = Path(__file__).parents[3]
AUDIT = "pages/8_Audit.py"
FIRST_LINE = re.compile(r'"*(?P<title>[^(]+) \((?P<icon>:material/\w+:)\): ')


@dataclass(frozen=True)
class Page:
    """One page: its file, its title and its icon."""

    path: str
    title: str
    icon: str


@functools.cache
def pages() -> tuple[Page, ...]:
    """Every page, Start first."""
    files = [ROOT / "app.py", *sorted((ROOT / "pages").glob("[0-9]*.py"))]
    return tuple(_page(file) for file in files)


def _page(file: Path) -> Page:
    with file.open(encoding="utf-8") as lines:
        title, icon = title_and_icon(next(lines))
    return Page(file.relative_to(ROOT).as_posix(), title, icon)


def title_and_icon(first_line: str) -> tuple[str, str]:
    """Read a page's first line: `Title (:material/icon:): what it shows.`"""
    match = FIRST_LINE.match(first_line)
    if match is None:
        raise ValueError(f"A page begins with 'Title (:material/icon:): ...', not with {first_line[:60]!r}")
    return match["title"], match["icon"]


def show_navigation() -> None:
    """Links to all pages; to that of the audit log where there is one."""
    with st.container(key="navigation", gap="xxsmall"):
        for page in pages():
            if page.path != AUDIT or audited.is_on():
                link(page.path, page.title, page.icon)


def link(path: str, label: str, icon: str) -> None:
    """A link to another page; plain words where this page is run alone and there is no other."""
    try:
        st.page_link(path, label=label, icon=icon, width="stretch")
    except StreamlitPageNotFoundError:
        st.caption(label)


def go_to(path: str) -> None:
    """Show another page; stay where this page is run alone and there is no other."""
    try:
        st.switch_page(path)
    except StreamlitAPIException:
        return
