"""Values between two processes: small ones through a pipe, arrays and files through memory that both have.

Both take turns: one sends, then the other. The memory has no name in the file system, so no other program can open
it, and it is gone with the two processes however they end. Where a system has none (all but Linux), everything
passes through the pipe.
"""

import mmap
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import is_dataclass
from io import BytesIO
from itertools import accumulate
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from gradcam_core.errors import GradcamError

_ALIGNED = 64
# More than this is given back to the system after each picture.
_KEPT = 64 << 20
# What a pickle of an array, or of one of its numbers, names.
_OF_ARRAYS = {("numpy", name) for name in ("ndarray", "dtype", "_frombuffer", "_reconstruct", "scalar")}


class _Unpickler(pickle.Unpickler):
    """Build only arrays, records and errors of this program: a process that a file damaged must run no code here."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class or function that a pickle names. Raises UnpicklingError for all others."""
        if (module.split(".")[0], name) in _OF_ARRAYS:
            return super().find_class(module, name)
        kind = super().find_class(module, name) if module.startswith("gradcam_core.") and "." not in name else None
        if isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, GradcamError)):
            return kind
        raise pickle.UnpicklingError(f"{module}.{name}")


class Memory:
    """Memory that another process has as well. It grows as needed, and stays mapped: mapping it again takes longer."""

    def __init__(self, file: int) -> None:
        self.file = file
        self._map: mmap.mmap | None = None

    def mapped(self, size: int) -> mmap.mmap:
        """The memory, with room for so many bytes."""
        if self._map is None or len(self._map) < size:
            self.unmap()
            size = max(size, os.fstat(self.file).st_size)
            os.ftruncate(self.file, size)
            self._map = mmap.mmap(self.file, size)
        return self._map

    def give_back(self) -> None:
        """Free what is above the usual size, in both processes."""
        if self._map is not None and len(self._map) > _KEPT:
            self._map.madvise(mmap.MADV_REMOVE, _KEPT)

    def unmap(self) -> None:
        """Leave the memory to the other process."""
        if self._map is not None:
            self._map.close()
            self._map = None

    def close(self) -> None:
        """Unmap it, and close its file here."""
        self.unmap()
        os.close(self.file)


class Channel:
    """One end of the connection: a pipe and, with `memory`, memory that both ends have."""

    def __init__(self, link: Connection, memory: Memory | None) -> None:
        self.link, self.memory = link, memory

    def send(self, value: object) -> None:
        """Send a value; arrays and `pickle.PickleBuffer`s are copied once. Raises OSError if the other end closed."""
        buffers: list[pickle.PickleBuffer] = []
        packed = pickle.dumps(value, 5, buffer_callback=buffers.append)
        parts = [buffer.raw() for buffer in buffers]
        if self.memory is not None and parts:
            starts, size = _places([part.nbytes for part in parts])
            mapped = self.memory.mapped(size)
            for start, part in zip(starts, parts, strict=True):
                mapped[start : start + part.nbytes] = part
        self.link.send_bytes(pickle.dumps((packed, [part.nbytes for part in parts])))
        if self.memory is None:
            for part in parts:
                self.link.send_bytes(part)

    def receive(self, copy: Callable[[memoryview], Any] = np.array) -> Any:
        """Wait for a value. Raises EOFError or OSError if the other end closed.

        `copy` takes arrays and files out of the memory: numpy into large pages, `bytes` as the bytes that they were.
        """
        packed, sizes = _Unpickler(BytesIO(self.link.recv_bytes())).load()
        if self.memory is None:
            parts = [self.link.recv_bytes(size) for size in sizes]
        else:
            parts = _taken(self.memory, sizes, copy)
        return _Unpickler(BytesIO(packed), buffers=parts).load()

    def close(self) -> None:
        """Close this end."""
        self.link.close()
        if self.memory is not None:
            self.memory.close()


def _places(sizes: Sequence[int]) -> tuple[list[int], int]:
    """Where parts of these sizes start, and where the last one ends; each starts where any type of number may."""
    *starts, end = accumulate((-(-size // _ALIGNED) * _ALIGNED for size in sizes), initial=0)
    return starts, end


def _taken(memory: Memory, sizes: Sequence[int], copy: Callable[[memoryview], Any]) -> list[Any]:
    """Copy parts out: what the other end writes later must not change them."""
    starts, end = _places(sizes)
    if not end:
        return [b"" for _ in sizes]
    with memoryview(memory.mapped(end)) as mapped:
        return [copy(mapped[start : start + size]) for start, size in zip(starts, sizes, strict=True)]
