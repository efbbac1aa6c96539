"""Offer an analysis as files that look as it is displayed. None contains the picture's name; each is made on click."""

import functools
import io
import re
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from gradcam_core import (
    Explanation,
    GradcamError,
    Heatmap,
    ReportContents,
    Trust,
    archive,
    caption_lines,
    dicom_objects,
    draw_heatmap,
    meaning_of_one,
    npy,
    png,
    report_html,
    report_pdf,
    seal,
    shared_peak,
    to_dict,
    to_json,
)
from pages.components import audited, blind, session
from pages.components.dicomweb.sending import offer_sending
from pages.components.panels.displayed import Display, display_of, drawing_of
from pages.components.panels.heatmaps import METHODS, heatmap_title
from pages.components.viewer import Settings

CAPTIONS = {"inside": "Caption in the picture", "beside": "Caption in a file beside it"}
WORDS = re.compile(r"[^\w.+]+")
REPORTS = (("pdf", "application/pdf", report_pdf), ("html", "text/html", report_html))
LONGEST_NOTE = 4000
DICOM_WORDS = (
    "Parametric map, secondary capture, structured report and PDF, for the archive that the picture comes from. "
    "They go into its study, and so contain its patient’s name."
)
# Seconds. A click on a download also ends the typing of a note, which the browser sends at the same time.
ARRIVAL = 0.3


def show_downloads(
    explanation: Explanation, settings: Settings, *, key: str, checks: Mapping[int, Trust] | None = None
) -> None:
    """Offer a report, the whole analysis as ZIP, one heatmap, and the record; `checks` by heatmap."""
    stem = stem_of(explanation)
    display, checks = display_of(explanation.image, settings), checks or {}
    with st.container(key=f"downloads-note-{key}"):
        note = _take_note(explanation, key)
    reading = blind.reading_of(explanation.image.sha256)

    def contents(captions: bool = False) -> ReportContents:
        return ReportContents(drawing_of(display, captions), checks=checks, note=note(), reading=reading)

    with st.container(horizontal=True, key=f"downloads-{key}", vertical_alignment="center"):
        for name, kind, write in REPORTS:
            make = functools.partial(_report, write, explanation, contents)
            download(f"Report, {name.upper()}", make, f"{stem}.{name}", kind, key)
        inside = pick_captions()
        pack = lambda: archive(explanation, contents(inside))  # noqa: E731
        download("All as ZIP", pack, f"{stem}.zip", "application/zip", key)
        with st.popover("One heatmap", icon=":material/image:"):
            _one_heatmap(explanation, display, stem, key, inside)
        if explanation.image.format == "DICOM":
            make = functools.partial(_dicom, explanation, display, contents)
            download("DICOM objects", make, f"{stem}_dicom.zip", "application/zip", key, help=DICOM_WORDS)
            offer_sending(functools.partial(_objects, explanation, display, contents), key, explanation.unsuited)
        record = lambda: to_json(_record(explanation, display, checks))  # noqa: E731
        download("Record, JSON", record, f"{stem}.json", "application/json", key)
        st.caption("Saved as displayed, without file names. Text in the picture stays, unless you blank it.")


def pick_captions() -> bool:
    """Pick whether captions stand in the pictures, or in a file beside them; the choice holds on all pages."""
    kept = session.kept("captions", "inside", CAPTIONS)
    caption = st.selectbox(
        "Captions", list(CAPTIONS), format_func=CAPTIONS.get, label_visibility="collapsed", width=230, **kept
    )
    return caption != "beside"


def stem_of(explanation: Explanation) -> str:
    """What the names of downloaded files begin with: the top answer, the model, the day, and a little of the hashes."""
    answer = explanation.predictions[0].label if explanation.predictions else "picture"
    model = explanation.architecture.split(":")[-1]
    hashes = f"{explanation.image.sha256[:8]}-{explanation.fingerprint[:6]}"
    return f"{readable(answer)}_{readable(model)}_{explanation.created[:10]}_{hashes}"


def readable(text: str) -> str:
    """Text as a short part of a file name: letters and numbers of any script, and dashes."""
    return WORDS.sub("-", text)[:40].strip("-._") or "unnamed"


def download(
    label: str, make: Callable[[], bytes], file_name: str, kind: str, key: str, help: str | None = None
) -> None:
    """A download button whose file is made, and logged, on the click."""
    make, icon = audited.logged(make, label), ":material/download:"
    key = f"download {key} {label}"
    st.download_button(label, make, file_name, kind, key=key, on_click="ignore", icon=icon, help=help)


def _take_note(explanation: Explanation, key: str) -> Callable[[], str]:
    """Take the reader's own note on this picture, which is kept over pages; return a way to read it later."""
    image = explanation.image
    notes: dict[int, str] = st.session_state.setdefault("notes", {}).setdefault(image.sha256, {})
    _note_field(notes, image.frame, f"note {key} {image.sha256[:12]} {image.frame}")

    def read() -> str:
        time.sleep(ARRIVAL)
        return notes.get(image.frame, "")

    return read


@st.fragment
def _note_field(notes: dict[int, str], frame: int, key: str) -> None:
    """A fragment: a rerun of the whole page would withdraw the very download whose click ended the typing."""
    st.session_state[key] = notes.get(frame, "")
    keep = lambda: notes.update({frame: st.session_state[key]})  # noqa: E731
    words = "Printed in the report. It stays in this session only."
    st.text_area("Your note", key=key, on_change=keep, max_chars=LONGEST_NOTE, height=68, help=words)


def _report(write: Callable[..., bytes], explanation: Explanation, contents: Callable[[], ReportContents]) -> bytes:
    return write(explanation, contents())


def _dicom(explanation: Explanation, display: Display, contents: Callable[[], ReportContents]) -> bytes:
    """The explanation as objects of the picture's own study, with the report, as ZIP."""
    try:
        objects = _objects(explanation, display, contents)
    except GradcamError as error:  # a download cannot say why it failed: its file does
        words = f"{error}\nSo these are pictures in a new study, without a patient.\n"
        objects = dicom_objects(explanation, source=None, checks=contents().checks)
        objects = (("README.txt", words.encode()), *objects)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in objects:
            target.writestr(name, content)
    return packed.getvalue()


def _objects(
    explanation: Explanation, display: Display, contents: Callable[[], ReportContents]
) -> tuple[tuple[str, bytes], ...]:
    """The objects in the picture's study, and in no other. Raises GradcamError."""
    if display.content is None:
        raise GradcamError("The server no longer has this file.", "Add it again.")
    added = contents()
    report = report_pdf(explanation, added)
    return dicom_objects(explanation, source=display.content, checks=added.checks, report=report)


def _record(explanation: Explanation, display: Display, checks: Mapping[int, Trust]) -> dict[str, Any]:
    record = to_dict(explanation, names="hash", checks=checks)
    return seal(record | {"drawing": display.style | display.to_dict()})


def _one_heatmap(explanation: Explanation, display: Display, stem: str, key: str, inside: bool) -> None:
    heatmaps = explanation.heatmaps
    places = range(len(heatmaps))
    place = st.selectbox("Heatmap", places, format_func=lambda place: heatmap_title(heatmaps[place]))
    heatmap = heatmaps[place]
    name = "_".join(map(readable, (heatmap.target.label, METHODS[heatmap.method].title, heatmap.layer or "input")))
    name = f"{name}_{stem.split('_', 1)[1]}"
    for label, file in (("Overlay", name), ("Heatmap alone", f"{name}_alone")):
        make = functools.partial(_picture_file, explanation, heatmap, display, file, label == "Overlay", inside)
        kind = ("PNG", "png", "image/png") if inside else ("PNG and JSON", "zip", "application/zip")
        download(f"{label}, {kind[0]}", make, f"{file}.{kind[1]}", kind[2], key)
    download("Raw map, NumPy", lambda: npy(heatmap.raw), f"{name}.npy", "application/octet-stream", key)


def _picture_file(
    explanation: Explanation, heatmap: Heatmap, display: Display, name: str, over: bool, inside: bool
) -> bytes:
    """A heatmap as it is displayed: PNG with a caption, or ZIP of a PNG without one and a JSON that says the same."""
    peak = shared_peak(explanation, heatmap) if display.shared_scale else None
    drawing = drawing_of(display, inside)
    picture = png(draw_heatmap(explanation, heatmap, drawing, peak, alone=not over))
    if inside:
        return picture
    record = _record(explanation, display, {})
    record["heatmaps"] = [record["heatmaps"][explanation.heatmaps.index(heatmap)] | {"file": f"{name}.png"}]
    lines = caption_lines(explanation, heatmap, display_window=drawing.window)
    record["caption"] = {"lines": list(lines), "one": meaning_of_one(heatmap, peak)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr(f"{name}.png", picture)
        target.writestr(f"{name}.json", to_json(record))
    return packed.getvalue()
