"""Two models over many pictures: agreement of answers, movement of evidence, worst first."""

import copy
import csv
import dataclasses
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from gradcam_core import (
    Drift,
    GradcamError,
    LoadedModel,
    drawn_folder,
    drift,
    drift_sentences,
    drift_to_csv,
    drift_to_dict,
    explain,
    load_model,
    read_image,
    to_json,
)
from gradcam_core.comparison.pairs import pair_of
from gradcam_core.evaluation.drift_records import DriftRow
from gradcam_core.evaluation.drifting import movement, worst_first
from gradcam_core.evaluation.records import Share
from gradcam_core.placement import Placement
from gradcam_core.records import Heatmap
from gradcam_core.samples.radiographs import LABELS
from gradcam_core.targets import ClassTarget
from tests import networks, papers
from tests.test_evaluation import png

COUNT = 18
Pictures = list[tuple[str, Callable[[], bytes]]]


def folder(kind: str, count: int = COUNT) -> Pictures:
    return [(name, lambda content=content: content) for name, content in drawn_folder(kind, count).pictures.items()]


@pytest.fixture(scope="module")
def clean() -> LoadedModel:
    return load_model("bundled:radiograph_clean", device="cpu")


@pytest.fixture(scope="module")
def shortcut() -> LoadedModel:
    return load_model("bundled:radiograph_shortcut", device="cpu")


@pytest.fixture(scope="module")
def marked(clean: LoadedModel, shortcut: LoadedModel) -> Drift:
    return drift(folder("marked_nodules"), clean, shortcut)


def heatmap(raw: Any) -> Heatmap:
    grid = np.asarray(raw, np.float32)
    return Heatmap("grad_cam", {}, ClassTarget(0, "a", 0.5), "x", grid, Placement((64, 64), (32, 32), (0, 0, 64, 64)))


# What is known beforehand


@pytest.mark.parametrize("method", ["grad_cam", "cam", ("grad_cam", {"flip": True})])
def test_the_same_weights_agree_everywhere_and_nothing_moves(clean: LoadedModel, method: Any) -> None:
    same = drift(
        folder("marked_nodules", 6), clean, load_model("bundled:radiograph_clean", device="cpu"), method=method
    )
    assert same.agreement == Share(6, 6)
    assert same.moved == Share(0, 6)
    assert [row.movement for row in same.rows] == [0.0] * 6
    assert [row.standing for row in same.rows] == [""] * 6
    assert "Both models have the same weights and preprocessing." in drift_sentences(same)


def test_a_copy_in_half_precision_stays_where_it_is(clean: LoadedModel) -> None:
    # Rounded as bfloat16: the bundled weights are stored as float16, which would change nothing.
    network = copy.deepcopy(clean.module)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.bfloat16().float())
    other = load_model(
        network,
        labels=clean.labels,
        preprocessing={name: value for name, value in clean.preprocessing.to_dict().items() if value is not None},
        device="cpu",
    )
    rounded = drift(folder("marked_nodules"), clean, other)
    assert rounded.models[0].fingerprint != rounded.models[1].fingerprint
    assert rounded.agreement == Share(COUNT, COUNT)
    assert rounded.moved == Share(0, COUNT)
    assert {row.evidence for row in rounded.rows} == {"same place"}


def test_a_model_that_reads_the_marker_moves_the_evidence_where_the_marker_is(marked: Drift) -> None:
    nodules = {f"drawn_{place + 1:02}.png" for place in range(COUNT) if LABELS[place % 3] == "nodule"}
    moved = {row.name for row in marked.rows if row.moved}
    assert moved <= nodules
    assert len(moved) >= len(nodules) - 1
    assert {row.name for row in marked.rows[: len(moved)]} == moved, "the worst come first"
    assert any(row.moved and row.same_answer for row in marked.rows), "the answers alone would not show it"
    first, second = drift_sentences(marked)[:2]
    assert first.startswith(f"The answers agree on {marked.agreement.part} of 18 pictures (")
    assert "95\u202f% interval" in first
    assert second.startswith(f"The evidence moved on {len(moved)} of 18 pictures (")
    assert second.endswith("of these the answers agree.")


def test_without_the_marker_it_is_the_answers_that_differ(clean: LoadedModel, shortcut: LoadedModel) -> None:
    bare = drift(folder("no_markers"), clean, shortcut)
    assert bare.agreement.part < COUNT
    assert "nodule → no finding" in drift_sentences(bare)[0]
    assert all(row.answers[0] == "nodule" for row in bare.rows if not row.same_answer)


# The numbers of a row


def test_movement_equals_its_literal_twin_on_the_maps_of_both_models(
    clean: LoadedModel, shortcut: LoadedModel, marked: Drift
) -> None:
    contents = dict(folder("marked_nodules"))
    for row in (marked.rows[0], marked.rows[-1]):
        image = read_image(contents[row.name]())
        target = clean.labels.index(row.label)
        maps = [explain(image, model, targets=[target], methods="grad_cam").heatmaps[0] for model in (clean, shortcut)]
        values, others = (
            np.round(np.float32(part), 5)
            for part in papers.common_values(
                [(each.raw.clip(0) / each.raw.max()).tolist() for each in maps],
                [each.placement.box for each in maps],
                picture=(image.height, image.width),
                cells=32,
                offsets=[each.placement.cell_offset for each in maps],
            )
        )
        assert row.movement == pytest.approx(papers.movement(values, others), abs=0.02)
        assert row.correlation == pytest.approx(papers.spearman(values, others), abs=2e-3)


@pytest.mark.parametrize(
    ("raw", "other", "wanted"),
    [
        (np.eye(4), 9 * np.eye(4), 0.0),
        (np.eye(4), -np.eye(4), 1.0),
        (-np.eye(4), np.eye(4), 1.0),
        (-np.eye(4), -np.eye(4), None),
        (np.eye(4), np.ones((4, 4)), None),
    ],
)
def test_evidence_that_one_model_does_not_have_has_moved_and_none_in_both_says_nothing(
    raw: np.ndarray, other: np.ndarray, wanted: float | None
) -> None:
    assert movement(pair_of("a", (0, 1), (heatmap(raw), heatmap(other)), "own")) == wanted


def test_rows_are_sorted_by_movement_then_answers_then_correlation() -> None:
    rows = [
        DriftRow("broken", "", problem="It cannot be read."),
        DriftRow("nothing", "", same_answer=False),
        DriftRow("little", "", same_answer=True, movement=0.2, correlation=0.1),
        DriftRow("far", "", same_answer=True, movement=1.0, correlation=0.3),
        DriftRow("farther", "", same_answer=True, movement=1.0, correlation=-0.3),
        DriftRow("other answer", "", same_answer=False, movement=1.0, correlation=0.9),
    ]
    ordered = [row.name for row in worst_first(rows)]
    assert ordered == ["other answer", "farther", "far", "little", "nothing", "broken"]


@pytest.mark.parametrize(
    ("row", "standing"),
    [
        (DriftRow("", "", same_answer=True, evidence="same place"), ""),
        (DriftRow("", "", same_answer=False, evidence="same place"), "answers differ"),
        (DriftRow("", "", same_answer=False, evidence="different places"), "answers differ, evidence moved"),
        (DriftRow("", "", same_answer=True, evidence="in one model only"), "evidence moved"),
        (DriftRow("", "", same_answer=True, evidence="partly"), "evidence partly moved"),
        (DriftRow("", "", same_answer=True), "evidence not compared"),
        (DriftRow("", "", problem="It cannot be read."), "not evaluated"),
    ],
)
def test_a_row_says_why_it_deserves_a_look(row: DriftRow, standing: str) -> None:
    assert row.standing == standing


# Classes, failures, stopping


def test_classes_are_matched_as_in_a_comparison() -> None:
    first = networks.loaded(networks.conv_net(), labels=["a", "b", "c", "d", "e"])
    turned = dataclasses.replace(first, labels=("E", " d", "c", "b", "A"))
    pictures: Pictures = [("a.png", lambda: png(True, 1))]
    by_index = drift(pictures, first, turned, match="index").rows[0]
    assert by_index.same_answer
    assert by_index.movement == 0
    by_label = drift(pictures, first, turned).rows[0]
    assert by_label.same_answer is (by_label.answers[0] == "c")
    with pytest.raises(GradcamError, match="no class in common"):
        drift(pictures, first, dataclasses.replace(first, labels=("v", "w", "x", "y", "z")))


def test_a_class_without_a_partner_is_a_row_with_a_note() -> None:
    first = networks.loaded(networks.conv_net(), labels=["a", "b", "c", "d", "e"])
    answer = drift([("a.png", lambda: png(True, 1))], first, first).rows[0].label
    others = tuple("x" if label == answer else label for label in first.labels)
    row = drift([("a.png", lambda: png(True, 1))], first, dataclasses.replace(first, labels=others)).rows[0]
    assert row.movement is None
    assert row.same_answer is False
    assert row.standing == "answers differ, evidence not compared"
    assert "no class that is matched" in row.note


def test_a_broken_picture_is_a_row_with_its_reason_and_part_of_no_count(tiny: LoadedModel) -> None:
    def gone() -> bytes:
        raise OSError("/home/anna/scan.png")

    pictures: Pictures = [("bad.png", lambda: png(True)[:60]), ("gone.png", gone), ("good.png", lambda: png(True))]
    result = drift(pictures, tiny, tiny)
    assert [row.name for row in result.rows] == ["good.png", "bad.png", "gone.png"]
    assert result.agreement == Share(1, 1)
    assert len(result.failures) == 2
    assert all(row.problem for row in result.failures)
    assert "anna" not in result.rows[2].problem
    assert "could not be compared: 2" in " ".join(drift_sentences(result))
    alone = drift(pictures[:2], tiny, tiny)
    assert alone.agreement.interval is None
    assert drift_sentences(alone) == (
        "Pictures that could not be compared: 2. They are at the end of the list, with what to do.",
    )


@pytest.mark.parametrize(
    "wrong", [{"method": "grad_kam"}, {"layers": ["nowhere", None]}, {"layers": "5"}, {"match": "colour"}]
)
def test_what_suits_no_picture_is_raised_before_any_is_read(tiny: LoadedModel, wrong: dict[str, Any]) -> None:
    def read() -> bytes:
        raise AssertionError("read")

    with pytest.raises(GradcamError):
        drift([("a.png", read)], tiny, tiny, **wrong)


def test_a_stopped_drift_has_the_rows_so_far_and_goes_on_from_them(tiny: LoadedModel) -> None:
    pictures: Pictures = [(f"{seed}.png", lambda seed=seed: png(True, seed)) for seed in range(3)]
    shares: list[float] = []
    stopped = drift(
        pictures,
        tiny,
        tiny,
        stop=lambda: any(share >= 1 / 3 for share in shares),
        on_progress=lambda share, words, drafts: shares.append(share),
    )
    assert [row.name for row in stopped.rows] == ["0.png"]
    marked_rows = [dataclasses.replace(stopped.rows[0], note="computed before")]
    whole = drift(pictures, tiny, tiny, known=marked_rows)
    assert whole.count == 3
    assert [row.note for row in whole.rows if row.name == "0.png"] == ["computed before"]
    assert shares == sorted(shares)


# Files


def test_the_table_and_the_record_hold_every_row_and_no_name_unless_it_is_wanted(marked: Drift) -> None:
    lines = list(csv.DictReader(io.StringIO(drift_to_csv(marked).decode("utf-8-sig"))))
    record = json.loads(to_json(drift_to_dict(marked, names="hash")))
    assert len(lines) == len(record["rows"]) == COUNT
    for row, line, value in zip(marked.rows, lines, record["rows"], strict=True):
        assert line["sha256"] == value["sha256"] == row.sha256
        assert float(line["movement"]) == pytest.approx(value["movement"], abs=1e-5)
        assert value["answers"][1]["label"] == line["answer_2"] == row.answers[1]
    assert record["agreement"]["part"] == marked.agreement.part
    assert record["agreement"]["interval"] == list(marked.agreement.interval or ())
    assert [model["layer"] for model in record["models"]] == ["layer4.0"] * 2
    assert record["sentences"] == list(drift_sentences(marked))
    assert "drawn_" not in json.dumps(record) + drift_to_csv(marked).decode()
    assert "drawn_01.png" in json.dumps(drift_to_dict(marked))
    assert b"drawn_01.png" in drift_to_csv(marked, "keep")
