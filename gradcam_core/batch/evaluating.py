"""The rows of an evaluation, computed in several processes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gradcam_core.batch.working import model_of
from gradcam_core.checks.thresholds import Thresholds
from gradcam_core.choosing import Method
from gradcam_core.evaluation.evaluating import RowsOf, blank_row, evaluated_row
from gradcam_core.evaluation.matching import PictureFile
from gradcam_core.evaluation.records import Row
from gradcam_core.evaluation.requests import Request, checked_request
from gradcam_core.picture import Area
from gradcam_core.progress import Progress
from gradcam_core.records import ImageRecord
from gradcam_core.runners.processes import cores, in_processes, share_cores

# Pictures that go to a process at a time, and below how many a second process does not pay for its start.
CHUNK, PAYS = 4, 400
Numbered = tuple[int, PictureFile]


@dataclass(frozen=True, slots=True)
class EvaluationTask:
    """What a process needs to evaluate pictures: the model by the arguments of `load_model`, and what is asked of it.

    `fingerprint` is that of the weights with which the evaluation began; `blanked` areas of every picture are deleted.
    """

    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)
    method: Method = "grad_cam"
    layers: str | Sequence[str] | None = None
    thresholds: Thresholds | None = None
    picture: ImageRecord | None = None
    fingerprint: str = ""
    blanked: tuple[Area, ...] = ()

    def begin(self) -> Callable[[Sequence[Numbered]], list[tuple[int, Row]]]:
        """Load the model; numbered files -> numbered rows."""
        model = model_of(self.reference, self.options, self.fingerprint)
        request = checked_request(model, self.method, self.layers, self.thresholds, self.picture, self.blanked)
        return lambda files: [(number, evaluated_row(file, request)) for number, file in files]

    def lost(self, numbered: Numbered, problem: str) -> tuple[int, Row]:
        """The row of a picture that ended its process."""
        number, file = numbered
        return number, replace(blank_row(file, ""), problem=problem)


def rows_in_processes(task: EvaluationTask, pictures: int, workers: int | None = None) -> RowsOf | None:
    """Give `evaluate` a way to compute the rows of so many pictures in several processes; None where these do not pay.

    The functions that return a picture's bytes are sent to the processes, and must be of a module.
    """
    count = min(workers or (1 if pictures < PAYS else cores()), max(1, pictures // CHUNK))
    if count == 1:
        return None

    def rows_of(files: Sequence[PictureFile], request: Request, progress: Progress) -> list[Row]:
        numbered, rows = list(enumerate(files)), dict[int, Row]()
        chunks = [numbered[start : start + CHUNK] for start in range(0, len(files), CHUNK)]
        for group in in_processes(chunks, task, share_cores(count)):
            rows |= {number: replace(row, request=request.key) for number, row in group}
            progress(len(rows) / len(files), words=f"Picture {len(rows)} of {len(files)}")
        return [rows[number] for number, _ in numbered]

    return rows_of
