"""Audit (:material/history:): who analysed, viewed and exported what, and whether the log was changed."""

import streamlit as st

from pages.components.frame import frame

frame(__doc__, "Who saw what?", pickers=False)

from gradcam_core import GradcamError, read_audit
from pages.components import audited
from pages.components.audit.entries import pick_entries, show_entries, visible
from pages.components.audit.outcome import offer_files, show_off, show_outcome
from pages.components.words import show_error

if not audited.is_on():
    show_off()
    st.stop()
try:
    folder = audited.folder()
    reading = read_audit(folder)
except GradcamError as error:
    show_error(error)
    st.stop()

show_outcome(reading)
entries = pick_entries(visible(reading.entries))
show_entries(entries)
offer_files(entries, folder)
