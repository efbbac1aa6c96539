"""Pictures on the machines of a Ray cluster, through Ray Data: an actor for each processor core, or for each GPU.

An actor lets a process of its own compute, so that a picture that ends the process does not end the actor. What a lost
machine was working on, Ray runs again on another. All machines must see the pictures under the same paths.
"""

import importlib
import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain
from typing import Any

import numpy as np

from gradcam_core.errors import GradcamError
from gradcam_core.runners.processes import Item, Outcome, Process, Task, cores, reply_of, shared_out
from gradcam_core.version import __version__

LOCAL = "local"
# Ray keeps an account of every block of jobs: with more blocks, this costs memory and time.
MOST_BLOCKS = 2000
# Results of a block are passed on when they have this size, and at its end.
PASSED_ON_BYTES = 2**18
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}
CHECK_HERE = "Check that there is memory for it and space in /tmp, or run without --cluster."
CHECK_THERE = "Run this on a machine of the cluster, with the same versions of Python and ray as the others."
ANSWERS_WITHIN_S = 10.0
# Ray's sockets lie in its folder, and their paths may have about a hundred letters.
SHORT = "/tmp" if os.name == "posix" else None
# On any system, Ray listens on the loopback address alone where this setting says that there are no other machines.
ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}


def in_ray(
    chunks: Sequence[Sequence[Item]],
    task: Task[Item, Outcome],
    cluster: str,
    most: int | None = None,
    *,
    on_gpus: bool = True,
) -> Iterator[Sequence[Outcome]]:
    """Work on items in at most `most` actors, on the cluster with this address or on this machine ("local").

    With `on_gpus`, there is an actor for each GPU where the cluster has any, else for each processor core.

    Raises the error of a worker that suits no picture, OSError for a full disk.
    """
    if not chunks:
        return
    with ExitStack() as stack:
        ray = _connected(cluster, most, stack)
        try:
            for row in _rows(ray, chunks, task, most, on_gpus):
                yield row["reply"].results()
        except ray.exceptions.RayTaskError:  # a fault of this program, which stays visible
            raise
        except ray.exceptions.RayError as error:
            raise GradcamError(
                "The Ray cluster has ended the work.", "Run the same command again: it computes what is missing."
            ) from error


def _connected(cluster: str, most: int | None, stack: ExitStack) -> Any:
    """The package ray, connected; it disconnects with the stack. A local cluster ends and leaves no files."""
    ray, local = _package(cluster), cluster == LOCAL
    options: dict[str, Any] = {"address": cluster}
    if local:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir=SHORT, ignore_cleanup_errors=True))
        options |= {"include_dashboard": False, "num_cpus": most or cores(), "_temp_dir": folder}
    else:
        _check_answers(cluster)
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise GradcamError("The Ray cluster cannot be used.", CHECK_HERE if local else CHECK_THERE) from error
    stack.callback(ray.shutdown)
    return ray


def _package(cluster: str) -> Any:
    """Import ray, which reads its settings from the environment at that time."""
    os.environ.update(QUIET)
    if cluster == LOCAL:
        os.environ.update(ON_LOOPBACK)
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # else Ray writes one into the home folder
    try:
        ray, _ = importlib.import_module("ray"), importlib.import_module("ray.data")
    except ImportError as error:
        raise GradcamError(
            "A cluster needs the package ray.",
            "Install it: pip install 'ray[data]'. Without --cluster, it is not used.",
        ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _check_answers(cluster: str) -> None:
    """Refuse an address where no program listens. Ray itself tries for a quarter of an hour."""
    host, _, port = cluster.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_WITHIN_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise GradcamError(
            "There is no Ray cluster at the address of --cluster.",
            "Write HOST:PORT as the cluster's first machine has it, or local.",
        ) from error


def _rows(
    ray: Any, chunks: Sequence[Sequence[Any]], task: Task[Any, Any], most: int | None, on_gpus: bool
) -> Iterator[Mapping[str, Any]]:
    """One reply for each chunk, as they come, with few of them on the way at a time."""
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0)) if on_gpus else 0
    slots = max(1, min(most or len(chunks), len(chunks), gpus or int(resources.get("CPU", 1))))
    jobs = ray.data.from_items(list(chain.from_iterable(chunks)), override_num_blocks=min(len(chunks), MOST_BLOCKS))
    replies = jobs.map_batches(
        _Actor,
        fn_constructor_args=(task, os.getcwd(), __version__),  # noqa: PTH109
        batch_size=max(map(len, chunks)),
        compute=ray.data.ActorPoolStrategy(min_size=1, initial_size=slots, max_size=slots),
        num_cpus=1,
        num_gpus=1 if gpus else None,
    )
    context = replies.context
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = PASSED_ON_BYTES
    yield from replies.iter_rows()


class _Actor:
    """Turns batches of jobs into replies, in a process of its own that holds the model."""

    def __init__(self, task: Task[Any, Any], folder: str, version: str) -> None:
        with suppress(OSError):  # a machine without this folder can still read absolute paths
            os.chdir(folder)
        self._problem = (
            "" if version == __version__ else "A machine of the cluster has another version of this program."
        )
        self._workers: list[Process[Any, Any]] = [Process()] if not self._problem else []
        for worker in self._workers:
            worker.prepare(task)

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        replies = np.empty(1, object)
        replies[0] = reply_of(partial(self._computed, list(batch["item"])))
        return {"reply": replies}

    def _computed(self, items: list[Any]) -> list[Any]:
        if self._problem:
            raise GradcamError(self._problem, "Install the same version on all machines.")
        return list(chain.from_iterable(shared_out([items], self._workers)))
