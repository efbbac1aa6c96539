"""A model's task: read off, given or assumed; and everything in the core and the terminal that follows it."""

import csv
import functools
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import gradcam_core as core
from gradcam_core import cli
from gradcam_core.commands.flags import keep_minus
from gradcam_core.errors import GradcamError, ModelError, TargetError
from gradcam_core.evaluation.answers import numbers_of, truths_of
from gradcam_core.evaluation.records import TableRow
from gradcam_core.records import LoadedModel
from gradcam_core.tasks import Outputs
from tests import heads, networks
from tests.checkpoints import SmallNet, saved, weights
from tests.heads import FINDINGS, SIZE


def load(network: nn.Module, **given: Any) -> LoadedModel:
    return core.load_model(network, preprocessing=SIZE, device="cpu", **given)


@pytest.fixture(scope="module")
def findings() -> LoadedModel:
    return load(heads.fourteen(), labels=FINDINGS, task="multi_label", thresholds={"finding A": 0.2})


@pytest.fixture(scope="module")
def regressor() -> LoadedModel:
    return load(heads.regressor(), labels=["age"], task="regression", unit="years")


def scores_of(model: LoadedModel, explanation: core.Explanation) -> torch.Tensor:
    with torch.no_grad():
        return model.module(torch.tensor(explanation.model_input)[None])[0]


# --- what the task is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "given", "task", "origin"),
    [
        (heads.fourteen_sigmoids, {}, "multi_label", "read"),
        (heads.fourteen, {}, "single_label", "assumed"),
        (heads.fourteen, {"task": "multi_label"}, "multi_label", "given"),
        (heads.fourteen_sigmoids, {"task": "single_label"}, "single_label", "given"),
        (heads.one_score, {}, "binary", "assumed"),
        (heads.one_score, {"task": "binary"}, "binary", "given"),
        (heads.one_score, {"task": "regression"}, "regression", "given"),
        (heads.headless, {}, "embedding", "read"),
        (heads.headless, {"labels": [f"class {i}" for i in range(12)]}, "single_label", "assumed"),
        (heads.headless, {"task": "multi_label"}, "multi_label", "given"),
    ],
)
def test_the_task_is_read_off_given_or_assumed(network: Any, given: Any, task: str, origin: str) -> None:
    model = load(network(), **given)
    assert (model.task, model.task_origin) == (task, origin)
    assert any("assumed" in note for note in model.notes) == (origin == "assumed")
    assert model.outputs.to_dict()["task_origin"] == origin


@pytest.mark.parametrize(
    "labels",
    [
        ("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
        ("No Finding", "Lung Opacity", "Edema", "Pleural Effusion", "Support Devices", "other", "Pleural_Thickening"),
    ],
)
def test_names_of_findings_that_occur_together_are_not_softmaxed(labels: tuple[str, ...]) -> None:
    model = load(heads.Spread(len(labels)), labels=labels)
    assert (model.task, model.task_origin) == ("multi_label", "assumed")
    assert any("occur together" in note for note in model.notes)
    assert load(heads.Spread(3), labels=("Mass", "Nodule", "cat")).task == "single_label"


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto", "densenet121"])
def test_a_backbone_without_a_classifier_predicts_nothing_and_is_not_called_a_classifier(name: str) -> None:
    model = core.load_model(timm.create_model(name, num_classes=0), device="cpu")
    assert (model.task, model.task_origin) == ("embedding", "read")
    assert model.labels[3] == "feature 3"


def test_a_classifier_replaced_by_identity_is_noticed_and_one_with_classes_is_not() -> None:
    import torchvision

    network = torchvision.models.resnet18(num_classes=7)
    assert load(network).task == "single_label"
    network.fc = nn.Identity()
    assert load(network).task == "embedding"


@pytest.mark.parametrize(
    ("words", "classes", "task"),
    [
        ({"config": {"problem_type": "regression"}}, 1, "regression"),
        ({"hyper_parameters": {"loss": "MSELoss"}}, 1, "regression"),
        ({"hyper_parameters": {"criterion": "BCEWithLogitsLoss"}}, 1, "binary"),
        ({"hyper_parameters": {"criterion": "BCEWithLogitsLoss"}}, 5, "multi_label"),
        ({"args": {"task": "binary_classification"}}, 1, "binary"),
        ({"args": {"task": "binary"}}, 2, "single_label"),
        ({"meta": {"loss": "CrossEntropyLoss"}}, 5, "single_label"),
        ({"args": {"loss": "bce", "task": "classification"}}, 5, None),
        ({"args": {"task": 3, "loss": ["mse"]}}, 5, None),
    ],
)
def test_a_checkpoint_says_its_task(words: dict[str, Any], classes: int, task: str | None, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"state_dict": weights(classes=classes), **words})
    model = core.load_model(f"file:{path}", architecture=SmallNet, preprocessing=SIZE, device="cpu")
    assert (model.task, model.task_origin) == ((task, "read") if task else ("single_label", "assumed"))


@pytest.mark.parametrize(
    ("classes", "given", "words"),
    [
        (5, {"task": "multilabel"}, "Did you mean multi_label"),
        (5, {"task": "detection"}, "cannot be explained here"),
        (5, {"task": "binary"}, "has one output"),
        (1, {"task": "single_label"}, "binary or regression"),
        (5, {"unit": "mm"}, "regression"),
        (5, {"thresholds": 0.5}, "belong to findings"),
        (5, {"task": "multi_label", "thresholds": [0.5, 0.2]}, "5 numbers"),
        (5, {"task": "multi_label", "thresholds": {"class 1": 1.5}}, "from 0 to 1"),
        (5, {"task": "multi_label", "thresholds": float("nan")}, "from 0 to 1"),
        (5, {"task": "multi_label", "thresholds": {"cat": 0.4}}, "no class 'cat'"),
    ],
)
def test_a_task_unit_or_threshold_that_cannot_be_is_refused_in_words(classes: int, given: Any, words: str) -> None:
    with pytest.raises(GradcamError, match=words):
        load(networks.conv_net(classes), **given)


def test_changing_the_task_changes_no_heatmap_and_replaces_the_note() -> None:
    plain = load(heads.fourteen())
    model = core.with_task(plain, "multi_label")
    assert not any("one class only was assumed" in note for note in model.notes)
    image = networks.picture()
    first, second = (core.explain(image, each, targets=[3], methods="grad_cam") for each in (plain, model))
    np.testing.assert_array_equal(first.heatmaps[0].raw, second.heatmaps[0].raw)
    assert core.with_task(model, "auto").task == "multi_label"
    assert core.with_task(load(heads.one_score()), "regression").labels == ("value",)


# --- predictions -----------------------------------------------------------------------------------------------------


def test_fourteen_findings_have_the_sigmoid_each_and_nothing_adds_up_to_one(findings: LoadedModel) -> None:
    explanation = core.explain(networks.picture(), findings, methods="grad_cam", top_k=14)
    truth = scores_of(findings, explanation).sigmoid()
    assert [p.index for p in explanation.predictions] == truth.argsort(descending=True).tolist()
    for prediction in explanation.predictions:
        assert prediction.probability == pytest.approx(float(truth[prediction.index]), abs=1e-6)
        assert prediction.present == (prediction.probability >= (0.2 if prediction.index == 0 else 0.5))
    record = json.loads(core.to_json(core.to_dict(explanation)))
    assert record["model"]["task"] == "multi_label"
    assert record["model"]["thresholds"][:2] == [0.2, 0.5]
    assert abs(sum(p["probability"] for p in record["predictions"]) - 1) > 0.1
    assert abs(sum(h["target"]["probability"] for h in record["heatmaps"]) - 1) > 0.1
    own = core.load_model(heads.fourteen_sigmoids(), labels=FINDINGS, preprocessing=SIZE, device="cpu")
    twin = core.predict(networks.picture(), own, 14)
    assert {p.index: p.probability for p in twin} == pytest.approx(
        {p.index: p.probability for p in explanation.predictions}, abs=1e-6
    )


def test_one_score_is_a_yes_or_no_and_its_opposite_is_explained_by_what_lowers_it() -> None:
    model = load(heads.one_score(), labels=["nodule"], task="binary", thresholds=0.9)
    explanation = core.explain(networks.picture(), model, methods="grad_cam", targets=["nodule", "-nodule"])
    (prediction,) = explanation.predictions
    assert prediction.probability == pytest.approx(float(scores_of(model, explanation).sigmoid()[0]), abs=1e-6)
    assert prediction.present == (prediction.probability >= 0.9)
    raises, lowers = explanation.heatmaps
    np.testing.assert_allclose(lowers.raw, -raises.raw, atol=1e-6 * np.abs(raises.raw).max())


def test_a_regression_gives_a_number_with_its_unit_and_no_probability(regressor: LoadedModel) -> None:
    explanation = core.explain(networks.picture(), regressor, methods="grad_cam")
    (prediction,) = explanation.predictions
    assert prediction.value == pytest.approx(float(scores_of(regressor, explanation)[0]), abs=1e-4)
    assert math.isnan(prediction.probability)
    assert core.amount_of(prediction) == f"{prediction.value:.4g}\u202fyears"
    record = json.loads(core.to_json(core.to_dict(explanation)))
    assert record["predictions"][0]["probability"] is None
    assert record["predictions"][0]["unit"] == record["model"]["unit"] == "years"
    assert record["heatmaps"][0]["target"]["value"] == pytest.approx(prediction.value)
    assert "%" not in " ".join(core.caption_lines(explanation, explanation.heatmaps[0]))
    assert "years" in " ".join(core.caption_lines(explanation, explanation.heatmaps[0]))


def test_an_embedding_predicts_nothing_and_says_what_can_be_explained() -> None:
    model, image = load(heads.headless()), networks.picture()
    assert core.predict(image, model) == ()
    with pytest.raises(TargetError, match=r"12 features and no classes.*by its index"):
        core.explain(image, model)
    explanation = core.explain(image, model, targets=["feature 3", "-3"], methods="grad_cam")
    assert [heatmap.target.label for heatmap in explanation.heatmaps] == ["feature 3", "lowers feature 3"]
    assert explanation.predictions == ()
    assert core.archive(explanation)


def test_a_score_that_is_not_a_number_costs_its_own_heatmap_only() -> None:
    model = load(heads.Broken(), task="multi_label")
    bright = networks.record(np.full((40, 40, 3), 255, np.uint8))
    explanation = core.explain(bright, model, targets=[0, 1], methods="grad_cam", top_k=5)
    assert [heatmap.target.index for heatmap in explanation.heatmaps] == [1]
    assert any("class 0 is not a finite number" in note and "Check" in note for note in explanation.notes)
    assert sorted(p.index for p in explanation.predictions) == [0, 1, 2, 3, 4]
    broken = explanation.predictions[-1]
    assert (broken.index, broken.present, math.isnan(broken.probability)) == (0, None, True)
    with pytest.raises(TargetError, match="None of the targets"):
        core.explain(bright, model, targets=[0], methods="grad_cam")
    with pytest.raises(ModelError, match="not finite"):
        core.predict(bright, core.with_task(model, "single_label"))


# --- what lowers it --------------------------------------------------------------------------------------------------


def test_what_lowers_a_class_is_the_gradient_of_its_negative_score(findings: LoadedModel) -> None:
    image = networks.picture()
    asked = ["finding C", "-finding C", core.lowers(2, findings.labels), "−finding C"]
    explanation = core.explain(image, findings, targets=asked, methods="grad_cam")
    raises, *lowered = explanation.heatmaps
    for heatmap in lowered:
        np.testing.assert_allclose(heatmap.raw, -raises.raw, atol=1e-6 * np.abs(raises.raw).max())
        assert heatmap.target.label == "lowers finding C"
        assert heatmap.target.probability == raises.target.probability
    record = core.to_dict(explanation)["heatmaps"]
    assert [heatmap["target"].get("lowers", False) for heatmap in record] == [False, True, True, True]
    assert "lowers finding C (class 2, which has" in core.caption_lines(explanation, lowered[0])[0]


def test_a_label_with_a_hyphen_wins_over_the_direction() -> None:
    model = load(networks.conv_net(2), labels=["cat", "-cat"])
    (heatmap,) = core.explain(networks.picture(), model, targets=["-cat"], methods="grad_cam").heatmaps
    assert (heatmap.target.index, heatmap.target.label) == (1, "-cat")
    assert core.explain(networks.picture(), model, targets=["-CAT"], methods="grad_cam").heatmaps[0].target.index == 1
    (lowered,) = core.explain(networks.picture(), model, targets=["--cat"], methods="grad_cam").heatmaps
    assert lowered.target.label == "lowers -cat"
    with pytest.raises(TargetError, match="no class 'dog'"):
        core.explain(networks.picture(), model, targets=["-dog"])
    with pytest.raises(TargetError, match="other way round"):
        core.explain(networks.picture(), model, targets=["-0"], against=1)


# --- checks and measures ---------------------------------------------------------------------------------------------


def checks_of(model: LoadedModel, **given: Any) -> dict[str, core.Check]:
    explanation = core.explain(networks.picture(), model, methods="grad_cam", top_k=1, **given)
    return {check.name: check for check in core.trust(explanation, explanation.heatmaps[0], model).checks}


def test_a_finding_is_judged_by_its_own_threshold_and_not_by_a_share_of_all() -> None:
    model = load(heads.fourteen(), labels=FINDINGS, task="multi_label")
    share = core.predict(networks.picture(), model, 1)[0]
    low, high = (core.with_task(model, thresholds=limit) for limit in (share.probability / 2, 0.999))
    target = [share.index]
    assert checks_of(low, targets=target)["support"].outcome == "passed"
    weak = checks_of(high, targets=target)["support"]
    assert weak.outcome == "attention"
    assert "counts as absent: its threshold is 99.9\u202f%" in weak.sentence
    assert "top answer" not in weak.sentence


def test_the_checks_of_a_number_are_made_in_its_unit(regressor: LoadedModel) -> None:
    checks = checks_of(regressor)
    assert checks["support"].outcome == "not tested"
    assert "no probability" in checks["support"].sentence
    (value,) = (prediction.value for prediction in core.predict(networks.picture(), regressor))
    assert value is not None
    for name in ("matters", "edges"):
        assert checks[name].outcome != "not tested"
        assert f"from {core.quantity(value, 'years')}" in checks[name].sentence
        assert "probability" not in checks[name].sentence
        assert checks[name].numbers["before"] == pytest.approx(value, abs=1e-4)
    assert "one output only" in checks["class_specific"].sentence
    assert checks["stable"].outcome != "not tested"


def test_the_checks_of_what_lowers_a_class_follow_its_opposite() -> None:
    model = load(heads.fourteen(), labels=FINDINGS, task="multi_label")
    explanation = core.explain(networks.picture(), model, methods="grad_cam", targets=["-finding B"])
    checked = core.trust(explanation, explanation.heatmaps[0], model)
    support = next(check for check in checked.checks if check.name == "support")
    share = explanation.heatmaps[0].target.probability
    assert support.numbers["probability"] == pytest.approx(1 - share, abs=1e-6)
    measured = core.measure(explanation.heatmaps[0], explanation=explanation, model=model, names=["deletion"])
    curve = measured[0].curve
    assert curve is None or curve.values[0] == pytest.approx(1 - share, abs=1e-5)


def test_thresholds_cannot_be_derived_without_probabilities(regressor: LoadedModel) -> None:
    with pytest.raises(GradcamError, match=r"a number and no probability.*own thresholds"):
        core.derive_thresholds([networks.picture()], regressor, name="x")


# --- evaluation ------------------------------------------------------------------------------------------------------


def png(seed: int) -> bytes:
    written = io.BytesIO()
    Image.fromarray((networks.picture(seed=seed).pixels * 255).round().astype(np.uint8)).save(written, "PNG")
    return written.getvalue()


def pictures(count: int) -> list[tuple[str, Any]]:
    return [(f"{place}.png", functools.partial(png, place)) for place in range(count)]


def test_an_evaluation_counts_positives_and_negatives_of_each_finding(findings: LoadedModel) -> None:
    files = pictures(6)
    shares = {
        name: {p.index: p.probability for p in core.predict(core.read_image(load()), findings, 14)}
        for name, load in files
    }
    cells = {name: ["1" if values[1] > 0.5 else "0", "yes", ""] for name, values in shares.items()}
    text = "name,finding B,finding A,finding C\n" + "\n".join(f"{n},{','.join(c)}" for n, c in cells.items())
    evaluation = core.evaluate(files, core.read_table(text.encode()), {}, findings)
    by_label = {finding.label: finding for finding in evaluation.findings}
    assert set(by_label) == {"finding A", "finding B"}
    positives = sum(values[1] > 0.5 for values in shares.values())
    assert (by_label["finding B"].sensitivity.part, by_label["finding B"].sensitivity.whole) == (positives, positives)
    assert by_label["finding B"].specificity.whole == 6 - positives
    found = sum(values[0] >= 0.2 for values in shares.values())
    assert (by_label["finding A"].sensitivity.part, by_label["finding A"].sensitivity.whole) == (found, 6)
    assert by_label["finding A"].threshold == 0.2
    assert evaluation.accuracy.part == found  # the other known finding is right by construction
    assert sum(group.count for group in evaluation.bins) == 12
    sentences = " ".join(core.evaluation_sentences(evaluation))
    assert "finding A: present by the model in" in sentences
    assert "top answer" not in sentences.lower()
    rows = list(csv.DictReader(io.StringIO(core.evaluation_to_csv(evaluation, "keep").decode("utf-8-sig"))))
    assert {row["task"] for row in rows} == {"multi_label"}
    for row in rows:
        own = [float(row[f"probability of {label} ({index})"]) for index, label in enumerate(FINDINGS)]
        assert own == pytest.approx([shares[row["name"]][index] for index in range(14)], rel=1e-4)
        assert abs(sum(own) - 1) > 0.1


@pytest.mark.parametrize(
    ("row", "truths"),
    [
        (TableRow("x", "finding B"), {0: False, 1: True, 2: False}),
        (TableRow("x", "finding B; finding C"), {0: False, 1: True, 2: True}),
        (TableRow("x", "finding a|finding C"), {0: True, 1: False, 2: True}),
        (TableRow("x", "none"), {0: False, 1: False, 2: False}),
        (TableRow("x", "No Finding"), {0: False, 1: False, 2: False}),
        (TableRow("x", ""), {}),
        (TableRow("x", "", cells=(("FINDING A", "1"), ("finding b", "-1"), ("age", "71"))), {0: True}),
        (TableRow("x", "finding C", cells=(("finding A", "no"),)), {0: False}),
    ],
)
def test_a_table_says_which_findings_a_picture_has(row: TableRow, truths: dict[int, bool]) -> None:
    model = load(networks.conv_net(3), labels=FINDINGS[:3], task="multi_label")
    assert truths_of(row, model) == truths


@pytest.mark.parametrize(
    ("label", "truth"),
    [("nodule", True), ("1", True), ("Yes", True), ("no nodule", False), ("0", False), ("none", False), ("no", False)],
)
def test_a_table_says_yes_or_no(label: str, truth: bool) -> None:
    model = load(networks.conv_net(1), labels=["nodule"])
    assert truths_of(TableRow("x", label), model) == {0: truth}
    with pytest.raises(TargetError, match="no class 'zebra'"):
        truths_of(TableRow("x", "zebra"), model)


def test_a_yes_or_no_is_evaluated_with_its_opposite() -> None:
    model = load(heads.one_score(), labels=["nodule"], task="binary", thresholds=0.999999)
    files = pictures(3)
    table = core.read_table(b"name,label\n0.png,no nodule\n1.png,nodule\n2.png,no\n")
    evaluation = core.evaluate(files, table, {}, model)
    (finding,) = evaluation.findings
    assert (finding.sensitivity.whole, finding.specificity.whole) == (1, 2)
    assert {row.answer for row in evaluation.rows} == {"none"}
    assert {row.edge_class for row in evaluation.rows} == {"not nodule"}
    assert {edges.label for edges in evaluation.edges_by_answer} == {"not nodule"}


def test_a_regression_is_evaluated_by_its_mean_absolute_error(regressor: LoadedModel) -> None:
    files = pictures(4)
    values = [core.predict(core.read_image(load()), regressor)[0].value for _, load in files]
    given = [50.0, 47.5, 52.25]
    text = "name;label\n0.png;50\n1.png;47,5\n2.png;52.25\n3.png;\n"
    evaluation = core.evaluate(files, core.read_table(text.encode()), {}, regressor)
    expected = np.mean([abs(value - number) for value, number in zip(values, given, strict=False)])
    assert evaluation.error.value == pytest.approx(expected, rel=1e-6)
    assert evaluation.error.count == 3
    assert evaluation.accuracy.whole == 0
    errors = [row.error or 0 for row in evaluation.rows]
    assert errors == sorted(errors, reverse=True)
    sentences = core.evaluation_sentences(evaluation)
    assert sentences[0] == f"The mean absolute error is {core.quantity(expected, 'years')} over 3 pictures."
    assert not any("top answer" in words for words in sentences)
    assert any(words.startswith("A corner or border decides the number in") for words in sentences)
    assert all(row.region and row.lost >= 0 for row in evaluation.rows)
    first = next(csv.DictReader(io.StringIO(core.evaluation_to_csv(evaluation).decode("utf-8-sig"))))
    assert (first["task"], first["unit"], first["probability"]) == ("regression", "years", "")
    with pytest.raises(TargetError, match="No label of the table is a number"):
        core.evaluate(files, core.read_table(b"name,label\n0.png,old\n"), {}, regressor)


@pytest.mark.parametrize(("label", "words"), [("1,234", "two ways"), ("old", "no number"), ("inf", "no number")])
def test_a_number_that_is_none_stays_its_own_pictures_problem(label: str, words: str, regressor: LoadedModel) -> None:
    table = core.read_table(f"name;label\n0.png;50\n1.png;{label}\n".encode())
    evaluation = core.evaluate(pictures(2), table, {}, regressor)
    assert evaluation.error.count == 1
    assert words in evaluation.failures[0].problem


def test_a_column_counts_by_its_name_and_never_by_an_index(regressor: LoadedModel) -> None:
    row = TableRow("x", "", cells=(("0", "7"), ("AGE", "51.5")))
    assert numbers_of(row, regressor) == {0: 51.5}
    assert numbers_of(TableRow("x", "49,5"), regressor) == {0: 49.5}


def test_an_embedding_cannot_be_evaluated_and_says_so() -> None:
    with pytest.raises(TargetError, match="features and no classes"):
        core.evaluate(pictures(1), (), {}, load(heads.headless()))


# --- comparison ------------------------------------------------------------------------------------------------------


def test_models_of_findings_are_compared_on_the_finding_and_not_on_a_top_answer(findings: LoadedModel) -> None:
    image = networks.picture()
    share = {p.index: p.probability for p in core.predict(image, findings, 14)}[1]
    sure, doubtful = (core.with_task(findings, thresholds=limit) for limit in (share / 2, (1 + share) / 2))
    both = core.compare(image, [sure, sure], targets=["finding B"])
    assert both.same_answer == (0, 0)
    assert core.comparison_sentences(both)[0].startswith("Both models answer that finding B is present (")
    differ = core.compare(image, [sure, doubtful], targets=["finding B"])
    assert differ.outcome == "answers differ"
    assert "model 1 answers present" in core.comparison_sentences(differ)[0]
    assert core.comparison_to_dict(differ)["models"][1]["model"]["task"] == "multi_label"


def test_regressions_are_compared_in_their_unit_and_different_kinds_not_at_all(
    findings: LoadedModel, regressor: LoadedModel
) -> None:
    image = networks.picture()
    numbers = core.compare(image, [regressor, regressor])
    assert core.comparison_sentences(numbers)[0].startswith("For age, the models give ")
    assert core.comparison_sentences(numbers)[0].count("years") == 2
    mixed = core.compare(image, [findings, regressor], targets=["finding B"], match="index", checks=True)
    assert "cannot be compared" in core.comparison_sentences(mixed)[0]
    features = load(heads.headless())
    same = core.compare(image, [features, features], targets=[3])
    assert "features and no classes" in core.comparison_sentences(same)[0]
    with pytest.raises(TargetError, match="no classes"):
        core.compare(image, [features, features])


def test_what_lowers_a_class_is_compared_with_what_lowers_it_in_the_other_model(findings: LoadedModel) -> None:
    comparison = core.compare(networks.picture(), [findings, findings], targets=["-finding B", "finding B"])
    for compared in comparison.classes:
        first, second = compared.heatmaps
        assert first is not None
        assert second is not None
        assert first.target.label == second.target.label == compared.label
        np.testing.assert_array_equal(first.raw, second.raw)
    assert [compared.label for compared in comparison.classes] == ["lowers finding B", "finding B"]


# --- the terminal ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(png(0))
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return saved(tmp_path / "findings.pth", heads.fourteen().state_dict())


def test_a_minus_before_a_class_reaches_the_command(
    shown: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "names.json"
    labels.write_text(json.dumps(FINDINGS))
    model = ["--model", f"file:{checkpoint}", "--architecture", "python:tests.heads:fourteen", "--labels", str(labels)]
    model += ["--size", "32", "--fit", "squash", "--task", "multi_label", "--present-from", "finding B=0.99"]
    out = tmp_path / "out"
    asked = ["--target", "-finding B", "finding B", "-3", "--method", "grad_cam", "--out", str(out)]
    assert cli.main(["explain", str(shown), *model, *asked, "--quiet"]) == 0
    record = json.loads((out / "picture" / "explanation.json").read_text())
    assert [heatmap["target"]["label"] for heatmap in record["heatmaps"]] == [
        "lowers finding B",
        "finding B",
        "lowers finding D",
    ]
    assert record["model"]["task_origin"] == "given"
    assert record["model"]["thresholds"][1] == 0.99
    capsys.readouterr()
    assert cli.main(["trust", str(shown), *model, "--target", "-finding_B", "--json", "--quiet"]) == 2
    assert "no class 'finding_B'" in capsys.readouterr().err
    assert cli.main(["trust", str(shown), *model, "--target", "-1", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["target"]["label"] == "lowers finding B"


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["x", "--target", "-cat", "dog", "--out", "-cat"], ["x", "--target", "−cat", "dog", "--out", "-cat"]),
        (["--target", "a", "-b", "-h"], ["--target", "a", "−b", "-h"]),
        (["--layer", "-cat"], ["--layer", "-cat"]),
    ],
)
def test_only_targets_keep_their_minus(arguments: list[str], kept: list[str]) -> None:
    assert keep_minus(arguments) == kept


def test_a_regression_in_the_terminal_has_its_unit(
    shown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path / "age.pth", heads.regressor().state_dict())
    model = ["--model", f"file:{path}", "--architecture", "python:tests.heads:regressor", "--size", "32"]
    given = ["--task", "regression", "--unit", "years", "--method", "grad_cam", "--out", str(tmp_path / "out")]
    assert cli.main(["explain", str(shown), *model, *given]) == 0
    assert capsys.readouterr().out.strip().endswith(" years")
    assert cli.main(["explain", str(shown), *model, "--present-from", "many", "--out", str(tmp_path / "out")]) == 2


def test_every_task_can_be_recorded() -> None:
    for task in core.TASK_WORDS:
        outputs = Outputs(task, "assumed")
        assert outputs.to_dict()["task"] == task
        assert outputs.words.endswith("(assumed)")
