"""True labels of pictures: from a table, or from the folder that each lies in."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gradcam_core.batch.pictures import read_picture
from gradcam_core.batch.records import Job
from gradcam_core.errors import GradcamError
from gradcam_core.evaluation.matching import match
from gradcam_core.evaluation.records import TableRow


def with_labels(jobs: Sequence[Job], table: Sequence[TableRow]) -> tuple[Job, ...]:
    """Give pictures the labels of a table, matched as `evaluate` does. Raises GradcamError where two fit one row."""
    files = match([(job.name, partial(read_picture, job)) for job in jobs], table, {})
    if any(file.shared for file in files):
        raise GradcamError(
            "Several pictures match the same row of the table.",
            "Give each picture a name of its own, in the table too, or use one folder.",
        )
    return tuple(replace(job, label=file.row.label if file.row else "") for job, file in zip(jobs, files, strict=True))


def with_folder_labels(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Give pictures the name of the folder that they lie in; those that lie in none have no label."""
    return tuple(replace(job, label=job.name.rpartition("/")[0].rpartition("/")[2]) for job in jobs)
