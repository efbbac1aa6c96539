"""Many pictures, one at a time in memory: each gets a row, and what is wrong with one of them is kept in its row."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from gradcam_core.devices import is_out_of_memory
from gradcam_core.errors import GradcamError, LayerError, MethodError, PictureError
from gradcam_core.evaluation.drift_records import DriftRow
from gradcam_core.evaluation.matching import Load
from gradcam_core.evaluation.records import Row
from gradcam_core.files import FileTooLargeError
from gradcam_core.progress import Progress

AnyRow = TypeVar("AnyRow", Row, DriftRow)
# Rows of before by name, content and other inputs.
Kept = Mapping[tuple[str, str, str], AnyRow]


@dataclass(frozen=True, slots=True)
class PictureWork(Generic[AnyRow]):
    """A picture's row as far as it is known before its file is read, and the function that completes it.

    `inputs` gives the identity of what the row depends on besides the picture, such as its mask.
    """

    row: AnyRow
    read: Load
    complete: Callable[[AnyRow, bytes, Progress], AnyRow]
    inputs: Callable[[], str] = str


def completed_rows(
    works: Sequence[PictureWork[AnyRow]], kept: Kept[AnyRow], stop: Callable[[], bool], progress: Progress
) -> list[AnyRow]:
    """Complete the row of each picture, until `stop` returns True; rows that are `kept` count for the same pictures."""
    rows: list[AnyRow] = []
    for place, work in enumerate(works):
        if stop():
            break
        # No file names here: progress texts can end up in logs.
        rows.append(_completed(work, kept, progress.part(place, len(works), f"Picture {place + 1} of {len(works)}")))
    progress(1.0, words="Done")
    return rows


def _completed(work: PictureWork[AnyRow], kept: Kept[AnyRow], progress: Progress) -> AnyRow:
    """Complete one row. What is wrong with the picture goes into it; what is wrong with the request raises."""
    progress(0.0)
    row = work.row
    try:
        content = read_content(work.read)
        row = replace(row, sha256=hashlib.sha256(content).hexdigest(), inputs=work.inputs())
        if (row.name, row.sha256, row.inputs) in kept:
            return kept[row.name, row.sha256, row.inputs]
        return work.complete(row, content, progress)
    except (MethodError, LayerError):
        raise
    except GradcamError as error:
        return replace(row, problem=f"{error.message} {error.remedy}")
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        return replace(row, problem="The memory is too small for this picture and model. Use a smaller input.")


def read_content(read: Load) -> bytes:
    """Return a file's bytes. Raises PictureError without the system's own words, which contain the file's name."""
    try:
        return read()
    except FileTooLargeError:
        raise PictureError(
            "The file is too large to be a picture that can be read.", "Save it with stronger compression."
        ) from None
    except OSError:
        raise PictureError(
            "The file cannot be opened.", "Check that you may read it, and that the drive is connected."
        ) from None
