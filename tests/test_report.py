"""The report: what it says, that nothing of it is cut or overlaps, and that it asks for nothing."""

import base64
import dataclasses
import hashlib
import json
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from gradcam_core import DISCLAIMER
from gradcam_core.checks.panel import Check, Trust
from gradcam_core.checks.thresholds import read_thresholds
from gradcam_core.exporters import ReportContents, ResultFolders, archive, letters, report_html, report_pdf
from gradcam_core.exporters.report.contents import NOT_RUN
from gradcam_core.exporters.report_contents import PLAIN
from gradcam_core.reading import Reading
from gradcam_core.records import Explanation, Heatmap, ImageRecord, Prediction
from gradcam_core.text import BANNER
from tests.test_exporters import HOSTILE, PERSON, Class, explanation, heatmap, unpack

CHINESE = "胸部正位片显示双肺纹理增粗紊乱并伴有右下肺野斑片状模糊影及少量胸腔积液（需要结合临床进一步检查）"
MARGIN, FOOTER = 40.0, 50.0
REPLACEMENT = "\ufffd"


def pages(content: bytes) -> list[str]:
    """The text of each page, as a reader can select it, in one line."""
    document = pypdfium2.PdfDocument(content)
    texts = [" ".join(page.get_textpage().get_text_range().split()) for page in document]
    document.close()
    return texts


def words_of(content: bytes) -> str:
    """All the text of an HTML file, in one line."""
    parts: list[str] = []
    parser = HTMLParser()
    parser.handle_data = parts.append  # type: ignore[method-assign]
    parser.feed(content.decode("utf-8"))
    return " ".join(" ".join(parts).split())


def both(example: Explanation, contents: ReportContents = PLAIN) -> Iterator[str]:
    yield " ".join(pages(report_pdf(example, contents)))
    yield words_of(report_html(example, contents))


def labelled(*labels: str) -> Explanation:
    """An explanation with a class for each label."""
    heatmaps = tuple(heatmap(index=place, label=label) for place, label in enumerate(labels))
    predictions = tuple(Prediction(place, label, 0.9 / (1 + place)) for place, label in enumerate(labels))
    return dataclasses.replace(explanation(*heatmaps), predictions=predictions)


def trust_of(checked: Heatmap) -> Trust:
    checks = (
        Check("support", "Is the evidence strong enough?", "passed", "The probability is 70 %."),
        Check("edges", "Is the model reading a corner?", "attention", f"Hiding {HOSTILE} costs a third."),
    )
    return Trust(checked, checks, (10.0, 10.0), read_thresholds())


def test_a_report_says_everything_that_its_reader_must_know() -> None:
    example = explanation(heatmap(raw=np.full((4, 4), 0.0123)), heatmap("cam", raw=-np.ones((4, 4))))
    note = ReportContents(note="Seen before.\n\nI agree: <b>cat</b>")
    for text in both(example, note):
        for part in (
            *("Top answer: cat 70.0", "dog", "30.0", "0.0123", "One cell 10 × 10 px", "4 × 4 cells"),
            *("No positive evidence: nothing is coloured.", NOT_RUN, "Laid on white.", "Seen before.", "<b>cat</b>"),
            *("ab" * 32, "cd" * 32, "bundled:efficientnet_lite0", "Grad-CAM, layer layer4.1; steps 3", "torch 2"),
            *("level 40, window 400", "mean 0.5", "2026-01-01T00:00:00+00:00", "opacity 0.6", BANNER),
        ):
            assert part in text.replace("\u202f", " "), part
        assert PERSON not in text


def test_a_blind_reading_and_the_note_are_told_apart() -> None:
    reading = Reading("Nodule, left.", "2026-01-01T09:30:00Z", "2026-01-01T09:31:00Z", "No nodule.")
    for text in both(explanation(), ReportContents(note="Seen twice.", reading=reading)):
        said = (
            "Before the answer was shown (2026-01-01T09:30:00Z): Nodule, left. Afterwards: No nodule. Note: Seen twice."
        )
        assert said in " ".join(text.split())
    for text in both(explanation(), ReportContents(reading=dataclasses.replace(reading, revised=reading.impression))):
        assert "Afterwards: not changed." in text
        assert "Note:" not in text
    for text in both(explanation(), ReportContents(note="Seen twice.")):
        assert "Note:" not in text


def test_names_are_those_that_the_user_chose() -> None:
    example = explanation(reference=f"file:/home/{PERSON}/net.pth")
    for text in both(example, ReportContents(names="keep")):
        assert f"{PERSON}.scan.png" in text
        assert "file:net.pth" in text
        assert "/home" not in text
    for content in (report_pdf(example), report_html(example)):
        assert PERSON.encode() not in content


def test_the_outcomes_of_checks_are_sentences() -> None:
    example = explanation()
    trust = trust_of(example.heatmaps[0])
    for text in both(example, ReportContents(checks={0: trust})):
        for part in (trust.outcome, "Needs attention", "Is the model reading a corner?", "costs a third", "Passed"):
            assert part in text
        assert "These checks test the map, not the diagnosis." in text
        assert f"version {read_thresholds().version}" in text
        assert NOT_RUN not in text


def test_a_report_has_no_script_asks_for_nothing_and_escapes_every_text() -> None:
    hostile = '<img src="https://example.org/x.png" onerror=alert(1)>&"\''
    example = dataclasses.replace(
        labelled(hostile), notes=(hostile,), architecture=hostile, versions={hostile: hostile}, unsuited=(hostile,)
    )
    trust = dataclasses.replace(trust_of(example.heatmaps[0]), notes=(hostile,))
    content = report_html(example, ReportContents(note=hostile, checks={0: trust})).decode()
    tags: list[tuple[str, dict[str, str | None]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append((tag, dict(attributes)))  # type: ignore[method-assign]
    parser.feed(content)
    assert {tag for tag, _ in tags} <= {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "div", "p", "span"),
        *("h1", "h2", "h3", "time", "strong", "figure", "figcaption", "img", "ul", "li", "svg", "rect"),
        *("table", "tbody", "tr", "th", "td"),
    }
    for tag, attributes in tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "href", "srcset")]
        if tag == "img":
            assert re.match(r"data:image/(png|jpeg);base64,", attributes["src"] or "")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', content)
    style = re.search(r"<style>(.*?)</style>", content, re.DOTALL)
    assert policy
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1].startswith("default-src 'none'; img-src data:; ")
    assert f"style-src 'sha256-{digest}'" in policy[1]
    assert hostile in words_of(content.encode())


@pytest.mark.parametrize(
    "label", [CHINESE, "Ангиография лёгких", "Ακτινογραφία θώρακος", "Lungenödem, Łódź, Ệ", "흉부"]
)
def test_text_of_every_script_with_a_font_can_be_selected(label: str) -> None:
    assert label in "".join(pages(report_pdf(labelled(label)))).replace(" ", "").replace("\ufffe", "") or label in (
        " ".join(pages(report_pdf(labelled(label))))
    )


@pytest.mark.parametrize(
    "label", ["🫁 lung", "ריאה", "رئة", "ปอด", "\ud800x", HOSTILE, "", " ", "e\u0301", "\U0010ffff"]
)
def test_what_no_font_has_is_visibly_replaced_and_nothing_crashes(label: str) -> None:
    text = " ".join(pages(report_pdf(labelled(label), ReportContents(note=label))))
    assert "What the model answers" in text
    if label[:1] in "🫁רرป" and label.strip():
        assert REPLACEMENT in letters.printable(label)
        assert REPLACEMENT in text
    if label == "e\u0301":
        assert "é" in text
    report_html(labelled(label), ReportContents(note=label))


def boxes(content: bytes) -> Iterator[tuple[int, str, tuple[float, float, float, float]]]:
    """The page, kind ("text" of one line, "image") and bounds (left, bottom, right, top) of what is printed."""
    document = pypdfium2.PdfDocument(content)
    for place, page in enumerate(document):
        text = page.get_textpage()
        for index in range(text.count_rects()):
            left, bottom, right, top = text.get_rect(index)
            if right - left > 0.1 and text.get_text_bounded(left, bottom, right, top).strip():
                yield place, "text", (left, bottom, right, top)
        for item in page.get_objects(filter=[pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]):
            yield place, "image", item.get_bounds()
    document.close()


EXAMPLES = {
    "two classes": lambda: explanation(),
    "ten long labels": lambda: labelled(*(f"{place}{CHINESE}" for place in range(10))),
    "one word of 300 signs": lambda: labelled("x" * 300, "W" * 300),
    "a long note": lambda: explanation(),
    "forty heatmaps": lambda: labelled(*(f"class {place}" for place in range(40))),
    "no heatmap": lambda: dataclasses.replace(explanation(), heatmaps=()),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_is_cut_or_lies_on_something_else(name: str) -> None:
    example = EXAMPLES[name]()
    note = "\n".join(f"Line {place} of a long note." for place in range(150)) if name == "a long note" else "Short."
    checks = {0: trust_of(example.heatmaps[0])} if example.heatmaps else {}
    content = report_pdf(example, ReportContents(note=note, checks=checks))
    placed = list(boxes(content))
    for _, _, (left, bottom, right, top) in placed:
        assert left >= MARGIN
        assert right <= 595.3 - MARGIN
        assert top <= 841.9 - 30
        assert bottom >= 12
    for place, (page, kind, one) in enumerate(placed):
        for other_page, other_kind, other in placed[place + 1 :]:
            if page == other_page and "text" in (kind, other_kind):
                across = min(one[2], other[2]) - max(one[0], other[0])
                along = min(one[3], other[3]) - max(one[1], other[1])
                assert across <= 0.5 or along <= 1.2, (page, one, other)
    texts = pages(content)
    assert all(len(text) > 200 for text in texts), "no page is empty"
    assert all(BANNER in text and f"{place} / {len(texts)}" in text for place, text in enumerate(texts, 1))
    squeezed = "".join(texts).replace(" ", "")
    for prediction in example.predictions:
        assert prediction.label.replace(" ", "") in squeezed.replace("\ufffe", "")
    if name == "a long note":
        assert all(f"Line {place} of a long note." in " ".join(texts) for place in range(150))


@pytest.mark.parametrize(("size", "count"), [((200, 300), 5), ((200, 200), 3), ((60, 500), 5), ((500, 60), 1)])
def test_a_usual_report_is_one_page(size: tuple[int, int], count: int) -> None:
    assert len(pages(report_pdf(pictured(size, count)))) == 1


def pictured(size: tuple[int, int], count: int) -> Explanation:
    """An explanation of a picture of this height and width, with so many classes."""
    height, width = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.stack([np.sin(rows / 50), np.cos(columns / 70), np.sin((rows + columns) / 90)], 2) / 2 + 0.5
    grain = np.random.default_rng(0).normal(0, 0.03, waves.shape)
    image = ImageRecord(np.clip(waves + grain, 0, 1).astype(np.float32), "ab" * 32, "x.png", "PNG")
    example = labelled(*(f"class {place}" for place in range(count)))
    placement = dataclasses.replace(example.placement, image_size=size, box=(0.0, 0.0, float(height), float(width)))
    heatmaps = tuple(dataclasses.replace(each, placement=placement) for each in example.heatmaps)
    return dataclasses.replace(example, image=image, placement=placement, heatmaps=heatmaps)


def test_a_large_picture_gives_a_small_file_quickly() -> None:
    example = pictured((1500, 2000), 3)
    report_pdf(explanation())  # fonts are read once
    start = time.perf_counter()
    printed = report_pdf(example)
    assert time.perf_counter() - start < 5, "a fifth of a second alone; more where tests run side by side"
    assert len(printed) < 2_000_000
    assert len(report_html(example)) < 2_000_000


def test_the_heatmap_is_where_it_lies_on_the_picture() -> None:
    """A reduced picture has its hottest place where the whole one has it."""
    from gradcam_core.exporters.report.pictures import LARGEST_HEATMAP, _placed, reduced

    example = pictured((1500, 2000), 1)
    raw = np.zeros((4, 4), np.float32)
    raw[1, 3] = 1
    hot = dataclasses.replace(example.heatmaps[0], raw=raw)
    small = reduced(example.image, LARGEST_HEATMAP)
    assert (small.height, small.width) == (540, 720)
    placed = dataclasses.replace(hot, placement=_placed(hot.placement, small))
    whole = np.argwhere(hot.values == hot.values.max()).mean(axis=0) / (1500, 2000)
    assert np.allclose(np.argwhere(placed.values == placed.values.max()).mean(axis=0) / (540, 720), whole, atol=0.01)


def test_the_same_explanation_gives_the_same_report() -> None:
    assert report_pdf(explanation()) == report_pdf(explanation())
    assert report_html(explanation()) == report_html(explanation())


def test_an_archive_holds_the_report_and_the_note() -> None:
    files = unpack(archive(explanation(), ReportContents(note="Agreed.")))
    assert "Agreed." in pages(files["report.pdf"])[0]
    assert "Agreed." in words_of(files["report.html"])
    assert json.loads(files["explanation.json"])["note"] == "Agreed."


def test_a_folder_holds_a_report_where_one_is_asked_for(tmp_path: Path) -> None:
    record = ResultFolders(tmp_path).write(explanation(), "hash", report=True)
    assert json.loads(record.read_bytes())["report"] == ["report.pdf", "report.html"]
    assert (record.parent / "report.pdf").read_bytes() == report_pdf(explanation())
    (record.parent / "own.pdf").touch()
    ResultFolders(tmp_path).write(explanation(), "hash")
    assert {path.name for path in record.parent.iterdir() if path.suffix != ".png"} == {"explanation.json", "own.pdf"}


def test_fonts_ship_with_their_licences_and_stay_small() -> None:
    fonts = sorted(letters.FONTS.glob("*.ttf"))
    notice = (letters.FONTS / "LICENCES.txt").read_text("utf-8")
    assert {font.stem for font in fonts} == {letters.REGULAR, letters.BOLD, *letters.OTHERS}
    assert all(font.name in notice for font in fonts)
    assert sum(font.stat().st_size for font in fonts) < 6_000_000


def test_lines_break_between_words_and_anywhere_only_where_a_word_is_too_long() -> None:
    style = letters.Type(8, (0, 0, 0))
    assert letters.wrapped("one two", style, 1000) == ("one two",)
    lines = letters.wrapped("the quick brown fox " * 9, style, 90)
    assert " ".join(lines) == ("the quick brown fox " * 9).strip()
    assert all(letters.width_of(line, style) <= 90 for line in lines)
    long = letters.wrapped("a " + "x" * 90, style, 90)
    assert "".join(long).replace(" ", "") == "a" + "x" * 90
    assert all(letters.width_of(line, style) <= 90 for line in long)
    assert not [line for line in letters.wrapped(CHINESE * 3, style, 90) if line[0] in "）（" and line[0] == "）"]


def test_target_is_shown_by_its_own_amount() -> None:
    example = explanation(heatmap(label="other"))
    target = Class(7, "similar to that picture", float("nan"))
    example = dataclasses.replace(example, heatmaps=(dataclasses.replace(example.heatmaps[0], target=target),))
    for text in both(example):
        assert "similar to that picture" in text
        assert not re.search(r"\bnan\b", text)
    assert DISCLAIMER not in BANNER
