"""Jobs in processes of this machine, each with its own model. One that ends by itself loses one picture at most."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from gradcam_core.batch.records import Job, Recipe, Result, failed
from gradcam_core.errors import GradcamError

ENDED = "Reading this picture ended the program that read it. It may be damaged; save it again."
# Where so many processes in a row end before their model is loaded, there is no use in another one.
MOST_STARTS = 3
# Time in a period that the processes of a container may use, as version 2 of Linux's control groups writes it.
CONTAINER_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def cores() -> int:
    """How many processor cores this program may use, also in a container that may use a part of the machine."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CONTAINER_LIMIT.read_text("ascii").split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or one without a limit
        return count


@dataclass(frozen=True, slots=True)
class Reply:
    """What a process sends back: "results", the "error" or "system" error that stopped it, or that it is "ready"."""

    kind: str
    content: tuple[Any, ...] = ()

    def results(self) -> list[Result]:
        """The results. Raises the error that stopped the process: GradcamError, or OSError for a full disk."""
        if self.kind == "error":
            raise GradcamError(*self.content)
        if self.kind == "system":
            raise OSError(*self.content)
        return list(self.content)


def reply_of(compute: Callable[[], Sequence[Result]]) -> Reply:
    """Compute results and return them, or the error, in a form that another process can read."""
    try:
        return Reply("results", tuple(compute()))
    except GradcamError as error:
        return Reply("error", (error.message, error.remedy))
    except OSError as error:
        return Reply("system", (error.errno, error.strerror))


def in_processes(chunks: Sequence[Sequence[Job]], recipe: Recipe, count: int, threads: int) -> Iterator[list[Result]]:
    """Run jobs in `count` processes. Raises the error of a worker that suits no picture, OSError for a full disk."""
    workers = [Worker(recipe, threads) for _ in range(min(count, len(chunks)))]
    try:
        yield from shared_out(chunks, workers)
    finally:
        for worker in workers:
            worker.end()


def shared_out(chunks: Sequence[Sequence[Job]], workers: Sequence["Worker"]) -> Iterator[list[Result]]:
    """Run jobs in processes that have been started. Raises as `in_processes` does."""
    waiting = deque(list(chunk) for chunk in chunks)
    while waiting or any(worker.jobs for worker in workers):
        for worker in workers:
            if not worker.jobs and waiting:
                worker.give(waiting.popleft())
        for ready in wait([worker.link for worker in workers if worker.jobs]):
            worker = next(worker for worker in workers if worker.link is ready)
            yield worker.taken(waiting)


class Worker:
    """A process with its link, and the jobs that it works on at the moment."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self._given = (recipe, threads)
        self._starts = 0
        self._ready = False
        self.jobs: list[Job] = []
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.link, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(other, *self._given), daemon=True)
        self._process.start()
        other.close()
        self._ready = False
        self._starts += 1

    def give(self, jobs: list[Job]) -> None:
        """Let it work on these jobs."""
        self.jobs = jobs
        with suppress(BrokenPipeError):  # where it has ended, there is nothing to receive from it either
            self.link.send(jobs)

    def taken(self, waiting: deque[list[Job]]) -> list[Result]:
        """The results that are there. Where the process ended, its jobs go back one by one; a single one has failed."""
        try:
            reply: Reply = self.link.recv()
        except (EOFError, OSError):
            return self._replaced(waiting)
        if reply.kind == "ready":
            self._ready, self._starts = True, 0
            return []
        self.jobs = []
        return reply.results()

    def _replaced(self, waiting: deque[list[Job]]) -> list[Result]:
        """Begin another process. One that ended before its model was loaded says nothing about its pictures."""
        jobs, self.jobs = self.jobs, []
        ready = self._ready
        if not ready and self._starts >= MOST_STARTS:
            raise GradcamError(
                "The processes that compute heatmaps end before they begin.",
                "Check that there is memory for all of them, or use fewer: --workers 1.",
            )
        self.end()
        self._start()
        if ready and len(jobs) == 1:
            return [failed(jobs[0], ENDED)]
        waiting.extendleft([job] for job in jobs)
        return []

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.join()
        self.link.close()


def _serve(link: Connection, recipe: Recipe, threads: int) -> None:
    """Work on jobs until the link is closed, as it is when the program that began this one has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program in the foreground decides
    import cv2
    import torch

    from gradcam_core.batch.working import loaded_model, work
    from gradcam_core.devices import tune_allocator

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    tune_allocator()
    try:
        model = loaded_model(recipe)
        link.send(Reply("ready"))
    except GradcamError as error:
        link.send(Reply("error", (error.message, error.remedy)))
        return
    while True:
        try:
            jobs: list[Job] = link.recv()
        except (EOFError, OSError):
            return
        link.send(reply_of(partial(work, jobs, model, recipe)))
