"""Explanation -> what a report says and shows, the same in print and on the screen."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gradcam_core.checks.panel import Check, Trust
from gradcam_core.exporters.caption import display_words
from gradcam_core.exporters.drawing import Drawing, shared_peak
from gradcam_core.exporters.manifest import cropped_words
from gradcam_core.exporters.report.pictures import (
    LARGEST,
    LARGEST_HEATMAP,
    Picture,
    bar_picture,
    heatmap_picture,
    input_picture,
    reduced,
    whole_picture,
)
from gradcam_core.exporters.report.provenance import Row, of_explanation, place_of
from gradcam_core.exporters.report_contents import ReportContents
from gradcam_core.methods import find_method
from gradcam_core.reading import Reading
from gradcam_core.records import Explanation, Heatmap, ImageRecord
from gradcam_core.tasks import Prediction, amount_of
from gradcam_core.text import counted, number, one_line

MEANING = "A heatmap shows where the model’s score is sensitive, not that the model is right."
NOT_RUN = "The checks were not run."
MARKS = {"passed": "Passed", "attention": "Needs attention", "not tested": "Not tested"}
PART = "% of the picture"
# Signs of a label, of a sentence, of the reader's note.
LONGEST_LABEL, LONGEST_SENTENCE, LONGEST_NOTE = 300, 2_000, 20_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction: `share` is the length of its bar, 0..1; None where it has none."""

    label: str
    amount: str
    share: float | None
    remark: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Bar:
    """The colours of a heatmap with the raw values at their ends, and in the middle of a scale with both signs."""

    picture: Picture
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A picture with its title above and lines below. `bar` is None where nothing is coloured."""

    title: str
    amount: str
    picture: Picture
    lines: tuple[str, ...]
    bar: Bar | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """The checks of one heatmap: of which, the outcome in a sentence, and (mark, question, sentence) of each."""

    title: str
    outcome: str
    checks: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a report says. Its texts are plain: one line each, printable signs only, and not escaped."""

    headline: str
    day: str
    warnings: tuple[str, ...]
    picture: Panel
    given: Panel
    answers_title: str
    answers: tuple[Answer, ...]
    scale: str
    panels: tuple[Panel, ...]
    checked: tuple[Checked, ...]
    always: tuple[str, ...]
    notes: tuple[str, ...]
    note: tuple[str, ...]
    provenance: tuple[Row, ...]


def report_of(explanation: Explanation, contents: ReportContents) -> Report:
    """Collect what a report says. Nothing is computed again; the pictures are drawn."""
    places, drawing = _places(explanation), contents.drawing
    shown = reduced(drawing.shown or explanation.image, LARGEST)
    small = reduced(shown, LARGEST_HEATMAP)
    trusts = {place: contents.checks[place] for place in places if place in contents.checks}
    always = dict.fromkeys(sentence for trust in trusts.values() for sentence in trust.always)
    warnings = tuple(_sentences(explanation.unsuited))
    notes = _sentences((*cropped_words(explanation.placement), *explanation.notes))
    return Report(
        headline=_headline(explanation),
        day=explanation.created[:10],
        warnings=warnings,
        picture=_picture(explanation, shown, drawing),
        given=_given(explanation),
        answers_title="Probability of each finding" if explanation.outputs.has_findings else "What the model answers",
        answers=tuple(map(_answer, explanation.predictions)),
        scale=_scale(explanation, places, drawing),
        panels=tuple(_panel(explanation, explanation.heatmaps[place], small, drawing) for place in places),
        checked=tuple(_checked(trust) for trust in trusts.values()),
        always=tuple(_sentences(always)),
        notes=tuple(note for note in notes if note not in warnings),
        note=_note(contents.reading, contents.note),
        provenance=of_explanation(explanation, contents),
    )


def _note(reading: Reading | None, note: str) -> tuple[str, ...]:
    """The reader's own note, after a blind reading where there was one."""
    lines = note_lines(note)
    if reading is None:
        return lines
    return (*_reading(reading), *(("Note:", *lines) if lines else ()))


def _reading(reading: Reading) -> tuple[str, ...]:
    """The impression before the model's answer was shown, and what became of it."""
    lines = [f"Before the answer was shown ({reading.written_at}):", *note_lines(reading.impression)]
    if reading.revised is not None and reading.changed:
        return (*lines, "Afterwards:", *note_lines(reading.revised))
    return (*lines, "Afterwards: not changed." if reading.revised is not None else "Afterwards: not stated.")


def note_lines(note: str) -> tuple[str, ...]:
    """The lines of the reader's note, without signs that cannot be printed; () for an empty one."""
    lines = ["".join(sign if sign.isprintable() else " " for sign in line).strip() for line in note.splitlines()]
    text = "\n".join(lines).strip("\n")[:LONGEST_NOTE]
    return tuple(text.split("\n")) if text else ()


def _sentences(texts: Iterator[str] | tuple[str, ...] | dict[str, None]) -> Iterator[str]:
    return (one_line(text, LONGEST_SENTENCE) for text in texts)


def label_of(text: str) -> str:
    """A label from outside, on one line."""
    return one_line(text, LONGEST_LABEL)


def _places(explanation: Explanation) -> list[int]:
    """The heatmaps to read: of an object the fused one, since it lies on few levels of a pyramid."""
    fused = [place for place, heatmap in enumerate(explanation.heatmaps) if heatmap.fusion]
    return fused if fused and explanation.outputs.task == "detection" else list(range(len(explanation.heatmaps)))


def _headline(explanation: Explanation) -> str:
    outputs, predictions = explanation.outputs, explanation.predictions
    if not predictions:
        return f"The model gives {outputs.words}."
    if outputs.has_findings:
        present = [each for each in predictions if each.present]
        named = ", ".join(f"{label_of(each.label)} {amount_of(each)}" for each in present)
        return f"Present: {named}" if present else "No finding reaches its threshold."
    first = f"{label_of(predictions[0].label)} {amount_of(predictions[0])}"
    return first if outputs.task == "regression" else f"Top answer: {first}"


def _answer(prediction: Prediction) -> Answer:
    share = prediction.probability
    if prediction.unit == PART and prediction.value is not None:
        share = prediction.value / 100
    remark = {True: "present", False: "absent", None: ""}[prediction.present]
    shown = None if math.isnan(share) else min(1.0, max(0.0, share))
    return Answer(label_of(prediction.label), amount_of(prediction), shown, remark)


def _picture(explanation: Explanation, shown: ImageRecord, drawing: Drawing) -> Panel:
    """The original picture as it was displayed."""
    image = explanation.image
    frame = f", frame {image.frame + 1} of {image.frames}" if image.frames > 1 else ""
    lines = [f"{image.width} × {image.height} px{frame}"]
    if image.window is not None:
        centre, width = (number(value) for value in image.window)
        lines.append(f"The model saw it with level {centre}, window {width}.")
    if window := drawing.window:
        lines.append(f"{display_words(window)} The model did not see it so.")
    return Panel("Picture", "", whole_picture(shown), tuple(lines))


def _given(explanation: Explanation) -> Panel:
    channels, height, width = explanation.model_input.shape
    more = "" if channels in (1, 3) else f", {counted(channels, 'channel')}, of which three at most are shown"
    lines = (f"{width} × {height} px{more}",)
    return Panel("What the model saw", "", input_picture(explanation), lines)


def _scale(explanation: Explanation, places: list[int], drawing: Drawing) -> str:
    """How the heatmaps are to be read, with the method and the layer where all have the same."""
    where = dict.fromkeys(place_of(explanation.heatmaps[place]) for place in places)
    scale = "one scale for all heatmaps of a method and layer" if drawing.shared_scale else "each map has its own scale"
    words = f"The numbers below the colours are raw values of the map; {scale}."
    return f"{next(iter(where))}. {words}" if len(where) == 1 else words


def _panel(explanation: Explanation, heatmap: Heatmap, image: ImageRecord, drawing: Drawing) -> Panel:
    """A heatmap over the picture with its colour bar; plain, with the reason, where it has no evidence."""
    label, amount = label_of(heatmap.target.label), amount_of(heatmap.target)
    peak = shared_peak(explanation, heatmap) if drawing.shared_scale else None
    picture = heatmap_picture(image, heatmap, drawing, peak, f"Heatmap for {label}")
    height, width = heatmap.placement.cell_size((heatmap.raw.shape[0], heatmap.raw.shape[1]))
    rows, columns = heatmap.raw.shape
    mm = ""
    if image.spacing is not None:
        mm = f" ({number(width * image.spacing, '.2g')} × {number(height * image.spacing, '.2g')} mm)"
    lines = [f"One cell {width:.0f} × {height:.0f} px{mm}; {columns} × {rows} cells"]
    if len({place_of(each) for each in explanation.heatmaps}) > 1:
        lines.insert(0, place_of(heatmap))
    if heatmap.state != "ok":
        lines.insert(0, f"{heatmap.state.capitalize()}: nothing is coloured.")
    bar = _bar(heatmap, drawing.colormap, peak) if heatmap.state == "ok" else None
    return Panel(label, "" if amount == "–" else amount, picture, tuple(lines), bar)


def _bar(heatmap: Heatmap, colormap: str, peak: float | None) -> Bar:
    largest = peak or (heatmap.raw_size if heatmap.signed else heatmap.raw_peak)
    peak_words = number(largest, ".3g")
    ends = (number(-largest, ".3g"), "0", peak_words) if heatmap.signed else ("0", peak_words)
    table = "diverging" if heatmap.signed else colormap
    return Bar(bar_picture(table, f"Colours from {ends[0]} to {ends[-1]}"), ends)


def _checked(trust: Trust) -> Checked:
    heatmap = trust.heatmap
    title = f"{label_of(heatmap.target.label)}, {find_method(heatmap.method, {}).title}"
    return Checked(title, one_line(trust.outcome, LONGEST_SENTENCE), tuple(map(_check, trust.checks)))


def _check(check: Check) -> tuple[str, str, str]:
    return MARKS[check.outcome], check.question, one_line(check.sentence, LONGEST_SENTENCE)
