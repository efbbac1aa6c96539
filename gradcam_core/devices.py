"""Where to compute: a graphics card where there is one, the processor otherwise."""

import copy
import gc

import torch
from torch import nn

from gradcam_core.errors import DeviceError


def list_devices() -> tuple[str, ...]:
    """Devices that this machine offers, the fastest first."""
    cards = tuple(f"cuda:{index}" for index in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    apple = ("mps",) if torch.backends.mps.is_available() else ()
    return (*cards, *apple, "cpu")


def choose_device(wanted: str = "auto") -> torch.device:
    """The wanted device, or for "auto" the fastest one. Raises DeviceError where it is not there."""
    found = list_devices()
    if wanted == "auto":
        return torch.device(found[0])
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise DeviceError(f"'{wanted}' is no device.", f"Choose auto or one of {', '.join(found)}.") from error
    kinds = {name.split(":")[0] for name in found}
    if device.type not in kinds or (device.type == "cuda" and device.index and str(device) not in found):
        raise DeviceError(f"This machine has no '{wanted}'.", f"Choose auto or one of {', '.join(found)}.")
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


def copy_to_processor(network: nn.Module) -> nn.Module:
    """Copy a network to the processor tensor by tensor, without a second copy on its full device."""
    moved: dict[int, torch.Tensor] = {id(x): nn.Parameter(x.detach().cpu(), False) for x in network.parameters()}
    moved |= {id(x): x.detach().cpu() for x in network.buffers()}
    return copy.deepcopy(network, moved)


def release_memory() -> None:
    """Give a graphics card's unused memory back, after a model was dropped."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
