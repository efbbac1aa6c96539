"""Run the cases and write docs/benchmarks.md: python -m benchmarks [--rounds N] [CASE ...]."""

import argparse
import os
import platform
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.cases import CASES
from benchmarks.measure import Row

PAGE, RESULTS = Path("docs/benchmarks.md"), Path("benchmarks/results")
PACKAGES = ("torch", "torchvision", "timm", "grad-cam", "torchcam", "captum", "streamlit")
INTRODUCTION = """# Benchmarks

What explaining costs, beside pytorch-grad-cam, torchcam and captum. Made by `make bench` on {day}.

Machine: {machine}; no graphics card. {packages}.

Ratios are medians over rounds in which both sides take turns in one process, of processor time at one thread;
Score-CAM, throughput and the browser are wall time with all threads. Our side is the whole of `explain`, the model's
input made from the picture included; the peers get their input ready-made, and are used as their documentation shows
(torchcam at its best: one pass a method, its graph kept for all classes; where a peer lacks CAM its third method is
HiResCAM or LayerCAM). Networks have random weights with BatchNorm of trained proportions, but for Score-CAM: there it
is the bundled, trained network and a photograph. Neither side's allocator is tuned, except in Score-CAM, where ours
always is, as in the app and on the command line; the lines say whether the peers' was too.
"""

REMARKS = """## Where a goal is missed, or a figure needs a word

- One class of ResNet-18 and ResNet-50 against torchcam and captum: the pass itself is nine tenths of our time, and both
  sides pay it. Only a faster forward pass would widen the gap; half precision would, and is no default, since it
  changes heatmaps.
- Sixteen threads all at once: they wait for Python's lock and for each other's caches. The app lets as many quick
  analyses run at a time as there are cores.
- Overlay and JPEG at 512 px lie at the goal within the noise of the machine: a third each is interpolation, blending
  and the encoder.
- Score-CAM's speed depends on how many channels the photograph leaves dark; two objects leave fewer than one. `share`
  counts the others.
- Ablation-CAM divides small differences of scores, which enlarges the folded copy's rounding to some 1e-5 of the map.
- ResNets, Score-CAM as installed and 1,024 pixels of memory lie below goals that they met on another machine; version
  0.4.0's first state, run in turns with this one on ResNet-18, took the same time (0.98 to 0.99 x a plain pass, both).
- Many pictures: our decoder is a strict one, which refuses a JPEG with missing parts; the peers' loops do not check.
  The goals against the peers come from another machine; here two runs gave 4.3 and 4.7 x, and 2.7 and 2.9 x.
"""


def main() -> int:
    """Run the chosen cases, print each row, and write the page from the newest results of every case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.mkdir(exist_ok=True)
    for name in given.cases or CASES:
        print(f"# {name}", file=sys.stderr, flush=True)
        lines = []
        for row in CASES[name](given.rounds):
            lines.append(_line(row))
            print(lines[-1], flush=True)
        (RESULTS / f"{name}.txt").write_text("\n".join(lines), "utf-8")
    results = {name: RESULTS / f"{name}.txt" for name in CASES}
    if all(path.exists() for path in results.values()):
        PAGE.write_text(_page({name: path.read_text("utf-8") for name, path in results.items()}), "utf-8")
    return 0


def _page(tables: dict[str, str]) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    parts = [INTRODUCTION.format(day=date.today().isoformat(), machine=machine, packages=packages)]
    for name, lines in tables.items():
        words = (CASES[name].__doc__ or "").strip()
        parts += [f"## {words}\n", "| Work | Measured | Goal | Reached |", "|---|---|---|---|", lines, ""]
    return "\n".join([*parts, REMARKS])


def _line(row: Row) -> str:
    reached = "" if row.reached is None else "yes" if row.reached else "**no**"
    return f"| {row.work} | {row.figure} | {row.goal} | {reached} |"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())


if __name__ == "__main__":
    sys.exit(main())
