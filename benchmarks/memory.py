"""Peak memory of one piece of work above what was there before it, in MB; run as a process."""

import ctypes
import functools
import gc
import sys
from pathlib import Path

import torch

from benchmarks import subjects
from gradcam_core import explain


def peak() -> float:
    """The process's highest resident memory since the mark was reset, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(work: str, size: int) -> None:
    """Run the work once on a small input, reset the mark, run it, print."""
    torch.set_num_threads(1)
    image, net = subjects.photograph(), subjects.network("resnet50")
    if work.startswith("ours"):
        loaded = subjects.model("resnet50", size)
        methods = "grad_cam" if work == "ours5" else ("cam", "grad_cam", "grad_cam_plus_plus")
        run = functools.partial(explain, image, loaded, methods=methods)
    elif work == "peer":
        run = subjects.gradcam_package("resnet50", ["GradCAM"], [0, 1, 2, 3, 4], inputs=subjects.tensor(size))
    else:
        run = subjects.forward(net, subjects.tensor(size))
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what loading left free would hide what the work takes
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    run()
    print(peak() - before)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
