"""Blind reading: the reader writes an impression first, and only then are the model's answers shown.

The frame of every page holds the answers back on the server. Nothing of them is sent to the browser before.
"""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import streamlit as st

from gradcam_core import AuditEntry, GradcamError, Reading
from pages.components import audited, session
from pages.components.words import plain, show_error

if TYPE_CHECKING:
    from gradcam_core import ImageRecord

SETTING = "LIGHTBOX_BLIND"
SWITCH, READINGS, ANSWERED = "blind", "readings", "answered pictures"
LONGEST = 2000
KEPT, CHANGED = "I keep my impression", "I changed my mind"
NO_NAMES = "Write no name and nothing else that identifies the patient: the text is saved word for word."


def is_always_on() -> bool:
    """Whether the owner of the server has everybody read blind."""
    return os.environ.get(SETTING, "").strip().lower() in ("on", "1", "true", "yes")


def is_on() -> bool:
    """Whether this session reads blind."""
    return is_always_on() or bool(session.value_of(SWITCH, False))


def reading_of(sha256: str) -> Reading | None:
    """What the reader wrote about a picture of this session, for a report; None without an impression."""
    readings: dict[str, Reading] = st.session_state.get(READINGS, {})
    return readings.get(sha256)


def holds_back(sha256: str) -> bool:
    """Whether the answers to a picture are held back, as the reader's impression is not written yet."""
    return is_on() and reading_of(sha256) is None


def hold(image: ImageRecord) -> None:
    """End the page's run where the answers to this picture are held back."""
    if holds_back(image.sha256):
        st.info("Blind reading is on: write your impression of this picture on Explain first.", icon=":material/edit:")
        st.stop()


def note_answered(image: ImageRecord) -> None:
    """Note that answers to a picture are shown now."""
    answered: set[str] = st.session_state.setdefault(ANSWERED, set())
    answered.add(image.sha256)
    reading = reading_of(image.sha256)
    if reading is not None and not reading.revealed_at:
        _keep(image.sha256, dataclasses.replace(reading, revealed_at=_now()))


def show_form(image: ImageRecord) -> None:
    """Show the picture alone, and ask for the reader's impression of it."""
    from pages.components.panels.heatmaps import PICTURE_PANEL, show_panels

    audited.note_hidden()
    left, right = st.columns([1.7, 1], gap="large")
    with right:
        st.markdown(
            "**What do you see?** The model’s answer and its heatmaps are shown after you have written it down."
        )
        if image.sha256 in st.session_state.get(ANSWERED, set()) or audited.was_shown(image.sha256):
            st.caption("An answer to this picture was already shown to you: this reading is not blind.")
        _ask(image)
    with left:
        show_panels(image, [PICTURE_PANEL], "blind", chosen=True)


def show_for_many() -> None:
    """Say why a page for many pictures shows nothing."""
    st.markdown(
        "Blind reading is on. This page shows answers to many pictures, so it waits until blind reading is off."
    )


def _ask(image: ImageRecord) -> None:
    with st.form(f"impression {image.sha256[:16]}", border=False):
        text = st.text_area("Your impression", max_chars=LONGEST, height=140, key=f"text {image.sha256[:16]}")
        st.caption(f"{NO_NAMES} {_where()}")
        sent = st.form_submit_button("Show the model’s answer", type="primary")
    if not sent:
        return
    if not text.strip():
        show_error(GradcamError("The impression is empty.", "Write what you see, or that you see nothing unusual."))
        return
    try:
        audited.write(audited.entry_about(image, "impression", impression=text.strip()))
    except GradcamError as error:
        show_error(error)
        return
    _keep(image.sha256, Reading(text.strip(), _now(), ""))
    st.rerun()


def show_switch() -> None:
    """Draw the switch. A reload forgets it, unless the server's owner has set it."""
    if is_always_on():
        st.caption("Blind reading is on for everybody on this server.")
        return
    st.toggle(
        "Blind reading",
        **session.kept(SWITCH, False),
        help="You write your impression of each picture before the model’s answer, its heatmaps and the checks are "
        "shown, and say afterwards whether you changed your mind. A reader who sees the answer first tends to agree "
        "with it, also where it is wrong.",
    )


def show_reading(image: ImageRecord) -> None:
    """Show what the reader wrote about this picture, and ask whether the answer changed it."""
    reading = reading_of(image.sha256)
    if reading is None:
        return
    st.header("Did you change your mind?")
    st.markdown(f"**Before:** {_quoted(reading.impression)}")
    if reading.revised is None:
        _ask_again(image, reading)
    elif reading.changed:
        st.markdown(f"**Afterwards:** {_quoted(reading.revised)}")
    else:
        st.markdown("**Afterwards:** the same.")


def _ask_again(image: ImageRecord, reading: Reading) -> None:
    short = image.sha256[:16]
    choice = st.segmented_control(
        "After seeing the answer", (KEPT, CHANGED), key=f"mind {short}", label_visibility="collapsed"
    )
    if choice is None:
        return
    revised, changed = reading.impression, choice == CHANGED
    with st.form(f"mind form {short}", border=False):
        if changed:
            revised = st.text_area(
                "Your impression now", revised, max_chars=LONGEST, height=110, width=760, key=f"revised {short}"
            )
            st.caption(NO_NAMES)
        if not st.form_submit_button("Save", key=f"save {short}"):
            return
    if changed and revised.strip() in ("", reading.impression):
        show_error(GradcamError("The impression is still the same.", "Write what you think now, or keep it."))
        return
    try:
        audited.write(_after(image, "changed" if changed else "kept", revised.strip()))
    except GradcamError as error:
        show_error(error)
        return
    _keep(image.sha256, dataclasses.replace(reading, revised=revised.strip()))
    st.rerun()


def _after(image: ImageRecord, event: str, text: str) -> AuditEntry:
    """The entry of an impression after the answer, with the answer and the heatmaps that were seen."""
    return dataclasses.replace(audited.subject(image), event=event, impression=text)


def _keep(sha256: str, reading: Reading) -> None:
    st.session_state.setdefault(READINGS, {})[sha256] = reading


def _where() -> str:
    return "It goes into the report and the audit log." if audited.is_on() else "It goes into the report."


def _quoted(text: str) -> str:
    return "  \n".join(map(plain, text.splitlines()))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
