"""Jobs in processes of this machine, each with its own model. One that ends by itself loses one picture at most."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from gradcam_core.batch.records import Job, Recipe, Result, failed
from gradcam_core.errors import GradcamError

ENDED = "Reading this picture ended the program that read it. It may be damaged; save it again."
# Where so many processes in a row end before their model is loaded, there is no use in another one.
MOST_STARTS = 3
# How long results are waited for before the caller is asked whether it still wants them.
WAIT_S = 0.5
# What a process runs. `multiprocessing` would run the program's main file again in it: in an app that is a page.
PROGRAM = """
import sys
from multiprocessing import connection
kind = connection.PipeConnection if sys.platform == "win32" else connection.Connection
link = kind(int(sys.argv[1]))
sys.path[:] = link.recv()
from gradcam_core.runners.processes import serve
serve(link, *link.recv())
"""


def in_processes(chunks: Sequence[Sequence[Job]], recipe: Recipe, count: int, threads: int) -> Iterator[list[Result]]:
    """Run jobs in `count` processes; a list without results comes where there are none for half a second.

    Raises the error of a worker that suits no picture, OSError for a full disk.
    """
    waiting = deque(list(chunk) for chunk in chunks)
    workers = [_Process(recipe, threads) for _ in range(min(count, len(waiting)))]
    try:
        while waiting or any(worker.jobs for worker in workers):
            for worker in workers:
                if not worker.jobs and waiting:
                    worker.give(waiting.popleft())
            ready = wait([worker.link for worker in workers if worker.jobs], WAIT_S)
            if not ready:
                yield []
            for worker in [worker for worker in workers if worker.link in ready]:
                yield worker.taken(waiting)
    finally:
        for worker in workers:
            worker.end()


class _Process:
    """A process with its link, and the jobs that it works on at the moment."""

    def __init__(self, recipe: Recipe, threads: int) -> None:
        self._given = (recipe, threads)
        self._starts = 0
        self._ready = False
        self.jobs: list[Job] = []
        self._start()

    def _start(self) -> None:
        self.link, other = multiprocessing.Pipe()
        command = [sys.executable, "-c", PROGRAM, str(other.fileno())]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **_inherits(other))
        other.close()
        with suppress(OSError):  # where it has ended at once, there is nothing to receive from it either
            self.link.send(sys.path)
            self.link.send(self._given)
        self._ready = False
        self._starts += 1

    def give(self, jobs: list[Job]) -> None:
        """Let it work on these jobs."""
        self.jobs = jobs
        with suppress(OSError):
            self.link.send(jobs)

    def taken(self, waiting: deque[list[Job]]) -> list[Result]:
        """The results that are there. Where the process ended, its jobs go back one by one; a single one has failed."""
        try:
            kind, *content = self.link.recv()
        except (EOFError, OSError):
            return self._replaced(waiting)
        if kind == "ready":
            self._ready, self._starts = True, 0
            return []
        self.jobs = []
        if kind == "error":
            raise GradcamError(*content)
        if kind == "system":
            raise OSError(*content)
        results: list[Result] = content[0]
        return results

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
        self._process.wait()
        self.link.close()


def _inherits(link: Connection) -> dict[str, Any]:
    """The arguments with which a process gets this end of a link, and no other one."""
    if sys.platform == "win32":
        os.set_handle_inheritable(link.fileno(), True)
        return {"startupinfo": subprocess.STARTUPINFO(lpAttributeList={"handle_list": [link.fileno()]})}
    return {"pass_fds": [link.fileno()]}


def serve(link: Connection, recipe: Recipe, threads: int) -> None:
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
        link.send(("ready",))
    except GradcamError as error:
        link.send(("error", error.message, error.remedy))
        return
    while True:
        try:
            jobs: list[Job] = link.recv()
        except (EOFError, OSError):
            return
        reply: tuple[Any, ...]
        try:
            reply = ("results", work(jobs, model, recipe))
        except GradcamError as error:
            reply = ("error", error.message, error.remedy)
        except OSError as error:
            reply = ("system", error.errno, error.strerror)
        link.send(reply)
