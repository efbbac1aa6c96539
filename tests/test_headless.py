"""Files without a classifier, as pretraining leaves them, load as features; those with another head are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from gradcam_core import suggest_architectures
from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from tests.checkpoints import SmallNet, Tensors, load, same_outputs, saved, small

WIDTH = 6  # what SmallNet's classifier reads


def body() -> nn.Module:
    net = small()
    net.fc = nn.Identity()
    return net.eval()


def under(prefix: str, state: Tensors, plus: float = 0.0) -> Tensors:
    return {f"{prefix}{name}": x + plus for name, x in state.items()}


def projection(prefix: str, *steps: int) -> Tensors:
    return {f"{prefix}{step}.weight": torch.zeros(WIDTH, WIDTH) for step in steps}


# As these tools write them; the second network of a pair is another one.
BODIES: dict[str, Callable[[Tensors], Any]] = {
    "plain": lambda s: s,
    "a backbone": lambda s: {"state_dict": under("backbone.", s), "epoch": 3},
    "Lightning": lambda s: {"state_dict": {**under("model.encoder.", s), "loss.centre": torch.zeros(3)}},
    "MoCo": lambda s: {
        "state_dict": {
            **under("module.encoder_q.", s),
            **{"module.encoder_q.fc.weight": torch.zeros(5, WIDTH), "module.encoder_q.fc.bias": torch.zeros(5)},
            **under("module.encoder_k.", s, 1),
            **{"module.queue": torch.zeros(5, 8), "module.queue_ptr": torch.zeros(1)},
        }
    },
    "MoCo v2": lambda s: {
        **under("module.encoder_q.", s),
        **projection("module.encoder_q.fc.", 0, 2),
        **under("module.encoder_k.", s, 1),
    },
    "MoCo v3": lambda s: {
        **under("module.base_encoder.", s),
        **projection("module.base_encoder.fc.", 0, 3),
        **under("module.momentum_encoder.", s, 1),
        **projection("module.predictor.", 0),
    },
    "SimCLR": lambda s: {**under("backbone.", s), **projection("projection_head.layers.", 0, 2)},
    "DINO": lambda s: {
        "student": {**under("module.backbone.", s), **projection("module.head.mlp.", 0)},
        "teacher": {**under("backbone.", s, 1), **projection("head.mlp.", 0)},
    },
    "MAE": lambda s: {"model": {**s, "mask_token": torch.zeros(1, 1, 4), **projection("decoder_embed.", 0)}},
    "in order": lambda s: {f"x{n}.{name.rpartition('.')[2]}": x for n, (name, x) in enumerate(s.items())},
}


@pytest.mark.parametrize("wrap", BODIES.values(), ids=BODIES)
def test_a_body_without_a_classifier_gives_features(wrap: Callable[[Tensors], Any], tmp_path: Path) -> None:
    net = body()
    model = load(saved(tmp_path / "x.pth", wrap(net.state_dict())))
    assert same_outputs(model.module, net)
    assert (model.task, len(model.labels)) == ("embedding", WIDTH)
    assert any("no classifier" in note for note in model.notes)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet"])
def test_timms_networks_of_no_classes_load_and_are_suggested(name: str, tmp_path: Path) -> None:
    net = timm.create_model(name, num_classes=0)
    path = saved(tmp_path / "x.pth", net.state_dict())
    best = suggest_architectures(path)[0]
    assert (best.reference, best.complete, best.classes) == (f"timm:{name}", True, None)
    assert "without its classifier (all" in best.words
    model = load_model(f"file:{path}", architecture="auto", device="cpu")
    assert same_outputs(model.module, net, size=model.preprocessing.size[0])
    assert model.task == "embedding"


@pytest.mark.parametrize(
    "head",
    [
        projection("fc.", 0, 2),
        {"own.weight": torch.zeros(3, WIDTH)},
        {"segmentation_head.0.weight": torch.zeros(3, 2, 3, 3)},
        {"classifier.1.weight": torch.zeros(3, 2)},
        {"fc.weight": torch.zeros(3, 9), "fc.bias": torch.zeros(3)},
    ],
    ids=lambda head: next(iter(head)),
)
def test_a_head_that_does_not_fit_is_not_left_out(head: Tensors, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="do not fit"):
        load(saved(tmp_path / "x.pth", {**body().state_dict(), **head}))


def test_a_number_of_classes_that_is_wanted_is_no_body(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", body().state_dict())
    with pytest.raises(ModelError, match=r"backbone without its classifier.* leave num_classes out"):
        load(path, num_classes=5)
    assert load(path, num_classes=0).task == "embedding"
    with pytest.raises(ModelError, match="The file has 5 classes, not 0"):
        load(saved(path, SmallNet(5).state_dict()), num_classes=0)


def test_a_segmenters_body_is_no_model(tmp_path: Path) -> None:
    name = "lraspp_mobilenet_v3_large"
    net = torchvision.models.get_model(name, weights_backbone=None).state_dict()
    bare = {key: x for key, x in net.items() if not key.startswith("classifier.")}
    with pytest.raises(ModelError, match="only a part of the network"):
        load_model(f"file:{saved(tmp_path / 'x.pth', bare)}", architecture=f"torchvision:{name}")
