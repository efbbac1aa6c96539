"""Small figures in plain HTML: pictures, bars and tables of probabilities. Whatever may be a stranger's is escaped."""

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np
import streamlit as st

from pages.components.panels import percent


def data_url(pixels: np.ndarray) -> str:
    """A small picture, grey [H W] or RGB [H W 3] in 8 bits, for an img element."""
    shown = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., ::-1])
    _, encoded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 94])
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def figures(pictures: Sequence[tuple[np.ndarray, str]], *, height: float = 24) -> None:
    """Pictures side by side with a line below each; `height` in lines of text."""
    cells = "".join(_figure(pixels, html.escape(words)) for pixels, words in pictures)
    st.html(f'<div class="figures" style="--tall: {height:g}rem">{cells}</div>')


def _figure(pixels: np.ndarray, words: str) -> str:
    ratio = pixels.shape[1] / pixels.shape[0]
    image = f'<img style="--ratio: {ratio:.4f}" src="{data_url(pixels)}" alt="{words}">'
    return f"<figure>{image}<figcaption>{words}</figcaption></figure>"


def show_bars(rows: Sequence[tuple[str, str, float]]) -> None:
    """Probabilities as bars: who, what, and the share."""
    cells = "".join(
        f'<li><b>{html.escape(name)}</b><span>{html.escape(what)}</span><i><i style="width:{100 * share:.1f}%"></i></i>'
        f"<em>{percent(share)}</em></li>"
        for name, what, share in rows
    )
    st.html(f'<ul class="bars">{cells}</ul>')


def show_table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Probabilities as a table, a row for each name."""
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in (title, *columns))
    body = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th>{"".join(f"<td>{percent(share)}</td>" for share in shares)}</tr>'
        for name, shares in rows
    )
    st.html(f'<table class="shares"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')
