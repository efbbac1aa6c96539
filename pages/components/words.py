"""Words on the page: text from outside is escaped here, and errors have one form. Loads no torch."""

import re

import streamlit as st

from gradcam_core import GradcamError

LONG_MESSAGE, LONG_LABEL, LONGEST_NAME = 160, 48, 60
NO_BREAK = "\u202f"
# Where Markdown finds an address by itself. A word joiner in it is invisible, and no link comes of it.
_ADDRESS = re.compile(r"(www(?=\.)|https?(?=:)|@)", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")


def shown_name(text: str) -> str:
    """A file's name, fit to be shown: one line of printable characters, none of which turns the direction."""
    printable = "".join(sign for sign in text if sign.isprintable()).strip()
    return printable if len(printable) <= LONGEST_NAME else f"{printable[: LONGEST_NAME - 1]}…"


def plain(text: str) -> str:
    """Escape text for Markdown: labels and file names come from outside, and become neither markup nor links.

    Signs that turn the direction of what follows are left out: "exe.png" could stand there as "gnp.exe".
    """
    text = _ADDRESS.sub(rf"\1{_WORD_JOINER}", _DIRECTION.sub("", text))
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]()<>#+-!|~$:" else sign for sign in text)


def shortened(label: str) -> str:
    """A label that fits into a sentence; the panels show all of it."""
    return label if len(label) <= LONG_LABEL else f"{label[: LONG_LABEL - 1].rstrip()}…"


def show_error(error: GradcamError) -> None:
    """Say what is wrong and what to do, always in this one form; a long report becomes a list."""
    head, rest = error.message, ""
    if len(error.message) > LONG_MESSAGE:
        head, _, rest = error.message.partition(": ")
    listed, _, guess = rest.partition(". ")
    parts = [f"- {plain(part)}" for part in listed.split("; ") if part]
    lines = [f"**{plain(head)}**", "\n".join(parts), plain(guess), plain(error.remedy)]
    st.error("\n\n".join(filter(None, lines)), icon=":material/error:")
