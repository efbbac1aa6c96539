"""Pictures in processes of this machine, each with its own model. One that ends by itself loses one picture at most."""

import logging
import multiprocessing
import os
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

from gradcam_core.errors import GradcamError

FAULT = "A fault of CAM Lightbox ({}), not of this picture. Please report it."
ENDED = "Reading this picture ended the program that read it. It may be damaged; save it again."
# Where so many processes in a row end before their model is loaded, there is no use in another one.
MOST_STARTS = 3
# How long results are waited for before the caller is asked whether it still wants them.
WAIT_S = 0.5
# How a process begins. `multiprocessing` would run the program's main file again in it: in an app that is a page.
BEGINNING = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)  # the program in the foreground decides
from multiprocessing import connection
kind = connection.PipeConnection if sys.platform == "win32" else connection.Connection
link = kind(int(sys.argv[1]))
sys.path[:] = link.recv()
"""
PROGRAM = f"""{BEGINNING}
import timm
from gradcam_core.batch import working
from gradcam_core.runners.processes import serve
serve(link)
"""


# How many threads numpy's and torch's libraries start, read when they are imported. Those of several processes would
# wait for each other's cores.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# Time in a period that the processes of a container may use, as version 2 of Linux's control groups writes it.
CONTAINER_LIMIT = Path("/sys/fs/cgroup/cpu.max")

Item_contra = TypeVar("Item_contra", contravariant=True)
Outcome_co = TypeVar("Outcome_co", covariant=True)
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def cores() -> int:
    """How many processor cores this program may use, also in a container that may use a part of the machine."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = CONTAINER_LIMIT.read_text("ascii").split()
        return max(1, min(count, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no container, or one without a limit
        return count


@dataclass(frozen=True, slots=True)
class Reply(Generic[Outcome]):
    """What a process sends back: "results", the "error", "system" error or "fault" that stopped it, or "ready"."""

    kind: str
    content: tuple[Any, ...] = ()

    def results(self) -> Sequence[Outcome]:
        """The results. Raises the error that stopped the process: GradcamError, or OSError for a full disk."""
        if self.kind == "error":
            raise GradcamError(*self.content)
        if self.kind == "system":
            raise OSError(*self.content)
        return self.content


def reply_of(compute: Callable[[], Sequence[Outcome]]) -> Reply[Outcome]:
    """Compute results and return them, or the error, in a form that another process can read."""
    try:
        return Reply("results", tuple(compute()))
    except GradcamError as error:
        return Reply("error", (error.message, error.remedy))
    except OSError as error:
        return Reply("system", (error.errno, error.strerror))
    except Exception as error:  # a fault of this program: it costs one picture, and stays visible
        places = "".join(traceback.format_tb(error.__traceback__))  # without the message, which may contain file names
        logging.getLogger(__name__).error("%s%s", places, type(error).__name__)
        return Reply("fault", (type(error).__name__,))


class Task(Protocol[Item_contra, Outcome_co]):
    """What is done with every picture. It is sent to each process."""

    def begin(self) -> Callable[[Sequence[Item_contra]], Sequence[Outcome_co]]:
        """Load what is needed, and return the function that does the work. Raises GradcamError."""

    def lost(self, item: Item_contra, problem: str) -> Outcome_co:
        """What stands for a picture that ended its process."""


def in_processes(
    chunks: Sequence[Sequence[Item]],
    task: Task[Item, Outcome],
    workers: Sequence["Process[Item, Outcome]"],
) -> Iterator[Sequence[Outcome]]:
    """Work on pictures in processes and end these; an empty list comes where there is no result for half a second.

    Raises the error of a worker that suits no picture, OSError for a full disk.
    """
    try:
        for worker in workers:
            worker.prepare(task)
        yield from shared_out(chunks, workers)
    finally:
        for worker in workers:
            worker.end()


def shared_out(
    chunks: Sequence[Sequence[Item]], workers: Sequence["Process[Item, Outcome]"]
) -> Iterator[Sequence[Outcome]]:
    """Work on pictures in processes that were prepared. Yields and raises as `in_processes` does."""
    waiting = deque(list(chunk) for chunk in chunks)
    _give(waiting, workers)
    while any(worker.items for worker in workers):
        ready = wait([worker.link for worker in workers if worker.items], WAIT_S)
        if not ready:
            yield []
        for worker in [worker for worker in workers if worker.link in ready]:
            outcomes = worker.taken(waiting)
            _give(waiting, workers)  # before the caller writes what is there
            yield outcomes


def _give(waiting: deque[list[Item]], workers: Sequence["Process[Item, Outcome]"]) -> None:
    for worker in workers:
        if not worker.items and waiting:
            worker.give(waiting.popleft())


class Process(Generic[Item, Outcome]):
    """A process with its link, and the items that it works on at the moment.

    It begins at once with what it needs to import, so that the caller can do something else meanwhile.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._given: tuple[Task[Item, Outcome], int] | None = None
        self._starts = 0
        self._ready = False
        self.items: list[Item] = []
        self._start()

    def _start(self) -> None:
        self.link, other = multiprocessing.Pipe()
        self._process = begin(PROGRAM, other.fileno(), threads=self._threads)
        other.close()
        with suppress(OSError):  # where it has ended at once, there is nothing to receive from it either
            self.link.send(sys.path)
            if self._given:
                self.link.send(self._given)
        self._ready = False
        self._starts += 1

    def prepare(self, task: Task[Item, Outcome]) -> None:
        """Let it load the model."""
        self._given = (task, self._threads)
        with suppress(OSError):
            self.link.send(self._given)

    def give(self, items: list[Item]) -> None:
        """Let it work on these items."""
        self.items = items
        with suppress(OSError):
            self.link.send(items)

    def taken(self, waiting: deque[list[Item]]) -> Sequence[Outcome]:
        """What is there. Where the process ended, the items go back one by one; a single one has failed."""
        try:
            reply: Reply[Outcome] = self.link.recv()
        except (EOFError, OSError):
            return self._replaced(waiting)
        if reply.kind == "ready":
            self._ready, self._starts = True, 0
            return []
        items, self.items = self.items, []
        if reply.kind == "fault" and self._given:
            return self._one_by_one(items, FAULT.format(*reply.content), waiting)
        return reply.results()

    def _one_by_one(self, items: list[Item], problem: str, waiting: deque[list[Item]]) -> Sequence[Outcome]:
        """Try items again, each alone; a single one is lost to the problem."""
        if len(items) == 1 and self._given:
            return [self._given[0].lost(items[0], problem)]
        waiting.extendleft([item] for item in items)
        return []

    def _replaced(self, waiting: deque[list[Item]]) -> Sequence[Outcome]:
        """Begin another process. One that ended before its model was loaded says nothing about its pictures."""
        items, self.items = self.items, []
        ready = self._ready
        if not ready and self._starts >= MOST_STARTS:
            raise GradcamError(
                "The processes that do the work end before they begin.",
                "Check that there is memory for all of them, or use fewer: --workers 1.",
            )
        self.end()
        self._start()
        if ready:
            return self._one_by_one(items, ENDED, waiting)
        waiting.appendleft(items)
        return []

    def end(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()
        self.link.close()


def share_cores(count: int) -> list[Process[Any, Any]]:
    """Begin processes, each with its share of the processor cores."""
    return [Process(max(1, cores() // count)) for _ in range(count)]


def begin(
    program: str, *handles: int, threads: int = 1, variables: Mapping[str, str] = MappingProxyType({}), **options: Any
) -> subprocess.Popen[bytes]:
    """Begin a process that runs `program` and gets these files or links, and no other ones, as its arguments."""
    command = [sys.executable, "-P", "-c", program, *map(str, handles)]
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads)), **variables}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment, **_inherited(handles), **options)


def _inherited(handles: Sequence[int]) -> dict[str, Any]:
    if sys.platform == "win32":
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        return {"startupinfo": subprocess.STARTUPINFO(lpAttributeList={"handle_list": list(handles)})}
    return {"pass_fds": handles}


def serve(link: Connection) -> None:
    """Work on jobs until the link is closed, as it is when the program that began this one has ended."""
    with suppress(EOFError, ConnectionError):
        _serve(link, *link.recv())


def _serve(link: Connection, task: Task[Any, Any], threads: int) -> None:
    import cv2
    import torch

    from gradcam_core.devices import tune_allocator

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    tune_allocator()
    try:
        work = task.begin()
    except GradcamError as error:
        return link.send(Reply("error", (error.message, error.remedy)))
    link.send(Reply("ready"))
    while True:
        link.send(reply_of(partial(work, link.recv())))
