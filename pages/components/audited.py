"""The audit log on the pages: whether it is on, who the user is, and what is written to it. Loads no torch.

What is to be logged and cannot be is not shown: the functions here raise AuditError before anything is drawn.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from gradcam_core import (
    AuditEntry,
    AuditError,
    append_audit,
    audit_folder,
    audited_checks,
    audited_explanation,
    audited_model,
    audited_predictions,
    read_audit,
)
from pages.components import remembered

if TYPE_CHECKING:
    from gradcam_core import Explanation, ImageRecord, LoadedModel, Prediction, Trust

SETTING, USER_HEADER, AUDITORS = "LIGHTBOX_AUDIT", "LIGHTBOX_USER_HEADER", "LIGHTBOX_AUDITORS"
OFF, ON = ("", "off", "0", "false", "no"), ("on", "1", "true", "yes")
SESSION, DONE, VIEW, PLACE, SUBJECT = (f"audit {part}" for part in ("session", "done", "view", "page", "subject"))


def is_on() -> bool:
    """Whether this server keeps an audit log. A setting that is not understood counts as on, and refuses."""
    return _stated(SETTING).lower() not in OFF


def folder() -> Path:
    """The log's folder. Raises AuditError where the setting is neither on, off nor a folder."""
    stated = _stated(SETTING)
    if stated.lower() in ON:
        return audit_folder()
    place = Path(stated).expanduser()
    if not place.is_absolute():
        message = f"The setting {SETTING} is not understood, so nothing is analysed."
        raise AuditError(message, "The owner of the server sets it to on, off or the full path of a folder.")
    return place


def user() -> str:
    """The name that a reverse proxy gave, in the header that the server's owner named; "" without such a setting."""
    header = _stated(USER_HEADER)
    return str(st.context.headers.get(header) or "")[:200] if header else ""


def session_word() -> str:
    """A random word that stands for this session in the log."""
    return str(st.session_state.setdefault(SESSION, secrets.token_hex(8)))


def sees_everything() -> bool:
    """Whether this user may read the entries of others: a named auditor, or anyone where only this machine gets in."""
    if _stated(USER_HEADER):
        return bool(user()) and user() in {name.strip() for name in _stated(AUDITORS).split(",")}
    return remembered.is_private()


def _stated(setting: str) -> str:
    return os.environ.get(setting, "").strip()


def write(*entries: AuditEntry) -> None:
    """Write entries with the user and the session, if the log is on. Raises AuditError."""
    if is_on() and entries:
        append_audit(folder(), [_signed(entry) for entry in entries])


def _signed(entry: AuditEntry) -> AuditEntry:
    return dataclasses.replace(entry, user=user(), session=session_word())


def note_page(title: str) -> None:
    """Note which page is shown: what it shows was not viewed yet, and has no subject."""
    if st.session_state.get(PLACE) != title:
        st.session_state[PLACE] = title
        note_hidden()
    st.session_state.pop(SUBJECT, None)


def note_hidden() -> None:
    """Note that nothing is on the screen any more: the next results are a view of their own."""
    st.session_state.pop(VIEW, None)


def note_results(key: str, subjects: Sequence[AuditEntry]) -> None:
    """Log, before it is shown, that something was analysed (once a session) and is viewed (once a visit of its page).

    `key` is its identity by content. Downloads that are drawn afterwards are about it. Raises AuditError.
    """
    if not is_on():
        return
    done: set[str] = st.session_state.setdefault(DONE, set())
    events = ["analysed"] * (key not in done) + ["viewed"] * (st.session_state.get(VIEW) != key)
    write(*(dataclasses.replace(subject, event=event) for event in events for subject in subjects))
    done.add(key)
    st.session_state[VIEW] = key
    st.session_state[SUBJECT] = subjects[0] if len(subjects) == 1 else _together(subjects)


def _together(subjects: Sequence[AuditEntry]) -> AuditEntry:
    """Several models on one subject as one, for what is exported of all of them."""
    models = ", ".join(subject.model for subject in subjects)
    prints = ", ".join(subject.fingerprint for subject in subjects)
    return dataclasses.replace(subjects[0], model=models, fingerprint=prints, answers=())


def note_explanations(key: str, *explanations: Explanation) -> None:
    """Log explanations that are about to be shown. Raises AuditError."""
    if is_on():
        note_results(key, [audited_explanation(explanation, "") for explanation in explanations])


def was_shown(sha256: str) -> bool:
    """Whether the log says that this user was shown an answer to a picture, also in an earlier session."""
    seen: dict[str, bool] = st.session_state.setdefault("audit shown", {})
    if not (is_on() and user()):
        return False
    if sha256 not in seen:
        events = ("analysed", "viewed", "checked")
        with suppress(AuditError):  # what cannot be read cannot be written either, and says so then
            entries = read_audit(folder()).entries
            seen[sha256] = any((e.picture, e.user) == (sha256, user()) and e.event in events for e in entries)
    return seen.get(sha256, False)


def note_predictions(key: str, image: ImageRecord, model: LoadedModel, predictions: Sequence[Prediction]) -> None:
    """Log answers that are about to be shown without a heatmap, once a session. Raises AuditError."""
    done: set[str] = st.session_state.setdefault(DONE, set())
    if is_on() and key not in done:
        write(audited_predictions(image, model, predictions, "analysed"))
        done.add(key)


def note_checks(key: str, explanation: Explanation, checked: Trust) -> None:
    """Log checks of a heatmap that are about to be shown, once a session. Raises AuditError."""
    done: set[str] = st.session_state.setdefault(DONE, set())
    if is_on() and key not in done:
        write(audited_checks(explanation, checked))
        done.add(key)


def job_of(key: str, pictures: int, models: Sequence[LoadedModel]) -> list[AuditEntry]:
    """A job over many pictures, as an entry for each of its models."""
    return [
        AuditEntry(
            "", job=key[:16], pictures=pictures, model=audited_model(model.reference), fingerprint=model.fingerprint
        )
        for model in models
    ]


def logged(make: Callable[[], bytes], label: str) -> Callable[[], bytes]:
    """A function that makes a file and logs that it was exported. Without an entry there is no file.

    The file is made outside of the session's run, so everything that belongs to the session is read here.
    """
    entry = export_of(label)
    if entry is None:
        return make

    def make_and_log() -> bytes:
        content = make()
        append_audit(folder(), [entry])
        return content

    return make_and_log


def export_of(label: str) -> AuditEntry | None:
    """The entry of an export of what is on the page; None while the log is off."""
    if not is_on():
        return None
    subject: AuditEntry = st.session_state.get(SUBJECT, AuditEntry(""))
    return _signed(dataclasses.replace(subject, event="exported", export=label))


def note_fetched(contents: Sequence[bytes]) -> None:
    """Log pictures that were fetched from the archive, before they are shown. Raises AuditError."""
    hashes = [hashlib.sha256(content).hexdigest() for content in contents]
    write(*(AuditEntry("fetched", picture=sha256) for sha256 in hashes))


def note_sent(what: str) -> None:
    """Log what is going to be sent to the archive of what the page shows. Raises AuditError."""
    entry = export_of(what)
    if entry is not None:
        append_audit(folder(), [dataclasses.replace(entry, event="sent")])


def entry_about(image: ImageRecord, event: str, **parts: Any) -> AuditEntry:
    """An entry about a picture alone."""
    return AuditEntry(event, picture=image.sha256, frame=image.frame, blanked=len(image.blanked), **parts)


def subject(image: ImageRecord) -> AuditEntry:
    """What the page shows of a picture; the picture alone while the log is off."""
    shown: AuditEntry = st.session_state.get(SUBJECT, entry_about(image, ""))
    return shown if shown.picture == image.sha256 else entry_about(image, "")
