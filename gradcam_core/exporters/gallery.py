"""A batch's pictures -> one HTML file that needs no server and makes no request."""

import base64
import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradcam_core.exporters.pages import head, script_json, with_parts
from gradcam_core.files import whole_file
from gradcam_core.render import RAMP_END, SIGNED_RAMP_END, colour_table
from gradcam_core.shapes import Map
from gradcam_core.text import DISCLAIMER

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, eq=False)
class GalleryRow:
    """One picture of a batch.

    `raw` is the top answer's map before ReLU, `true_raw` the true class's where the answer is wrong. `offset` is how
    far (down, right) the cells' centres lie beside an even tiling, in cells. `border` is the share of the heat in the
    outer tenth. `tile` is a small JPEG of the model's input.
    """

    name: str
    sha256: str
    label: str
    probability: float | None = None
    true_label: str = ""
    correct: bool | None = None
    true_probability: float | None = None
    border: float | None = None
    problem: str = ""
    note: str = ""
    tile: bytes | None = None
    raw: Map | None = None
    true_raw: Map | None = None
    offset: tuple[float, float] = (0.0, 0.0)
    signed: bool = False


def worst_first(row: GalleryRow) -> tuple[int, float]:
    """The sorting key: problems, wrong answers by falling probability, the others by falling border attention."""
    if row.problem:
        return 0, 0.0
    if row.correct is False:
        return 1, -(_finite(row.probability) or 0.0)
    return 2, -(_finite(row.border) or 0.0)


def write_gallery(
    path: Path,
    rows: Iterable[GalleryRow],
    *,
    title: str,
    sentences: Sequence[str] = (),
    confusion: Mapping[tuple[str, str], int] | None = None,
) -> None:
    """Write the gallery as one HTML file, whole or not at all; the rows are streamed. Raises OSError.

    `confusion` counts the pictures by (true label, answer).
    """
    with whole_file(path) as part, part.open("wb") as file:
        for text in _document(rows, title, sentences, confusion or {}):
            file.write(text.encode("utf-8", "backslashreplace"))


def _document(
    rows: Iterable[GalleryRow], title: str, sentences: Sequence[str], confusion: Mapping[tuple[str, str], int]
) -> Iterator[str]:
    """The parts of the HTML file, in order."""
    style, script = ((FOLDER / name).read_text("utf-8") for name in ("gallery.css", "gallery.js"))
    parts: dict[str, str | Iterator[str]] = {
        "head": head(title, style, script),
        "script": script,
        "title": html.escape(title),
        "sentences": "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences),
        "disclaimer": html.escape(DISCLAIMER),
        "settings": script_json(_settings(confusion)),
    }
    parts["rows"] = (("," if number else "") + "\n" + script_json(_values(row)) for number, row in enumerate(rows))
    yield from with_parts((FOLDER / "gallery.html").read_text("utf-8"), parts)


def _settings(confusion: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """What gallery.js needs beside the rows."""
    return {
        "confusion": [[true, answer, count] for (true, answer), count in confusion.items()],
        "inferno": colour_table("inferno").tolist(),
        "diverging": colour_table("diverging").tolist(),
        "ramp": RAMP_END,
        "signedRamp": SIGNED_RAMP_END,
    }


def _values(row: GalleryRow) -> list[Any]:
    """What gallery.js reads, in its order."""
    return [
        *(row.name, row.sha256, row.label, _finite(row.probability), row.true_label),
        *(row.correct, _finite(row.true_probability), _finite(row.border), row.problem, row.note),
        base64.b64encode(row.tile).decode() if row.tile else None,
        _packed(row.raw, row.signed),
        _packed(row.true_raw, row.signed),
        *(row.offset, row.signed),
    ]


def _packed(raw: Map | None, signed: bool) -> list[Any] | None:
    """Height, width and the map over its own peak as little-endian float16; an empty text without evidence."""
    if raw is None or not np.isfinite(raw).all():
        return None
    grid = raw if signed else np.maximum(raw, 0)
    peak = float(np.abs(grid).max(initial=0))
    content = (grid / peak).astype("<f2").tobytes() if peak > 0 else b""
    return [*raw.shape, base64.b64encode(content).decode()]


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else float(number)
