"""Probabilities are the model's own: what a network's outputs are is noticed when it is loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core import explain, load_model
from gradcam_core.errors import ModelError
from gradcam_core.tasks import Outputs, probabilities, top_predictions
from tests import networks
from tests.checkpoints import SmallNet, saved, weights

SIZE = {"size": 32, "mean": 0.5, "std": 0.5, "fit": "squash"}


class Ends(nn.Module):
    """A small classifier whose scores are spread, and pass through a last step."""

    def __init__(self, classes: int, end: Callable[[torch.Tensor], torch.Tensor], shift: float = 0.0) -> None:
        super().__init__()
        self.body, self.end, self.shift = networks.conv_net(classes), end, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(3 * self.body(x) + self.shift)


def softmax_by_hand(scores: torch.Tensor) -> torch.Tensor:
    powers = (scores - scores.amax(dim=1, keepdim=True)).exp()
    return powers / powers.sum(dim=1, keepdim=True)


PROBABILITIES = Outputs("single_label", "read", are_probabilities=True)
INDEPENDENT = Outputs("multi_label", "read", are_probabilities=True)
SCORES, ONE_SCORE = Outputs("single_label", "assumed"), Outputs("binary", "assumed")
ENDS: dict[str, tuple[int, Callable[[torch.Tensor], torch.Tensor], Outputs]] = {
    "softmax module": (5, nn.Softmax(dim=1), PROBABILITIES),
    "softmax function": (5, lambda x: torch.softmax(x, 1), PROBABILITIES),
    "softmax by hand": (5, softmax_by_hand, PROBABILITIES),
    "softmax of two": (2, lambda x: x.softmax(-1), PROBABILITIES),
    "softmax in four dimensions": (5, lambda x: x[..., None, None].softmax(1), PROBABILITIES),
    "sigmoid module": (14, nn.Sigmoid(), INDEPENDENT),
    "sigmoid function": (5, torch.sigmoid, INDEPENDENT),
    "sigmoid by hand": (5, lambda x: 1 / (1 + (-x).exp()), INDEPENDENT),
    "sigmoid of two": (2, lambda x: x.sigmoid(), INDEPENDENT),
    "sigmoid of one": (1, lambda x: x.sigmoid(), Outputs("binary", "read", are_probabilities=True)),
    "sigmoid in a dictionary": (5, lambda x: {"logits": x.sigmoid()}, INDEPENDENT),
    "scores": (5, lambda x: x, SCORES),
    "one score": (1, lambda x: x, ONE_SCORE),
    "small scores of one sign": (1, lambda x: 0.2 + 0.001 * x, ONE_SCORE),
    "logarithms of probabilities": (5, nn.LogSoftmax(dim=1), SCORES),
}


@pytest.mark.parametrize("name", ENDS)
def test_outputs_are_told_apart_and_shown_as_the_network_means_them(name: str) -> None:
    classes, end, kind = ENDS[name]
    model = load_model(Ends(classes, end), preprocessing=SIZE, device="cpu")
    assert model.outputs == kind
    assert any("shown as" in note for note in model.notes) == kind.are_probabilities
    explanation = explain(networks.picture(), model, methods="grad_cam", top_k=classes)
    with torch.no_grad():
        outputs: Any = model.module(torch.tensor(explanation.model_input)[None])
    outputs = (outputs["logits"] if isinstance(outputs, dict) else outputs).flatten()
    truth = outputs
    if not kind.are_probabilities:
        truth = outputs.sigmoid() if classes == 1 else outputs.softmax(0)
    for prediction in explanation.predictions:
        assert prediction.probability == pytest.approx(float(truth[prediction.index]), abs=1e-5)
    for heatmap in explanation.heatmaps:
        assert heatmap.target.probability == pytest.approx(float(truth[heatmap.target.index]), abs=1e-5)


def test_a_head_whose_scores_happen_to_lie_between_0_and_1_gives_scores() -> None:
    network = networks.conv_net(4)
    with torch.no_grad():
        network[-1].weight.mul_(1e-4)
        network[-1].bias.copy_(torch.tensor([0.2, 0.4, 0.6, 0.8]))
    model = networks.loaded(network)
    assert model.head_name
    assert model.outputs == Outputs("single_label", "read")


@pytest.mark.parametrize(
    ("outputs", "kind", "expected"),
    [
        # The table of an independent study: fourteen findings of which two are present, and so on.
        ([4.0, 4.0, *[-4.0] * 12], Outputs("multi_label"), [0.982, 0.982, *[0.018] * 12]),
        ([-6.0, -4.0], Outputs("multi_label"), [0.0025, 0.018]),
        ([0.990, 0.006, 0.004], PROBABILITIES, [0.990, 0.006, 0.004]),
        ([0.952], INDEPENDENT, [0.952]),
        ([2.98], ONE_SCORE, [0.952]),
        ([-3.02], ONE_SCORE, [0.0465]),
        (np.log([0.990, 0.006, 0.004]).tolist(), SCORES, [0.990, 0.006, 0.004]),
    ],
)
def test_probabilities_by_kind(outputs: list[float], kind: Outputs, expected: list[float]) -> None:
    given = torch.tensor([outputs])
    torch.testing.assert_close(probabilities(given, kind)[0], torch.tensor(expected), atol=6e-4, rtol=0)
    labels = [str(index) for index in range(len(outputs))]
    best = top_predictions(given, kind, labels, 1)[0]
    assert best.probability == pytest.approx(max(expected), abs=6e-4)


@pytest.mark.parametrize(
    "words",
    [
        {"problem_type": "multi_label_classification"},
        {"config": {"problem_type": "multi_label_classification"}},
        {"hyper_parameters": {"task": "multilabel"}},
        {"meta": {"multi_label": True}},
    ],
)
def test_a_checkpoint_that_says_several_labels_is_not_softmaxed(words: dict[str, Any], tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"state_dict": weights(), **words})
    model = load_model(f"file:{path}", architecture=SmallNet, preprocessing=SIZE, device="cpu")
    assert model.outputs == Outputs("multi_label", "read")
    assert any("several classes" in note for note in model.notes)
    explanation = explain(networks.picture(), model, methods="grad_cam", top_k=5)
    with torch.no_grad():
        truth = model.module(torch.tensor(explanation.model_input)[None])[0].sigmoid()
    for prediction in explanation.predictions:
        assert prediction.probability == pytest.approx(float(truth[prediction.index]), abs=1e-5)


@pytest.mark.parametrize("words", [{}, {"problem_type": "single_label_classification"}, {"multi_label": False}])
def test_one_class_only_is_an_assumption_that_is_said_unless_the_file_says_so(
    words: dict[str, Any], tmp_path: Path
) -> None:
    path = saved(tmp_path / "x.pth", {"state_dict": weights(), **words})
    model = load_model(f"file:{path}", architecture=SmallNet, preprocessing=SIZE, device="cpu")
    assert model.outputs == Outputs("single_label", "read" if words else "assumed")
    assert any("one class only was assumed" in note for note in model.notes) == (not words)


@pytest.mark.parametrize(
    "size", [np.int64(48), 48.0, np.float32(48), (np.int32(48), 48.0), np.array([48, 48]), [48, 48]]
)
def test_every_way_to_write_a_size_reaches_networks_that_are_built_for_one(size: Any) -> None:
    model = load_model(
        "timm:vit_tiny_patch16_224", pretrained=False, num_classes=2, device="cpu", preprocessing={"size": size}
    )
    assert model.preprocessing.size == (48, 48)
    assert all(type(side) is int for side in model.preprocessing.size)
    assert model.module(torch.rand(1, 3, 48, 48)).shape == (1, 2)


@pytest.mark.parametrize("numbers", [{"mean": [123.675, 116.28, 103.53]}, {"std": 58.0}, {"mean": 127.5, "std": 127.5}])
def test_a_mean_or_std_for_pictures_of_0_to_255_is_refused_in_words(numbers: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"from 0 to 255.*Divide"):
        load_model("bundled:efficientnet_lite0", preprocessing=numbers)


class ReturnsNothing(SmallNet):
    """Overrides methods without returning itself, as many do."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)

    def eval(self) -> None:  # type: ignore[override]
        super().eval()

    def float(self) -> None:  # type: ignore[override]
        super().float()

    def to(self, *given: Any, **named: Any) -> None:  # type: ignore[override]
        super().to(*given, **named)

    def requires_grad_(self, requires_grad: bool = True) -> None:  # type: ignore[override]
        super().requires_grad_(requires_grad)


def test_a_network_whose_methods_do_not_return_it_loads() -> None:
    network = ReturnsNothing()
    network.half()
    model = load_model(network, preprocessing=SIZE, device="cpu")
    assert model.module.fc.weight.dtype == torch.float32
    assert not model.module.training
