"""Explanation -> files in a folder. The only exporter that writes to disk."""

import itertools
import json
from pathlib import Path
from typing import Any

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.encoding import png, to_json
from gradcam_core.exporters.manifest import seal, to_dict
from gradcam_core.exporters.names import Names, file_name, heatmap_names, safe
from gradcam_core.exporters.report import FILES as REPORTS
from gradcam_core.exporters.report import report_files
from gradcam_core.exporters.report_contents import ReportContents
from gradcam_core.files import FileTooLargeError, folded, read_bounded, write_whole
from gradcam_core.records import Explanation
from gradcam_core.render import overlay

RECORD = "explanation.json"
LARGEST_RECORD = 100_000_000


class ResultFolders:
    """The result folders of one run, one per picture, also where file names ignore capital letters.

    A folder's name is that of the picture's file without its ending, or its sha256. Where that name is taken, the
    first 8 digits of the sha256 follow. A folder of an earlier run is used again for the same picture only.
    """

    def __init__(self, out: Path) -> None:
        try:
            out.mkdir(parents=True, exist_ok=True)
            self._present = {folded(path.name): path for path in out.iterdir()}
        except OSError as error:
            message = f"The folder for results cannot be used: {error.strerror}."
            raise GradcamError(message, "Choose another one, or check that you may write there.") from error
        self._out = out
        self._taken: set[str] = set()

    def write(self, explanation: Explanation, names: Names, *, report: bool = False) -> Path:
        """Write one overlay per heatmap, as large as the picture, and explanation.json; return its path.

        With `report` also report.pdf and report.html. The record is written last: a folder that has one is complete.
        Raises OSError.
        """
        image = explanation.image
        stem = Path(file_name(image.name)).stem
        folder = self._choose(safe(stem) if names == "keep" else image.sha256, image.sha256)
        folder.mkdir(exist_ok=True)
        record, files = folder / RECORD, [f"{name}.png" for name in heatmap_names(explanation.heatmaps)]
        reports = report_files(explanation, ReportContents(names=names)) if report else {}
        outdated = _files_in(record) - set(files) - set(reports)
        record.unlink(missing_ok=True)
        for file, heatmap in zip(files, explanation.heatmaps, strict=True):
            write_whole(folder / file, png(overlay(image, heatmap)))
        for file, content in reports.items():
            write_whole(folder / file, content)
        listed = {index: {"file": file} for index, file in enumerate(files)}
        written = {"report": list(reports)} if report else {}
        write_whole(record, to_json(seal(to_dict(explanation, names=names, files=listed) | written)))
        for file in outdated:
            (folder / file).unlink(missing_ok=True)
        return record

    def _choose(self, name: str, sha256: str) -> Path:
        distinct = f"{name}-{sha256[:8]}"
        numbered = (f"{distinct}-{number}" for number in itertools.count(2))
        names = itertools.chain((name, distinct), numbered)
        chosen = next(candidate for candidate in names if self._is_free(candidate, sha256))
        self._taken.add(folded(chosen))
        return self._place(chosen)

    def _place(self, name: str) -> Path:
        return self._present.get(folded(name), self._out / name)

    def _is_free(self, name: str, sha256: str) -> bool:
        """Whether no other picture has this folder. A folder without a record was never finished."""
        place = self._place(name)
        if folded(name) in self._taken or (place.exists() and not place.is_dir()):
            return False
        record = read_record(place / RECORD, "heatmaps")
        return record == {} or (record is not None and record["image"].get("sha256") == sha256)


def read_record(path: Path, lists: str) -> dict[str, Any] | None:
    """Read a record that has a picture and a list of this name; {} where there is no file, None for another file."""
    try:
        record = json.loads(read_bounded(path, LARGEST_RECORD))
    except FileNotFoundError:
        return {}
    except (FileTooLargeError, RecursionError, ValueError):
        return None
    parts = (record.get("image"), record.get(lists)) if isinstance(record, dict) else (None, None)
    return record if isinstance(parts[0], dict) and isinstance(parts[1], list) else None


def _files_in(record: Path) -> set[str]:
    """Return the files that a record lists, as plain names: a record cannot name files outside its folder."""
    content = read_record(record, "heatmaps") or {}
    files = {str(heatmap.get("file")) for heatmap in content.get("heatmaps", []) if isinstance(heatmap, dict)}
    reports = content.get("report")
    overlays = {file for file in files if file == f"{safe(Path(file).stem)}.png"}
    return overlays | {file for file in REPORTS if isinstance(reports, list) and file in reports}
