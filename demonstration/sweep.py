"""Explain every family of timm and all of torchvision once with random weights, and write the results into the docs.

    python -m demonstration.sweep [--results FILE] [--chunk I/N] [timm:NAME ...]    # resumes where it stopped
    python -m demonstration.sweep --table [--results FILE]                          # writes docs/architectures.md

A row of the results is kept for each network, so that the sweep can be stopped, and run in several processes.
"""

import argparse
import datetime
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn
from torchvision import models

from demonstration.autograd import grad_cam_by_autograd
from gradcam_core import GradcamError, ImageRecord, explain, list_methods, load_model
from gradcam_core.layers import resolve_layer
from gradcam_core.sources.assemble import fingerprint_of

DOCS = Path(__file__).parents[1] / "docs" / "architectures.md"
SMALL = ("test", "atto", "femto", "pico", "nano", "zepto", "xxs", "xxt", "xtiny", "xs", "tiny", "mini", "micro", "lite")
SMALL = (*SMALL, "small", "_t", "_s", "s0", "_m0", "m1", "b0", "050", "b1")
MOST_PARAMETERS, MOST_SECONDS = 450_000_000, 400
EQUAL = 1e-4
# Notes with one of these words stand below the table.
TOLD = ("random", "gradient", "side by side", "early one")
# Networks whose names begin like those of another family, and which pool by attention.
ALSO = ["timm:resnet50_clip", "timm:vit_base_patch16_siglip_224"]
TITLE = """# Architectures

The smallest network of each family of timm, as far as the names tell, and each classifier of torchvision was explained
once with random weights, at the network's own input size; what has not been run stands at the end. The usual layer was
chosen by what the running network does.
*Difference* is the largest difference of the raw Grad-CAM from ordinary autograd through the whole network, as a share
of the map's peak. `make sweep` writes this page. The code is in `demonstration/sweep.py`.

"""


def plan() -> list[str]:
    """The smallest network of each first word in each module of timm, and all of torchvision, small ones first."""
    families: dict[tuple[str, str], list[str]] = {}
    for module in timm.list_modules():
        for name in timm.list_models(module=module):
            families.setdefault((module, re.match(r"(?:tf_|test_)?[a-z]+", name)[0]), []).append(f"timm:{name}")  # type: ignore[index]
    smallest = [*ALSO, *(min(names, key=_size) for names in families.values())]
    return sorted([*smallest, *(f"torchvision:{name}" for name in models.list_models(module=models))], key=_size)


def _size(name: str) -> tuple[int, int, int, str]:
    """Order by size, as far as a name tells."""
    word = next((place for place, word in enumerate(SMALL) if word in name), len(SMALL))
    return word, max(map(int, re.findall(r"\d+", name)), default=0), len(name), name


def _build(reference: str) -> nn.Module:
    """A network with random weights, none of whose branches or heads is switched off."""
    hub, _, name = reference.partition(":")
    torch.manual_seed(0)
    network = timm.create_model(name) if hub == "timm" else models.get_model(name, weights=None)
    if sum(x.numel() for x in network.parameters()) > MOST_PARAMETERS:
        raise OverflowError(f"more than {MOST_PARAMETERS // 1_000_000} million parameters")
    for parameter in network.requires_grad_(False).parameters():
        first = parameter.flatten()[:1]
        if parameter.numel() == 1 or not bool((parameter == first).all()):
            continue
        if parameter.numel() == max(parameter.shape) and first:  # a scale for each channel
            nn.init.normal_(parameter, 0.3 if abs(first) < 0.5 else 1.0, 0.1)
        else:
            nn.init.normal_(parameter, 0.0, 0.02 if parameter.dim() > 1 or not first else 0.1)
    return network.eval()


def sweep_one(reference: str) -> dict[str, Any]:
    """Load and explain one network. Returns the row of the table."""
    image = ImageRecord(np.random.default_rng(0).random((260, 300, 3), dtype=np.float32), "0" * 64, "", "PNG", bits=32)
    start = time.perf_counter()
    row: dict[str, Any] = {"name": reference}
    try:
        network = _build(reference)
        model = load_model(network, device="cpu")
        layer = resolve_layer(model, model.default_layer)
        gradient = [
            method.name for method in list_methods() if "gradients" in method.needs and "guided" not in method.needs
        ]
        classes = 0 if model.task == "embedding" else None
        explanation = explain(image, model, top_k=1, targets=classes, layers=layer.name, methods=gradient)
        heatmap = next(heatmap for heatmap in explanation.heatmaps if heatmap.method == "grad_cam")
        row |= {
            "layer": layer.name,
            "grid": f"{layer.grid[1]} x {layer.grid[0]}",
            "layout": layer.layout,
            "prefix": layer.prefix_tokens,
            "layers": len(model.layers),
            "finite": all(bool(np.isfinite(heatmap.raw).all()) for heatmap in explanation.heatmaps),
            "untouched": fingerprint_of(model.module) == model.fingerprint,
            "empty": not bool(np.abs(heatmap.raw).max() > 0),
            "notes": [note for note in model.notes if any(word in note for word in TOLD)],
            "refused": dict(Counter(model.refused_layers.values()).most_common(12)),
            "date": datetime.date.today().isoformat(),
        }
        del model  # before the network is recorded as a whole
        truth = grad_cam_by_autograd(network, torch.tensor(explanation.model_input)[None], heatmap.target.index, layer)
        difference = float(np.abs(heatmap.raw - truth).max() / max(np.abs(truth).max(), 1e-30))
        return row | {"difference": difference, "seconds": round(time.perf_counter() - start, 1)}
    except GradcamError as error:
        return {"name": reference, "error": f"{error} {error.remedy}"}
    except (OverflowError, TimeoutError) as error:
        return {"name": reference, "skipped": str(error)}
    except Exception as error:  # whatever is no GradcamError is a crash of the product
        return {"name": reference, "crash": f"{type(error).__name__}: {str(error)[:200]}"}


def _done(results: Path) -> dict[str, dict[str, Any]]:
    """The rows of all processes so far, by name."""
    lines = (
        line
        for file in sorted(results.parent.glob(f"{results.stem}-*{results.suffix}"))
        for line in file.read_text().splitlines()
    )
    return {row["name"]: row for row in map(json.loads, lines)}


def run(names: list[str], results: Path, chunk: str) -> None:
    """Sweep what is not in the results yet: the Ith of N parts."""
    part, parts = map(int, chunk.split("/"))
    file = results.with_name(f"{results.stem}-{part}{results.suffix}")
    signal.signal(signal.SIGPROF, _too_long)
    for name in (name for name in names[part - 1 :: parts] if name not in _done(results)):
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        row = sweep_one(name)
        signal.setitimer(signal.ITIMER_PROF, 0)
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"longer than {MOST_SECONDS} seconds of processor time")


def _lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    explained = [row for row in rows if "layer" in row]
    right = [row for row in explained if row["finite"] and row["untouched"] and row["difference"] <= EQUAL]
    tried = [row for row in rows if "skipped" not in row]
    yield f"{len(tried)} networks: {len(explained)} explained, {len(right)} of them finite, untouched and equal to "
    yield f"autograd within {EQUAL:g} (largest difference {max(row['difference'] for row in explained):.0e}); "
    yield f"{len(tried) - len(explained)} refused. "
    days = Counter(row.get("date", "earlier") for row in explained)
    yield f"Rows computed: {', '.join(f'{count} on {day}' for day, count in sorted(days.items()))}.\n\n"
    yield "| network | usual layer | map | layout | layers | difference |\n|---|---|---|---|---|---|\n"
    for row in explained:
        layout = f"{row['layout']}, {row['prefix']} before" if row["prefix"] else row["layout"]
        yield f"| {row['name']} | `{row['layer']}` | {row['grid']} | {layout} | {row['layers']} "
        yield f"| {row['difference']:.0e}{' (empty)' if row['empty'] else ''} |\n"
    yield "\n| network | what its user is told |\n|---|---|\n"
    yield from (f"| {row['name']} | {note} |\n" for row in explained for note in row["notes"])
    yield "\n| not tried or refused | why |\n|---|---|\n"
    for row in rows:
        if "layer" not in row:
            yield f"| {row['name']} | {row.get('error') or row.get('skipped') or row['crash']} |\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--results", type=Path, default=Path(".cache/sweep.jsonl"))
    parser.add_argument("--chunk", default="1/1")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    given.results.parent.mkdir(parents=True, exist_ok=True)
    if given.table:
        done = {name: {"name": name, "skipped": "not run yet"} for name in plan()} | _done(given.results)
        rows = sorted(done.values(), key=lambda row: row["name"])
        DOCS.write_text(TITLE + "".join(_lines(rows)), encoding="utf-8")
    else:
        torch.set_num_threads(1)
        run(given.names or plan(), given.results, given.chunk)
