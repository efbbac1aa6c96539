"""A report as PDF: pages of A4, text that can be selected, fonts that are embedded."""

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from gradcam_core.exporters.letters import Type, width_of
from gradcam_core.exporters.report.blocks import (
    Block,
    beside,
    ends,
    filled,
    hairline,
    height_of,
    image,
    pages_of,
    paragraph,
    space,
    stacked,
)
from gradcam_core.exporters.report.contents import MARKS, MEANING, NOT_RUN, Answer, Panel, Report
from gradcam_core.exporters.report.pictures import Picture
from gradcam_core.text import BANNER

INK, QUIET, RULE, TRACK = (0.09, 0.1, 0.11), (0.36, 0.38, 0.41), (0.78, 0.78, 0.77), (0.92, 0.92, 0.91)
ACCENT = (0.58, 0.3, 0.02)
HEADLINE, HEADING, TEXT = Type(15, INK, True), Type(9, INK, True), Type(8, INK)
STRONG, WARNING, SMALL, TINY = Type(8, INK, True), Type(8, ACCENT, True), Type(7, QUIET), Type(6.4, QUIET)
STRONG_SMALL, WARNING_SMALL, DARK_SMALL = Type(7, INK, True), Type(7, ACCENT, True), Type(7, INK)
PAGE_WIDTH, PAGE_HEIGHT = map(float, A4)
MARGIN, TOP, BOTTOM, GUTTER = 42.0, 34.0, 46.0, 12.0
WIDTH, HEIGHT = PAGE_WIDTH - 2 * MARGIN, PAGE_HEIGHT - TOP - BOTTOM
# The first column of tables, in points.
NAMES = 70.0
# Points: heights of the picture, and of a heatmap; columns of heatmaps. The largest that fit on one page are taken.
PICTURE_HEIGHTS, PANEL_HEIGHTS, COLUMNS = (
    (300, 260, 230, 205, 180, 160),
    (260, 220, 185, 155, 130, 110, 95),
    (1, 2, 3, 4),
)
# Where nothing fits on one page; more heatmaps than these never do.
USUAL, MOST_ON_A_PAGE = (240.0, 150.0, 3), 24
# The model's input beside the picture, at most and at least this high.
LARGEST_INPUT, SMALLEST_INPUT, WIDE_ENOUGH = 140.0, 96.0, 220.0
# Answers that are higher than this stand below the picture, over the whole width.
TALLEST_ANSWERS, WIDEST_PICTURE, LEAST_WIDTH = 300.0, 345.0, 90.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Heights of the picture and of a heatmap in points, and how many heatmaps stand in a row."""

    picture: float
    panel: float
    columns: int

    @property
    def column(self) -> float:
        """The width of a heatmap's column, in points."""
        return (WIDTH - (self.columns - 1) * GUTTER) / self.columns


def pdf_pages(report: Report) -> bytes:
    """Print a report. The same report gives the same bytes."""
    before, after = _before(report), _after(report)
    sizes = _sizes(report, HEIGHT - height_of([*before, *after]))
    pages = pages_of([*before, *_first_row(report, sizes), *_grid(report, sizes), *after], HEIGHT)
    written = io.BytesIO()
    canvas = Canvas(written, pagesize=A4, pageCompression=1, invariant=1, lang="en")
    canvas.setTitle("Heatmap report")
    canvas.setSubject(BANNER)
    canvas.setCreator("CAM Lightbox")
    for place, page in enumerate(pages, 1):
        stacked(page).draw(canvas, MARGIN, PAGE_HEIGHT - TOP)
        _footer(f"{place} / {len(pages)}").draw(canvas, MARGIN, BOTTOM)
        canvas.showPage()
    canvas.save()
    return written.getvalue()


def _sizes(report: Report, height: float) -> Sizes:
    """The largest picture and heatmaps that fit into this height; the usual ones where none do."""

    def fits(sizes: Sizes) -> bool:
        return height_of([*_first_row(report, sizes), *_grid(report, sizes)]) <= height

    columns = COLUMNS[: len(report.panels)]
    smallest = [Sizes(PICTURE_HEIGHTS[-1], PANEL_HEIGHTS[-1], count) for count in columns]
    if len(report.panels) > MOST_ON_A_PAGE or not any(map(fits, smallest)):
        return Sizes(*USUAL)
    candidates = [Sizes(*sizes) for sizes in itertools.product(PICTURE_HEIGHTS, PANEL_HEIGHTS, columns)]
    different = {_area(report, sizes): sizes for sizes in candidates}
    largest_first = sorted(different.items(), reverse=True, key=lambda item: item[0])
    return next((sizes for _, sizes in largest_first if fits(sizes)), Sizes(*USUAL))


def _area(report: Report, sizes: Sizes) -> float:
    """How large the picture and a heatmap are, as a product: neither is large at the other's cost."""
    picture = _fitted(report.picture.picture, WIDEST_PICTURE, sizes.picture)
    panel = _fitted(report.panels[0].picture, sizes.column, sizes.panel)
    return picture[0] * picture[1] * panel[0] * panel[1]


def _fitted(picture: Picture, width: float, height: float) -> tuple[float, float]:
    """The size at which a picture is printed, as large as this in one direction at most."""
    scale = min(width / picture.width, height / picture.height)
    return picture.width * scale, picture.height * scale


def _before(report: Report) -> list[Block]:
    """The title: what the model answers, and the day."""
    warnings = [line for text in report.warnings for line in paragraph(text, WARNING, WIDTH)]
    return [
        ends("CAM Lightbox · Heatmap report", report.day, SMALL, WIDTH),
        hairline(WIDTH, RULE, 4, 6),
        *paragraph(report.headline, HEADLINE, WIDTH),
        *warnings,
        space(7),
    ]


def _first_row(report: Report, sizes: Sizes) -> list[Block]:
    """The picture; beside it what the model answers and what it saw. Many answers stand below it instead."""
    width, height = _fitted(report.picture.picture, WIDEST_PICTURE, sizes.picture)
    wide = max(width, LEAST_WIDTH)
    lines = [line for text in report.picture.lines for line in paragraph(text, TINY, wide)]
    picture = stacked([image(report.picture.picture.content, width, height), space(3), *lines])
    left = wide + 20
    answers = _answers(report, WIDTH - left)
    below = height_of(answers) > TALLEST_ANSWERS
    column = _column(report, [] if below else answers, WIDTH - left, height)
    row = beside([(0, picture), (left, column)])
    return [row, space(10), *([*_answers(report, WIDTH), space(10)] if below else [])]


def _column(report: Report, answers: Sequence[Block], width: float, height: float) -> Block:
    """The answers, and what the model saw: below them, or beside them where there is no room below but beside."""
    rest = height - height_of(answers)
    if answers and rest < SMALLEST_INPUT + 40 and width > WIDE_ENOUGH:
        own = width - SMALLEST_INPUT - 20
        given = stacked(_given(report.given, SMALLEST_INPUT, height))
        return beside([(0, stacked(_answers(report, own))), (own + 20, given)])
    return stacked([*answers, *([space(6)] if answers else []), *_given(report.given, width, rest)])


def _given(panel: Panel, width: float, height: float) -> list[Block]:
    """What the model saw, in what is left of the height beside the picture."""
    size = _fitted(panel.picture, width, min(LARGEST_INPUT, max(SMALLEST_INPUT, height - 40)))
    lines = [line for text in panel.lines for line in paragraph(text, TINY, width)]
    picture = image(panel.picture.content, *size)
    return [*paragraph(panel.title, HEADING, width), space(4), picture, space(3), *lines]


def _answers(report: Report, width: float) -> list[Block]:
    if not report.answers:
        return []
    title = [*paragraph(report.answers_title, HEADING, width), space(4)]
    return [*_together(title), *(_answer(answer, width, place == 0) for place, answer in enumerate(report.answers))]


def _answer(answer: Answer, width: float, first: bool) -> Block:
    """A label with its probability at the right, and a bar below."""
    style = STRONG if first else TEXT
    amount = f"{answer.amount} {answer.remark}".strip()
    taken = width_of(amount, style) + 8
    label = stacked(paragraph(answer.label, style, width - taken))
    number = stacked(paragraph(amount, style, taken))
    row = beside([(0, label), (width - taken + 8, number)])
    if answer.share is None:
        return stacked([row, space(4)])
    bar = beside([(0, filled(width, 2.4, TRACK)), (0, filled(width * answer.share, 2.4, INK))])
    return stacked([row, space(1.5), bar, space(4.5)])


def _grid(report: Report, sizes: Sizes) -> list[Block]:
    """The heatmaps in rows."""
    if not report.panels:
        return []
    panels, step = report.panels, sizes.columns
    rows = [panels[place : place + step] for place in range(0, len(panels), step)]
    head = [*paragraph("Heatmaps", HEADING, WIDTH), *paragraph(report.scale, SMALL, WIDTH), space(5)]
    return [*_together(head), *(_row(row, sizes) for row in rows)]


def _row(panels: Sequence[Panel], sizes: Sizes) -> Block:
    """Panels beside each other, their pictures at one height."""
    step = sizes.column + GUTTER
    titles, pictures, lines = list[Block](), list[Block](), list[Block]()
    for panel in panels:
        width, height = _fitted(panel.picture, sizes.column, sizes.panel)
        titles.append(stacked(paragraph(f"{panel.title}  {panel.amount}".strip(), STRONG, sizes.column)))
        pictures.append(image(panel.picture.content, width, height))
        lines.append(_below(panel, max(width, LEAST_WIDTH), sizes.column))
    parts = [beside([(step * place, block) for place, block in enumerate(row)]) for row in (titles, pictures, lines)]
    return stacked([parts[0], space(2), parts[1], space(3), parts[2], space(8)])


def _below(panel: Panel, width: float, column: float) -> Block:
    """The colour bar with its values, and lines of text."""
    blocks = list[Block]()
    if panel.bar:
        values = panel.bar.values
        blocks = [image(panel.bar.picture.content, width, 4), space(1), ends(values[0], values[-1], TINY, width)]
        if len(values) > 2:  # zero is in the middle
            middle = stacked(paragraph(values[1], TINY, 20))
            blocks[-1] = beside([(0, blocks[-1]), ((width - width_of(values[1], TINY)) / 2, middle)])
    return stacked([*blocks, *(line for text in panel.lines for line in paragraph(text, TINY, column))])


def _after(report: Report) -> list[Block]:
    """The outcomes of the checks, notes, the reader's note, where it all comes from."""
    rows = [_table_row((name, NAMES, STRONG_SMALL), (text, 0, SMALL)) for name, text in report.provenance]
    checks = _section("Checks", _checks(report)) if report.checked else _texts("Checks", (NOT_RUN,))
    return [
        *checks,
        *_texts("Notes", report.notes),
        *_texts("Reader’s note", report.note),
        *_section("Provenance", rows),
    ]


def _section(title: str, blocks: Sequence[Block]) -> list[Block]:
    """Blocks over the whole width, below a heading."""
    head = _together([hairline(WIDTH, RULE, 0, 4), *paragraph(title, HEADING, WIDTH), space(2)])
    return [*head, *blocks, space(5)]


def _texts(title: str, texts: Sequence[str]) -> list[Block]:
    """Texts beside a heading; nothing without texts."""
    lines = [line for text in texts for line in paragraph(text, TEXT, WIDTH, indent=NAMES)]
    if not lines:
        return []
    lower = space(1.06 * (HEADING.size - TEXT.size))  # so that both stand on one line
    first = beside([(0, stacked(paragraph(title, HEADING, WIDTH))), (0, stacked([lower, lines[0]]))])
    return [hairline(WIDTH, RULE, 0, 4), replace(first, stays=len(lines) > 1), *lines[1:], space(5)]


def _checks(report: Report) -> list[Block]:
    """Each check as a row: its outcome, its question, a sentence."""
    if not report.checked:
        return paragraph(NOT_RUN, TEXT, WIDTH)
    blocks = list[Block]()
    for checked in report.checked:
        blocks += _together(paragraph(f"{checked.title}: {checked.outcome}", STRONG, WIDTH))
        for mark, question, sentence in checked.checks:
            style = WARNING_SMALL if mark == MARKS["attention"] else STRONG_SMALL
            blocks.append(_table_row((mark, NAMES, style), (question, 118, STRONG_SMALL), (sentence, 0, DARK_SMALL)))
        blocks.append(space(2))
    return [*blocks, *paragraph(" ".join(report.always), TINY, WIDTH)]


def _table_row(*cells: tuple[str, float, Type]) -> Block:
    """Texts beside each other, each with the width of its column; 0 takes what is left."""
    left, parts = 0.0, list[tuple[float, Block]]()
    for text, width, style in cells:
        wide = (width or WIDTH - left) - 8 * bool(width)
        parts.append((left, stacked(paragraph(text, style, wide))))
        left += width
    return stacked([beside(parts), space(1.5)])


def _together(blocks: Sequence[Block]) -> list[Block]:
    """Blocks that stay with what follows them."""
    return [replace(block, stays=True) for block in blocks]


def _footer(page: str) -> Block:
    return stacked(
        [hairline(WIDTH, RULE, 0, 4), ends(BANNER, page, STRONG_SMALL, WIDTH), *paragraph(MEANING, TINY, WIDTH)]
    )
