"""Evidence over many pictures: untrusted tables, the result of each picture, and the numbers over all of them."""

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gradcam_core import drawn_folder, explain, load_model, read_image
from gradcam_core.checks import read_thresholds, trust
from gradcam_core.errors import GradcamError, MethodError, TargetError
from gradcam_core.evaluation import (
    Evaluation,
    Row,
    evaluate,
    evaluation_sentences,
    evaluation_to_csv,
    find_masks,
    read_table,
)
from gradcam_core.evaluation.matching import match
from gradcam_core.evaluation.records import Share, TableRow
from gradcam_core.evaluation.summary import calibration_error, reliability, summarise, worst_first
from gradcam_core.evaluation.table import LARGEST_FILE, MOST_ROWS, is_old_text
from gradcam_core.exporters import evaluation_to_dict, to_json
from gradcam_core.measures import measure
from gradcam_core.readers.truth import read_truth
from gradcam_core.records import LoadedModel
from gradcam_core.samples import radiographs
from gradcam_core.samples.radiographs import FIRST_SEED
from gradcam_core.text import csv_cell
from tests import networks

LIMITS = read_thresholds()
LABELS = ["dark", "bright"]


class Corner(nn.Module):
    """Answers "bright" where the upper right corner is, whatever the rest of the picture shows."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Conv2d(3, 4, 1)
        nn.init.constant_(self.mix.weight, 1 / 3)
        nn.init.zeros_(self.mix.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        light = self.mix(x).relu()[:, :, :6, -6:].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(light), 12 * light - 4], dim=1)


@pytest.fixture(scope="module")
def corner() -> LoadedModel:
    return networks.loaded(Corner().eval(), 32, LABELS)


def png(corner: bool, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(60, 100, (32, 32, 3), np.uint8)
    if corner:
        pixels[:6, -6:] = 255
    return cv2.imencode(".png", pixels)[1].tobytes()


def mask(rows: slice, columns: slice) -> bytes:
    inside = np.zeros((32, 32), np.uint8)
    inside[rows, columns] = 255
    return cv2.imencode(".png", inside)[1].tobytes()


def giving(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def files(**contents: bytes) -> list[tuple[str, Callable[[], bytes]]]:
    return [(f"{name}.png", giving(content)) for name, content in contents.items()]


# --- tables ----------------------------------------------------------------------------------------------------------

WANTED = (TableRow("a.png", "nodule", "a_m.png"), TableRow("b.png", "none", ""))


@pytest.mark.parametrize(
    "content",
    [
        b"name,label,mask\na.png,nodule,a_m.png\nb.png,none,\n",
        b"Label;FILE;Mask;age\r\nnodule;a.png;a_m.png;71\r\n\r\nnone;b.png;;\r\n",
        b"filename\tclass\tmask\na.png\tnodule\ta_m.png\nb.png\tnone\n",
        "\ufeffimage,label,mask\n a.png , nodule,a_m.png\nb.png,none".encode(),
        "name,label,mask\na.png,nodule,a_m.png\nb.png,none,\n".encode("utf-16"),
        b'"name";"label";"mask"\r"a.png";"nodule";"a_m.png"\r"b.png";"none";""\r',
    ],
)
def test_a_table_is_read_however_a_spreadsheet_wrote_it(content: bytes) -> None:
    rows = read_table(content)
    assert tuple(dataclasses.replace(row, cells=()) for row in rows) == WANTED
    assert rows[0].cells == ((("age", "71"),) if b";age" in content else ())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"name,label\n",
        b"name\nanna.png\n",
        b"label,mask\nnodule,anna.png\n",
        b"anna.png,nodule\n",
        b"name,label\n,nodule\n",
        b"name,label\nanna.png,nodule\nAnna.PNG,none\n",
        b"name,label\n/one/anna.png,nodule\none\\Anna.png,none\n/one/ANNA.png,none\n",
        b"name,label\nanna\0.png,nodule\n",
        b"name,label\nanna\x07.png,nodule\n",
        "name,label\nanna\u202egnp.exe,nodule\n".encode(),
        b"name,label\nanna.png," + b"x" * 301 + b"\n",
        b"name,label\nanna.png," + b"x" * 200_000 + b"\n",
        b'name,label\n"anna.png,nodule\n',
        b'name,label\n"anna"x.png,nodule\n',
        b'name,label\n"anna\n.png",nodule\n',
        b"name,label\nm\x81ller-anna.png,nodule\n",
        "name,label\nanna.png,nodule\n".encode("utf-16")[:-1],
        "name,label\nanna.png,nodule\n".encode("utf-16-le"),
        b"\xff\xd8\xff\xe0anna" * 50,
        b"name,label\n" + b"a" * LARGEST_FILE,
        b"name,label\n" + b"".join(b"anna%d,x\n" % number for number in range(MOST_ROWS + 1)),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_words_that_name_no_picture(content: bytes) -> None:
    with pytest.raises(GradcamError) as caught:
        read_table(content)
    assert caught.value.message
    assert caught.value.remedy
    assert "anna" not in str(caught.value).casefold()


@given(
    st.binary(max_size=300) | st.text(max_size=200).map(lambda text: b"name,label\n" + text.encode("utf-8", "replace"))
)
@settings(max_examples=300)
def test_whatever_the_bytes_a_table_is_read_or_refused(content: bytes) -> None:
    try:
        rows = read_table(content)
    except GradcamError:
        return
    assert rows
    assert all(row.name for row in rows)


def test_a_table_of_an_old_spreadsheet_is_read_and_told_from_others() -> None:
    old = "name;label\nmüller.png;Größe – ½\n"
    assert [(row.name, row.label) for row in read_table(old.encode("cp1252"))] == [("müller.png", "Größe – ½")]
    assert is_old_text(old.encode("cp1252"))
    assert not any(is_old_text(old.encode(name)) for name in ("utf-8", "utf-8-sig", "utf-16"))


@pytest.mark.parametrize(
    ("rows", "pictures", "labels"),
    [
        (["1.png"], ["a/1.png"], ["1.png"]),
        (["a/1.png"], ["b/1.png"], [None]),
        (["a/1.png", "b/1.png"], ["b/1.png", "a/1.png"], ["b/1.png", "a/1.png"]),
        (["A\\1"], ["x/a/1.PNG", "a/2.png"], ["A\\1", None]),
        (["/mnt/study/a/1.png"], ["a/1.png"], ["/mnt/study/a/1.png"]),
        # The row of a picture without a folder is not also that of its namesake in one, and the other way round.
        (["1.png", "a/1.png"], ["1.png", "a/1.png"], ["1.png", "a/1.png"]),
        (["a/1.png"], ["1.png", "a/1.png"], [None, "a/1.png"]),
        # Where several fit alike, none is chosen.
        (["1.png"], ["a/1.png", "b/1.png"], ["shared", "shared"]),
        (["a/1.png", "b/1.png"], ["1.png"], ["shared"]),
        (["./a//1.png"], ["a/1.png"], ["./a//1.png"]),
    ],
)
def test_a_row_fits_the_picture_with_which_most_folders_agree(
    rows: list[str], pictures: list[str], labels: list[str | None]
) -> None:
    table = [TableRow(name, name) for name in rows]
    matched = match([(name, bytes) for name in pictures], table, {})
    assert ["shared" if file.shared else file.row and file.row.label for file in matched] == labels


@pytest.mark.parametrize(
    ("named", "pictures", "masks", "expected"),
    [
        ("", ["a/1.png", "b/1.png"], ["b/1_mask.png"], [None, "b/1_mask.png"]),
        ("", ["images/1.png"], ["masks/1_mask.png"], ["masks/1_mask.png"]),
        ("", ["a/1.png", "b/1.png"], ["masks/1_mask.png"], [None, None]),
        ("spot", ["a/1.png"], ["a/spot.png", "b/spot.png"], ["a/spot.png"]),
        ("m/spot.png", ["a/1.png"], ["m/spot.png", "n/spot.png"], ["m/spot.png"]),
        ("spot.png", ["1.png"], ["spot.png.png", "spot.png"], ["spot.png"]),
    ],
)
def test_a_mask_lies_beside_its_picture_or_is_the_only_one_of_its_name(
    named: str, pictures: list[str], masks: list[str], expected: list[str | None]
) -> None:
    table = [TableRow(name, "x", named) for name in pictures] if named else []
    loads = {name: partial(str.encode, name) for name in masks}
    matched = match([(name, bytes) for name in pictures], table, loads)
    assert [file.mask and file.mask().decode() for file in matched] == expected


def test_many_files_of_one_name_are_matched_quickly() -> None:
    rows = [TableRow(f"{number}/scan.png", "x") for number in range(50_000)]
    matched = match([(row.name, bytes) for row in rows] + [("scan.png", bytes)], rows, {})
    assert [file.row for file in matched[:-1]] == rows
    assert not any(file.shared for file in matched)


def test_masks_are_told_from_pictures_by_the_table_or_by_their_names() -> None:
    names = ["a.png", "A_M.PNG", "b.png", "b_mask.tif", "mask.png"]
    assert find_masks(names, WANTED) == {"A_M.PNG", "b_mask.tif"}


@pytest.mark.parametrize(
    ("table", "names", "masks"),
    [
        # A table that names a picture ..._mask means a picture, by its full name or without the ending.
        (b"name,label\n00001_Mask.jpg,masked\n", ["00001_Mask.jpg"], set()),
        (b"name,label\n00001_Mask,masked\n00001,bare\n", ["00001_Mask.jpg", "00001.jpg"], set()),
        (b"name,label\na,x\nb_mask,y\n", ["a.png", "b_mask.png", "b_mask_mask.png"], {"b_mask_mask.png"}),
        # The same file as a picture and as another's mask: a picture.
        (b"name,label,mask\na.png,x,b.png\nb.png,y,\n", ["a.png", "b.png"], set()),
        # A mask under any name, also without its ending; the full name counts before the shorter one.
        (b"name,label,mask\na.png,x,spot\n", ["a.png", "spot.tif"], {"spot.tif"}),
        (b"name,label,mask\na,x,a.png\n", ["a.jpg", "a.png"], {"a.png"}),
        # Without a word from the table, ..._mask is a mask where its picture is known.
        (b"name,label\nc.png,x\n", ["c.png", "c_mask.png", "d_mask.png"], {"c_mask.png"}),
        (b"name,label\nc.png,x\n", ["c_mask.png"], {"c_mask.png"}),
        (b"", ["00001_Mask.jpg", "00002_Mask.jpg"], set()),
    ],
)
def test_the_table_decides_what_is_a_mask(table: bytes, names: list[str], masks: set[str]) -> None:
    assert find_masks(names, read_table(table) if table else ()) == masks


def test_a_picture_named_as_masks_are_is_evaluated(corner: LoadedModel) -> None:
    table = read_table(b"name,label,mask\na_mask.png,bright,spot\nb.png,dark,\n")
    contents = dict(files(a_mask=png(True), b=png(False), spot=mask(slice(0, 6), slice(26, 32))))
    masks = find_masks(contents, table)
    pictures = [(name, load) for name, load in contents.items() if name not in masks]
    evaluation = evaluate(pictures, table, {name: contents[name] for name in masks}, corner)
    rows = {row.name: row for row in evaluation.rows}
    assert set(rows) == {"a_mask.png", "b.png"}
    assert rows["a_mask.png"].as_labelled
    assert rows["a_mask.png"].pointing_game == 1


# --- each picture -----------------------------------------------------------------------------------------------------


def test_a_model_that_reads_a_corner_is_found(corner: LoadedModel) -> None:
    pictures = files(a=png(True, 1), b=png(False, 2), c=png(True, 3), d=png(False, 4))
    table = read_table(b"name,label\na.png,bright\nb.png,dark\nc,bright\nfolder/d.png,BRIGHT\nz.png,dark\n")
    evaluation = evaluate(pictures, table, {}, corner)
    rows = {row.name: row for row in evaluation.rows}
    assert {name: row.as_labelled for name, row in rows.items()} == {
        "a.png": True,
        "b.png": True,
        "c.png": True,
        "d.png": False,
    }
    assert rows["a.png"].region == "upper right corner"
    assert rows["a.png"].lost > 0.9
    assert evaluation.accuracy == Share(3, 4)
    assert dict(evaluation.classes) == {"dark": Share(1, 1), "bright": Share(2, 3)}
    assert evaluation.edges.share == Share(2, 4)
    assert evaluation.edges.regions["upper right corner"].count == 2
    assert {one.label: one.share for one in evaluation.edges_by_answer} == {"dark": Share(0, 2), "bright": Share(2, 2)}
    assert {one.label: one.share for one in evaluation.edges_by_label} == {"dark": Share(0, 1), "bright": Share(2, 3)}
    assert evaluation.unmatched == 1
    assert [row.name for row in evaluation.rows] == ["d.png", "a.png", "c.png", "b.png"]


def test_a_picture_without_a_label_is_evaluated_without_one(corner: LoadedModel) -> None:
    evaluation = evaluate(files(a=png(True), b=png(False)), read_table(b"name,label\na.png,bright\n"), {}, corner)
    rows = {row.name: row for row in evaluation.rows}
    assert rows["b.png"].as_labelled is None
    assert rows["b.png"].label_probability is None
    assert rows["b.png"].answer == "dark"
    assert evaluation.accuracy == Share(1, 1)
    nothing = evaluate(files(a=png(True)), (), {}, corner)
    assert nothing.accuracy.interval is None
    assert nothing.calibration_error is None
    assert nothing.edges.share == Share(1, 1)


def test_what_is_wrong_with_one_picture_stays_its_own(corner: LoadedModel) -> None:
    def gone() -> bytes:
        raise FileNotFoundError("/ward/anna-gone.png")

    good = png(True)
    pictures = [
        ("anna-cut.png", giving(good[:60])),
        ("anna-text.png", giving(b"no picture at all")),
        ("anna-empty.png", giving(b"")),
        ("anna-gone.png", gone),
        ("anna-odd.png", giving(good)),
        ("one/anna-twin.png", giving(good)),
        ("two/anna-twin.png", giving(png(True, 2))),
        ("good.png", giving(good)),
    ]
    table = read_table(b"name,label\nanna-odd.png,green\nanna-twin.png,bright\ngood.png,bright\n")
    evaluation = evaluate(pictures, table, {}, corner)
    assert [row.name for row in evaluation.rows if not row.problem] == ["good.png"]
    assert evaluation.rows[0].name == "good.png"
    assert len(evaluation.failures) == 7
    assert not any("anna" in row.problem for row in evaluation.rows)
    assert "green" in next(row for row in evaluation.rows if row.name == "anna-odd.png").problem
    assert evaluation.accuracy == Share(1, 1)
    assert evaluation.edges.share == Share(1, 1)
    assert any("could not be evaluated: 7" in words for words in evaluation_sentences(evaluation))


def test_masks_are_measured_and_a_wrong_one_costs_only_its_numbers(corner: LoadedModel) -> None:
    pictures = files(a=png(True), b=png(True, 2), c=png(True, 3), d=png(True, 4), e=png(True, 5))
    table = read_table(
        b"name,label,mask\na.png,bright,spot.png\nb.png,bright,\nc.png,bright,c_odd.png\nd.png,bright,lost.png\n"
    )
    masks = {
        "spot.png": giving(mask(slice(0, 6), slice(26, 32))),
        "b_mask.png": giving(mask(slice(20, 32), slice(0, 12))),
        "c_odd.png": giving(b"no picture"),
    }
    rows = {row.name: row for row in evaluate(pictures, table, masks, corner).rows}
    assert rows["a.png"].pointing_game == 1
    assert rows["a.png"].relevance_mass > 0.9
    assert rows["b.png"].pointing_game == 0
    assert rows["c.png"].pointing_game is None
    assert rows["c.png"].note
    assert "not among the files" in rows["d.png"].note
    assert rows["e.png"].note == ""
    assert not any(row.problem for row in rows.values())


def test_the_numbers_of_a_row_are_those_of_the_single_picture(corner: LoadedModel) -> None:
    content, marked = png(True, 7), mask(slice(0, 9), slice(20, 32))
    table, masks = read_table(b"name,label\na.png,dark\n"), {"a_mask.png": giving(marked)}
    (row,) = evaluate(files(a=content), table, masks, corner, method="layer_cam").rows
    image = read_image(content)
    of_label = explain(image, corner, targets=0, methods="layer_cam")
    numbers = {one.name: one.value for one in measure(of_label.heatmaps[0], truth=read_truth(marked, image))}
    assert row.label_probability == of_label.heatmaps[0].target.probability
    assert (row.answer, row.probability) == ("bright", of_label.predictions[0].probability)
    for name in ("iou_fixed", "pointing_game", "relevance_mass"):
        assert getattr(row, name) == numbers[name]
    of_answer = explain(image, corner, targets=1, methods="layer_cam")
    checked = {one.name: one for one in trust(of_answer, of_answer.heatmaps[0], corner).checks}["edges"]
    assert row.lost == pytest.approx(checked.numbers["lost"], abs=1e-6)
    assert row.edge_decides == (checked.outcome == "attention")


def test_a_picture_that_takes_too_much_memory_is_a_row_as_well(corner: LoadedModel) -> None:
    def huge() -> bytes:
        raise MemoryError

    evaluation = evaluate([("a.png", huge), ("b.png", giving(png(True)))], (), {}, corner)
    assert ["memory" in row.problem for row in evaluation.rows] == [False, True]


def test_a_probability_of_exactly_nothing_has_nothing_to_lose() -> None:
    class Never(nn.Module):
        """Says no, as surely as a number can."""

        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Conv2d(3, 4, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.mix(x).mean((1, 2, 3))[:, None] - 500

    (only,) = evaluate(files(a=png(True)), (), {}, networks.loaded(Never().eval(), 32, ["yes"])).rows
    assert (only.problem, only.probability, only.lost) == ("", 0.0, 0.0)


def test_a_question_that_suits_no_picture_is_refused_as_a_whole(corner: LoadedModel) -> None:
    pictures = files(a=png(True))
    with pytest.raises(TargetError, match="none of the table"):
        evaluate(pictures, read_table(b"name,label\na.png,zebra\n"), {}, corner)
    with pytest.raises(MethodError):
        evaluate(pictures, (), {}, corner, method="no_such_cam")
    one_class = networks.loaded(networks.conv_net(classes=1), 32, ["yes"])
    with pytest.raises(TargetError, match="none of the table"):
        evaluate(pictures, read_table(b"name,label\na.png,zebra\n"), {}, one_class)
    assert evaluate(pictures, read_table(b"name,label\na.png,yes\n"), {}, one_class).accuracy.whole == 1
    assert evaluate(pictures, (), {}, one_class).count == 1


def test_it_goes_picture_by_picture_and_can_be_called_off(corner: LoadedModel) -> None:
    read: list[str] = []
    heard: list[tuple[float, str]] = []

    def reading(name: str) -> Callable[[], bytes]:
        return lambda: read.append(name) or png(True)

    def on_progress(share: float, words: str, drafts: tuple[object, ...]) -> None:
        heard.append((share, words))
        if len(read) == 2 and share >= 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate([(f"anna-{n}", reading(str(n))) for n in range(4)], (), {}, corner, on_progress=on_progress)
    assert read == ["0", "1"]
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)
    assert not any("anna" in words for _, words in heard)


def test_it_can_be_stopped_and_goes_on_with_the_rows_so_far(corner: LoadedModel) -> None:
    pictures = files(a=png(True), b=png(False), c=b"no picture", d=png(True, seed=3))
    whole = evaluate(pictures, (), {}, corner)
    asked: list[int] = []
    part = evaluate(pictures, (), {}, corner, stop=lambda: bool(asked.append(1)) or len(asked) > 2)
    assert part.count == 2
    passes: list[float] = []
    known = (*part.rows, *whole.rows[-1:])
    rest = evaluate(pictures, (), {}, corner, known=known, on_progress=lambda share, *_: passes.append(share))
    assert rest.rows == whole.rows
    assert {row.name: row for row in rest.rows}[part.rows[0].name] is part.rows[0], "it was not computed again"
    other = evaluate(files(a=png(False)), (), {}, corner, known=part.rows)
    assert other.rows[0].sha256 != part.rows[0].sha256, "rows of other content with the same name do not count"


def test_rows_of_another_model_or_of_other_settings_are_refused_with_a_remedy(corner: LoadedModel) -> None:
    pictures = files(a=png(True))
    known = evaluate(pictures, (), {}, corner).rows
    torch.manual_seed(1)
    network = Corner().eval()
    nn.init.constant_(network.mix.weight, 0.3)
    limits = dataclasses.replace(LIMITS, numbers={**LIMITS.numbers, "most_lost_at_edge": 0.9})
    others: list[tuple[LoadedModel, dict[str, Any]]] = [
        (networks.loaded(network, 32, LABELS), {}),
        (dataclasses.replace(corner, labels=("bright", "dark")), {}),
        (dataclasses.replace(corner, preprocessing=dataclasses.replace(corner.preprocessing, fit="letterbox")), {}),
        (corner, {"method": "layer_cam"}),
        (corner, {"method": ("grad_cam", {"copies": 4})}),
        (corner, {"thresholds": limits}),
    ]
    for model, settings_ in others:
        with pytest.raises(GradcamError, match="with another model, or with other settings") as error:
            evaluate(pictures, (), {}, model, known=known, **settings_)
        assert "leave them out" in error.value.remedy
    same = evaluate(pictures, (), {}, corner, known=known, method=("grad_cam", {}), layers=[corner.default_layer])
    assert same.rows[0] is known[0], "the same request in other words"
    assert evaluate(pictures, (), {}, corner, known=None).rows == known


def test_a_row_with_another_label_or_another_mask_is_computed_again(corner: LoadedModel) -> None:
    pictures, marked = files(a=png(True)), giving(mask(slice(0, 6), slice(26, 32)))
    known = evaluate(pictures, read_table(b"name,label\na.png,bright\n"), {"a_mask.png": marked}, corner).rows
    (row_,) = evaluate(
        pictures, read_table(b"name,label\na.png,dark\n"), {"a_mask.png": marked}, corner, known=known
    ).rows
    assert (known[0].label, row_.label) == ("bright", "dark")
    moved = giving(mask(slice(20, 32), slice(0, 12)))
    table = read_table(b"name,label\na.png,bright\n")
    (row_,) = evaluate(pictures, table, {"a_mask.png": moved}, corner, known=known).rows
    assert (known[0].pointing_game, row_.pointing_game) == (1, 0)
    assert evaluate(pictures, table, {"a_mask.png": marked}, corner, known=known).rows[0] is known[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"pictures": None},
        {"pictures": "ab"},
        {"pictures": [b"bytes"]},
        {"pictures": [("a.png", b"bytes")]},
        {"pictures": 5},
        {"table": None},
        {"table": b"name,label"},
        {"table": [("a.png", "bright")]},
        {"masks": None},
        {"masks": ["a_mask.png"]},
        {"masks": {"a_mask.png": b"bytes"}},
        {"model": None},
        {"model": "bundled:radiograph_clean"},
        {"known": 5},
        {"known": [{"name": "a.png"}]},
        {"known": [None]},
        {"method": 5},
        {"method": None},
        {"layers": 5},
        {"layers": [5]},
        {"thresholds": {"most_lost_at_edge": 0.5}},
    ],
    ids=str,
)
def test_arguments_of_a_wrong_type_are_refused_in_words(wrong: dict[str, Any], corner: LoadedModel) -> None:
    given_: dict[str, Any] = {"pictures": files(a=png(True)), "table": (), "masks": {}, "model": corner} | wrong
    with pytest.raises(GradcamError):
        evaluate(given_.pop("pictures"), given_.pop("table"), given_.pop("masks"), given_.pop("model"), **given_)


# --- the numbers over all of them, against their twins ---------------------------------------------------------------


def row(**values: object) -> Row:
    filled = {"name": "x", "sha256": "0", "answer": "a", "answer_index": 0, "region": "left border", **values}
    return Row(**filled)  # type: ignore[arg-type]


@st.composite
def some_rows(draw: st.DrawFn) -> list[Row]:
    shares = st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 0.70001, 1.0]) | st.floats(0, 1)
    rows = []
    for number in range(draw(st.integers(0, 14))):
        if draw(st.integers(0, 5)) == 0:
            rows.append(row(name=str(number), problem="broken"))
            continue
        label = draw(st.sampled_from([None, 0, 1, 2]))
        lost = draw(st.floats(-0.2, 1))
        marked = draw(st.booleans())
        answer = draw(st.integers(0, 2))
        rows.append(
            row(
                name=str(number),
                label="" if label is None else "abc"[label],
                label_index=label,
                label_probability=None if label is None else draw(shares),
                answer="abc"[answer],
                answer_index=answer,
                probability=draw(shares),
                region=draw(st.sampled_from(["left border", "upper right corner"])),
                lost=lost,
                edge_decides=lost > LIMITS.numbers["most_lost_at_edge"],
                pointing_game=float(draw(st.booleans())) if marked else None,
                relevance_mass=draw(shares) if marked else None,
            )
        )
    return rows


@given(some_rows())
@settings(max_examples=150)
def test_the_sums_equal_their_literal_twins(rows: list[Row]) -> None:
    evaluation = summarise(rows, LIMITS)
    right = wrong = 0
    decided: dict[tuple[str, str], list[float]] = {}
    for one in rows:
        if one.problem:
            continue
        if one.label != "":
            right += one.label == one.answer
            wrong += one.label != one.answer
        if one.lost > LIMITS.numbers["most_lost_at_edge"]:
            decided.setdefault((one.answer, one.region), []).append(one.lost)
    assert evaluation.accuracy == Share(right, right + wrong)
    regions = {(one.label, region): cost for one in evaluation.edges_by_answer for region, cost in one.regions.items()}
    assert {key: cost.count for key, cost in regions.items()} == {key: len(costs) for key, costs in decided.items()}
    for key, costs in decided.items():
        assert regions[key].value == pytest.approx(sum(costs) / len(costs))
    assert (
        sum(one.share.part for one in evaluation.edges_by_answer)
        == evaluation.edges.share.part
        == sum(map(len, decided.values()))
    )
    masses = [one.relevance_mass for one in rows if one.relevance_mass is not None]
    assert evaluation.localisation["relevance_mass"].count == len(masses)
    if masses:
        assert evaluation.localisation["relevance_mass"].value == pytest.approx(sum(masses) / len(masses))


@given(some_rows())
@settings(max_examples=150)
def test_the_calibration_error_equals_guos_equation(rows: list[Row]) -> None:
    labelled = [one for one in rows if not one.problem and one.label_index is not None]
    n, M, total = len(labelled), 10, 0.0
    counts = []
    for m in range(1, M + 1):
        # B_m holds the samples whose confidence falls into ((m - 1) / M, m / M]; one of exactly 0 joins the first.
        inside = [i for i in labelled if (m - 1) / M < i.probability <= m / M or (m == 1 and i.probability == 0)]
        counts.append(len(inside))
        if inside:
            accuracy = sum(1 for i in inside if i.answer_index == i.label_index) / len(inside)
            confidence = sum(i.probability for i in inside) / len(inside)
            total += len(inside) / n * abs(accuracy - confidence)
    bins = reliability([(one.probability, one.answer_index == one.label_index) for one in labelled])
    assert [one.count for one in bins] == counts
    assert sum(counts) == n
    if n:
        assert calibration_error(bins) == pytest.approx(total, abs=1e-9)
    else:
        assert calibration_error(bins) is None


@pytest.mark.parametrize(("part", "whole"), [(0, 1), (1, 1), (59, 60), (20, 60), (0, 500), (500, 1000)])
def test_wilsons_interval_contains_the_shares_from_which_the_observed_one_is_not_far(part: int, whole: int) -> None:
    # Wilson 1927: the ends are the shares p that lie 1.96 of their own standard deviations from the observed one.
    z, share = 1.959963984540054, part / whole
    # (share - p)^2 = z^2 p (1 - p) / n, written out as a quadratic equation in p.
    ends = sorted(np.roots([1 + z * z / whole, -2 * share - z * z / whole, share * share]).real)
    assert Share(part, whole).interval == pytest.approx(ends, abs=1e-6)


@given(some_rows())
@settings(max_examples=150)
def test_rows_stand_in_the_promised_order(rows: list[Row]) -> None:
    ordered = worst_first(rows)
    assert sorted(map(id, ordered)) == sorted(map(id, rows))
    places = [place(one) for one in ordered]
    assert places == sorted(places)
    for one, other in itertools.pairwise(ordered):
        if place(one) == place(other):
            assert rank(one) <= rank(other)
            if rank(one) == rank(other):
                assert int(one.name) < int(other.name)


def place(one: Row) -> int:
    if one.problem:
        return 5
    if one.label and one.label != one.answer:
        return 1
    if one.lost > LIMITS.numbers["most_lost_at_edge"]:
        return 2
    return 3 if one.pointing_game == 0 else 4


def rank(one: Row) -> float:
    own = one.probability if one.label == "" else one.label_probability
    return {1: -one.probability, 2: -one.lost, 3: one.relevance_mass, 4: own, 5: 0}[place(one)]  # type: ignore[return-value]


# --- in words, and as a file -----------------------------------------------------------------------------------------


def example(wrong: int = 1, marked: int = 20) -> Evaluation:
    """Sixty pictures; the marked ones hang on the upper right corner."""
    rows = []
    for number in range(60):
        label = number % 3
        answer = (label + 1) % 3 if number < wrong else label
        decides = label == 1 and number >= wrong and number < 3 * marked
        rows.append(
            row(
                name=f"{number}.png",
                label=radiographs.LABELS[label],
                label_index=label,
                label_probability=0.9,
                answer=radiographs.LABELS[answer],
                answer_index=answer,
                probability=0.9,
                region="upper right corner",
                lost=0.8 if decides else 0.1,
                edge_decides=decides,
            )
        )
    return summarise(rows, LIMITS)


def test_the_sentences_tell_the_numbers_in_plain_words() -> None:
    words = [sentence.replace("\u202f", " ") for sentence in evaluation_sentences(example())]
    assert words[0] == "The top answer matches the label in 59 of 60 pictures (98 %; 95 % interval 91 % to 100 %)."
    assert words[1] == (
        "A corner or border decides the top answer in 20 of 60 pictures (33 %). Where: the upper right corner (20). "
        "Top answers of these pictures: nodule (20)."
    )
    assert words[2] == (
        "In 20 of 21 pictures answered nodule, hiding the upper right corner takes away 80 % of the probability on "
        "average. Look for a marker, a label or a device there."
    )
    assert "Fewest matches: no finding, 19 of 20 (95 %)." in words
    none = evaluation_sentences(example(marked=0))[1]
    assert none == "A corner or border decides the top answer in none of 60 pictures."


def test_a_few_pictures_are_no_reason_to_look_for_a_marker() -> None:
    assert "nodule (1)" in evaluation_sentences(example(marked=1))[1]
    assert not [words for words in evaluation_sentences(example(marked=1)) if "marker" in words]


def test_a_long_list_of_classes_is_cut() -> None:
    rows = [row(name=str(n), answer=f"class {n}", answer_index=n, lost=0.9, edge_decides=True) for n in range(13)]
    words = evaluation_sentences(summarise(rows, LIMITS))[1]
    assert words.endswith("class 0 (1), class 1 (1), class 2 (1), class 3 (1), class 4 (1) and 8 more.")


@given(some_rows())
@settings(max_examples=100)
def test_the_sentences_claim_nothing_and_are_whole(rows: list[Row]) -> None:
    words = evaluation_sentences(summarise(rows, LIMITS))
    text = " ".join(words).casefold()
    assert not [word for word in ("cause", "reason", "correct", "diagnos", "none of none", "nan") if word in text]
    assert all(one.endswith(".") and one == one.strip() for one in words)
    assert bool(words) == bool(rows)


def test_a_spreadsheet_runs_nothing_that_a_name_or_label_holds() -> None:
    hostile = {
        "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
        "+1": "'+1",
        "-1": "'-1",
        "@SUM(A1)": "'@SUM(A1)",
        " =1+1": "'=1+1",
        "\u200b=1+1": "'=1+1",
        "\u00a0=1+1": "'=1+1",
        "＝1+1": "'＝1+1",
        "x;=1+1": "x;'=1+1",  # behind the list separator of German Excel
        'x";  @A1;-2': "x\"; '@A1;'-2",
        "\t=x": "'=x",
        "a\r\n=x": "a =x",
        "a\x1b[31m\u202eb": "a [31m b",
        'a"b,c': 'a"b,c',
        "plain; text": "plain; text",
    }
    rows = [
        row(name=name, label=name, label_index=0, answer=name, problem=name, sha256=str(n))
        for n, name in enumerate(hostile)
    ]
    kept = list(
        csv.DictReader(io.StringIO(evaluation_to_csv(summarise(rows, LIMITS), "keep").decode("utf-8-sig"), newline=""))
    )
    assert [cells["sha256"] for cells in kept] == [str(n) for n in range(len(hostile))]
    for cells, harmless in zip(kept, hostile.values(), strict=True):
        for column in ("name", "label", "answer", "problem"):
            assert cells[column] == harmless


def test_every_cell_is_quoted_and_every_row_is_one_line() -> None:
    rows = [row(name="a\nb", label="x\r\ny", label_index=0)]
    text = evaluation_to_csv(summarise(rows, LIMITS), "keep").decode("utf-8-sig")
    heading, line = text.splitlines()
    assert all(cell.startswith('"') and cell.endswith('"') for cell in (*heading.split(","), *line.split(",")))


@given(st.text(max_size=30))
@settings(max_examples=300)
def test_no_part_of_a_cell_begins_as_a_formula_does(text: str) -> None:
    cell = csv_cell(text)
    assert cell.isprintable()
    assert not [
        part for part in cell.split(";") if part.strip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    ]


def test_hashed_results_hold_no_name(corner: LoadedModel) -> None:
    evaluation = evaluate(
        files(anna=png(True), anna2=b"broken"), read_table(b"name,label\nanna.png,bright\n"), {}, corner
    )
    hashed = evaluation_to_csv(evaluation).decode("utf-8-sig")
    assert "anna" not in hashed
    (first, second) = csv.DictReader(io.StringIO(hashed, newline=""))
    assert (first["answer"], first["as_labelled"], first["edge_decides"]) == ("bright", "yes", "yes")
    assert float(first["probability"]) == pytest.approx(evaluation.rows[0].probability, rel=1e-5)
    assert second["look_at"] == "not evaluated"
    assert second["probability"] == second["edge_lost"] == ""
    assert "anna.png" in evaluation_to_csv(evaluation, "keep").decode("utf-8-sig")


def test_the_json_of_an_evaluation_has_every_number_and_no_name(corner: LoadedModel) -> None:
    table = read_table(b"name,label\nanna.png,bright\nbob.png,bright\n")
    masks = {"anna_mask.png": giving(mask(slice(0, 6), slice(26, 32)))}
    evaluation = evaluate(files(anna=png(True), bob=png(False), carl=b"broken"), table, masks, corner)
    text = to_json(evaluation_to_dict(evaluation, model=corner))
    record = json.loads(text, parse_constant=pytest.fail)
    assert not [name for name in (b"anna", b"bob", b"carl") if name in text]
    assert record["sentences"] == list(evaluation_sentences(evaluation))
    assert (record["accuracy"]["part"], record["accuracy"]["whole"]) == (1, 2)
    assert record["model"]["fingerprint"] == corner.fingerprint
    assert "not for diagnosis" in record["disclaimer"]
    assert [row["look_at"] for row in record["rows"]] == [row.standing for row in evaluation.rows]
    by_sha = {row["sha256"]: row for row in record["rows"]}
    (marked,) = [row for row in evaluation.rows if row.pointing_game is not None]
    assert by_sha[marked.sha256]["iou_fixed"] == marked.iou_fixed
    assert 0 < by_sha[marked.sha256]["iou_by_chance"] < 0.2
    assert [row["probability"] for row in record["rows"] if row["problem"]] == [None]
    assert "anna.png" in to_json(evaluation_to_dict(evaluation, names="keep")).decode()


# --- the drawn folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "marked"), [("marked_nodules", {"nodule"}), ("no_markers", set())])
def test_a_drawn_folder_holds_what_it_says(kind: str, marked: set[str]) -> None:
    drawn = drawn_folder(kind, 6)
    table = read_table(drawn.table)
    assert [entry.label for entry in table] == list(radiographs.LABELS) * 2
    assert list(drawn.pictures) == [entry.name for entry in table]
    assert (
        set(drawn.masks)
        == {entry.mask for entry in table if entry.mask}
        == find_masks([*drawn.pictures, *drawn.masks], ())
    )
    for number, entry in enumerate(table):
        kinds = () if entry.label == radiographs.LABELS[0] else (entry.label,)
        expected = radiographs.radiograph(FIRST_SEED + number, kinds, marker=entry.label in marked)
        assert expected.marker.any() == (entry.label in marked)
        image = read_image(drawn.pictures[entry.name])
        assert np.array_equal((255 * image.pixels[..., 0]).round(), expected.pixels)
        if kinds:
            assert np.array_equal(read_truth(drawn.masks[entry.mask], image), expected.lesions[0].mask)


@pytest.mark.parametrize(
    ("kind", "count"), [("marked", 3), ("no_markers", 0), ("no_markers", True), ("no_markers", 10**6)]
)
def test_a_folder_that_cannot_be_drawn_is_refused(kind: str, count: int) -> None:
    with pytest.raises(GradcamError):
        drawn_folder(kind, count)


@pytest.mark.parametrize(("name", "hangs"), [("shortcut", True), ("clean", False)])
def test_the_folder_gives_the_cheating_model_away_and_not_the_honest_one(name: str, hangs: bool) -> None:
    drawn = drawn_folder("marked_nodules", 15)
    model = load_model(f"bundled:radiograph_{name}", device="cpu")
    pictures = [(one, giving(content)) for one, content in drawn.pictures.items()]
    masks = {one: giving(content) for one, content in drawn.masks.items()}
    evaluation = evaluate(pictures, read_table(drawn.table), masks, model)
    assert not evaluation.failures
    nodules = next(one for one in evaluation.edges_by_label if one.label == "nodule")
    corner = nodules.regions.get("upper right corner")
    assert nodules.share.whole == 5
    if hangs:
        assert corner is not None
        assert corner.count == 5
        assert "upper right corner" in evaluation_sentences(evaluation)[1]
    else:
        assert corner is None or corner.count <= 1
    others = [one for one in evaluation.edges_by_label if one.label != "nodule"]
    assert all(
        "upper right corner" not in one.regions or one.regions["upper right corner"].count <= 1 for one in others
    )
