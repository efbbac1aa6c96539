"""What a running network shows at load: where gradients come back, what it returns, and whether it can be repeated."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from gradcam_core import GradcamError, advise, explain, load_model
from gradcam_core.layers import resolve_layer
from tests import networks

SIZE = {"size": 32, "mean": 0.5, "std": 0.5, "fit": "squash"}


class Small(nn.Module):
    """Convolutions, an average and a linear step, with a place to change what happens between."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 12, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(12, 5)

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        return self.features(x).mean((2, 3))

    def forward(self, x: torch.Tensor) -> Any:
        return self.fc(self.pooled(x))


def raw_of(network: nn.Module, method: str = "grad_cam") -> np.ndarray:
    model = load_model(network, preprocessing=SIZE, device="cpu")
    return explain(networks.picture(), model, targets=1, methods=method, layers="features.3").heatmaps[0].raw


class Patches(nn.Module):
    """A class token and patches through torch's own encoder, read off the class token."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.randn(1, 1, 16))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 3)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.encoder(torch.cat([self.token.expand(len(x), -1, -1), x], 1))[:, 0])


def test_the_usual_layer_is_one_that_a_gradient_comes_back_to() -> None:
    model = networks.loaded(Patches())
    assert model.default_layer == "encoder.layers.1"
    assert explain(networks.picture(), model, top_k=1, methods="grad_cam").heatmaps[0].raw.any()
    last = resolve_layer(model, "encoder.layers.2")
    assert "class token alone" in last.blocked
    with pytest.raises(GradcamError, match="class token alone"):
        explain(networks.picture(), model, methods="grad_cam", layers="encoder.layers.2")
    assert explain(networks.picture(), model, top_k=1, methods="eigen_cam", layers="encoder.layers.2").heatmaps
    assert any("class token alone" in words for words in advise(model, last))


class NoGradient(Small):
    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return super().pooled(x)


class KeepsGradients(Small):
    """As a much-copied tutorial has it."""

    def pooled(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.features(x)
        maps.register_hook(lambda gradient: None)
        return maps.mean((2, 3))


@pytest.mark.parametrize("kind", [NoGradient, KeepsGradients])
def test_networks_that_meddle_with_gradients_give_the_maps_of_those_that_do_not(kind: Callable[[], nn.Module]) -> None:
    for method in ("grad_cam", "occlusion"):
        np.testing.assert_allclose(raw_of(kind(), method), raw_of(Small(), method), atol=1e-6)


def test_a_network_that_cuts_its_gradients_is_told_and_served_by_the_other_methods() -> None:
    class ThroughNumpy(Small):
        def pooled(self, x: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(super().pooled(x).detach().numpy())

    model = load_model(ThroughNumpy(), preprocessing=SIZE, device="cpu")
    assert any("cuts its gradients" in note for note in model.notes)
    explanation = explain(networks.picture(), model, top_k=1)
    assert {heatmap.method for heatmap in explanation.heatmaps} == {"cam"}
    assert any("Grad-CAM needs gradients" in note for note in explanation.notes)
    with pytest.raises(GradcamError, match="cuts its gradients"):
        explain(networks.picture(), model, methods="grad_cam")


def test_hooks_of_the_owner_are_left_out_of_the_copy_and_torchs_own_stay() -> None:
    network, kept = Small(), []
    network.features[2].register_forward_hook(lambda module, given, output: kept.append(output))
    network.features[0].register_full_backward_hook(lambda module, given, came: None)
    plain = raw_of(Small())
    model = load_model(network, preprocessing=SIZE, device="cpu")
    assert any(note.startswith("2 hooks left on the model") for note in model.notes)
    np.testing.assert_array_equal(raw_of(network), plain)
    assert not kept
    assert len(network.features[2]._forward_hooks) == 1
    network = Small()
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(network.features[0])
    network(torch.zeros(1, 3, 32, 32))
    np.testing.assert_allclose(raw_of(network), plain, atol=1e-6)


def test_a_network_that_uses_random_numbers_is_told() -> None:
    class Drops(Small):
        def pooled(self, x: torch.Tensor) -> torch.Tensor:
            return functional.dropout(super().pooled(x), 0.5)

    assert any("random numbers" in note for note in networks.loaded(Drops()).notes)
    assert not any("random numbers" in note for note in networks.loaded(Small()).notes)


class Returning(Small):
    def __init__(self, form: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: torch.Tensor) -> Any:
        pooled = self.pooled(x)
        return self.form(pooled, self.fc(pooled))


@pytest.mark.parametrize(
    ("form", "note"),
    [
        (lambda pooled, scores: (pooled, scores), "output 2 (5 values), which the network computes from the others"),
        (lambda pooled, scores: (None, scores), ""),
        (lambda pooled, scores: {"pred": scores}, ""),
        (lambda pooled, scores: (scores.sum(), {"classes": scores}), ""),
        (lambda pooled, scores: {"loss": scores.sum(), "logits": scores}, ""),
        (lambda pooled, scores: {"sex": scores, "age": scores[:, :1]}, "the output 'sex' (5 values); not the output"),
    ],
)
def test_the_class_scores_are_found_among_the_outputs(form: Callable[..., Any], note: str) -> None:
    model = load_model(Returning(form), preprocessing=SIZE, device="cpu")
    assert len(model.labels) == 5
    notes = " ".join(x for x in model.notes if "several outputs" in x)
    assert note in notes if note else not notes
    np.testing.assert_allclose(raw_of(Returning(form)), raw_of(Small()), atol=1e-7)


def test_outputs_without_scores_are_named() -> None:
    with pytest.raises(GradcamError, match=r"a dict without one score per class \(the output 'maps' \[1, 12, 1\]"):
        load_model(Returning(lambda pooled, scores: {"maps": pooled[..., None]}), preprocessing=SIZE, device="cpu")


def test_quantised_networks_are_refused_as_such() -> None:
    network = nn.Sequential(Small(), torch.ao.nn.quantized.ReLU6())
    with pytest.raises(GradcamError, match="quantised"):
        load_model(network, preprocessing=SIZE, device="cpu")


def test_columns_are_no_rows_and_columns() -> None:
    class Columns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.project = nn.Conv2d(3, 12, 2, 2), nn.Linear(12, 12)
            self.read, self.fc = nn.GRU(12, 12, batch_first=True), nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            columns = self.conv(x).relu().mean(2).transpose(1, 2)  # 16, as many as 4 x 4 cells
            return self.fc(self.read(self.project(columns))[0].mean(1))

    model = networks.loaded(Columns())
    assert model.default_layer == "conv"
    assert "do not lie where" in model.refused_layers["project"]


def test_rows_that_sum_to_one_are_attention_weights() -> None:
    class Weights(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            powers = (x - x.amax(-1, keepdim=True)).exp()
            return powers / powers.sum(-1, keepdim=True)

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.weigh, self.head = nn.Conv2d(3, 12, 8, 8), Weights(), nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x).flatten(2).transpose(1, 2)[:, None]
            return self.head((self.weigh(x @ x.transpose(-1, -2)) @ x)[:, 0].mean(1))

    assert "attention weights" in networks.loaded(Attending()).refused_layers["weigh"]


def test_advice_tells_the_place_and_warns_of_poor_choices() -> None:
    model = networks.real("torchvision:resnet18")
    advice = {layer.name: advise(model, layer) for layer in model.layers}
    assert advice["layer4.1"] == ("Late in the network, 3 × 3 cells.", "So few cells hardly tell a place.")
    assert advice["conv1"][0] == "Early in the network, 48 × 48 cells."
    assert "edges and textures" in advice["conv1"][1]
    assert any("inside the block 'layer3.0'" in words for words in advice["layer3.0.conv2"])
    assert advice["layer2.1"] == ("In the middle of the network, 12 × 12 cells.",)
