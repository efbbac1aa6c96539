"""True labels of pictures: from a table, or from the folder that each lies in."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gradcam_core.batch.pictures import read_picture
from gradcam_core.batch.records import Job
from gradcam_core.evaluation.matching import match
from gradcam_core.evaluation.records import TableRow
from gradcam_core.text import counted


def with_labels(jobs: Sequence[Job], table: Sequence[TableRow]) -> tuple[tuple[Job, ...], tuple[str, ...]]:
    """Give pictures the labels of a table, matched as `evaluate` does; and say in sentences what does not match.

    Pictures that share a row, or that several rows fit, have no label.
    """
    files = match([(job.name, partial(read_picture, job)) for job in jobs], table, {})
    shared = sum(file.shared for file in files)
    missing = len(table) - len({id(file.row) for file in files if file.row})
    labels = ["" if file.shared or not file.row else file.row.label for file in files]
    sentences = []
    if shared:
        words = "have no true label here, since they share rows of the table: write the folders into the table too."
        sentences.append(f"{counted(shared, 'picture')} {words}")
    if missing:
        sentences.append(f"{counted(missing, 'row')} of the table fit no picture.")
    return tuple(replace(job, label=label) for job, label in zip(jobs, labels, strict=True)), tuple(sentences)


def with_folder_labels(jobs: Sequence[Job]) -> tuple[Job, ...]:
    """Give pictures the name of the folder that they lie in; those that lie in none have no label."""
    return tuple(replace(job, label=job.name.rpartition("/")[0].rpartition("/")[2]) for job in jobs)
