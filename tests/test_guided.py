"""Guided backpropagation against its paper's rule, for every way in which a ReLU is written."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gradcam_core.capture.guided import activation_kinds, guided_gradients
from gradcam_core.errors import MethodError
from tests import networks
from tests.test_capture import state_of


class Small(nn.Module):
    """Linear, rectifier, linear, rectifier, linear: small enough to go back by hand."""

    def __init__(self, rectify: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.rectify = rectify
        self.steps = nn.ModuleList([nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        for step in self.steps[:-1]:
            x = self.rectify(4 * step(x))
        return self.steps[-1](x)


def by_hand(network: Small, x: np.ndarray, index: int, most: float) -> np.ndarray:
    """Springenberg et al. 2014, section 3: R = (f > 0) (R' > 0) R' at each ReLU, step by step, in loops."""
    weights = [step.weight.double().numpy() for step in network.steps]
    biases = [step.bias.double().numpy() for step in network.steps]
    entered, value = [], x
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        before = [4 * (sum(weight[i][j] * value[j] for j in range(len(value))) + bias[i]) for i in range(len(weight))]
        entered.append(before)
        value = np.array([min(max(one, 0.0), most) for one in before])
    back = weights[-1][index]
    for weight, before in zip(weights[-2::-1], entered[::-1], strict=True):
        passed = [r if 0 < f < most and r > 0 else 0.0 for f, r in zip(before, back, strict=True)]
        back = np.array([4 * sum(passed[i] * weight[i][j] for i in range(len(weight))) for j in range(len(weight[0]))])
    return back


def mutate(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Call a step in place and go on with the tensor it changed, not with what it returns."""

    def rectify(x: torch.Tensor) -> torch.Tensor:
        function(x)
        return x

    return rectify


PLAIN: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "functional": functional.relu,
    "functional in place": lambda x: functional.relu(x, inplace=True),
    "functional in place by position": lambda x: functional.relu(x, True),
    "torch": torch.relu,
    "method": lambda x: x.relu(),
    "method in place": mutate(lambda x: x.relu_()),
    "torch in place": mutate(torch.relu_),
    "threshold": lambda x: functional.threshold(x, 0, 0),
    "clamp": lambda x: x.clamp(min=0),
    "clamp by position": lambda x: torch.clamp(x, 0),
    "clamp_min": lambda x: x.clamp_min(0),
    "relu by name": lambda x: torch.relu(input=x),
    "functional by name": lambda x: functional.relu(input=x),
    "functional in place by name": lambda x: functional.relu(input=x, inplace=True),
    "clamp_min by name": lambda x: torch.clamp_min(input=x, min=0),
    "clamp_min in place by name": mutate(lambda x: torch.clamp_min_(input=x, min=0)),
    "clamp by name": lambda x: torch.clamp(input=x, min=0),
    "clamp without an upper end": lambda x: torch.clamp(x, min=0.0, max=None),
    "clip": lambda x: torch.clip(input=x, min=0),
    "clip in place": mutate(lambda x: x.clip_(min=0)),
    "threshold by name": lambda x: functional.threshold(input=x, threshold=0, value=0),
    "threshold in any order": lambda x: functional.threshold(value=0.0, inplace=False, threshold=0.0, input=x),
    "threshold in place": mutate(lambda x: functional.threshold_(x, 0, 0)),
    "threshold in place by position": mutate(lambda x: functional.threshold(x, 0, 0, True)),
    "threshold module": nn.Threshold(0, 0),
}
BOUNDED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "module": nn.ReLU6(),
    "module in place": nn.ReLU6(inplace=True),
    "functional": functional.relu6,
    "hardtanh": lambda x: functional.hardtanh(x, 0.0, 6.0),
    "hardtanh in place": mutate(lambda x: functional.hardtanh_(x, 0.0, 6.0)),
    "clamp": lambda x: x.clamp(0, 6),
    "clamp in place": mutate(lambda x: x.clamp_(min=0, max=6)),
    "relu6 by name": lambda x: functional.relu6(input=x),
    "relu6 in place by position": mutate(lambda x: functional.relu6(x, True)),
    "hardtanh by name": lambda x: functional.hardtanh(input=x, min_val=0, max_val=6),
    "hardtanh in place by name": mutate(lambda x: functional.hardtanh(input=x, max_val=6.0, min_val=0.0, inplace=True)),
    "hardtanh in place by position": mutate(lambda x: functional.hardtanh(x, 0.0, 6.0, True)),
    "hardtanh module": nn.Hardtanh(0, 6),
    "clamp by name": lambda x: torch.clamp(input=x, min=0, max=6),
    "clip": lambda x: x.clip(0, 6),
}
KINDS = [("relu", name) for name in PLAIN] + [("bounded relu", name) for name in BOUNDED]


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_every_way_to_write_a_relu_follows_the_paper(kind: str, name: str) -> None:
    network = Small((PLAIN if kind == "relu" else BOUNDED)[name]).requires_grad_(False)
    inputs = torch.randn(2, 3, 2, 2)
    made = guided_gradients(network, inputs, lambda outputs: outputs[:, [0, 3]].T)
    assert made.shape == (2, 2, 3, 2, 2)
    different = 0.0
    for place, index in enumerate((0, 3)):
        for n in range(2):
            x = inputs[n].flatten().double().numpy()
            expected = by_hand(network, x, index, np.inf if kind == "relu" else 6.0)
            np.testing.assert_allclose(made[place, n].flatten().numpy(), expected, atol=1e-4)
            different += float(np.abs(expected - ordinary(network, inputs[n], index).numpy()).max())
    assert different > 0.01  # the rule makes a difference
    assert activation_kinds(network, inputs) == (kind,)


@pytest.mark.parametrize(
    "step",
    [
        lambda x: torch.clamp_min(input=x, min=torch.zeros(())),
        lambda x: torch.clamp(input=x, min=torch.zeros(16), max=torch.ones(16)),
        lambda x: torch.clamp(x, max=6),
        lambda x: torch.clamp_min(input=x, min=-1),
        lambda x: functional.threshold(input=x, threshold=0, value=-1),
        lambda x: functional.hardtanh(input=x),
    ],
)
def test_a_step_with_other_bounds_is_no_relu_and_keeps_its_gradient(step: Callable[..., Any]) -> None:
    network = Small(step).requires_grad_(False)
    inputs = torch.randn(1, 3, 2, 2)
    assert activation_kinds(network, inputs) == ()
    gradients = guided_gradients(network, inputs, lambda outputs: outputs[:, :1].T)
    torch.testing.assert_close(gradients[0, 0].flatten(), ordinary(network, inputs[0], 0))


def ordinary(network: nn.Module, x: torch.Tensor, index: int) -> torch.Tensor:
    leaf = x[None].clone().requires_grad_()
    return torch.autograd.grad(network(leaf * 1.0)[0, index], leaf)[0].flatten()


@pytest.mark.parametrize("reference", ["torchvision:resnet18", "torchvision:mobilenet_v2", "torchvision:densenet121"])
def test_real_architectures_equal_hooks_on_their_relus(reference: str) -> None:
    """The usual other way: a backward hook on each ReLU module that keeps what is positive."""
    model = networks.real(reference)
    plain = networks.without_taps(model.module)
    for module in plain.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.register_full_backward_hook(lambda m, into, outof: (into[0].clamp(min=0),))
    inputs = torch.randn(1, 3, 96, 96)
    before = state_of(model.module)
    made = guided_gradients(model.module, inputs, lambda outputs: outputs[:, [2, 5]].T)
    assert state_of(model.module) == before
    for place, index in enumerate((2, 5)):
        leaf = inputs.clone().requires_grad_()
        (expected,) = torch.autograd.grad(plain(leaf)[0, index], leaf)
        if reference == "torchvision:densenet121":  # its last ReLU is a function, which hooks do not reach
            assert not torch.allclose(made[place], expected, rtol=1e-2, atol=1e-5 * float(expected.abs().max()))
        else:
            torch.testing.assert_close(made[place], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_other_nonlinear_steps_are_named_and_keep_their_gradient() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.GELU(), nn.Linear(8, 8), nn.SiLU(), nn.Linear(8, 3))
    inputs = torch.randn(1, 3, 2, 2)
    assert activation_kinds(network, inputs) == ("gelu", "silu")
    made = guided_gradients(network, inputs, lambda outputs: outputs[:, :1].T)
    torch.testing.assert_close(made[0, 0].flatten(), ordinary(network, inputs[0], 0))


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (functional.elu_, "elu"),
        (torch.celu_, "celu"),
        (torch.selu_, "selu"),
        (functional.leaky_relu_, "leaky rectifier"),
        (lambda x: x.prelu(torch.full((1,), 0.1)), "learnt rectifier"),
    ],
)
def test_other_steps_are_named_in_place_and_as_methods_of_tensors_too(step: Callable[..., Any], kind: str) -> None:
    assert activation_kinds(Small(step).requires_grad_(False), torch.randn(1, 3, 2, 2)) == (kind,)


def test_scores_that_do_not_depend_on_the_input_are_refused_in_words() -> None:
    class Deaf(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.detach().flatten(1)[:, :3]

    with pytest.raises(MethodError, match="depends on the input"):
        guided_gradients(Deaf(), torch.randn(1, 3, 2, 2), lambda outputs: outputs[:, :1].T)


def test_threads_do_not_guide_each_other() -> None:
    network = networks.real("torchvision:resnet18").module
    inputs = torch.randn(1, 3, 64, 64)
    score: Any = lambda outputs: outputs[:, :2].T  # noqa: E731
    guided, plain = guided_gradients(network, inputs, score), ordinary(network, inputs[0], 0)

    def work(turn: int) -> bool:
        if turn % 2:
            return torch.allclose(guided_gradients(network, inputs, score), guided)
        return torch.allclose(ordinary(network, inputs[0], 0), plain)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(32)))
