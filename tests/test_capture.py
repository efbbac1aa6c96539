"""Gradients from the cut equal ordinary ones, the model stays as it is, and threads do not mix."""

import copy
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core import list_methods, load_model
from gradcam_core.capture import capture, class_scores, probe
from gradcam_core.errors import GradcamError, LayerError, ModelError, TargetError
from gradcam_core.explanation import explain
from gradcam_core.layers import resolve_layer, to_grid
from gradcam_core.records import Evidence, LoadedModel
from gradcam_core.targets import choose_targets
from tests import networks

CLASSES = [0, 2, 4]
ALL_METHODS = [entry.name for entry in list_methods()]


def inputs_for(model: LoadedModel, pictures: int = 2, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(pictures, model.preprocessing.channels, *model.preprocessing.size, generator=generator)


def evidence_at(
    model: LoadedModel, layers: Sequence[str], inputs: torch.Tensor, targets: Any = CLASSES
) -> tuple[Evidence, ...]:
    infos = [resolve_layer(model, name) for name in layers]
    return capture(model, inputs, choose_targets(targets, model.labels, 1), infos)[2]


def assert_ordinary(model: LoadedModel, layers: list[str]) -> None:
    """Evidence of these layers, taken in one pass, equals ordinary autograd through the whole network."""
    inputs = inputs_for(model)
    activations, gradients = networks.whole_graph(model.module, inputs, layers, CLASSES)
    for one, activation, gradient in zip(evidence_at(model, layers, inputs), activations, gradients, strict=True):
        assert one.gradients is not None
        assert gradient.abs().max() > 0
        torch.testing.assert_close(one.activations, to_grid(activation, one.layer))
        torch.testing.assert_close(one.gradients, to_grid(gradient, one.layer), rtol=1e-4, atol=1e-7)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "convolutions": networks.conv_net,
    "in place": lambda: networks.conv_net(inplace=True),
    "branches": networks.Branches,
    "residual": networks.Residual,
    "last axis": networks.LastAxis,
    "tokens": networks.Tokens,
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_layer_alone_gives_ordinary_gradients(kind: str) -> None:
    model = networks.loaded(NETWORKS[kind]())
    checked = 0
    for layer in model.layers:
        if (kind, layer.name) != ("tokens", "norm"):  # only its class token is read: no gradient at the patches
            assert_ordinary(model, [layer.name])
            checked += 1
    assert checked >= 2


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("convolutions", ["0", "1", "2", "3", "4", "5"]),
        ("in place", ["5", "2", "4", "1"]),
        ("branches", ["stem.0", "stem.1", "stem", "left.1", "right.1", "right", "last", "act"]),
        ("branches", ["left", "right"]),
        ("branches", ["act", "stem"]),
        ("residual", ["bn1", "conv2", "bn2"]),
        ("last axis", ["conv", "mix"]),
        ("tokens", ["patch", "norm1"]),
    ],
)
def test_several_layers_at_once_nested_or_parallel_give_ordinary_gradients(kind: str, layers: list[str]) -> None:
    model = networks.loaded(NETWORKS[kind]())
    assert_ordinary(model, layers)


@pytest.mark.parametrize("kind", ["in place", "branches", "residual"])
def test_activations_alone_are_the_same_and_not_overwritten(kind: str) -> None:
    model = networks.loaded(NETWORKS[kind]())
    inputs, choose = inputs_for(model), choose_targets(CLASSES, model.labels, 1)
    alone = capture(model, inputs, choose, model.layers, needs=())[2]
    for one, other in zip(alone, capture(model, inputs, choose, model.layers)[2], strict=True):
        assert torch.equal(one.activations, other.activations), one.layer.name
        assert one.gradients is None


def test_an_operator_that_cannot_be_batched_is_taken_one_target_at_a_time() -> None:
    def network(batchable: bool) -> nn.Module:
        layers = list(networks.conv_net())
        return nn.Sequential(*layers[:6], networks.Doubling(batchable), *layers[6:])

    looped, batched = (networks.loaded(network(batchable)) for batchable in (False, True))
    inputs = inputs_for(looped)
    for layers in (["5"], ["1", "5"]):
        pairs = zip(evidence_at(looped, layers, inputs), evidence_at(batched, layers, inputs), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one.gradients, other.gradients)
            torch.testing.assert_close(one.activations, other.activations)


@pytest.mark.parametrize(
    "mode",
    [
        torch.inference_mode,
        torch.no_grad,
        torch.enable_grad,
        lambda: torch.autocast("cpu", dtype=torch.bfloat16),
        lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    ],
)
def test_the_callers_modes_change_nothing_and_stay(mode: Callable[[], Any], tiny: LoadedModel) -> None:
    image = networks.picture()
    plain = explain(image, tiny)
    with mode():
        before = modes()
        inside = explain(image, tiny)
        with pytest.raises(GradcamError):
            explain(image, tiny, layers="no such layer")
        assert modes() == before
    assert_same_heatmaps(plain, inside)


def modes() -> tuple[bool, ...]:
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_anomaly_enabled(),
    )


def assert_same_heatmaps(one: Any, other: Any) -> None:
    assert len(one.heatmaps) == len(other.heatmaps) > 0
    for first, second in zip(one.heatmaps, other.heatmaps, strict=True):
        assert (first.method, first.layer, first.target) == (second.method, second.layer, second.target)
        np.testing.assert_array_equal(first.raw, second.raw)


def test_a_model_made_and_loaded_in_inference_mode_can_be_explained() -> None:
    with torch.inference_mode():
        model = networks.loaded(networks.conv_net())
    for layer in model.layers:
        assert explain(networks.picture(), model, layers=layer.name, methods="grad_cam").heatmaps[0].raw.any()


def test_parameters_that_ask_for_gradients_are_not_differentiated(tiny: LoadedModel) -> None:
    asking = LoadedModel(**{**fields(tiny), "module": copy.deepcopy(tiny.module).requires_grad_(True)})
    inputs = inputs_for(tiny)
    for one, other in zip(evidence_at(asking, ["3"], inputs), evidence_at(tiny, ["3"], inputs), strict=True):
        torch.testing.assert_close(one.gradients, other.gradients)
        torch.testing.assert_close(one.activations, other.activations)
        assert not one.activations.requires_grad
    assert all(parameter.grad is None for parameter in asking.module.parameters())


def fields(model: LoadedModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).__dataclass_fields__}


class Failing(nn.Module):
    """Fails when told to, in the middle of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.failing = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.failing:
            raise ValueError("in the middle")
        return x * 1.5


class Contrast:
    """One class against another."""

    def __init__(self, index: int, other: int, fail: bool = False) -> None:
        self.index, self.other, self.fail = index, other, fail
        self.label, self.probability = "contrast", 0.0

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        if self.fail:
            raise KeyError("in the target")
        return outputs[:, self.index] - outputs[:, self.other]


def state_of(module: nn.Module) -> dict[str, Any]:
    """Everything about a network that an analysis could leave changed."""
    digest = hashlib.sha256()
    for name, tensor in sorted((*module.named_parameters(), *module.named_buffers())):
        digest.update(name.encode() + tensor.detach().numpy().tobytes())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "tensors": digest.hexdigest(),
        "versions": [tensor._version for tensor in (*module.parameters(), *module.buffers())],
        "asking": [parameter.requires_grad for parameter in module.parameters()],
        "gradients": [parameter.grad is None for parameter in module.parameters()],
        "training": [part.training for part in module.modules()],
        "hooks": [[len(getattr(part, kind)) for kind in hooks] for part in module.modules()],
        "attributes": [sorted(vars(part)) for part in module.modules()],
        "modules": [(name, id(part)) for name, part in module.named_modules()],
        "in place": [getattr(part, "inplace", None) for part in module.modules()],
    }


@pytest.mark.parametrize("method", ALL_METHODS)
def test_the_model_is_untouched_by_every_method(method: str) -> None:
    network = networks.serving(method)
    model = networks.loaded(networks.conv_net(inplace=True) if isinstance(network, nn.Sequential) else network)
    before = state_of(model.module)
    several = method != "cam" and not model.attention
    explain(networks.picture(), model, methods=method, layers=["2", "5"] if several else None)
    assert state_of(model.module) == before


def test_the_model_is_untouched_by_errors_and_works_afterwards() -> None:
    failing = Failing()
    layers = list(networks.conv_net())
    model = networks.loaded(nn.Sequential(*layers[:3], failing, *layers[3:]))
    image, before = networks.picture(), state_of(model.module)
    plain = explain(image, model)
    wrong: list[tuple[type[BaseException], dict[str, Any]]] = [
        (LayerError, {"layers": "nowhere"}),
        (GradcamError, {"methods": "no_cam"}),
        (TargetError, {"targets": 99}),
        (TargetError, {"top_k": 0}),
        (KeyError, {"targets": Contrast(0, 1, fail=True)}),
    ]
    for error, arguments in wrong:
        with pytest.raises(error):
            explain(image, model, **arguments)
        assert state_of(model.module) == before
        assert torch.is_grad_enabled()
    failing.failing = True
    with pytest.raises(GradcamError, match="ValueError: in the middle"):
        explain(image, model, layers="1")
    failing.failing = False
    assert state_of(model.module) == before
    assert torch.is_grad_enabled()
    assert_same_heatmaps(explain(image, model), plain)


def test_taps_do_nothing_when_no_analysis_runs(tiny: LoadedModel) -> None:
    plain, inputs = networks.without_taps(tiny.module), inputs_for(tiny).requires_grad_()
    explain(networks.picture(), tiny)
    with pytest.raises(KeyError):
        explain(networks.picture(), tiny, targets=Contrast(0, 1, fail=True))
    outputs = tiny.module(inputs)
    torch.testing.assert_close(outputs, plain(inputs))
    with torch.no_grad():
        assert not tiny.module(inputs).requires_grad
        assert not torch.is_grad_enabled()
    for network in (tiny.module, plain):
        (slope,) = torch.autograd.grad(network(inputs).sum(), inputs)
        assert slope.abs().max() > 0


def test_a_users_own_network_stays_as_it_is() -> None:
    mine = networks.conv_net().train()
    mine[3].weight.grad = torch.ones_like(mine[3].weight)
    mine[0].register_forward_hook(lambda module, inputs, output: None)
    before = state_of(mine)
    model = load_model(mine, labels=list("abcde"), preprocessing={"size": 32}, device="cpu")
    explain(networks.picture(), model)
    assert state_of(mine) == before
    assert not any(part.training for part in model.module.modules())
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert all(parameter.grad is None for parameter in model.module.parameters())
    with torch.no_grad():
        mine[8].bias.fill_(1e6)  # training goes on; the loaded model is a copy
    assert max(p.probability for p in explain(networks.picture(), model).predictions) < 1


def test_an_analysis_within_another_does_not_mix_with_it(tiny: LoadedModel) -> None:
    image = networks.picture()

    class Nested(Contrast):
        def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
            explain(networks.picture(seed=9), tiny, layers="2", methods="grad_cam")
            return super().__call__(outputs)

    plain = explain(image, tiny, targets=Contrast(0, 1), methods="grad_cam")
    nested = explain(image, tiny, targets=Nested(0, 1), methods="grad_cam")
    np.testing.assert_array_equal(nested.heatmaps[0].raw, plain.heatmaps[0].raw)


def test_sixteen_threads_on_one_model_equal_the_serial_results() -> None:
    model = networks.loaded(networks.conv_net(inplace=True))
    jobs = [
        {
            "seed": i % 7,
            "targets": [[0, 3], None, [1], Contrast(2, 4)][i % 4],
            "methods": [["grad_cam", "cam"], "layer_cam", ["grad_cam_plus_plus", "hires_cam"]][i % 3],
            "layers": [None, ["1", "5"], ["5", "0"]][i % 3],
        }
        for i in range(16 * 20)
    ]
    images = [networks.picture(seed=seed) for seed in range(7)]

    def run(job: dict[str, Any]) -> list[np.ndarray]:
        arguments = {name: value for name, value in job.items() if name != "seed"}
        explanation = explain(images[job["seed"]], model, top_k=2, **arguments)
        return [heatmap.raw for heatmap in explanation.heatmaps]

    serial = [run(job) for job in jobs[:84]]  # every combination: 7, 4 and 3 have no common divisor
    before = state_of(model.module)
    with ThreadPoolExecutor(16) as pool:
        for index, raws in enumerate(pool.map(run, jobs)):
            for raw, expected in zip(raws, serial[index % 84], strict=True):
                np.testing.assert_array_equal(raw, expected)
    assert state_of(model.module) == before


def test_a_network_that_fails_on_one_picture_says_so() -> None:
    class Choosy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step, self.head, self.trips = nn.Conv2d(3, 12, 3, 2, 1), nn.Linear(12, 5), False

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.trips:
                raise KeyError("no such part")
            return self.head(self.step(x).relu().mean((2, 3)))

    model = networks.loaded(Choosy())
    model.module.trips = True
    if model.folded:
        model.folded.network.trips = True
    with pytest.raises(GradcamError, match=r"does not run on this picture \(KeyError: 'no such part'\)"):
        explain(networks.picture(), model, methods="grad_cam")


def test_a_layer_that_no_score_depends_on_is_refused_in_words() -> None:
    class Ignoring(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.ignored = nn.Conv2d(3, 12, 3, 2, 1), nn.Conv2d(3, 12, 3, 2, 1)
            self.head = nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.ignored(x)
            return self.head(self.used(x).relu().mean((2, 3)))

    model = networks.loaded(Ignoring())
    for layers in ("ignored", ["used", "ignored"]):
        with pytest.raises(GradcamError, match="'ignored' it has none: no class score depends on it"):
            explain(networks.picture(), model, layers=layers, methods="grad_cam")


def test_a_network_that_only_runs_forward_is_told_in_words() -> None:
    class Spoiling(nn.Module):
        """Overwrites what its ReLU keeps for the backward pass."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.left, self.right = nn.Conv2d(3, 12, 3, 2, 1), nn.Conv2d(12, 12, 1), nn.Conv2d(12, 12, 1)
            self.last, self.head = nn.ReLU(), nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            y = self.left(x).relu()
            y += self.right(x)
            return self.head(self.last(y).mean((2, 3)))

    model = networks.loaded(Spoiling())
    assert explain(networks.picture(), model, layers="last").heatmaps
    with pytest.raises(GradcamError):
        explain(networks.picture(), model, layers="stem", methods="grad_cam")


def test_a_target_must_give_one_score_a_picture(tiny: LoadedModel) -> None:
    class Wrong(Contrast):
        def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
            return outputs[0, 1]

    with pytest.raises(TargetError, match="one score per picture"):
        explain(networks.picture(), tiny, targets=Wrong(0, 1))


def test_a_target_that_no_output_moves_is_refused_in_words(tiny: LoadedModel) -> None:
    class Constant(Contrast):
        def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(outputs))

    for method in ("grad_cam", "cam"):
        with pytest.raises(GradcamError):
            explain(networks.picture(), tiny, targets=Constant(0, 1), methods=method)


def test_scores_are_found_in_what_classifiers_return() -> None:
    scores = torch.randn(2, 5)
    for outputs in (scores, {"logits": scores}, {"out": scores}, (scores, scores), [scores], scores[..., None, None]):
        assert torch.equal(class_scores(outputs), scores)
    regions = torch.randn(2, 5, 7, 7)
    assert torch.equal(class_scores({"out": regions}), regions)
    for outputs in ({"boxes": scores}, None, [], torch.randn(2), torch.randn(2, 0)):
        with pytest.raises(ModelError, match="instead of one score per class"):
            class_scores(outputs)


def test_a_probe_leaves_no_hooks_even_after_an_error() -> None:
    network = networks.conv_net()
    before = state_of(network)
    probe(network, torch.randn(1, 3, 32, 32))
    with pytest.raises(RuntimeError):
        probe(network, torch.randn(1, 2, 32, 32))
    assert state_of(network) == before


def test_too_little_memory_is_told_in_words(tiny: LoadedModel) -> None:
    class Greedy(Contrast):
        def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
            torch.empty(2**45)
            return super().__call__(outputs)

    with pytest.raises(GradcamError, match="memory"):
        explain(networks.picture(), tiny, targets=Greedy(0, 1))
