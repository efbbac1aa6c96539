"""Pictures decoded in processes of their own. A decoder that ends over a damaged file ends only its process."""

from __future__ import annotations

import hashlib
import logging
import math
import multiprocessing
import os
import pickle
import queue
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from gradcam_core.errors import PictureError
from gradcam_core.runners.channel import Channel, Memory
from gradcam_core.runners.decoding_process import Limits, Reply
from gradcam_core.runners.processes import BEGINNING, begin

if TYPE_CHECKING:
    from gradcam_core.picture import Area
    from gradcam_core.readers.dicom.series import Part
    from gradcam_core.readers.stored import StoredPicture
    from gradcam_core.records import ImageRecord

PROGRAM = f"""{BEGINNING}
from gradcam_core.runners.channel import Channel, Memory
from gradcam_core.runners.decoding_process import serve
serve(Channel(link, Memory(int(sys.argv[2])) if sys.argv[2:] else None))
"""
# glibc gives large blocks back to the system after each picture, and gets them again page by page: that took longer
# than to decode a radiograph. So much stays in the process until it is begun again (see `renew`).
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(256 << 20)}
START_WITHIN_S = 60.0
# How often a process is begun for one picture where it ends before it has the picture.
MOST_STARTS = 3
# A file that ends so many processes is not read again.
MOST_ENDED = 2
MOST_REMEMBERED = 10_000
SAVE_AGAIN = "Open it in another program, and save it again, for instance as PNG."
_MIB = 1 << 20


class _EndedError(Exception):
    """The process ended while it read the picture."""


class _NotBegunError(Exception):
    """The process cannot be started, or ended before it had the picture."""


class Decoder:
    """Read pictures in `processes` processes, which are begun again whenever they end.

    A picture may take `seconds`, and a process `megabytes` of memory, where the system can limit it. Every thread may
    use the same decoder: each process reads one picture at a time, and others wait for it.
    """

    def __init__(
        self, processes: int = 2, *, seconds: float = 15.0, megabytes: int = 3072, shared_memory: bool = True
    ) -> None:
        self._limits = Limits(seconds, megabytes)
        shared = shared_memory and hasattr(os, "memfd_create")
        self._all = [_Process(self._limits, shared) for _ in range(processes)]
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()  # the one used last needs no more memory
        for process in reversed(self._all):
            self._idle.put(process)
        self._ended: dict[tuple[int, str], int] = {}
        self._lock = Lock()

    def start(self) -> None:
        """Begin the processes now, so that the first picture need not wait for them."""
        for process in self._take_idle():
            with suppress(OSError):  # then `read_image` finds it out
                process.start()
            self._idle.put(process)

    def read_image(
        self,
        source: bytes | bytearray | memoryview | str | Path,
        *,
        name: str = "",
        frame: int = 0,
        window: tuple[float | int, float | int] | None = None,
        blanked: Sequence[Area] = (),
        max_pixels: int = 50_000_000,
        max_bytes: int = 256 * _MIB,
        sha256: str = "",
    ) -> ImageRecord:
        """Read one picture as `gradcam_core.read_image` does. Raises PictureError, also where its decoder ended.

        Where processes cannot be started, the picture is decoded in this one.
        """
        from gradcam_core.readers import read_image

        return read_image(
            source,
            name=name,
            frame=frame,
            window=window,
            blanked=blanked,
            max_pixels=max_pixels,
            max_bytes=max_bytes,
            decode=self.decode,
            sha256=sha256,
        )

    def decode(self, data: bytes, frame: int, max_pixels: int) -> StoredPicture:
        """Decode one picture to its stored values. Raises PictureError, MemoryError."""
        picture: StoredPicture = self._done("decode", data, frame, max_pixels)
        return picture

    def parts_of(self, data: bytes) -> Sequence[Part]:
        """Open a file for `stacks_of`. Raises PictureError, MemoryError."""
        parts: Sequence[Part] = self._done("parts_of", data)
        return parts

    def _done(self, job: str, data: bytes, *arguments: object) -> Any:
        """Let a process do one of its jobs with a file."""
        self._refuse_what_ended_others(data)
        process = self._wait_for_process()
        try:
            reply = process.read(job, data, arguments)
        except _NotBegunError:
            return _done_here(job, data, *arguments)
        except _EndedError:
            raise self._note_ended(data) from None
        except TimeoutError:
            seconds = f"{self._limits.seconds:g} seconds"
            raise PictureError(f"The picture could not be read within {seconds}.", SAVE_AGAIN) from None
        finally:
            self._idle.put(process)
        return _result(reply)

    def end(self) -> None:
        """End the processes that are idle. The others end with this program."""
        for process in self._take_idle():
            process.end()
            self._idle.put(process)

    def renew(self, idle_s: float) -> None:
        """Begin processes again that have read nothing for so long, so that no picture stays in their memory."""
        for process in self._take_idle():
            if process.last_used < time.monotonic() - idle_s:
                process.end()
                with suppress(OSError):
                    process.start()
            self._idle.put(process)

    def _take_idle(self) -> list[_Process]:
        """Take those that are idle, the one to be used last first."""
        idle: list[_Process] = []
        with suppress(queue.Empty):
            while True:
                idle.insert(0, self._idle.get_nowait())
        return idle

    def _wait_for_process(self) -> _Process:
        try:
            return self._idle.get(timeout=START_WITHIN_S + 2 * self._limits.seconds)
        except queue.Empty:
            raise PictureError("Too many pictures are being read at this moment.", "Try again in a minute.") from None

    def _refuse_what_ended_others(self, data: bytes) -> None:
        with self._lock:  # most files are told from those by their size: to hash a large one takes long
            ended = {file for file, count in self._ended.items() if file[0] == len(data) and count >= MOST_ENDED}
        if ended and _identity(data) in ended:
            raise PictureError("This file stopped the decoder twice and is not read again.", SAVE_AGAIN)

    def _note_ended(self, data: bytes) -> PictureError:
        file = _identity(data)
        with self._lock:
            self._ended[file] = self._ended.pop(file, 0) + 1
            while len(self._ended) > MOST_REMEMBERED:
                del self._ended[next(iter(self._ended))]
        return PictureError("The picture could not be read: its decoder stopped.", SAVE_AGAIN)


class _Process:
    """A process that reads pictures, one at a time."""

    def __init__(self, limits: Limits, shared: bool) -> None:
        self._limits, self._shared = limits, shared
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._data: bytes | None = None
        self.last_used = math.inf

    def start(self) -> None:
        """Begin it where it does not run. Raises OSError."""
        if self._process is not None and self._process.poll() is None:
            return
        self.end()
        link, other = multiprocessing.Pipe()
        memory = Memory(os.memfd_create("")) if self._shared else None
        self._channel, self._ready = Channel(link, memory), False
        handles = [other.fileno()] if memory is None else [other.fileno(), memory.file]
        try:
            # What decoders print may contain parts of a file.
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self._process = begin(PROGRAM, *handles, variables=KEPT_MEMORY, **quiet)
        except OSError:
            self._channel.close()
            raise
        finally:
            other.close()
        with suppress(OSError):  # where it has ended at once, `read` begins another one
            link.send(sys.path)
            self._channel.send(self._limits)

    def read(self, job: str, data: bytes, arguments: tuple[object, ...]) -> Reply:
        """Do a job. Raises _NotBegunError, _EndedError or TimeoutError; then a new process begins at once."""
        self._give_surely(job, data, arguments)
        try:
            return self._taken()
        except (TimeoutError, MemoryError, _EndedError):
            self.end()
            with suppress(OSError):
                self.start()
            raise

    def _give_surely(self, job: str, data: bytes, arguments: tuple[object, ...]) -> None:
        """Give it a file; where it ends before it has it, give it to another one."""
        for _ in range(MOST_STARTS):
            try:
                self.start()
                return self._give(job, data, arguments)
            except (EOFError, OSError, pickle.UnpicklingError) as error:  # a TimeoutError is an OSError
                self.end()
                problem = error
        raise _NotBegunError from problem

    def _give(self, job: str, data: bytes, arguments: tuple[object, ...]) -> None:
        if not self._ready:
            self._receive(START_WITHIN_S)
            self._ready = True
        # The frames of a large file are read one after another: it has the file then.
        given = None if data is self._data else pickle.PickleBuffer(data)
        self._channel.send((job, given, arguments))
        self._data, self.last_used = data, time.monotonic()
        self._receive(START_WITHIN_S)

    def _taken(self) -> Reply:
        try:
            reply = self._receive(self._limits.seconds)
        except (TimeoutError, MemoryError):
            raise
        except Exception as error:  # closed, or what a damaged process sent
            raise _EndedError from error
        if not isinstance(reply, Reply):
            raise _EndedError
        if reply.kind == "memory":  # what the process keeps may be in pieces: the next one begins empty
            raise MemoryError
        if self._channel.memory is not None:
            self._channel.memory.give_back()
        return reply

    def _receive(self, seconds: float) -> Any:
        if not self._channel.link.poll(seconds):
            raise TimeoutError
        return self._channel.receive()

    def end(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._channel.close()
            self._process, self._data, self.last_used = None, None, math.inf


def _identity(data: bytes) -> tuple[int, str]:
    return len(data), hashlib.sha256(data).hexdigest()


def _done_here(job: str, data: bytes, *arguments: object) -> Any:
    from gradcam_core import readers

    logging.getLogger(__name__).warning("No process can be started: pictures are decoded in the program itself.")
    return getattr(readers, job)(data, *arguments)


def _result(reply: Reply) -> Any:
    if reply.kind == "error":
        raise reply.content
    if reply.kind == "fault":
        raise RuntimeError(reply.content)
    return reply.content
