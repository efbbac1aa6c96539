"""What the check of the log's chain gave, in words, and the log as files."""

import functools
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from gradcam_core import AuditEntry, AuditReading, audit_lines, audit_to_csv
from pages.components import audited
from pages.components.panels.downloads import download
from pages.components.words import plain

SHOWN_FAULTS = 10
LIMITS = (
    "Each entry contains the hash of the one before it, and a count is kept beside the log. So a changed, removed, "
    "inserted or moved entry shows, and so does the removal of the newest ones. What this cannot show: a person who "
    "can write to the folder could write the whole log again. Note the last hash elsewhere now and then; the log still "
    "has to contain it."
)


def show_off() -> None:
    """Say that there is no log, and how to keep one."""
    st.markdown("The audit log is off: nothing is recorded.")
    st.caption(
        f"The owner of the server turns it on with the setting `{audited.SETTING}=on`. It then records who analysed, "
        "viewed and exported what, without names of pictures and without data of patients."
    )


def show_outcome(reading: AuditReading) -> None:
    """Say whether the chain is whole, and what is wrong where it is not."""
    if reading.is_whole:
        st.markdown(f"**{plain(reading.sentence)}**")
    else:
        words = [fault.words for fault in reading.faults[:SHOWN_FAULTS]]
        more = len(reading.faults) + reading.more_faults - len(words)
        words += [f"{more:,} more."] * bool(more)
        listed = "\n".join(f"- {plain(each)}" for each in words)
        st.error(f"**{plain(reading.sentence)}**\n\n{listed}", icon=":material/link_off:")
    for note in reading.notes[:SHOWN_FAULTS]:
        st.caption(plain(note))
    with st.expander("What the check can show", key="limits"):
        st.markdown(LIMITS)
        if reading.count:
            st.markdown(f"Last hash: `{reading.last_hash}`")


def offer_files(entries: Sequence[AuditEntry], folder: Path) -> None:
    """Offer the entries that are shown as a table, and the whole log to those who may see it."""
    with st.container(horizontal=True, key="downloads-audit", vertical_alignment="center"):
        download("These entries, CSV", lambda: audit_to_csv(entries), "audit.csv", "text/csv", "audit")
        if audited.sees_everything():
            lines = functools.partial(audit_lines, folder)
            download("The whole log, JSONL", lines, "audit.jsonl", "application/jsonl", "audit")
        st.caption("Saving a file is an entry of its own.")
