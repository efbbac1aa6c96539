"""Weights under other names than the architecture's: of old, of other tools, in the same order; plain or averaged."""

import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.utils.prune
import torchvision
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from gradcam_core.sources.names import match_in_order
from tests.checkpoints import SmallNet, Tensors, load, same_outputs, saved, small


def moved(net: nn.Module) -> nn.Module:
    """Random in every tensor, so that no two are alike."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(0.05 * noise if tensor.ndim > 1 else 1 + 0.1 * noise.clamp(-3, 3))
    return net.eval()


def renamed(state: Tensors, *rules: tuple[str, str]) -> dict[str, torch.Tensor]:
    names = {}
    for name in state:
        new = name
        for old, today in rules:
            new = re.sub(old, today, new)
        names[new] = state[name]
    return names


def transformer(num_classes: int = 3) -> nn.Module:
    return torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=num_classes)


@pytest.mark.slow
def test_densenets_names_of_old_are_turned(tmp_path: Path) -> None:
    net = moved(torchvision.models.densenet121(num_classes=3))
    old = renamed(net.state_dict(), (r"(denselayer\d+\.)(norm|conv)([12])\.", r"\1\2.\3."))
    model = load_model(f"file:{saved(tmp_path / 'x.pth', old)}", architecture="torchvision:densenet121", device="cpu")
    assert same_outputs(model.module, net)
    assert any("names of old" in note for note in model.notes)


@pytest.mark.parametrize("prefix", ["", "module.", "model.net."])
def test_a_networks_own_way_of_loading_turns_names(prefix: str, tmp_path: Path) -> None:
    """As torchvision's vision transformer does for files from before its release 0.13."""
    net = moved(transformer())
    rules = ((r"mlp\.0\.", "mlp.linear_1."), (r"mlp\.3\.", "mlp.linear_2."), ("^", prefix))
    path = saved(tmp_path / "x.pth", renamed(net.state_dict(), *rules))
    assert same_outputs(load(path, transformer).module, net, size=32)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state}])
def test_timms_own_filter_turns_the_names_of_a_networks_authors(wrap: Any, tmp_path: Path) -> None:
    net = moved(timm.create_model("convnext_atto", num_classes=4))
    rules = (
        *((r"^stem\.(\d)", r"downsample_layers.0.\1"), (r"^stages\.(\d)\.downsample", r"downsample_layers.\1")),
        *((r"\.blocks\.", "."), ("conv_dw", "dwconv"), (r"mlp\.fc", "pwconv"), (r"head\.norm", "norm")),
        (r"head\.fc", "head"),
    )
    old = {
        name: x.flatten(1) if "pwconv" in name and x.dim() == 4 else x
        for name, x in renamed(net.state_dict(), *rules).items()
    }
    model = load_model(f"file:{saved(tmp_path / 'x.pth', wrap(old))}", architecture="timm:convnext_atto", device="cpu")
    assert same_outputs(model.module, net)


def test_a_table_of_places_for_another_size_is_not_computed_anew(tmp_path: Path) -> None:
    net = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=2)
    odd = {**net.state_dict(), "extra.weight": torch.zeros(1), "cls_token": torch.zeros(1, 1, 9)}
    with pytest.raises(ModelError, match="do not fit"):
        load_model(f"file:{saved(tmp_path / 'x.pth', odd)}", architecture="timm:vit_tiny_patch16_224")


def resnet() -> nn.Module:
    return moved(torchvision.models.resnet18(num_classes=4))


@pytest.mark.parametrize(("body", "head"), [("backbone.", "head."), ("model.body.", "cls_head."), ("a.", "b.c.")])
def test_a_head_beside_its_body_is_found(body: str, head: str, tmp_path: Path) -> None:
    net = resnet()
    state = {(head if name.startswith("fc.") else body) + name: x for name, x in net.state_dict().items()}
    path = saved(tmp_path / "x.pth", {"meta": {"dataset_meta": {"classes": list("abcd")}}, "state_dict": state})
    model = load_model(f"file:{path}", architecture="torchvision:resnet18", device="cpu")
    assert same_outputs(model.module, net)
    assert any("classifier was taken from" in note for note in model.notes)


def test_of_two_heads_beside_a_body_none_is_taken(tmp_path: Path) -> None:
    net = resnet().state_dict()
    heads = {f"{place}.{name}": x for place in ("one", "two") for name, x in net.items() if name.startswith("fc.")}
    state = heads | {f"backbone.{name}": x for name, x in net.items() if not name.startswith("fc.")}
    with pytest.raises(ModelError, match="2 of 122 tensors missing"):
        load_model(f"file:{saved(tmp_path / 'x.pth', state)}", architecture="torchvision:resnet18")


def test_a_head_behind_dropout_is_found(tmp_path: Path) -> None:
    net = resnet()
    state = renamed(net.state_dict(), (r"^fc\.", "fc.1."))
    model = load_model(f"file:{saved(tmp_path / 'x.pth', state)}", architecture="torchvision:resnet18", device="cpu")
    assert same_outputs(model.module, net)
    assert any("'fc.1'" in note and "except dropout" in note for note in model.notes)


def monai_names(state: Tensors) -> dict[str, torch.Tensor]:
    return renamed(state, (r"(denselayer\d+)\.", r"\1.layers."), (r"classifier\.", "class_layers.out."))


def test_the_same_tensors_in_the_same_order_fit_and_a_note_says_so(tmp_path: Path) -> None:
    """As MONAI names its DenseNet; here of one channel, as for radiographs."""
    net = torchvision.models.densenet121(num_classes=3)
    net.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    path = saved(tmp_path / "x.pth", monai_names(moved(net).state_dict()))
    model = load_model(f"file:{path}", architecture="torchvision:densenet121", device="cpu")
    assert same_outputs(model.module, net, channels=1)
    assert model.preprocessing.channels == 1
    assert any("by their order" in note for note in model.notes)


def test_order_counts_only_where_every_shape_and_every_kind_fits() -> None:
    shapes = {name: tuple(x.shape) for name, x in small().state_dict().items()}
    other = {f"x{place}.{name.rpartition('.')[2]}": shape for place, (name, shape) in enumerate(shapes.items())}
    assert len(match_in_order(other, shapes).names) == len(shapes) - 1  # without the counter
    swapped = renamed(dict.fromkeys(other), ("running_mean", "running_variance"))
    assert match_in_order(dict.fromkeys(swapped, (4,)), shapes).missing
    assert match_in_order(dict(list(other.items())[1:]), shapes).missing


def test_a_file_that_fits_a_known_network_by_name_is_not_read_by_order(tmp_path: Path) -> None:
    """torchvision's and timm's EfficientNet have the same shapes in the same order, and pad in different ways."""
    state = torchvision.models.efficientnet_b0(num_classes=3).state_dict()
    with pytest.raises(ModelError, match="Try torchvision:efficientnet_b0"):
        load_model(f"file:{saved(tmp_path / 'x.pth', state)}", architecture="timm:tf_efficientnet_b0")


def test_stretched_tensors_are_not_computed_with(tmp_path: Path) -> None:
    state = {f"other.{name}": torch.zeros(1).expand(x.shape) for name, x in transformer().state_dict().items()}
    state["big.weight"] = torch.zeros(1).expand(10**12, 6)
    with pytest.raises(ModelError):
        load(saved(tmp_path / "x.pth", renamed(state, (r"mlp\.0\.", "mlp.linear_1."))), transformer)


@pytest.mark.parametrize("weights", [None, "plain", "averaged"])
def test_plain_or_averaged_weights_can_be_chosen(weights: str | None, tmp_path: Path) -> None:
    nets = {"state_dict": moved(SmallNet(5)), "state_dict_ema": small()}
    path = saved(tmp_path / "x.pth", {key: net.state_dict() for key, net in nets.items()})
    wanted = nets["state_dict_ema" if weights == "averaged" else "state_dict"]
    assert same_outputs(load(path, weights=weights).module, wanted)


def test_a_choice_of_weights_that_cannot_be_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    with pytest.raises(ModelError, match="no averaged weights"):
        load(path, weights="averaged")
    with pytest.raises(ModelError, match="weights cannot be 'best'"):
        load(path, weights="best")
    with pytest.raises(ModelError, match="cannot be set for bundled"):
        load_model("bundled:radiograph_clean", weights="plain")


def pruned(net: nn.Module) -> None:
    torch.nn.utils.prune.l1_unstructured(net.body, "weight", 0.5)


def normalised(net: nn.Module) -> None:
    torch.nn.utils.parametrizations.weight_norm(net.body)
    with torch.no_grad():
        net.body.parametrizations.weight.original0.mul_(2)


def normalised_in_the_older_way(net: nn.Module) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        torch.nn.utils.weight_norm(net.fc)
    with torch.no_grad():
        net.fc.weight_g.mul_(2)


@pytest.mark.parametrize("change", [pruned, normalised, normalised_in_the_older_way])
def test_weights_that_are_kept_in_parts_are_computed(change: Any, tmp_path: Path) -> None:
    net = small()
    change(net)
    model = load(saved(tmp_path / "x.pth", net.state_dict()))
    assert same_outputs(model.module, net)
    assert any("computed from the parts" in note for note in model.notes)


def test_torchxrayvisions_thresholds_tell_its_pictures_and_findings(tmp_path: Path) -> None:
    net = torchvision.models.densenet121(num_classes=18)
    net.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    state = OrderedDict(moved(net).state_dict(), op_threshs=torch.full((18,), float("nan")))
    path = saved(tmp_path / "x.pth", state)
    model = load_model(f"file:{path}", architecture="torchvision:densenet121", device="cpu")
    assert same_outputs(model.module, net, channels=1)
    assert model.task == "multi_label"
    black, white = ((x - model.preprocessing.mean[0]) / model.preprocessing.std[0] for x in (0, 1))
    assert (black, white) == (-1024, 1024)
