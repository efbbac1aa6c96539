"""The cases: each a function that gives rows of the table."""

import dataclasses
import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch

from benchmarks import subjects
from benchmarks.decoding import decoding
from benchmarks.many_pictures import many_pictures
from benchmarks.measure import Row, at_least, at_most, once, ratios
from benchmarks.training import training_heatmaps
from gradcam_core import Heatmap, explain, load_model, overlay, png, read_image

FIVE = [0, 1, 2, 3, 4]
PEERS_THREE = {"GradCAM": "grad_cam", "GradCAMPlusPlus": "grad_cam_plus_plus", "HiResCAM": "hires_cam"}


def explain_against_one_forward(rounds: int) -> Iterator[Row]:
    """The whole of `explain` (input made from the picture included) over one plain pass of the user's network."""
    goals = {"mobilenet_v2": 1.15, "resnet18": 1.0, "resnet50": 1.0, "efficientnet_b0": None}
    image = subjects.photograph()
    for name in subjects.LAST:
        loaded, vit = subjects.model(name), name.startswith("vit")
        run = functools.partial(explain, image, loaded)
        three = ("grad_cam", "grad_cam_plus_plus", "hires_cam" if vit else "cam")
        works = {
            "forward": subjects.forward(subjects.network(name), subjects.tensor()),
            "1 heatmap": functools.partial(run, top_k=1, methods="grad_cam"),
            "5 heatmaps": functools.partial(run, methods="grad_cam"),
            "15 heatmaps": functools.partial(run, methods=three),
        }
        for work, figure in ratios(works, "forward", rounds).items():
            if work != "forward":
                goal = goals.get(name) if work == "15 heatmaps" else None
                yield at_most(f"{name}, 224 px: {work} over one plain forward pass", figure, goal)
    for name in ("mobilenet_v2", "resnet50"):
        loaded = subjects.model(name, 1024)
        works = {
            "forward": subjects.forward(subjects.network(name), subjects.tensor(1024)),
            "15": functools.partial(explain, image, loaded),
        }
        figure = ratios(works, "forward", max(3, rounds // 5))["15"]
        yield at_most(f"{name}, 1024 px: 15 heatmaps over one plain forward pass", figure, None)


def grad_cam_against_peers(rounds: int) -> Iterator[Row]:
    """Our whole `explain` against the peers' maps from a ready-made input."""
    image = subjects.photograph()
    for name in ("mobilenet_v2", "resnet18", "resnet50"):
        run = functools.partial(explain, image, subjects.model(name))
        works = {
            "ours": functools.partial(run, methods="grad_cam", targets=[0]),
            "pytorch-grad-cam": subjects.gradcam_package(name, ["GradCAM"], [0]),
            "torchcam": subjects.torchcam_package(name, ["GradCAM"], [0]),
            "captum": subjects.captum_package(name),
        }
        factors = ratios(works, "ours", rounds)
        for peer, goal in (("pytorch-grad-cam", 3), ("torchcam", 1.2), ("captum", 1.2)):
            yield at_least(f"{name}: Grad-CAM of one class, against {peer}", factors[peer], goal)
        works = {
            "ours": functools.partial(run, targets=FIVE),
            "pytorch-grad-cam": subjects.gradcam_package(name, list(PEERS_THREE), FIVE),
            "torchcam": subjects.torchcam_package(name, ["GradCAM", "GradCAMpp", "LayerCAM"], FIVE),
        }
        factors = ratios(works, "ours", max(3, rounds // 5))
        for peer, goal in (("pytorch-grad-cam", 40), ("torchcam", 3.5)):
            yield at_least(f"{name}: 3 methods for 5 classes, against {peer}", factors[peer], goal)


def earlier_layers(rounds: int) -> Iterator[Row]:
    """Top-5 Grad-CAM at earlier layers, and at several, against torchcam's one pass with its graph kept."""
    image = subjects.photograph()
    places = {
        "mobilenet_v2": (["features.7"], ["features.7", "features.14", "features.18"]),
        "resnet50": (["layer2"], ["layer2", "layer3", "layer4"]),
    }
    for name, choices in places.items():
        for layers in choices:
            ours = functools.partial(
                explain, image, subjects.model(name), layers=layers, methods="grad_cam", targets=FIVE
            )
            works = {"ours": ours, "torchcam": subjects.torchcam_package(name, ["GradCAM"], FIVE, layers)}
            figure = ratios(works, "ours", rounds)["torchcam"]
            yield at_least(f"{name} {', '.join(layers)}: top-5 Grad-CAM, against torchcam", figure, 1)


def ablation_cam(rounds: int) -> Iterator[Row]:
    """Ablation-CAM: all five classes at once, from the tail alone; the peer takes one class."""
    image = subjects.photograph()
    for name in ("mobilenet_v2", "resnet18"):
        ours = functools.partial(explain, image, subjects.model(name), methods="ablation_cam")
        plain = subjects.forward(subjects.network(name), subjects.tensor())
        figure = ratios({"forward": plain, "ours": ours}, "forward", rounds)["ours"]
        yield at_most(f"{name}: Ablation-CAM, 5 classes, in plain forward passes", figure, 10, "passes")
        explanation = ours()
        given, best = torch.from_numpy(explanation.model_input)[None], explanation.heatmaps[0]
        maps: list[np.ndarray] = []
        run = subjects.gradcam_package(name, ["AblationCAM"], [best.target.index], inputs=given)
        seconds = once(functools.partial(_extend, maps, run))
        yield at_least(f"{name}: Ablation-CAM, against pytorch-grad-cam, a class", seconds / (once(ours) / 5), 200)
        yield at_most(f"{name}: largest difference of the maps, 0..1", 1e5 * _difference(best, maps[0]), None, "e-5")
        unfolded = dataclasses.replace(subjects.model(name), folded=None)
        same = explain(image, unfolded, methods="ablation_cam", targets=[best.target.index]).heatmaps[0]
        yield at_most(f"{name}: the same without the folded copy", 1e5 * _difference(same, maps[0]), 1, "e-5")


def _difference(ours: Heatmap, theirs: np.ndarray) -> float:
    """Largest difference of two maps, both enlarged and then scaled to 0..1 as the peer does."""
    large = cv2.resize(np.maximum(ours.raw, 0), theirs.shape[::-1])
    return float(np.abs((large - large.min()) / (large.max() - large.min()) - theirs).max())


def _extend(kept: list[np.ndarray], run: Callable[[], list[np.ndarray]]) -> None:
    kept += run()


def score_cam(rounds: int) -> Iterator[Row]:
    """Score-CAM on the bundled trained network and a photograph: ours for 5 classes, the peers for one."""
    for allocator, exact, draft in (("as installed", 10, 20), ("tuned on both sides", 3.5, 7)):
        argument = "tuned" if "tuned" in allocator else "plain"
        command = [sys.executable, "-m", "benchmarks.score_cam", argument]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times = {name: float(value) for name, value in (x.split("\t") for x in done.stdout.splitlines() if "\t" in x)}
        yield Row(f"ours, exact and draft, seconds ({allocator})", f"{times['exact']:.1f}, {times['draft']:.1f}")
        yield Row("channels of 1280 that are 0 everywhere on this photograph", f"{times['dead']:.0f}")
        for peer in ("pytorch-grad-cam", "torchcam"):
            yield at_least(f"exact, against {peer} {allocator}", times[peer] / times["exact"], exact)
            yield at_least(f"draft (share 0.6), against {peer} {allocator}", times[peer] / times["draft"], draft)
        least = times["correlation"]
        yield Row("draft: least correlation to the exact map", f"{least:.5f}", ">= 0.999", least >= 0.999)


def memory(rounds: int) -> Iterator[Row]:
    """Peak memory above what the loaded model takes, each in a process of its own."""
    for size in (512, 1024):
        peaks = {}
        for work in ("forward", "ours5", "ours15", "peer"):
            command = [sys.executable, "-m", "benchmarks.memory", work, str(size)]
            peaks[work] = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
        # Activations and gradients of the layer, which are there at the end: 2048 channels, float32, five classes.
        maps = 6 * 2048 * (size // 32) ** 2 * 4 / 2**20
        goal = 1.1 if size == 1024 else None
        words = f"x a plain pass ({peaks['forward']:.0f} MB)"
        beside = (peaks["ours5"] - maps) / peaks["forward"]
        yield at_most(f"resnet50, {size} px, peak memory: top-5, less its maps ({maps:.0f} MB)", beside, goal, words)
        yield at_most(f"resnet50, {size} px, peak memory: 15 heatmaps", peaks["ours15"] / peaks["forward"], None, words)
        yield at_most(f"resnet50, {size} px: pytorch-grad-cam, top-5", peaks["peer"] / peaks["forward"], None, words)


def threads(rounds: int) -> Iterator[Row]:
    """Sixteen threads on one model: right results, no errors, and how much faster than one at a time."""
    from tests import networks

    small, pictures = networks.loaded(networks.conv_net(inplace=True)), [networks.picture(seed=s) for s in range(7)]
    expected = [explain(picture, small, methods="grad_cam").heatmaps[0].raw for picture in pictures]
    with ThreadPoolExecutor(16) as pool:
        work = lambda i: explain(pictures[i % 7], small, methods="grad_cam").heatmaps[0].raw  # noqa: E731
        maps = list(pool.map(work, range(16_000)))
    wrong = sum(not np.array_equal(raw, expected[index % 7]) for index, raw in enumerate(maps))
    yield Row("16 threads x 1000 requests on one model: wrong results, errors", f"{wrong}, 0", "0, 0", wrong == 0)
    loaded, image, lock = subjects.model("mobilenet_v2"), subjects.photograph(), threading.Lock()

    def locked(_: int) -> None:
        with lock:
            explain(image, loaded, methods="grad_cam")

    def free(_: int) -> None:
        explain(image, loaded, methods="grad_cam")

    for count, goal in ((16, 1.5), (os.cpu_count() or 1, 1.5)):
        seconds: dict[str, float] = {}
        for name, one in (("free", free), ("locked", locked)) * 3:
            with ThreadPoolExecutor(count) as pool:
                start = time.perf_counter()
                list(pool.map(one, range(150)))
                seconds[name] = min(seconds.get(name, 1e9), time.perf_counter() - start)
        figure = seconds["locked"] / seconds["free"]
        yield at_least(
            f"{count} threads on {os.cpu_count()} cores, against one at a time", figure, goal, "x throughput"
        )


def rendering(rounds: int) -> Iterator[Row]:
    """Overlay and file, a map at 512 px; milliseconds of processor time."""
    cv2.setNumThreads(1)
    pixels = cv2.resize(subjects.photograph().pixels, (512, 512))
    image = read_image(png((pixels * 255).astype(np.uint8)))
    heatmap = explain(image, subjects.model("mobilenet_v2"), methods="grad_cam", top_k=1).heatmaps[0]

    def jpeg() -> object:
        return cv2.imencode(".jpg", overlay(image, heatmap)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])

    for name, work, goal in (("JPEG", jpeg, 2), ("PNG", lambda: png(overlay(image, heatmap)), None)):
        yield at_most(f"Overlay at 512 px as {name}", 1000 * sorted(once(work) for _ in range(30))[15], goal, "ms")


def loading(rounds: int) -> Iterator[Row]:
    """What loading takes, with its probes and the folded copy."""
    seconds = once(lambda: load_model("bundled:efficientnet_lite0", device="cpu"))
    yield Row("Loading the bundled network", f"{seconds:.2f} s")


def browser(rounds: int) -> Iterator[Row]:
    """In the app, in a real browser."""
    from benchmarks.browser import measure

    yield from measure()


CASES: dict[str, Callable[[int], Iterator[Row]]] = {
    case.__name__: case
    for case in (
        explain_against_one_forward,
        grad_cam_against_peers,
        earlier_layers,
        ablation_cam,
        score_cam,
        memory,
        threads,
        rendering,
        many_pictures,
        training_heatmaps,
        loading,
        decoding,
        browser,
    )
}
