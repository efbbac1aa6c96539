"""The film strip: a row for each picture, a column for each epoch, in one HTML file without requests."""

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.pages import head, script_json, with_parts
from gradcam_core.files import read_bounded, write_whole
from gradcam_core.shapes import Map
from gradcam_core.text import DISCLAIMER
from gradcam_core.training.records import Scene

FOLDER = Path(__file__).parent
TITLE = "What the model looked at, epoch by epoch"
FILM, EPOCH = "film.html", re.compile(r"epoch-(\d{1,9})\.json")
# So many epochs are in the strip: of more, evenly spread ones with the first and the last.
MOST_EPOCHS = 60
MOST_PICTURES, LARGEST_EPOCH, LARGEST_FILM = 64, 8_000_000, 200_000_000
END = "</script>"
TEXTS = ("picture", "answer", "truth")
SHARES = ("answer_probability", "true_probability")
JPEGS = ("answer_jpeg", "true_jpeg")


class FilmWriter:
    """Writes `epoch-00001.json` for each epoch, with the raw maps, and `film.html` over all of them.

    Epochs that lie in the folder from before count as the beginning of this training where their numbers are lower
    than its first one; others are of an earlier training and are deleted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._epochs: list[int] | None = None

    def __call__(self, epoch: int, scenes: Sequence[Scene]) -> None:
        """Write one epoch. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._epochs is None:
            self._epochs = self._earlier(epoch)
        content = {"epoch": epoch, "scenes": [_values(scene) for scene in scenes]}
        write_whole(self._path(epoch), json.dumps(content, allow_nan=False).encode())
        self._epochs = [*(number for number in self._epochs if number != epoch), epoch]
        shown = [json.loads(read_bounded(self._path(number), LARGEST_EPOCH)) for number in _spread(self._epochs)]
        write_whole(self._folder / FILM, film_document([_checked(each) for each in shown]).encode())

    def _earlier(self, epoch: int) -> list[int]:
        names = (EPOCH.fullmatch(path.name) for path in self._folder.iterdir())
        numbers = {int(match[1]) for match in names if match}
        for number in numbers:
            if number >= epoch:
                self._path(number).unlink(missing_ok=True)
        return sorted(number for number in numbers if number < epoch)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"epoch-{epoch:05}.json"


def _spread(epochs: Sequence[int]) -> list[int]:
    if len(epochs) <= MOST_EPOCHS:
        return list(epochs)
    step = (len(epochs) - 1) / (MOST_EPOCHS - 1)
    return [epochs[round(place * step)] for place in range(MOST_EPOCHS)]


def _values(scene: Scene) -> dict[str, Any]:
    return {
        **{name: getattr(scene, name) for name in TEXTS},
        **{name: _finite(getattr(scene, name)) for name in SHARES},
        "answer_jpeg": base64.b64encode(scene.answer_picture).decode(),
        "true_jpeg": base64.b64encode(scene.true_picture).decode(),
        "answer_map": _listed(scene.answer_map),
        "true_map": _listed(scene.true_map),
    }


def _listed(raw: Map | None) -> list[list[float]] | None:
    return None if raw is None or not np.isfinite(raw).all() else raw.tolist()


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else float(number)


def film_document(epochs: Sequence[Mapping[str, Any]]) -> str:
    """The page of these epochs, as `read_film` gives them."""
    style, script = ((FOLDER / f"film.{kind}").read_text("utf-8") for kind in ("css", "js"))
    parts = {
        "head": head(TITLE, style, script),
        "title": TITLE,
        "script": script,
        "disclaimer": DISCLAIMER,
        "epochs": script_json(list(epochs)),
    }
    return "".join(with_parts((FOLDER / "film.html").read_text("utf-8"), parts))


def read_film(content: bytes) -> list[dict[str, Any]]:
    """The epochs out of a film.html, checked: nothing else of that file is used. Raises GradcamError."""
    try:
        text = content.decode("utf-8") if len(content) <= LARGEST_FILM else ""
        opening = (FOLDER / "film.html").read_text("utf-8").partition("{{epochs}}")[0].splitlines()[-1]
        begin = text.index(opening) + len(opening)
        epochs = json.loads(text[begin : text.index(END, begin)])
        if not isinstance(epochs, list) or not 0 < len(epochs) <= MOST_EPOCHS:
            raise ValueError
        return [_checked(epoch) for epoch in epochs]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise GradcamError("This is no film strip of a training.", "Choose the film.html that was written.") from error


def _checked(epoch: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows of an epoch. Raises ValueError, TypeError or KeyError for anything else."""
    scenes = epoch["scenes"]
    if not isinstance(epoch["epoch"], int) or not isinstance(scenes, list) or len(scenes) > MOST_PICTURES:
        raise ValueError
    return {"epoch": epoch["epoch"], "scenes": [_checked_scene(scene) for scene in scenes]}


def _checked_scene(scene: Mapping[str, Any]) -> dict[str, Any]:
    shares = {name: scene[name] if scene[name] is None else float(scene[name]) for name in SHARES}
    texts = {name: scene[name] for name in TEXTS}
    pictures = {name: scene[name] for name in JPEGS}
    if not all(isinstance(text, str) for text in (*texts.values(), *pictures.values())):
        raise TypeError
    if not all(share is None or 0 <= share <= 1 for share in shares.values()):
        raise ValueError
    for picture in pictures.values():
        try:
            is_jpeg = base64.b64decode(picture, validate=True)[:2] == b"\xff\xd8"
        except binascii.Error as error:
            raise ValueError from error
        if picture and not is_jpeg:
            raise ValueError
    return texts | shares | pictures
