"""A model in memory is copied, and stays as it is."""

import copy
import threading
import warnings

import pytest
import timm
import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from tests.checkpoints import NAMES, SmallNet, same_outputs, small


def test_a_model_in_memory_is_copied_and_stays_as_it_is() -> None:
    net = small()
    net.train()
    net.fc.weight.grad = torch.ones_like(net.fc.weight)
    before = copy.deepcopy(net.state_dict())
    model = load_model(net, labels=list(NAMES), device="cpu")
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert torch.equal(net.fc.weight.grad, torch.ones_like(net.fc.weight))
    assert all(torch.equal(before[name], x) for name, x in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert model.module is not net
    assert (model.architecture, model.labels) == ("SmallNet", NAMES)
    assert any("assumed" in note for note in model.notes)
    assert same_outputs(model.module, net)


def test_a_model_in_memory_is_taken_out_of_its_wrappers() -> None:
    net = small()
    for wrapped in (nn.DataParallel(net), torch.compile(net), nn.DataParallel(nn.DataParallel(net))):
        model = load_model(wrapped, device="cpu", preprocessing={"size": 32})
        assert type(model.module) is SmallNet
        assert model.default_layer in dict(net.named_modules())


def test_a_timm_model_in_memory_keeps_timms_preprocessing() -> None:
    net = timm.create_model("resnet10t", num_classes=3)
    model = load_model(net, device="cpu")
    assert model.preprocessing.size == (176, 176)
    assert [note for note in model.notes if "one class only was assumed" not in note] == []
    grey = load_model(timm.create_model("resnet10t", num_classes=3, in_chans=1), device="cpu")
    assert grey.preprocessing.channels == 1


def test_a_model_in_half_precision_is_computed_in_float32_with_a_note() -> None:
    net = small().half()
    model = load_model(net, device="cpu", preprocessing={"size": 32})
    assert net.fc.weight.dtype == torch.float16
    assert model.module.fc.weight.dtype == torch.float32
    assert any("float32" in note for note in model.notes)


def test_a_model_that_cannot_be_copied_or_run_is_refused_in_words() -> None:
    locked = small()
    locked.lock = threading.Lock()  # type: ignore[assignment]
    with torch.device("meta"):
        hollow = SmallNet()
    lazy = nn.Sequential(nn.LazyConv2d(3, 1), nn.Flatten(), nn.LazyLinear(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(small(), torch.zeros(1, 3, 8, 8))
    for net, words in (
        (locked, "cannot be copied"),
        (hollow, "no weights"),
        (lazy, "lazy"),
        (scripted, "TorchScript"),
    ):
        with pytest.raises(ModelError, match=words):
            load_model(net, device="cpu")


def test_a_model_that_keeps_the_results_of_its_last_pass_loads() -> None:
    holding = small()
    holding.last = holding(torch.rand(1, 3, 8, 8))  # type: ignore[assignment]
    assert load_model(holding, device="cpu", preprocessing={"size": 32}).layers


def test_a_network_that_fails_in_its_own_code_is_refused_in_words() -> None:
    class OneSize(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return {224: self.body}[x.shape[-1]](x).mean((2, 3))

    with pytest.raises(ModelError, match="does not run on one picture of 32 x 32 with 3 channels: KeyError"):
        load_model(OneSize(), device="cpu", preprocessing={"size": 32})


def test_a_network_in_memory_of_four_channels_says_so() -> None:
    model = load_model(SmallNet(in_chans=4), device="cpu", preprocessing={"size": 32})
    assert any("4 channels" in note for note in model.notes)
