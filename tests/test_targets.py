"""Which class is meant: ranks, indices, labels, and what cannot be meant."""

from typing import Any

import numpy as np
import pytest
import torch

from gradcam_core.errors import TargetError
from gradcam_core.explanation import explain
from gradcam_core.records import Target
from gradcam_core.targets import ClassTarget, choose_targets, contrast, find_class
from gradcam_core.tasks import Outputs, check_top_k, probabilities, top_predictions
from tests import networks

LABELS = ("cat", "dog", "Dog", "crane", "crane", "12", "tabby cat", "Ärzte")
OUTPUTS = torch.tensor([[0.5, 3.0, -1.0, 2.0, 2.5, 0.0, -4.0, 1.0], [9.0, 0, 0, 0, 0, 0, 0, 0]])


def test_probabilities_are_a_softmax_and_of_a_single_output_a_sigmoid() -> None:
    shares = probabilities(OUTPUTS, Outputs())
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(shares[0], OUTPUTS[0].exp() / OUTPUTS[0].exp().sum())
    torch.testing.assert_close(
        probabilities(torch.tensor([[0.0], [3.0], [-3.0]]), Outputs("binary")),
        1 / (1 + torch.tensor([[0.0], [-3.0], [3.0]]).exp()),
    )


def test_predictions_are_sorted_and_clipped_to_the_number_of_classes() -> None:
    found = top_predictions(OUTPUTS, Outputs(), LABELS, 3)
    assert [(p.index, p.label) for p in found] == [(1, "dog"), (4, "crane"), (3, "crane")]
    assert [p.probability for p in found] == sorted((p.probability for p in found), reverse=True)
    assert found[0].probability == pytest.approx(float(OUTPUTS[0].softmax(0)[1]))
    everything = top_predictions(OUTPUTS, Outputs(), LABELS, 99)
    assert len(everything) == 8
    assert sum(p.probability for p in everything) == pytest.approx(1)
    (only,) = top_predictions(torch.tensor([[0.0]]), Outputs("binary"), ("yes",), 5)
    assert only.probability == 0.5


@pytest.mark.parametrize("top_k", [0, -1, True, 1.0, 2.5, "3", None, [1]])
def test_a_number_of_classes_below_one_is_refused(top_k: Any) -> None:
    with pytest.raises(TargetError, match="at least one"):
        choose_targets(None, LABELS, top_k)


@pytest.mark.parametrize("top_k", [np.int64(2), torch.tensor(2), 2])
def test_any_whole_number_counts_classes(top_k: Any) -> None:
    assert check_top_k(top_k) == 2
    assert len(top_predictions(OUTPUTS, Outputs(), LABELS, top_k)) == 2


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
        (True, "is no class"),
        (1.5, "is no class"),
        (1.0, "is no class"),
        ([None], "is no class"),
        ([[1]], "is no class"),
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
        with pytest.raises(TargetError, match="with itself"):
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
