"""Explanation -> files in a folder of its own. The one exporter that writes to disk."""

import itertools
import json
import os
import unicodedata
from pathlib import Path

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.images import png
from gradcam_core.exporters.manifest import to_dict, to_json
from gradcam_core.exporters.names import Names, file_name, heatmap_names, safe
from gradcam_core.records import Explanation
from gradcam_core.render import overlay

RECORD = "explanation.json"


class Folders:
    """Folders for the pictures of one run, each its own, also where upper and lower case do not differ.

    A folder is called like the picture's file without its ending, or by its sha256. Where that name is
    taken, the first 8 of the sha256 follow. What an earlier run left is used again for the same
    picture, and never for another one.
    """

    def __init__(self, out: Path) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._present = {_folded(path.name): path for path in out.iterdir()}
        except OSError as error:
            raise GradcamError(f"The folder for results cannot be used: {error.strerror}.", "Choose another.") from error
        self._out = out
        self._taken: set[str] = set()

    def write(self, explanation: Explanation, names: Names) -> Path:
        """Write one overlay a heatmap, as large as the picture, and explanation.json; gives its path.

        The record comes last: where it is, everything is. Raises OSError where the disk refuses.
        """
        image = explanation.image
        stem = Path(file_name(image.name)).stem
        folder = self._choose(image.sha256 if names == "hash" else safe(stem), image.sha256)
        folder.mkdir(exist_ok=True)
        record = folder / RECORD
        record.unlink(missing_ok=True)
        files = [f"{name}.png" for name in heatmap_names(explanation.heatmaps)]
        for file, heatmap in zip(files, explanation.heatmaps, strict=True):
            write_whole(folder / file, png(overlay(image, heatmap)))
        listed = {index: {"file": file} for index, file in enumerate(files)}
        write_whole(record, to_json(to_dict(explanation, names=names, files=listed)))
        return record

    def _choose(self, name: str, sha256: str) -> Path:
        distinct = f"{name}-{sha256[:8]}"
        numbered = (f"{distinct}-{number}" for number in itertools.count(2))
        chosen = next(one for one in itertools.chain((name, distinct), numbered) if self._is_free(one, sha256))
        self._taken.add(_folded(chosen))
        return self._place(chosen)

    def _place(self, name: str) -> Path:
        return self._present.get(_folded(name), self._out / name)

    def _is_free(self, name: str, sha256: str) -> bool:
        """Whether no other picture has this folder. One without a record was never finished."""
        place = self._place(name)
        if _folded(name) in self._taken or (place.exists() and not place.is_dir()):
            return False
        try:
            return bool(json.loads((place / RECORD).read_bytes())["image"]["sha256"] == sha256)
        except FileNotFoundError:
            return True
        except (ValueError, LookupError, TypeError):
            return False


def write_whole(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all, also if the run is killed."""
    part = path.with_name(f".{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
