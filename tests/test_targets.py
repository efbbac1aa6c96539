"""Which class is meant: ranks, indices, labels, and what cannot be meant."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core.checks.reruns import begin_rerun
from gradcam_core.errors import TargetError
from gradcam_core.explanation import explain
from gradcam_core.explanation import predict as predict_picture
from gradcam_core.measures.given import probability_of
from gradcam_core.records import Target
from gradcam_core.sources import load_model
from gradcam_core.targets import (
    ClassTarget,
    check_top_k,
    choose_targets,
    contrast,
    find_class,
    predict,
    probabilities,
)
from tests import networks

LABELS = ("cat", "dog", "Dog", "crane", "crane", "12", "tabby cat", "Ärzte")
OUTPUTS = torch.tensor([[0.5, 3.0, -1.0, 2.0, 2.5, 0.0, -4.0, 1.0], [9.0, 0, 0, 0, 0, 0, 0, 0]])


def test_probabilities_are_a_softmax_and_of_a_single_output_a_sigmoid() -> None:
    shares = probabilities(OUTPUTS)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(shares[0], OUTPUTS[0].exp() / OUTPUTS[0].exp().sum())
    torch.testing.assert_close(
        probabilities(torch.tensor([[0.0], [3.0], [-3.0]])), 1 / (1 + torch.tensor([[0.0], [-3.0], [3.0]]).exp())
    )


def test_predictions_are_sorted_and_clipped_to_the_number_of_classes() -> None:
    found = predict(OUTPUTS, LABELS, 3)
    assert [(p.index, p.label) for p in found] == [(1, "dog"), (4, "crane"), (3, "crane")]
    assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
    assert found[0].probability == pytest.approx(float(OUTPUTS[0].softmax(0)[1]))
    everything = predict(OUTPUTS, LABELS, 99)
    assert len(everything) == 8
    assert sum(p.probability for p in everything) == pytest.approx(1)
    (only,) = predict(torch.tensor([[0.0]]), ("yes",), 5)
    assert only.probability == 0.5


@pytest.mark.parametrize("top_k", [0, -1, True, 1.0, 2.5, "3", None, [1]])
def test_a_number_of_classes_below_one_is_refused(top_k: Any) -> None:
    with pytest.raises(TargetError, match="at least one"):
        choose_targets(None, LABELS, top_k)


@pytest.mark.parametrize("top_k", [np.int64(2), torch.tensor(2), 2])
def test_any_whole_number_counts_classes(top_k: Any) -> None:
    assert check_top_k(top_k) == 2
    assert len(predict(OUTPUTS, LABELS, top_k)) == 2


@pytest.mark.parametrize(
    ("wanted", "indices"),
    [
        (None, [1, 4]),
        (3, [3]),
        ("cat", [0]),
        ("CAT", [0]),
        ("dog", [1]),
        ("Dog", [2]),
        ("TABBY CAT", [6]),
        ("ÄRZTE", [7]),
        ("12", [5]),
        (" 7 ", [7]),
        ("0", [0]),
        ([2, "cat", 2], [2, 0, 2]),
        ((0, 7), [0, 7]),
        (np.int64(3), [3]),
        (np.array(3), [3]),
        (np.array([5, 1]), [5, 1]),
        (torch.tensor(3), [3]),
        (torch.tensor([4, 3]), [4, 3]),
        ([np.int32(1), torch.tensor(2)], [1, 2]),
        (range(2), [0, 1]),
    ],
)
def test_targets_are_found_by_rank_index_or_label(wanted: Any, indices: list[int]) -> None:
    targets = choose_targets(wanted, LABELS, 2)(OUTPUTS)
    assert [target.index for target in targets] == indices
    for target in targets:
        assert type(target.index) is int
        assert target.label == LABELS[target.index]
        assert target.probability == pytest.approx(float(OUTPUTS[0].softmax(0)[target.index]))
        assert torch.equal(target(OUTPUTS), OUTPUTS[:, target.index])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (8, "from 0 to 7"),
        (-1, "from 0 to 7"),
        (10**30, "from 0 to 7"),
        ("99", "from 0 to 7"),
        ("crane", r"2 classes are called 'crane'.*3, 4"),
        ("CRANE", r"2 classes are called 'CRANE'.*3, 4"),
        ("DOG", r"2 classes are called 'DOG'.*1, 2"),
        ("tabbi cat", "Did you mean tabby cat"),
        ("abby", "Did you mean tabby cat"),
        ("xylophone", "0 to 7"),
        ("kran", r"Did you mean crane\?"),
        ("", "no class ''"),
        (True, "is not a class"),
        (1.5, "is not a class"),
        (1.0, "is not a class"),
        ([None], "is not a class"),
        ([[1]], "is not a class"),
        ([], "No class is chosen"),
        (np.array([]), "No class is chosen"),
        ({}, "No class is chosen"),
        ([0, "xylophone"], "no class 'xylophone'"),
    ],
)
def test_what_names_no_class_is_refused_before_anything_is_computed(wanted: Any, words: str) -> None:
    with pytest.raises(TargetError, match=words):
        choose_targets(wanted, LABELS, 2)


def test_a_label_written_like_a_number_wins_over_the_index() -> None:
    assert find_class("12", LABELS) == 5
    assert find_class("1", ("0", "1", "2")) == 1
    assert find_class("0", ("1", "0")) == 1
    assert find_class(0, ("1", "0")) == 0


def test_target_objects_pass_through_as_they_are() -> None:
    class Contrast:
        index, label, probability = 1, "dog, not cat", 0.25

        def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
            return outputs[:, 1] - outputs[:, 0]

    contrast = Contrast()
    assert isinstance(contrast, Target)
    assert isinstance(ClassTarget(0, "cat", 0.5), Target)
    assert choose_targets(contrast, LABELS, 2)(OUTPUTS) == (contrast,)
    mixed = choose_targets([0, contrast, "Dog"], LABELS, 2)(OUTPUTS)
    assert mixed[1] is contrast
    assert [target.index for target in mixed] == [0, 1, 2]


def test_nearest_labels_are_offered_from_a_thousand_quickly() -> None:
    labels = tuple(f"class number {index}" for index in range(1000))
    with pytest.raises(TargetError, match="class number 77"):
        find_class("class numbre 77", labels)


def test_a_contrast_is_one_score_less_the_other_with_the_first_class_probability() -> None:
    labels = ["cat", "dog", "cow"]
    outputs = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 1.0]])
    (target,) = choose_targets(contrast("cow", 1, labels), labels, 5)(outputs)
    assert (target.index, target.label) == (2, "cow rather than dog")
    torch.testing.assert_close(target(outputs), torch.tensor([-2.0, -2.0]))
    assert target.probability == pytest.approx(float(outputs[0].softmax(0)[2]))


def test_a_class_against_itself_or_against_none_is_refused() -> None:
    for against in (0, "cat"):
        with pytest.raises(TargetError, match="compared with itself"):
            contrast("cat", against, ["cat", "dog"])
    with pytest.raises(TargetError):
        contrast("cat", "cow", ["cat", "dog"])


def test_a_contrasts_heatmap_is_the_difference_of_both_heatmaps() -> None:
    """CAM and Grad-CAM are linear in the score; the head rows of a contrast are the difference of two rows."""
    model, image = networks.loaded(networks.conv_net()), networks.picture()
    both = contrast(0, 3, model.labels)
    for method in ("cam", "grad_cam", "xgrad_cam"):
        first, second, made = (
            explain(image, model, methods=method, targets=[target]).heatmaps[0].raw for target in (0, 3, both)
        )
        np.testing.assert_allclose(made, first - second, atol=1e-5 * np.abs(first).max())
    turned = explain(image, model, methods="grad_cam", targets=contrast(3, 0, model.labels)).heatmaps[0].raw
    np.testing.assert_allclose(made, -turned, atol=1e-5 * np.abs(made).max())


class Answers(nn.Module):
    """Scores that follow the picture only slightly, so that its outputs are known: `end` of about `scores`."""

    def __init__(
        self, scores: list[float], end: Callable[[torch.Tensor], torch.Tensor] = lambda scores: scores
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.end = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, len(scores)), end
        with torch.no_grad():
            self.head.weight.mul_(1e-4)
            self.head.bias.copy_(torch.tensor(scores))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.end(self.head(self.body(x).relu().mean((2, 3))))


def by_hand(scores: torch.Tensor) -> torch.Tensor:
    return 1 / (1 + torch.exp(-scores))


def softmax(scores: torch.Tensor) -> torch.Tensor:
    return scores.softmax(1)


TWO_OF_14 = [4.0, 4.0] + [-4.0] * 12
AS_THEY_ARE = {
    "14 findings, two present": (TWO_OF_14, torch.sigmoid, [0.982, 0.982] + [0.018] * 12),
    "two findings, both absent": ([-6.0, -4.0], torch.sigmoid, [0.0025, 0.018]),
    "14 findings, all absent": ([-4.0] * 14, torch.sigmoid, [0.018] * 14),
    "sigmoid by hand": ([4.0, -3.0], by_hand, [0.982, 0.047]),
    "hard sigmoid": ([1.5, -1.5, 0.0], nn.functional.hardsigmoid, [0.75, 0.25, 0.5]),
    "one score and a sigmoid": ([2.98], torch.sigmoid, [0.952]),
    "one score, changed, and a sigmoid": ([0.1], lambda scores: (scores * 20 + 0.98).sigmoid(), [0.952]),
}


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_probabilities_of_each_class_are_shown_as_they_are(name: str) -> None:
    scores, end, expected = AS_THEY_ARE[name]
    model = networks.loaded(Answers(scores, end))
    assert model.outputs == "independent probabilities"
    assert any("already probabilities" in note and "independently" in note for note in model.notes)
    shown = {p.index: p.probability for p in predict_picture(networks.picture(), model, top_k=99)}
    assert [shown[index] for index in range(len(expected))] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("scores", [[4.6, 0.0], [6.0, 0.0, 0.0, 0.0, 0.0], [40.0, 0.0, 0.0]])
def test_a_softmax_in_the_network_is_not_taken_twice(scores: list[float]) -> None:
    model = networks.loaded(Answers(scores, softmax))
    assert model.outputs == "probabilities"
    assert any("already probabilities" in note for note in model.notes)
    expected = torch.tensor(scores).softmax(0)
    explanation = explain(networks.picture(), model, methods="grad_cam")
    assert explanation.predictions[0].probability == pytest.approx(float(expected[0]), abs=2e-3)
    assert [h.target.probability for h in explanation.heatmaps] == [p.probability for p in explanation.predictions]
    (asked,) = explain(networks.picture(), model, targets=[1], methods="grad_cam").heatmaps
    assert asked.target.probability == pytest.approx(float(expected[1]), abs=2e-3)
    (contrasted,) = explain(networks.picture(), model, targets=[0], against=1, methods="grad_cam").heatmaps
    assert contrasted.target.probability == pytest.approx(float(expected[0]), abs=2e-3)
    followed = probability_of(asked.target, model)(torch.tensor(explanation.model_input)[None])
    assert followed == pytest.approx([float(expected[1])], abs=2e-3)
    rerun = begin_rerun(explanation, explanation.heatmaps[0], model)
    torch.testing.assert_close(rerun.probabilities, expected, atol=2e-3, rtol=0)


SCORES: dict[str, tuple[list[float], Callable[[torch.Tensor], torch.Tensor], float]] = {
    "a log-softmax": ([4.6, 0.0], lambda scores: scores.log_softmax(1), 0.990),
    "one score": ([2.98], lambda scores: scores, 0.952),
    "one score, below zero": ([-3.02], lambda scores: scores, 0.047),
    "scores of 0 and 1": ([0.0, 1.0], lambda scores: scores, 0.731),
    "one score within 0..1": ([0.5], lambda scores: scores, 0.622),
    "scores that add up to nearly 1": ([0.4, 0.599], lambda scores: scores, 0.5496),
    "a ReLU at the end": ([0.5, 0.2], torch.relu, 0.574),
    "an absolute value at the end": ([0.5], torch.abs, 0.622),
    "all scores 0": ([0.0, 0.0], torch.relu, 0.5),
}


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_never_taken_for_probabilities(name: str) -> None:
    scores, end, expected = SCORES[name]
    model = networks.loaded(Answers(scores, end))
    assert model.outputs == "scores"
    assert not model.notes
    assert predict_picture(networks.picture(), model)[0].probability == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("classes", [1, 2])
def test_random_networks_with_small_scores_are_not_taken_for_probabilities(classes: int) -> None:
    for seed in range(30):
        network = networks.conv_net(classes, seed=seed)
        with torch.no_grad():
            network[-1].weight.mul_(0.01)
            network[-1].bias.fill_(0.5)
        assert networks.loaded(network).outputs == "scores"


def test_a_model_known_to_answer_several_labels_takes_sigmoids() -> None:
    network = Answers(TWO_OF_14)
    network.config = SimpleNamespace(problem_type="multi_label_classification")
    model = load_model(network, preprocessing={"size": 32}, device="cpu")
    assert model.outputs == "independent scores"
    assert any("independently" in note for note in model.notes)
    shown = {p.index: p.probability for p in predict_picture(networks.picture(), model, top_k=14)}
    assert [shown[index] for index in range(14)] == pytest.approx([0.982] * 2 + [0.018] * 12, abs=2e-3)
    network.config.problem_type = "single_label_classification"
    assert load_model(network, preprocessing={"size": 32}, device="cpu").outputs == "scores"


def test_a_checkpoint_that_says_several_labels_takes_sigmoids(tmp_path: Path) -> None:
    content = {"state_dict": Answers(TWO_OF_14).state_dict(), "config": {"problem_type": "multi_label_classification"}}
    torch.save(content, tmp_path / "weights.pth")

    def build() -> nn.Module:
        return Answers([0.0] * 14)

    changes = {"size": 32}
    model = load_model(f"file:{tmp_path / 'weights.pth'}", architecture=build, preprocessing=changes, device="cpu")
    assert model.outputs == "independent scores"
    assert predict_picture(networks.picture(), model)[0].probability == pytest.approx(0.982, abs=2e-3)
