"""Small figures in plain HTML: pictures, bars and tables of probabilities. Text from outside is escaped."""

import base64
import html
import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import streamlit as st

from gradcam_core import amount_of, percent
from pages.components.words import shortened

# The unit of a region, as the core writes it.
PART = "% of the picture"


def data_url(pixels: np.ndarray, *, exact: bool = False) -> str:
    """A small picture, grey [H W] or RGB [H W 3] in 8 bits, for an img element; sharp ones as PNG."""
    shown = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    kind, options = ("png", []) if exact else ("jpeg", [cv2.IMWRITE_JPEG_QUALITY, 94])
    _, encoded = cv2.imencode(f".{kind}", shown, options)
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def figures(pictures: Sequence[tuple[np.ndarray, str]], *, height: float = 24, exact: bool = False) -> None:
    """Pictures side by side with a line below each; `height` in lines of text. `exact` keeps every pixel."""
    cells = "".join(
        _figure(data_url(pixels, exact=exact), pixels.shape, html.escape(words)) for pixels, words in pictures
    )
    st.html(f'<div class="figures" style="--tall: {height:g}rem">{cells}</div>')


def _figure(source: str, shape: Sequence[int], words: str) -> str:
    image = f'<img style="--ratio: {shape[1] / shape[0]:.4f}" src="{source}" alt="{words}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def show_bars(rows: Sequence[tuple[str, str, float]]) -> None:
    """Probabilities as bars: who, what, and the share; NaN has no bar."""
    cells = "".join(
        f"<li><b>{html.escape(name)}</b><span>{html.escape(what)}</span>{_bar(share)}</li>"
        for name, what, share in rows
    )
    st.html(f'<ul class="bars">{cells}</ul>')


def _bar(share: float) -> str:
    if math.isnan(share):
        return "<i></i><em></em>"
    return f'<i><i style="width:{100 * share:.1f}%"></i></i><em>{percent(share)}</em>'


def show_predictions(predictions: Sequence[Any], *, beside: bool = False) -> None:
    """What a model answers: probabilities as bars, or numbers with their units. `beside` puts labels to the bars."""
    rows = []
    for each in predictions:
        is_part = each.unit == PART
        amount = "of the picture" if is_part else "" if each.value is None else amount_of(each)
        name, what = ("", f"{shortened(each.label)} {amount}".strip()) if beside else (each.label, amount)
        rows.append((name, what, each.value / 100 if is_part else each.probability))
    show_bars(rows)


def show_table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Probabilities as a table, a row for each name."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in (title, *columns))
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>{"".join(f"<td>{percent(share)}</td>" for share in shares)}</tr>'
        for name, shares in rows
    )
    st.html(f'<table class="shares"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')
