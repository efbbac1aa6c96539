"""Where to compute: a graphics card where there is one, the processor otherwise."""

import copy
import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn

from gradcam_core.errors import DeviceError
from gradcam_core.records import LoadedModel

Result = TypeVar("Result")

# mallopt's numbers: from which size on blocks are mapped, what is kept at the top, and how far it grows at a time.
ALLOCATOR = ((-3, 1 << 30), (-1, (1 << 31) - 1), (-2, 64 << 20))
# glibc maps blocks of this size by themselves unless it was told to keep them, and marks those in their header.
LARGE_BLOCK, MAPPED = 48 << 20, 2


def list_devices() -> tuple[str, ...]:
    """Devices that this machine offers, the fastest first."""
    cards = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    apple = ("mps",) if torch.backends.mps.is_available() else ()
    return (*cards, *apple, "cpu")


def choose_device(wanted: str = "auto") -> torch.device:
    """The wanted device, or for "auto" the fastest one. Raises DeviceError where it is not there."""
    devices = list_devices()
    if wanted == "auto":
        return torch.device(devices[0])
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise DeviceError(f"'{wanted}' is no device.", f"Choose auto or one of {', '.join(devices)}.") from error
    kinds = {name.split(":")[0] for name in devices}
    if device.type not in kinds or (device.type == "cuda" and device.index and str(device) not in devices):
        raise DeviceError(f"This machine has no '{wanted}'.", f"Choose auto or one of {', '.join(devices)}.")
    return device


def describe_device(device: torch.device | str) -> str:
    """Name a device for people."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return {"mps": "Apple graphics", "cpu": "processor (CPU)"}.get(device.type, str(device))


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a failure is for want of memory: the processor's allocator has no class of its own for it."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


@contextmanager
def memory_for(title: str) -> Iterator[None]:
    """Raise DeviceError where a step called `title` fails for want of memory."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise DeviceError(
            f"There is too little memory for {title} here.", "Use a smaller input, or the processor."
        ) from error


def tune_allocator() -> bool:
    """Let this process keep the memory of large tensors; whether it could be done. For programs, not for imports.

    By default glibc gives every large block back to the system and gets it again, page by page, at the
    next step of the network: batches then cost two to three times as much as they need to. The price is
    that the process keeps its largest size. Linux with glibc only.
    """
    library = _glibc()
    return library is not None and all([library.mallopt(option, value) for option, value in ALLOCATOR])


def keeps_large_blocks() -> bool:
    """Whether this process was told to keep the memory of large tensors. Asks the allocator for such a block."""
    library = _glibc()
    if library is None:
        return False
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    block = library.malloc(LARGE_BLOCK)  # an address only: no page of it is touched
    if not block:
        return False
    header = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value
    library.free(block)
    return not header & MAPPED


def _glibc() -> Any:
    """The C library as a new object, so that what is declared on it is ours alone; None where it is another one."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if library.mallopt and library.gnu_get_libc_version else None
    except (OSError, AttributeError):
        return None


def pictures_at_once(device: torch.device) -> int:
    """How many pictures a pass should take at a time, where many have to go through a network.

    On a processor more than two at a time pay only if the allocator keeps the memory of large tensors.
    """
    if device.type != "cpu":
        return 32
    return 16 if keeps_large_blocks() else 2


def release_memory() -> None:
    """Give a graphics card's unused memory back, after a model was dropped."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def with_enough_memory(model: LoadedModel, compute: Callable[[LoadedModel], Result]) -> tuple[Result, tuple[str, ...]]:
    """Compute with a model; where its device's memory is too small, with a copy on the processor, and a note.

    Raises DeviceError where the processor's memory is too small as well.
    """
    try:
        return compute(model), ()
    except (RuntimeError, DeviceError) as error:
        if isinstance(error, RuntimeError) and not is_out_of_memory(error):
            raise
        if model.device.type == "cpu":
            raise DeviceError(
                "There is too little memory for this picture and model.", "Use a smaller input."
            ) from error
    # Behind the except block, the failed pass has released its memory.
    note = f"The memory of {model.device} was too small: this was computed on the processor instead."
    return compute(_on_processor(model)), (note,)


def _on_processor(model: LoadedModel) -> LoadedModel:
    """Copy a model to the processor tensor by tensor, without a second copy on its full device."""
    moved: dict[int, torch.Tensor] = {id(x): nn.Parameter(x.detach().cpu(), False) for x in model.module.parameters()}
    moved |= {id(x): x.detach().cpu() for x in model.module.buffers()}
    module, head = copy.deepcopy(model.module, moved), None if model.head is None else model.head.cpu()
    return replace(model, module=module, folded=None, device=torch.device("cpu"), head=head)
