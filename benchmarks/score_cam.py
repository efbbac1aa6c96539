"""Score-CAM on the bundled trained network and a photograph; run as a process, with one allocator or the other."""

import os
import sys
import time

import numpy as np
import torch

from gradcam_core import explain, load_model, read_image, read_sample, tune_allocator

DRAFT = 0.6


def main(allocator: str) -> None:
    """Print seconds, tab separated: ours for five classes, the peers for one."""
    torch.set_num_threads(os.cpu_count() or 1)
    if allocator == "tuned":
        tune_allocator()
    image = read_image(read_sample("cat"))
    model = load_model("bundled:efficientnet_lite0", device="cpu")
    say("pytorch-grad-cam", timed(peer(model)))
    say("torchcam", timed(other(model)))
    tune_allocator()  # as the app and the command line do for ours
    explain(image, model)
    say("dead", dead_channels(explain(image, model), model))
    heatmaps = {}
    for name, share in (("exact", 1.0), ("draft", DRAFT)):
        start = time.perf_counter()
        heatmaps[name] = explain(image, model, methods=[("score_cam", {"share": share})]).heatmaps
        say(name, time.perf_counter() - start)
    pairs = zip(heatmaps["exact"], heatmaps["draft"], strict=True)
    say("correlation", min(float(np.corrcoef(a.raw.ravel(), b.raw.ravel())[0, 1]) for a, b in pairs))


def dead_channels(explanation, model) -> int:
    """How many of the 1280 channels are 0 everywhere on this photograph."""
    heard = []
    handle = model.module.bn2.register_forward_hook(lambda module, given, output: heard.append(output))
    model.module(torch.tensor(explanation.model_input)[None])
    handle.remove()
    return int((heard[0][0].flatten(1) == 0).all(1).sum())


def peer(model):
    """pytorch-grad-cam with its own batch size."""
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, x = model.module, torch.randn(1, 3, 224, 224)
    cam = ScoreCAM(net, [net.bn2])
    return lambda: cam(x, [ClassifierOutputTarget(285)])


def other(model):
    """torchcam with its own batch size."""
    from torchcam.methods import ScoreCAM

    net, x = model.module, torch.randn(1, 3, 224, 224)
    cam = ScoreCAM(net, "bn2", input_shape=(3, 224, 224))
    return lambda: cam(285, net(x))


def timed(work) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def say(name: str, value: float) -> None:
    """Print one figure."""
    print(f"{name}\t{value}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
