"""A batch beside the peers' plain loops, and beside the sum of its parts, in wall time on all cores."""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import torch

from benchmarks import subjects
from benchmarks.measure import Row, at_least, at_most
from gradcam_core import (
    LoadedModel,
    Recipe,
    Standing,
    explain_many,
    find_pictures,
    overlay,
    read_image,
    run_batch,
    tune_allocator,
)
from gradcam_core.batch.working import loaded_model, work
from gradcam_core.capture import scorer
from gradcam_core.preprocess import prepare
from gradcam_core.runners.processes import THREADS

COUNT, SIDE, TOGETHER, CORES = 200, 1000, 8, 2
NETWORK, LAYER = "mobilenet_v2", "features.18"


def many_pictures(rounds: int) -> Iterator[Row]:
    """200 photographs of 1000 x 1000 as JPEG: top-1 Grad-CAM of mobilenet_v2, maps and overlays as JPEG.

    The peers in their plain loops with all threads; the batch in two processes from the first result on. Its parts
    are measured one after the other in two processes at once.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = _photographs(folder / "pictures", COUNT)
        torch.save(subjects.network(NETWORK).state_dict(), folder / "network.pt")
        recipe = Recipe(f"file:{folder / 'network.pt'}", {"architecture": f"torchvision:{NETWORK}", "device": "cpu"})
        parts = _parts_in_processes(paths, recipe)
        for name, seconds in parts.items():
            yield Row(f"Part: {name}, on {CORES} cores", _each(seconds))
        whole, plain = (_batch(folder, recipe, overlays) for overlays in (True, False))
        torch.set_num_threads(CORES)
        peers = {"pytorch-grad-cam": _loop(paths, _gradcam_package()), "torchcam": _loop(paths, _torchcam_package())}
        torch.set_num_threads(1)
    yield Row("The batch, with overlays", _each(whole))
    yield at_most("The batch with overlays, of the sum of its parts", whole / sum(parts.values()), 1.15)
    for (name, seconds), goal in zip(peers.items(), (5, 3), strict=True):
        yield Row(f"A plain loop of {name}", _each(seconds))
        yield at_least(f"The batch with overlays, against {name}", seconds / whole, goal)
    yield at_least("The batch without overlays, against that with them", whole / plain, 1.5)


def _each(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms each"


def _photographs(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    square, rng = cv2.resize(subjects.photograph().pixels, (SIDE, SIDE)), np.random.default_rng(0)
    for turn in range(count):
        varied = np.clip(np.roll(square, turn * 5, axis=turn % 2) * rng.uniform(0.7, 1.2), 0, 1)
        noisy = np.clip(varied * 255 + rng.normal(0, 4, varied.shape), 0, 255).astype(np.uint8)
        (folder / f"{turn:04}.jpg").write_bytes(simplejpeg.encode_jpeg(noisy, quality=90))
    return sorted(folder.iterdir())


def _batch(folder: Path, recipe: Recipe, overlays: bool) -> float:
    """Seconds for a picture once every process has begun."""
    out = folder / f"out-{overlays}"
    out.mkdir()
    times: list[tuple[float, int]] = []

    def note(standing: Standing) -> None:
        times.append((time.perf_counter(), standing.done))

    wanted = Recipe(recipe.reference, recipe.options, overlays=str(out / "overlays") if overlays else "")
    run_batch(find_pictures(folder / "pictures"), wanted, out / "journal.sqlite", workers=CORES, on_standing=note)
    first = next(place for place, (_, done) in enumerate(times) if done >= COUNT // 4)
    (begin, known), (end, done) = times[first], times[-1]
    return (end - begin) / (done - known)


def _parts_in_processes(paths: Sequence[Path], recipe: Recipe) -> dict[str, float]:
    os.environ.update(dict.fromkeys(THREADS, "1"))  # as the batch's own processes have it
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        shares = pool.starmap(_parts, [(paths[place::CORES], recipe) for place in range(CORES)], chunksize=1)
    for name in THREADS:
        del os.environ[name]
    return {name: sum(share[name] for share in shares) / CORES**2 for name in shares[0]}


def _parts(paths: Sequence[Path], recipe: Recipe) -> dict[str, float]:
    """Seconds for a picture of each part, on one core, measured alone."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    tune_allocator()
    model = loaded_model(recipe)
    work(find_pictures(paths[0].parent)[:TOGETHER], model, recipe)  # the first pictures warm up
    contents = [path.read_bytes() for path in paths]
    images = [read_image(content) for content in contents[:40]]
    explanations = explain_many(images[:TOGETHER], model)
    heatmaps = [explanation.heatmaps[0] for explanation in explanations]  # type: ignore[union-attr]
    inputs = torch.from_numpy(np.stack([prepare(image, model.preprocessing)[0] for image in images[:TOGETHER]]))

    def drawn(place: int) -> None:
        simplejpeg.encode_jpeg(overlay(images[place % TOGETHER], heatmaps[place % TOGETHER]), quality=90)

    return {
        "decoding": _seconds(lambda place: simplejpeg.decode_jpeg(contents[place]), len(contents)),
        "preprocessing": _seconds(lambda place: prepare(images[place % len(images)], model.preprocessing), len(paths)),
        f"forward pass, {TOGETHER} together": _seconds(_passes(model, inputs), len(paths) // TOGETHER) / TOGETHER,
        "overlay and JPEG": _seconds(drawn, len(paths)),
    }


def _passes(model: LoadedModel, inputs: torch.Tensor) -> Callable[[int], object]:
    """The folded network's forward pass alone: the least that any heatmap costs."""
    run = scorer(model)
    return lambda place: run(inputs)


def _seconds(work: Callable[[int], object], times: int) -> float:
    begin = time.perf_counter()
    for place in range(times):
        work(place)
    return (time.perf_counter() - begin) / times


def _loop(paths: Sequence[Path], heat: Callable[[torch.Tensor], np.ndarray]) -> float:
    """Seconds for a picture of the loop that the peers' documentation shows, each with its own way to draw."""
    from pytorch_grad_cam.utils.image import show_cam_on_image

    def explain_one(place: int) -> None:
        pixels = np.float32(cv2.imread(str(paths[place]))[..., ::-1]) / 255
        small = torch.from_numpy(cv2.resize(pixels, (224, 224)).transpose(2, 0, 1))[None] * 2 - 1
        large = cv2.resize(heat(small), (SIDE, SIDE))
        drawn = show_cam_on_image(np.ascontiguousarray(pixels), large, use_rgb=True)
        cv2.imwrite(str(paths[place].parent.parent / "overlay.jpg"), drawn[..., ::-1])

    explain_one(0)
    return _seconds(explain_one, len(paths))


def _gradcam_package() -> Callable[[torch.Tensor], np.ndarray]:
    from pytorch_grad_cam import GradCAM

    net = subjects.network(NETWORK)
    cam = GradCAM(net, [net.get_submodule(LAYER)])
    return lambda small: np.asarray(cam(small, None)[0])


def _torchcam_package() -> Callable[[torch.Tensor], np.ndarray]:
    from torchcam.methods import GradCAM

    net = subjects.network(NETWORK)
    cam = GradCAM(net, LAYER)

    def heat(small: torch.Tensor) -> np.ndarray:
        scores = net(small.requires_grad_())
        grid: np.ndarray = cam(int(scores[0].argmax()), scores)[0][0].numpy()
        return grid

    return heat
