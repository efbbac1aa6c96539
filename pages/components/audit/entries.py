"""The entries of the audit log that a user may see: filtered, and as a table."""

from collections.abc import Sequence

import streamlit as st

from gradcam_core import AUDIT_EVENTS, AuditAnswer, AuditEntry, counted, percent, quantity
from pages.components import audited, session
from pages.components.panels.heatmaps import METHODS
from pages.components.words import plain

MOST_ROWS = 2000
SHORT = 8  # characters of a hash: what the names of exported files contain
ALL = ""


def visible(entries: Sequence[AuditEntry]) -> Sequence[AuditEntry]:
    """The entries that this user may see: all of them, or the user's own."""
    if audited.sees_everything():
        return entries
    own, word = audited.user(), audited.session_word()
    st.caption(
        "You see your own entries. Those of others are for the auditors that the owner of the server named "
        f"(`{audited.AUDITORS}`), and for `python -m gradcam_core audit` on the server."
    )
    return [entry for entry in entries if (entry.user == own if own else entry.session == word and not entry.user)]


def pick_entries(entries: Sequence[AuditEntry]) -> list[AuditEntry]:
    """Filter by event, day, user and picture; return the newest entries first."""
    places = st.columns([1.6, 1, 1, 1.4], vertical_alignment="bottom", gap="medium")
    with places[0]:
        kinds = list(dict.fromkeys(entry.event for entry in entries))
        events = st.multiselect("Events", kinds, format_func=_event, placeholder="All events")
    with places[1]:
        days = sorted({entry.time[:10] for entry in entries}, reverse=True)
        day = st.selectbox("Day (UTC)", [ALL, *days], format_func=lambda day: day or "All days")
    with places[2]:
        users = sorted({entry.user for entry in entries if entry.user})
        user = st.selectbox("User", [ALL, *users], format_func=lambda user: user or "All users")
    with places[3]:
        newest = dict.fromkeys(entry.picture for entry in reversed(entries) if entry.picture)
        own = session.pictures()
        titles = {ALL: "All pictures"} | {sha256: _title(sha256, own.get(sha256, "")) for sha256 in newest}
        picture = st.selectbox("Picture", list(titles), format_func=titles.get)
    return [
        entry
        for entry in reversed(entries)
        if (not events or entry.event in events)
        and entry.time.startswith(day)
        and user in (ALL, entry.user)
        and picture in (ALL, entry.picture)
    ]


def _event(event: str) -> str:
    return AUDIT_EVENTS.get(event, event)


def _title(sha256: str, title: str) -> str:
    """The first characters of a picture's hash, and the title that this session itself has for it."""
    return f"{sha256[:SHORT]} · {title}" if title else sha256[:SHORT]


def show_entries(entries: Sequence[AuditEntry]) -> None:
    """Show the newest entries as a table."""
    if not entries:
        st.markdown("No entries.")
        return
    more = f", the newest {MOST_ROWS:,} of them below" if len(entries) > MOST_ROWS else ""
    st.caption(f"{plain(counted(len(entries), 'row'))}{more}")
    rows = [_row(entry) for entry in entries[:MOST_ROWS]]
    empty = {name: None for name in rows[0] if not any(row[name] for row in rows)}
    st.dataframe(
        rows,
        hide_index=True,
        width="stretch",
        height="auto" if len(rows) < 14 else 520,
        column_config={
            "No.": st.column_config.NumberColumn(width="small"),
            "Time (UTC)": st.column_config.TextColumn(width="medium"),
            "Details": st.column_config.TextColumn(help="The file, the impression or the checks", width="large"),
            "Picture": st.column_config.TextColumn(help="The first characters of the sha256 of its file"),
            "Session": st.column_config.TextColumn(help="A random word for one visit"),
            **empty,
        },
    )


def _row(entry: AuditEntry) -> dict[str, str | int]:
    return {
        "No.": entry.number,
        "Time (UTC)": entry.time[:19].replace("T", " "),
        "Event": _event(entry.event),
        "User": entry.user,
        "Picture": _subject(entry),
        "Details": "; ".join(filter(None, (entry.export, entry.impression, _checks(entry.checks)))),
        "Top answer": _words(entry.answers[:1]),
        "Heatmaps for": _words(entry.targets),
        "Method": ", ".join(METHODS[name].title if name in METHODS else name for name in entry.methods),
        "Layer": ", ".join(entry.layers),
        "Model": entry.model if entry.model != "file" else f"file {entry.fingerprint[:SHORT]}",
        "Session": entry.session[:SHORT],
    }


def _checks(checks: Sequence[str]) -> str:
    """How many checks passed, and the outcomes of the others."""
    others = [check for check in checks if not check.endswith(": passed")]
    passed = f"{len(checks) - len(others)} of {len(checks)} passed" if checks else ""
    return ", ".join(filter(None, (passed, *others)))


def _subject(entry: AuditEntry) -> str:
    if entry.pictures:
        return f"{counted(entry.pictures, 'picture')}, job {entry.job[:SHORT]}"
    return entry.picture[:SHORT]


def _words(answers: Sequence[AuditAnswer]) -> str:
    return ", ".join(f"{answer.label} {_amount(answer)}".strip() for answer in answers)


def _amount(answer: AuditAnswer) -> str:
    if answer.value is not None:
        return quantity(answer.value, answer.unit)
    return "" if answer.probability is None else percent(answer.probability)
