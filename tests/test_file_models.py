"""Weights of one's own: names and sizes are fitted to the architecture, or the misfit is told in words."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from gradcam_core.sources.names import match_names
from gradcam_core.sources.own_networks import build_shapes, find_architecture
from tests.checkpoints import SmallNet, Tensors, load, same_outputs, saved, small


@pytest.mark.parametrize(
    ("name", "build", "size"),
    [
        ("timm:mobilenetv2_100", partial(timm.create_model, "mobilenetv2_100"), 64),
        ("timm:mobilenetv2_035", partial(timm.create_model, "mobilenetv2_035"), 64),
        ("timm:vit_tiny_patch16_224", partial(timm.create_model, "vit_tiny_patch16_224"), 224),
        ("torchvision:mobilenet_v2", torchvision.models.mobilenet_v2, 64),
        ("torchvision:resnet18", torchvision.models.resnet18, 64),
        ("torchvision:squeezenet1_1", torchvision.models.squeezenet1_1, 64),
    ],
)
def test_a_checkpoint_of_ones_own_loads_by_its_architecture_alone(
    name: str, build: Callable[..., nn.Module], size: int, tmp_path: Path
) -> None:
    net = build(num_classes=19)
    path = saved(tmp_path / "x.pth", {"state_dict": nn.DataParallel(net).state_dict(), "epoch": 3})
    model = load_model(f"file:{path}", architecture=name, device="cpu")
    assert len(model.labels) == 19
    assert model.architecture == name
    assert same_outputs(model.module, net, size=size)


def compiled(state: Tensors) -> Tensors:
    return {key.replace("stem.", "stem._orig_mod."): x for key, x in state.items()}


WRAPPED: dict[str, Callable[[Tensors], Any]] = {
    "plain": lambda s: s,
    "module": lambda s: {f"module.{k}": x for k, x in s.items()},
    "model": lambda s: {f"model.{k}": x for k, x in s.items()},
    "compiled": lambda s: {f"_orig_mod.{k}": x for k, x in s.items()},
    "compiled inside": lambda s: compiled(s),
    "compiled around parallel": lambda s: {f"_orig_mod.module.{k}": x for k, x in s.items()},
    "parallel around compiled": lambda s: {f"module._orig_mod.{k}": x for k, x in s.items()},
    "parallel in the middle": lambda s: {f"model.module.{k}": x for k, x in s.items()},
    "parallel parts": lambda s: {k.replace("stem.", "stem.module."): x for k, x in s.items()},
    "network": lambda s: {f"network.{k}": x for k, x in s.items()},
    "an unusual name": lambda s: {f"net.image_branch.{k}": x for k, x in s.items()},
    "state_dict": lambda s: {"state_dict": s, "epoch": 1},
    "model key": lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}, "param_groups": []}},
    "net key": lambda s: {"net": s, "acc": 0.9},
    "nested keys": lambda s: {"checkpoint": {"model_state_dict": {f"module.{k}": x for k, x in s.items()}}},
    "only averaged": lambda s: {"state_dict_ema": s, "epoch": 2},
    "averaging wrapper": lambda s: {"n_averaged": torch.tensor(3), **{f"module.{k}": x for k, x in s.items()}},
    "Lightning": lambda s: {
        "state_dict": {**{f"model.{k}": x for k, x in s.items()}, "loss.weight": torch.ones(5)},
        "pytorch-lightning_version": "2.0",
        "hyper_parameters": {"lr": 0.1},
    },
    "backbone beside head": lambda s: {f"{'' if k.startswith('fc') else 'backbone.'}{k}": x for k, x in s.items()},
    "without counters": lambda s: {k: x for k, x in s.items() if "num_batches" not in k},
    "with a profiler's counters": lambda s: {**s, "total_ops": torch.zeros(1), "fc.total_params": torch.zeros(1)},
    "parameters": lambda s: {k: nn.Parameter(x, requires_grad=False) for k, x in s.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_and_prefixes_are_stripped_wherever_they_stand(wrap: Callable[[Tensors], Any], tmp_path: Path) -> None:
    net = small()
    model = load(saved(tmp_path / "x.pth", wrap(net.state_dict())))
    assert same_outputs(model.module, net)


class Inner(nn.Module):
    """An architecture whose own names begin with what is usually a wrapper's."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.model = SmallNet(num_classes)
        self.module = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(self.module(x))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "model.module.", "module.model.", "net.x."])
def test_an_architecture_that_itself_has_a_model_or_module_is_not_mistaken(prefix: str, tmp_path: Path) -> None:
    net = Inner().eval()
    path = saved(tmp_path / "x.pth", {f"{prefix}{k}": x for k, x in net.state_dict().items()})
    assert same_outputs(load(path, Inner).module, net)


def test_plain_weights_are_preferred_to_averaged_ones_and_a_note_says_so(tmp_path: Path) -> None:
    plain, averaged = small(), small()
    for order in (("state_dict", "state_dict_ema"), ("model_ema", "model")):
        content = {key: (averaged if "ema" in key else plain).state_dict() for key in order}
        model = load(saved(tmp_path / "x.pth", content))
        assert same_outputs(model.module, plain)
        assert any("several sets of weights" in note and "ema" in note for note in model.notes)


def test_other_tensors_in_the_file_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", WRAPPED["Lightning"](small().state_dict()))
    assert any("1 other tensors" in note and "loss.weight" in note for note in load(path).notes)


def test_the_number_of_channels_is_read_off_the_first_convolution(tmp_path: Path) -> None:
    net = small(channels=1)
    model = load(saved(tmp_path / "x.pth", net.state_dict()))
    assert model.preprocessing.channels == 1
    assert same_outputs(model.module, net, channels=1)
    for name, build in (("timm:resnet10t", partial(timm.create_model, "resnet10t", in_chans=1)),):
        net = build(num_classes=3)
        model = load_model(f"file:{saved(tmp_path / 'y.pth', net.state_dict())}", architecture=name, device="cpu")
        assert same_outputs(model.module, net, channels=1)
    net = torchvision.models.mobilenet_v2(num_classes=3)
    net.features[0][0] = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
    path = saved(tmp_path / "z.pth", net.state_dict())
    model = load_model(f"file:{path}", architecture="torchvision:mobilenet_v2", device="cpu")
    assert same_outputs(model.module, net, channels=1)


def test_half_precision_weights_are_converted_with_a_note(tmp_path: Path) -> None:
    net = small()
    for kind in (torch.float16, torch.bfloat16):
        narrow = copy.deepcopy(net).to(kind)
        model = load(saved(tmp_path / "x.pth", narrow.state_dict()))
        assert next(model.module.parameters()).dtype == torch.float32
        assert same_outputs(model.module, narrow.float())
        assert any(str(kind).removeprefix("torch.") in note for note in model.notes)


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    before = torch.get_rng_state()
    load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_depends_on_classes_is_learnt_without_building_a_network_in_memory() -> None:
    for reference in ("timm:resnet10t", "torchvision:mobilenet_v2"):
        shapes = build_shapes(find_architecture(reference), num_classes=7, in_chans=3)
        assert {tensor.device.type for tensor in shapes.values()} == {"meta"}


def without(state: Tensors, *starts: str) -> Tensors:
    return {key: x for key, x in state.items() if not key.startswith(starts)}


def resnet(classes: int = 6) -> nn.Module:
    return torchvision.models.resnet18(num_classes=classes)


@pytest.mark.parametrize(
    ("content", "architecture", "words"),
    [
        (
            lambda: timm.create_model("mobilenetv2_035").state_dict(),
            "torchvision:mobilenet_v2",
            r"262 of 314 tensors missing \(features.0.0.weight, .*another architecture.*look like timm:mobilenetv2_035",
        ),
        (
            lambda: torchvision.models.mobilenet_v2().state_dict(),
            "timm:mobilenetv2_100",
            r"missing \(conv_stem.weight.*not part of it \(features.0.0.weight.*look like torchvision:mobilenet_v2",
        ),
        (
            lambda: timm.create_model("mobilenetv2_035").state_dict(),
            "timm:mobilenetv2_050",
            r"of another shape \(.*\(file \d+ x \d+ x 1 x 1, network .*another architecture.*Try timm:mobilenetv2_035",
        ),
        (
            lambda: resnet().state_dict(),
            "torchvision:resnet34",
            r"80 of 218 tensors missing .*Try torchvision:resnet18",
        ),
        (
            lambda: torchvision.models.resnet34().state_dict(),
            "torchvision:resnet18",
            r"80 tensors not part of it .*Try torchvision:resnet34",
        ),
        (
            lambda: without(resnet().state_dict(), "layer3", "layer4"),
            "torchvision:resnet18",
            r"only a part of the network",
        ),
        (
            lambda: {**without(resnet().state_dict(), "fc."), "fc.1.weight": torch.ones(6, 512)},
            "torchvision:resnet18",
            r"classifier was replaced by one of your own",
        ),
        (
            lambda: (
                {f"backbone.body.{k}": x for k, x in resnet().state_dict().items()}
                | {"rpn.head.conv.weight": torch.zeros(1), "roi_heads.box.weight": torch.zeros(1)}
            ),
            "timm:mobilenetv2_100",
            r"torchvision detection model.*torchvision:fasterrcnn",
        ),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", img_size=96).state_dict(),
            "timm:vit_tiny_patch16_224",
            r"pos_embed .*pictures of another size.*Give that size in the preprocessing",
        ),
        (lambda: {"x": torch.zeros(3)}, "timm:resnet10t", r"another architecture"),
        (
            lambda: {**resnet().state_dict(), "fc.bias": torch.zeros(7)},
            "torchvision:resnet18",
            r"do not agree on a usable number of classes: 6, 7",
        ),
    ],
)
def test_weights_that_do_not_fit_give_one_readable_report(
    content: Callable[[], Tensors], architecture: str, words: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "x.pth", content())
    with pytest.raises(ModelError, match=f"(?s){words}") as caught:
        load_model(f"file:{path}", architecture=architecture)
    assert len(str(caught.value)) < 1200
    assert caught.value.remedy


def test_a_vision_transformer_of_another_size_loads_when_the_size_is_given(tmp_path: Path) -> None:
    net = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=3)
    path = saved(tmp_path / "x.pth", net.state_dict())
    architecture = "timm:vit_tiny_patch16_224"
    model = load_model(f"file:{path}", architecture=architecture, preprocessing={"size": 96}, device="cpu")
    assert same_outputs(model.module, net, size=96)


def test_without_an_architecture_the_error_suggests_one(tmp_path: Path) -> None:
    net, own = timm.create_model("resnet10t"), {"layer1.0.conv.weight": torch.zeros(1)}
    for content, words in (
        ({"arch": "resnet18", "state_dict": net.state_dict()}, "looks like timm:resnet10t with 1,000 classes"),
        ({"config": {"model_name": "mine"}, **own}, "says 'mine'. Its tensors look like a ResNet"),
        (own, "look like a ResNet"),
        ({"zzz.weight": torch.zeros(1)}, "architecture is missing"),
    ):
        with pytest.raises(ModelError, match=words):
            load(saved(tmp_path / "x.pth", content), None)


def test_a_wish_for_other_classes_than_the_file_has_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    assert len(load(path, num_classes=5, in_chans=3).labels) == 5
    with pytest.raises(ModelError, match="5 classes, not 7"):
        load(path, num_classes=7)
    with pytest.raises(ModelError, match="takes no num_classes"):
        load(path, lambda: SmallNet(5), num_classes=5)


def test_a_side_head_that_only_training_uses_may_be_in_the_file(tmp_path: Path) -> None:
    net = torchvision.models.inception_v3(num_classes=4, init_weights=False, aux_logits=True, transform_input=True)
    path = saved(tmp_path / "x.pth", nn.DataParallel(net).state_dict())
    model = load_model(f"file:{path}", architecture="torchvision:inception_v3", device="cpu")
    assert same_outputs(model.module, net, size=96)
    assert any("rescales its input" in note for note in model.notes)


def test_how_pictures_are_prepared_is_a_noted_assumption_unless_it_is_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", timm.create_model("resnet10t", num_classes=4).state_dict())
    for preprocessing, said in ((None, True), ({"size": 96}, False)):
        model = load_model(f"file:{path}", architecture="timm:resnet10t", device="cpu", preprocessing=preprocessing)
        assert any("pictures were prepared" in note for note in model.notes) is said


def test_a_function_that_builds_a_network_of_timm_is_prepared_for_as_timm_does_and_said_to_be(tmp_path: Path) -> None:
    build = partial(timm.create_model, "test_efficientnet", num_classes=4)
    path = saved(tmp_path / "x.pth", build().state_dict())
    model = load_model(f"file:{path}", architecture=build, device="cpu")
    assert model.preprocessing.size == (160, 160)
    assert any("as timm does" in note for note in model.notes)
    assert not any("224 x 224" in note for note in model.notes)


class FoldsPixels(nn.Module):
    """Its first convolution sees four times the channels of the picture."""

    def __init__(self, num_classes: int = 4, in_chans: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * in_chans, 8, 3), nn.ReLU())
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(x).mean((2, 3)))


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_folded_into_channels_do_not_count_as_channels_of_the_picture(channels: int, tmp_path: Path) -> None:
    net = FoldsPixels(5, channels)
    model = load(saved(tmp_path / "x.pth", net.state_dict()), FoldsPixels)
    assert model.preprocessing.channels == channels
    assert same_outputs(model.module, net, channels=channels)


def test_a_function_as_architecture_may_name_its_options_as_is_usual_or_take_none(tmp_path: Path) -> None:
    net = small(5, 1)
    path = saved(tmp_path / "x.pth", net.state_dict())

    def usual(n_classes: int, in_channels: int = 3) -> nn.Module:
        return SmallNet(n_classes, in_channels)

    def anything(**options: Any) -> nn.Module:
        return SmallNet(in_chans=1, **options)

    for build in (usual, anything, partial(SmallNet, in_chans=1), lambda: SmallNet(5, 1)):
        assert same_outputs(load(path, build).module, net, channels=1)


def test_a_function_that_hands_out_an_existing_model_leaves_that_model_alone(tmp_path: Path) -> None:
    mine, theirs = small(), small()
    before = copy.deepcopy(mine.state_dict())
    model = load(saved(tmp_path / "x.pth", theirs.state_dict()), lambda: mine)
    assert all(torch.equal(before[name], x) for name, x in mine.state_dict().items())
    assert same_outputs(model.module, theirs)


def test_a_factory_is_imported_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    model = load(path, "python:tests.checkpoints:SmallNet")
    assert model.architecture == "python:tests.checkpoints:SmallNet"
    (tmp_path / "own_broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    for architecture, words in (
        ("python:no_such_module_here:make", "cannot be imported"),
        ("python:own_broken_module:make", "cannot be imported: division by zero"),
        ("python:tests.checkpoints:absent", "no 'absent'"),
        ("python:tests.checkpoints", "incomplete"),
        ("python:tests.checkpoints:NAMES", "no function"),
        ("python:builtins:dict", "returned a dict, not a network"),
        ("resnet18", "names no architecture"),
        ("keras:resnet18", "names no architecture"),
        ("timm:resnet1x", "timm has no model"),
        (small(), "no function"),
        (lambda: 1 / 0, "could not be built: ZeroDivisionError"),
    ):
        with pytest.raises(ModelError, match=words):
            load(path, architecture)


def test_names_outside_the_matched_prefix_and_unknown_ones_inside_are_told_apart() -> None:
    match = match_names(["a.x", "a.y", "a.z", "b.q"], ["x", "y", "w"])
    assert match.prefix == "a."
    assert dict(match.names) == {"x": "a.x", "y": "a.y"}
    assert (match.missing, match.unexpected, match.elsewhere) == (("w",), ("a.z",), ("b.q",))
