"""A checkpoint's architecture is suggested from its tensors, and nothing is taken without being named."""

import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from gradcam_core import suggest_architectures
from gradcam_core.cli import main
from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from gradcam_core.sources.checkpoints import Checkpoint
from gradcam_core.sources.own_networks import build_shapes, find_architecture
from gradcam_core.sources.state_dicts import explain_misfit, fit_tensors, shapes_of
from gradcam_core.sources.suggestions import (
    MARKING_CLASSES,
    _features,
    _index,
    known_network,
    lookalike,
    suggest,
    write_index,
)
from tests.checkpoints import Tensors, same_outputs, saved

MOBILENET = "torchvision:mobilenet_v2"
# One of each common family; small ones where there is a choice.
COMMON = (
    *("mobilenetv2_050", "mobilenetv3_small_050", "efficientnet_b0", "resnet10t", "resnetv2_50", "seresnet50"),
    *("resnext50_32x4d", "densenet121", "convnext_atto", "regnety_002", "ghostnet_050", "mobilevit_xxs", "repvgg_a0"),
    *("vit_tiny_patch16_224", "deit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "mixer_s32_224", "dla34"),
    *(
        "inception_v3",
        "xception41",
        "hrnet_w18_small",
        "poolformer_s12",
        "mnasnet_small",
        "vgg11_bn",
        "tf_efficientnet_b0",
    ),
)


def mobilenet(classes: int = 7) -> nn.Module:
    return torchvision.models.mobilenet_v2(num_classes=classes)


def grey(state: Tensors) -> Tensors:
    return {**state, "features.0.0.weight": state["features.0.0.weight"].sum(1, keepdim=True)}


def prefixed(prefix: str, state: Tensors) -> Tensors:
    return {f"{prefix}{name}": x for name, x in state.items()}


def without(state: Tensors, *starts: str) -> Tensors:
    return {name: x for name, x in state.items() if not name.startswith(starts)}


WRAPPED: dict[str, Callable[[Tensors], Any]] = {
    "plain": lambda s: s,
    "DataParallel": lambda s: prefixed("module.", s),
    "wrapped": lambda s: {"state_dict": prefixed("module.", s), "epoch": 3},
    "Lightning": lambda s: {"state_dict": {**prefixed("model.", s), "loss.weight": torch.ones(7)}},
    "compiled": lambda s: prefixed("_orig_mod.module.", s),
    "parallel features": lambda s: {name.replace("features.", "features.module."): x for name, x in s.items()},
    "with a moving average": lambda s: {"model": s, "model_ema": s, "optimizer": {"state": {}, "param_groups": []}},
    "only the average": lambda s: {"state_dict_ema": s},
    "half": lambda s: {name: x.half() for name, x in s.items()},
    "without counters": lambda s: {name: x for name, x in s.items() if "num_batches" not in name},
    "grey": grey,
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_architecture_is_recognised_in_every_wrapper(wrap: Callable[[Tensors], Any], tmp_path: Path) -> None:
    path = saved(tmp_path / "weights.pth.tar", wrap(mobilenet().state_dict()))
    (best,) = suggest_architectures(path)
    assert (best.reference, best.classes, best.complete) == (MOBILENET, 7, True)
    assert (best.missing, best.unexpected, best.misshapen) == ((), (), ())
    if wrap is WRAPPED["DataParallel"]:
        assert best.words == "torchvision:mobilenet_v2 with 7 classes (all 314 tensors fit)"


@pytest.mark.parametrize("name", ["resnet10t", "mobilenetv2_050", "vit_tiny_patch16_224", "convnext_atto"])
def test_networks_of_timm_are_recognised(name: str, tmp_path: Path) -> None:
    state = timm.create_model(name, num_classes=1).state_dict()
    best = suggest_architectures(saved(tmp_path / "x.bin", prefixed("module.", state)))[0]
    assert (best.reference, best.classes, best.complete) == (f"timm:{name}", 1, True)
    assert "with 1 class (" in best.words


def test_networks_with_the_same_tensors_are_all_named_and_what_the_file_says_comes_first(tmp_path: Path) -> None:
    state = timm.create_model("efficientnet_b0", num_classes=4).state_dict()
    names = [x.reference for x in suggest_architectures(saved(tmp_path / "x.pth", state))]
    assert names[0] == "timm:efficientnet_b0"
    assert "timm:tf_efficientnet_b0" in names
    said = saved(tmp_path / "y.pth", {"arch": "tf_efficientnet_b0", "state_dict": state})
    assert [x.reference for x in suggest_architectures(said)][:2] == ["timm:tf_efficientnet_b0", "timm:efficientnet_b0"]


def test_what_the_file_says_does_not_count_where_its_tensors_say_otherwise(tmp_path: Path) -> None:
    content = {"arch": "resnet18", "state_dict": mobilenet().state_dict()}
    assert [x.reference for x in suggest_architectures(saved(tmp_path / "x.pth", content))] == [MOBILENET]


def resnet() -> dict[str, torch.Tensor]:
    return dict(torchvision.models.resnet18(num_classes=6).state_dict())


def test_a_network_that_is_nearly_known_is_named_with_what_differs(tmp_path: Path) -> None:
    replaced = {**without(resnet(), "fc."), "fc.1.weight": torch.ones(9, 512), "fc.3.weight": torch.ones(6, 9)}
    best = suggest_architectures(saved(tmp_path / "x.pth", replaced))[0]
    assert best.reference == "torchvision:resnet18"
    assert not best.complete
    assert best.missing == ("fc.weight", "fc.bias")
    assert set(best.unexpected) == {"fc.1.weight", "fc.3.weight"}
    assert best.classes is None
    assert "classifier was replaced" in best.reason
    assert best.words == "torchvision:resnet18 (120 tensors fit, 2 missing and 2 not part of it)"


def test_another_shape_is_counted_and_named(tmp_path: Path) -> None:
    state = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=3).state_dict()
    best = suggest_architectures(saved(tmp_path / "x.pth", state))[0]
    assert best.misshapen == ("pos_embed",)
    assert (best.reference, best.classes) == ("timm:vit_tiny_patch16_224", 3)
    assert "pictures of another size" in best.reason


def test_nothing_is_suggested_for_a_network_that_is_not_known(tmp_path: Path) -> None:
    lstm = nn.LSTM(8, 16, 2).state_dict()
    assert suggest_architectures(saved(tmp_path / "x.pth", lstm)) == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"epoch,loss\n1,0.5\n" * 40, "table (CSV) or text"),
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "PNG"),
    ],
)
def test_what_is_no_checkpoint_is_refused_as_when_it_is_loaded(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(ModelError) as refused:
        suggest_architectures(tmp_path / "x.pth")
    with pytest.raises(ModelError) as on_load:
        load_model(f"file:{tmp_path / 'x.pth'}", architecture=MOBILENET)
    assert words in str(refused.value)
    assert str(refused.value) == str(on_load.value)


def test_programs_and_pickled_models_are_recognised_by_their_tensors(tmp_path: Path) -> None:
    net = mobilenet().eval()
    torch.save(net, tmp_path / "whole.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.trace(net, torch.zeros(1, 3, 32, 32)).save(str(tmp_path / "script.pt"))
    for name in ("whole.pth", "script.pt"):
        best = suggest_architectures(tmp_path / name)[0]
        assert (best.reference, best.complete) == (MOBILENET, True)


def test_the_state_of_an_optimizer_is_no_model(tmp_path: Path) -> None:
    keyed = {name: {"exp_avg": x, "exp_avg_sq": x} for name, x in mobilenet().named_parameters()}
    for state in ({}, keyed):
        with pytest.raises(ModelError, match="only the state of an optimizer"):
            suggest_architectures(saved(tmp_path / "x.pth", {"state": state, "param_groups": []}))


def test_many_tensors_do_not_keep_the_computer_busy() -> None:
    zero = torch.zeros(1)
    for names in (
        [f"a.{n}.b{n}.weight" for n in range(100_000)],
        [f"layer{n % 4}.{n}.conv1.weight" for n in range(19_000)],
    ):
        start = time.process_time()
        assert not any(x.complete for x in suggest(Checkpoint({}, {}, dict.fromkeys(names, zero))))
        assert time.process_time() - start < 20


def test_the_index_lists_every_network_of_torchvision_and_the_common_ones_of_timm() -> None:
    indexed = {reference for group in _index().references for reference in group}
    models = torchvision.models
    assert {f"torchvision:{name}" for name in models.list_models(module=models)} <= indexed
    known = {f"timm:{name}" for name in timm.list_models()}
    assert {f"timm:{name}" for name in COMMON} <= indexed
    assert len(known & indexed) >= 0.95 * len(known), "run `make architectures`"


def test_the_index_is_what_the_installed_libraries_build(tmp_path: Path) -> None:
    index = _index()
    for reference in (MOBILENET, "torchvision:squeezenet1_0", "timm:resnet10t", "timm:mixer_s32_224"):
        place = next(place for place, group in enumerate(index.references) if reference in group)
        shapes = shapes_of(build_shapes(find_architecture(reference), num_classes=MARKING_CLASSES))
        assert np.array_equal(_features(shapes), index.features[index.starts[place] : index.starts[place + 1]])
    write_index([MOBILENET, "timm:resnet10t"], tmp_path / "index.npz")
    with np.load(tmp_path / "index.npz") as written:
        assert str(written["references"]).split("\n") == [MOBILENET, "timm:resnet10t"]
        assert written["starts"][-1] == len(written["features"])


# Without the largest RegNets, which cannot be built without memory for their weights.
OF_TORCHVISION = [name for name in torchvision.models.list_models(module=torchvision.models) if "gf" not in name]


@pytest.mark.slow
@pytest.mark.parametrize("reference", [f"torchvision:{x}" for x in OF_TORCHVISION] + [f"timm:{x}" for x in COMMON])
def test_own_tensors_lead_to_the_network_or_to_one_with_the_same_tensors(reference: str) -> None:
    tensors = build_shapes(find_architecture(reference), num_classes=11)
    suggestions = suggest(Checkpoint({}, {}, prefixed("module.", dict(tensors))))
    assert suggestions[0].complete
    assert suggestions[0].classes == 11
    assert reference in {suggestion.reference for suggestion in suggestions}


# Loading


def test_an_architecture_is_suggested_and_not_taken_where_none_is_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", mobilenet().state_dict())
    with pytest.raises(ModelError) as refused:
        load_model(f"file:{path}")
    assert "looks like torchvision:mobilenet_v2 with 7 classes (all 314 tensors fit)" in refused.value.remedy
    assert "'auto'" in refused.value.remedy


def test_auto_takes_the_network_that_all_tensors_fit_and_a_note_names_it(tmp_path: Path) -> None:
    net = mobilenet()
    path = saved(tmp_path / "x.pth", nn.DataParallel(net).state_dict())
    model = load_model(f"file:{path}", architecture="auto", device="cpu")
    assert model.architecture == MOBILENET
    assert same_outputs(model.module, net)
    assert "read off the file's tensors: torchvision:mobilenet_v2." in model.notes[0]
    state = timm.create_model("efficientnet_b0", num_classes=2).state_dict()
    twins = load_model(f"file:{saved(tmp_path / 'y.pth', state)}", architecture="auto", device="cpu")
    assert "timm:tf_efficientnet_b0" in twins.notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            lambda: {**without(resnet(), "fc."), "fc.1.weight": torch.ones(6, 512)},
            "nearest known network is torchvision",
        ),
        (lambda: {"decode_head.conv.weight": torch.ones(2, 2), **without(resnet(), "fc.")}, "a segmentation model"),
        (lambda: {"zzz.weight": torch.zeros(1)}, "No known architecture fits all tensors of the file. Give"),
    ],
)
def test_auto_takes_nothing_that_does_not_fit_entirely(
    content: Callable[[], Mapping[str, Any]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        load_model(f"file:{saved(tmp_path / 'x.pth', content())}", architecture="auto")
    assert "'auto'" not in str(refused.value)


def test_the_terminal_names_the_suggestion_and_takes_auto(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = partial(timm.create_model, "test_resnet", num_classes=3)
    path = saved(tmp_path / "x.pth.tar", network().state_dict())
    picture = tmp_path / "a.png"
    torchvision.utils.save_image(torch.rand(3, 64, 64), picture)
    flags = ["--method", "grad_cam", "--top-k", "1", "--out", str(tmp_path / "out")]
    assert main(["explain", str(picture), "--model", f"file:{path}", *flags]) == 2
    assert "timm:test_resnet with 3 classes" in capsys.readouterr().err
    assert main(["explain", str(picture), "--model", f"file:{path}", "--architecture", "auto", *flags]) == 0
    assert "note: The architecture was read off the file's tensors: timm:test_resnet." in capsys.readouterr().err


# The network that wrote a file, and one of the same or another family that was given for it.
GIVEN_FOR = (
    *(("timm:resnet18", "timm:resnet50"), ("torchvision:resnet50", "torchvision:wide_resnet50_2")),
    *(("torchvision:mobilenet_v2", "timm:mobilenetv2_100"), ("timm:mobilenetv3_small_100", "timm:resnet18")),
    *(("timm:efficientnet_b1", "timm:efficientnet_b0"), ("timm:vit_tiny_patch16_224", "timm:vit_small_patch16_224")),
    *(("timm:deit_tiny_distilled_patch16_224", "timm:deit_tiny_patch16_224"), ("timm:seresnet50", "timm:resnet50")),
    *(("torchvision:swin_t", "timm:swin_tiny_patch4_window7_224"), ("timm:convnext_atto", "timm:convnext_tiny")),
    *(("timm:convnextv2_atto", "timm:convnext_atto"), ("torchvision:densenet121", "torchvision:densenet169")),
    *(("timm:regnety_002", "timm:regnetx_002"), ("torchvision:vgg11", "torchvision:vgg16")),
    *(("torchvision:squeezenet1_0", "torchvision:squeezenet1_1"), ("timm:mixer_s32_224", "timm:resmlp_12_224")),
    *(("torchvision:vit_b_32", "timm:vit_base_patch32_224"), ("timm:xception41", "timm:inception_v3")),
    *(("timm:ghostnet_050", "timm:mobilenetv2_100"), ("timm:beit_base_patch16_224", "timm:vit_base_patch16_224")),
)
FEW = ("timm:resnet18", "torchvision:squeezenet1_0", "timm:regnety_002")


@pytest.mark.parametrize(
    ("own", "given"),
    [pytest.param(own, given, marks=[] if own in FEW else [pytest.mark.slow]) for own, given in GIVEN_FOR],
)
def test_a_wrong_architecture_is_answered_with_the_right_one(own: str, given: str) -> None:
    tensors = {name: torch.zeros(x.shape) for name, x in build_shapes(find_architecture(own), num_classes=5).items()}
    known = known_network(tensors)
    fit = fit_tensors(find_architecture(given), shapes_of(tensors))
    assert not fit.complete
    assert own in {reference for group in _index().references if known in group for reference in group}
    assert f"Try {known}:" in str(explain_misfit(fit, lookalike(tensors, known), known))
