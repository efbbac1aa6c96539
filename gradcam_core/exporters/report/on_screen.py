"""A report as one HTML file: every text escaped, every picture inside, no script, no request."""

import base64
import html
from collections.abc import Iterable
from pathlib import Path

from gradcam_core.exporters.pages import head, with_parts
from gradcam_core.exporters.report.contents import MARKS, MEANING, NOT_RUN, Answer, Checked, Panel, Report
from gradcam_core.exporters.report.pictures import Picture
from gradcam_core.text import BANNER

FOLDER = Path(__file__).parent


def html_page(report: Report) -> bytes:
    """Lay a report out for the screen and for a browser's printing, in UTF-8."""
    style, template = ((FOLDER / name).read_text("utf-8") for name in ("report.css", "report.html"))
    parts = {
        "head": head("Heatmap report", style),
        "day": html.escape(report.day),
        "headline": _label(report.headline),
        "warnings": _each(report.warnings, '<p class="warning">{}</p>'),
        "picture": _figure(report.picture),
        "given": _panel(report.given),
        "answers": _answers(report),
        "scale": html.escape(report.scale),
        "panels": "".join(map(_panel, report.panels)),
        "checks": _checks(report),
        "notes": _section("Notes", _each(report.notes, "<p>{}</p>")),
        "note": _section("Reader’s note", _each(report.note, '<p dir="auto">{}</p>'), "note"),
        "provenance": "".join(
            f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(text)}</td></tr>'
            for name, text in report.provenance
        ),
        "purpose": html.escape(BANNER),
        "meaning": html.escape(MEANING),
    }
    return "".join(with_parts(template, parts)).encode("utf-8", "backslashreplace")


def _each(texts: Iterable[str], element: str) -> str:
    return "".join(element.format(html.escape(text)) for text in texts)


def _label(text: str) -> str:
    """Text from outside, whose direction does not turn what stands beside it."""
    return f'<span class="label">{html.escape(text)}</span>'


def _section(title: str, content: str, kind: str = "") -> str:
    return f'<section class="{kind}"><h2>{html.escape(title)}</h2>{content}</section>' if content else ""


def _image(picture: Picture, kind: str) -> str:
    source = base64.b64encode(picture.content).decode()
    size = f'width="{picture.width}" height="{picture.height}"'
    words = html.escape(picture.words)
    return f'<img class="{kind}" {size} alt="{words}" src="data:image/{picture.kind};base64,{source}">'


def _figure(panel: Panel) -> str:
    lines = _each(panel.lines, "<span>{}</span>")
    return f"<figure>{_image(panel.picture, 'shown')}<figcaption>{lines}</figcaption></figure>"


def _panel(panel: Panel) -> str:
    """A picture with its title above, and below it the colour bar and lines of text."""
    bar = ""
    if panel.bar:
        values = _each(panel.bar.values, "<span>{}</span>")
        bar = f'{_image(panel.bar.picture, "bar")}<div class="values">{values}</div>'
    title = f'<p class="title">{_label(panel.title)} {html.escape(panel.amount)}</p>'
    lines = _each(panel.lines, "<span>{}</span>")
    shown = f"<div>{_image(panel.picture, 'shown')}</div>"
    return f"<figure>{title}{shown}<figcaption>{bar}{lines}</figcaption></figure>"


def _answers(report: Report) -> str:
    if not report.answers:
        return ""
    rows = "".join(map(_answer, report.answers))
    return f'<h2>{html.escape(report.answers_title)}</h2><ul class="answers">{rows}</ul>'


def _answer(answer: Answer) -> str:
    amount = html.escape(f"{answer.amount} {answer.remark}".strip())
    bar = ""
    if answer.share is not None:
        share = f'<rect class="share" width="{100 * answer.share:.2f}" height="1"/>'
        track = '<rect class="track" width="100" height="1"/>'
        bar = f'<svg viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">{track}{share}</svg>'
    return f"<li>{_label(answer.label)}<span>{amount}</span>{bar}</li>"


def _checks(report: Report) -> str:
    if not report.checked:
        return f"<p>{html.escape(NOT_RUN)}</p>"
    always = html.escape(" ".join(report.always))
    return "".join(map(_checked, report.checked)) + f'<p class="quiet always">{always}</p>'


def _checked(checked: Checked) -> str:
    rows = "".join(
        f'<tr><th scope="row" class="{"attention" if mark == MARKS["attention"] else ""}">{html.escape(mark)}</th>'
        f"<td>{html.escape(question)}</td><td>{html.escape(sentence)}</td></tr>"
        for mark, question, sentence in checked.checks
    )
    title = f"{_label(checked.title)}: {html.escape(checked.outcome)}"
    return f'<h3>{title}</h3><table class="checks"><tbody>{rows}</tbody></table>'
