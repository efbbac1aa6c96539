"""The straight line of a batch: jobs -> workers -> the journal, which is always whole. What is missing is computed."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from gradcam_core.batch.journal import Journal, JournalError
from gradcam_core.batch.records import FAILED, Job, Recipe, Result, failed, hashed_name
from gradcam_core.batch.working import Heatmaps, identity_of, loaded_model, work
from gradcam_core.errors import GradcamError, TargetError
from gradcam_core.evaluation.answers import check_labels
from gradcam_core.evaluation.records import TableRow
from gradcam_core.evaluation.requests import digest
from gradcam_core.explanation import check_request
from gradcam_core.files import is_disk_full
from gradcam_core.many import pictures_apart
from gradcam_core.readers import Decode, decode
from gradcam_core.records import LoadedModel
from gradcam_core.runners.processes import FAULT, Process, cores, in_processes, reply_of, share_cores
from gradcam_core.runners.ray_data import in_ray
from gradcam_core.text import counted
from gradcam_core.version import __version__

# Pictures that go to a process at a time, and below how many a second process does not pay for its start.
CHUNK, PAYS = 16, 64
# Pictures that share a pass: more cost memory and no longer pay on a processor.
TOGETHER = 8
# A full disk is looked at again so often, and counts as free from so many bytes on.
LOOK_AGAIN_S, ENOUGH_BYTES = 2.0, 32 * 2**20
# From this age on, an unfinished file is of a process that has ended.
ABANDONED_S = 3600


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a batch is: pictures in all, those `known` from before, `done` in this run, and those that `failed`."""

    total: int
    known: int
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    paused: str = ""

    @property
    def rate(self) -> float:
        """Pictures a second in this run."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None while there is none."""
        return (self.total - self.known - self.done) / self.rate if self.rate else None


OnStanding = Callable[[Standing], None]
Runner = Callable[[Sequence[Job]], Iterator[Sequence[Result]]]
Work = Callable[[Sequence[Job]], Sequence[Result]]


def in_shard(job: Job, shard: tuple[int, int]) -> bool:
    """Whether a picture belongs to shard (index from 1, count): by a hash of its name, so files may be added."""
    index, count = shard
    return int(job.id[:12], 16) % count == index - 1


def _settled(recipe: Recipe, jobs: Sequence[Job]) -> tuple[Recipe, LoadedModel]:
    """Load the model, check what is asked of it, and fix the identity of both. Raises a GradcamError."""
    model = loaded_model(recipe)
    if model.task == "embedding":
        raise TargetError("This model gives features and no classes.", "Use evaluate with a reference picture.")
    check_labels([TableRow(job.name, job.label) for job in jobs if job.label], model)
    target = {"targets": recipe.target} if recipe.target else {}
    check_request(model, methods=[recipe.method], layers=recipe.layers or None, **target)
    together = TOGETHER if pictures_apart(model) else 1
    identity = identity_of(recipe, model)
    return replace(recipe, fingerprint=model.fingerprint, identity=identity, together=together), model


def about(recipe: Recipe) -> dict[str, str]:
    """What a journal belongs to, by the words for it."""
    settings = digest((recipe.identity, recipe.method, recipe.layers, recipe.target))
    return {
        "version": __version__,
        "model": recipe.fingerprint,
        "choice of method, layer or target": settings,
        "choice of names": "keep" if recipe.named else "hash",
    }


def run_batch(
    jobs: Sequence[Job],
    recipe: Recipe,
    journal: Path,
    *,
    workers: int | None = None,
    cluster: str = "",
    again: bool = False,
    stop: Callable[[], bool] = lambda: False,
    on_standing: OnStanding = lambda standing: None,
    decode: Decode = decode,
) -> Standing:
    """Explain every picture that has no result in the journal yet, and write it there.

    `workers` is the number of processes; None: as many as pay. `cluster` is the address of a Ray cluster, "local" for
    one on this machine, "" for no Ray. `again` repeats those that failed. `stop` is called between results; what is
    written stays. `decode` is as that of `read_image`, for few pictures; many are decoded in those processes. Raises
    GradcamError for what suits no picture, and JournalError.
    """
    with ExitStack() as stack:
        # Of a batch that goes on, few pictures may be missing.
        ahead = _begun(0 if cluster or journal.exists() else _processes(len(jobs), workers), stack)
        recipe, model = _settled(recipe, jobs)
        if recipe.overlays:
            _folder(Path(recipe.overlays))
        book = Journal(journal, about(recipe))
        stack.callback(book.close)
        finished = book.finished(jobs, again=again, overlays=recipe.overlays)
        missing = [job for job in jobs if job.id not in finished]
        book.mark(complete=not missing)
        standing = Standing(len(jobs), len(jobs) - len(missing))
        on_standing(standing)
        here = partial(work, model=model, recipe=recipe, decode=decode)
        runner = partial(_in_runner, recipe=recipe, here=here, workers=workers, cluster=cluster, ahead=ahead)
        groups = _computed(missing, runner, recipe.overlays, standing, stop, on_standing)
        stack.callback(groups.close)
        standing = _recorded(groups, book, recipe, standing, stop, on_standing)
        book.mark(complete=standing.known + standing.done == standing.total)
        return standing


def _begun(count: int, stack: ExitStack) -> list[Process[Job, Result]]:
    """Processes that import what they need while the model is loaded here."""
    processes = share_cores(count)
    for process in processes:
        stack.callback(process.end)
    return processes


def _recorded(
    groups: Iterator[Sequence[Result]],
    book: Journal,
    recipe: Recipe,
    standing: Standing,
    stop: Callable[[], bool],
    on_standing: OnStanding,
) -> Standing:
    """Write results as they come, until there are no more or the run is stopped."""
    begun = time.monotonic()
    for results in groups:
        kept = results if recipe.named else [replace(result, name=hashed_name(result)) for result in results]
        if kept and not _written(book, kept, standing, stop, on_standing):
            break
        failures = sum(result.status == FAILED for result in results)
        done, seconds = standing.done + len(results), time.monotonic() - begun
        standing = replace(standing, done=done, failed=standing.failed + failures, seconds=seconds)
        on_standing(standing)
        if stop():
            break
    return standing


def _computed(
    jobs: Sequence[Job],
    runner: Runner,
    overlays: str,
    standing: Standing,
    stop: Callable[[], bool],
    on_standing: OnStanding,
) -> Generator[Sequence[Result], None, None]:
    """Results in any order, one for each picture. Where the disk is full, wait for space and go on with the rest."""
    left = {job.id: job for job in jobs}
    while left:
        try:
            for results in runner(list(left.values())):
                yield [result for result in results if left.pop(result.id, None)]
            if left:
                raise GradcamError(
                    f"{counted(len(left), 'picture')} came back without a result.",
                    "Run the same command again: it computes what is missing.",
                )
            return
        except OSError as error:
            if not is_disk_full(error):
                raise
        if not _space(Path(overlays), standing, stop, on_standing):
            return


def _processes(jobs: int, workers: int | None) -> int:
    """How many processes work beside this one: as many as wanted, or as pay; 0 where this one does it alone."""
    wanted = workers or (1 if jobs < PAYS else cores())
    return min(wanted, -(-jobs // CHUNK)) if wanted > 1 else 0


def _in_runner(
    jobs: Sequence[Job],
    recipe: Recipe,
    here: Work,
    workers: int | None,
    cluster: str,
    ahead: list[Process[Job, Result]],
) -> Iterator[Sequence[Result]]:
    """Results from a cluster; from processes, of those that were begun `ahead` first; or from this process."""
    count = _processes(len(jobs), workers)
    size = CHUNK if count or cluster else TOGETHER
    chunks = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    if cluster:
        yield from in_ray(chunks, Heatmaps(recipe), cluster, workers, on_gpus=recipe.options.get("device") != "cpu")
    elif count:
        processes = [ahead.pop() for _ in range(min(count, len(ahead)))]
        yield from in_processes(chunks, Heatmaps(recipe), processes or share_cores(count))
    else:
        for chunk in chunks:
            yield _worked_here(chunk, here)


def _worked_here(jobs: Sequence[Job], here: Work) -> Sequence[Result]:
    """Results from this process. A fault of the program costs one picture, as in the other ones."""
    reply = reply_of(partial(here, jobs))
    if reply.kind != "fault":
        return reply.results()
    if len(jobs) == 1:
        return [failed(jobs[0], FAULT.format(*reply.content))]
    return [result for job in jobs for result in _worked_here([job], here)]


def _written(
    book: Journal,
    results: Sequence[Result],
    standing: Standing,
    stop: Callable[[], bool],
    on_standing: OnStanding,
) -> bool:
    """Write results, once there is space; False where the run was stopped before."""
    while True:
        try:
            book.add(results)
            return True
        except sqlite3.OperationalError as error:
            room = shutil.disk_usage(book.path.parent).free
            if "full" not in str(error) and room >= ENOUGH_BYTES:
                raise JournalError("The journal cannot be written.", "Check the disk, and run it again.") from error
        if not _space(book.path.parent, standing, stop, on_standing):
            return False


def _space(place: Path, standing: Standing, stop: Callable[[], bool], on_standing: OnStanding) -> bool:
    """Wait until a disk has space again; False where the run was stopped meanwhile."""
    words = "The disk is full. Free some space: it then goes on by itself."
    while not stop():
        on_standing(replace(standing, paused=words))
        time.sleep(LOOK_AGAIN_S)
        if shutil.disk_usage(place).free >= ENOUGH_BYTES:
            return True
    return False


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        for part in path.glob(".*.part"):  # what a killed process left; a younger one may be another machine's
            if part.stat().st_mtime < time.time() - ABANDONED_S:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise GradcamError("The folder for results cannot be used.", "Choose one that you may write to.") from error
