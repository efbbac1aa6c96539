"""Explanation -> files in a folder of its own. The one exporter that writes to disk."""

import itertools
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

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
            message = f"The folder for results cannot be used: {error.strerror}."
            raise GradcamError(message, "Choose another one, or check that you may write there.") from error
        self._out = out
        self._taken: set[str] = set()

    def write(self, explanation: Explanation, names: Names) -> Path:
        """Write one overlay a heatmap, as large as the picture, and explanation.json; gives its path.

        The record comes last: where it is, everything is. Raises OSError where the disk refuses.
        """
        image = explanation.image
        stem = Path(file_name(image.name)).stem
        folder = self._choose(safe(stem) if names == "keep" else image.sha256, image.sha256)
        folder.mkdir(exist_ok=True)
        record, files = folder / RECORD, [f"{name}.png" for name in heatmap_names(explanation.heatmaps)]
        outdated = _overlays_in(record) - set(files)
        record.unlink(missing_ok=True)
        for file, heatmap in zip(files, explanation.heatmaps, strict=True):
            write_whole(folder / file, png(overlay(image, heatmap)))
        listed = {index: {"file": file} for index, file in enumerate(files)}
        write_whole(record, to_json(to_dict(explanation, names=names, files=listed)))
        for file in outdated:
            (folder / file).unlink(missing_ok=True)
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
        found = _read(place / RECORD)
        return found == {} or (found is not None and found["image"].get("sha256") == sha256)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all, also if the run is killed."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(record: Path) -> dict[str, Any] | None:
    """A record's values; none at all where there is no file, and None where it is no record."""
    try:
        found = json.loads(record.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    parts = (found.get("image"), found.get("heatmaps")) if isinstance(found, dict) else (None, None)
    return found if isinstance(parts[0], dict) and isinstance(parts[1], list) else None


def _overlays_in(record: Path) -> set[str]:
    """The overlays that a record lists, as plain names: nothing outside its folder is ours."""
    entries = (_read(record) or {}).get("heatmaps", [])
    files = {str(entry.get("file")) for entry in entries if isinstance(entry, dict)}
    return {file for file in files if file == f"{safe(Path(file).stem)}.png"}


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
