"""Names of the classes: from an argument, from a checkpoint, from a file beside it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from gradcam_core.sources.labels import given_labels, labels_in, read_labels
from tests.checkpoints import NAMES, load, saved, small


@pytest.mark.parametrize(
    "carried",
    [
        {"class_names": list(NAMES)},
        {"classes": NAMES},
        {"labels": list(NAMES)},
        {"idx_to_class": dict(enumerate(NAMES))},
        {"idx_to_class": {str(index): name for index, name in enumerate(NAMES)}},
        {"hyper_parameters": {"class_names": list(NAMES)}},
        {"meta": {"CLASSES": NAMES}},
    ],
)
def test_names_of_classes_in_the_checkpoint_are_used_as_written(carried: dict[str, Any], tmp_path: Path) -> None:
    model = load(saved(tmp_path / "x.pth", {"state_dict": small().state_dict(), **carried}))
    assert model.labels == NAMES


def test_names_by_index_are_read_in_either_direction(tmp_path: Path) -> None:
    distinct = ("b", "a", "e", "d", "c")
    by_name = {name: index for index, name in enumerate(distinct)}
    path = saved(tmp_path / "x.pth", {"state_dict": small().state_dict(), "class_to_idx": by_name})
    assert load(path).labels == distinct
    path = tmp_path / "x.safetensors"
    save_file(small().state_dict(), path, metadata={"class_to_idx": json.dumps(by_name)})
    assert load(path).labels == distinct


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_indices.json", json.dumps({str(i): name for i, name in enumerate(NAMES)})),
        ("class_indices.json", json.dumps(list(NAMES))),
        ("class_indices.json", json.dumps({str(i): [f"n0{i}", name] for i, name in enumerate(NAMES)})),
        ("labels.txt", "\n".join(NAMES) + "\n\n"),
        ("classes.txt", "﻿" + "\r\n".join(NAMES)),
        ("class_names.txt", "\n".join(f"{i} {name}" for i, name in enumerate(NAMES))),
        ("x.txt", "index,name\n" + "\n".join(f"{i},{name}" for i, name in enumerate(NAMES))),
        ("x.json", json.dumps({"class_names": NAMES})),
    ],
)
def test_names_of_classes_in_a_file_beside_the_weights_are_found(name: str, text: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    (tmp_path / name).write_text(text, encoding="utf-8")
    model = load(path)
    assert model.labels == NAMES
    assert any("beside the weights" in note for note in model.notes)
    assert not any(name in note for note in model.notes), "a file's name may be a person's"


def test_found_names_that_do_not_match_are_left_out_with_a_note_but_given_ones_are_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"state_dict": small().state_dict(), "classes": ["a", "b"]})
    model = load(path)
    assert model.labels[0] == "class 0"
    assert any("2 names of classes" in note and "5 classes" in note for note in model.notes)
    with pytest.raises(ModelError, match="2 labels do not fit a model with 5 classes"):
        load(path, labels=["a", "b"])
    assert load(path, labels=list(NAMES)).labels == NAMES
    (tmp_path / "own.txt").write_text("\n".join(NAMES), encoding="utf-8")
    assert load(path, labels=tmp_path / "own.txt").labels == NAMES
    assert load(path, labels=str(tmp_path / "own.txt")).labels == NAMES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfa\x00\x01binary", "not text"),
        (b"", "no labels"),
        (b"\n\n \n", "no labels"),
        (b"a\n\nb", "Label 2"),
        (b"a\nb\x00c", "Label 2"),
        (b"x" * 400, "Label 1"),
        (b"x\n" * 100_001, "100001 labels"),
        (b"x" * 9_000_000, "far too large"),
        (b"[NaN, 1]", "no list of names"),
        (b"[[[[]]]]", "no list of names"),
        (b"[" * 500_000, "no list of names"),
        (b'{"0": "a", "2": "b"}', "no list of names"),
        (b'{"0": "a", "00": "b"}', "no list of names"),
        (b'{"a": 0, "b": 0}', "no list of names"),
        (b'{"a": -1, "b": 0}', "no list of names"),
        (b'{"a": null}', "no list of names"),
        (b"{broken", "no list of names"),
    ],
)
def test_a_hostile_label_file_is_refused_when_given_and_noted_when_found(
    text: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_bytes(text)
    start = time.monotonic()
    with pytest.raises(ModelError, match=words):
        read_labels(tmp_path / "labels.txt")
    model = load(saved(tmp_path / "x.pth", small().state_dict()))
    assert model.labels[0] == "class 0"
    assert any("lies beside the weights" in note for note in model.notes)
    assert time.monotonic() - start < 5


def test_a_label_file_that_is_not_there_is_refused() -> None:
    for path in ("/nowhere/labels.txt", "nul\0.txt"):
        with pytest.raises(ModelError, match=r"no label file|cannot be opened"):
            read_labels(Path(path))


def test_class_folders_named_by_numbers_keep_their_own_order(tmp_path: Path) -> None:
    folders = sorted(str(number) for number in range(12))  # 0, 1, 10, 11, 2, ...: as torchvision's ImageFolder does
    content = {"state_dict": small(classes=12).state_dict(), "class_to_idx": {x: i for i, x in enumerate(folders)}}
    assert load(saved(tmp_path / "x.pth", content)).labels == tuple(folders)


def test_given_labels_may_be_a_mapping_but_no_set(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small(classes=3).state_dict())
    assert load(path, labels={"b": 1, "a": 0, "c": 2}).labels == ("a", "b", "c")
    assert load(path, labels={0: "a", 1: "b", 2: "c"}).labels == ("a", "b", "c")
    for wrong in ({"a", "b", "c"}, 5, (x for x in "abc")):
        with pytest.raises(ModelError, match="not a list of names"):
            load(path, labels=wrong)


def test_names_beside_the_weights_are_not_spoken_of_where_names_are_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small(classes=3).state_dict())
    (tmp_path / "labels.txt").write_text("x\ny\nz\n", encoding="utf-8")
    model = load(path, labels=["a", "b", "c"])
    assert model.labels == ("a", "b", "c")
    assert not any("names" in note for note in model.notes)


def test_names_that_end_in_a_number_are_names_and_no_numbering(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("grade 0\ngrade 1\ngrade 2\n", "utf-8")
    assert given_labels(tmp_path / "labels.txt") == ("grade 0", "grade 1", "grade 2")


@pytest.mark.parametrize("sign", ["\n", "\x1b", "\u202e"])
def test_unprintable_names_in_a_checkpoint_are_left_out_with_a_word(sign: str, tmp_path: Path) -> None:
    state = timm.create_model("test_resnet", num_classes=2).state_dict()
    torch.save({"state_dict": state, "classes": ["daisy", f"ro{sign}se"]}, tmp_path / "weights.pth")
    model = load_model(f"file:{tmp_path / 'weights.pth'}", architecture="timm:test_resnet", device="cpu")
    assert model.labels == ("class 0", "class 1")
    assert any("unprintable" in note for note in model.notes)


def test_names_written_in_utf_16_are_read(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("Löwe\r\nBär\r\n".encode("utf-16"))
    assert given_labels(tmp_path / "labels.txt") == ("Löwe", "Bär")


PLACES: dict[str, dict[str, Any]] = {
    "categories": {"categories": ["a", "b", "c"]},
    "categories with numbers": {"categories": [{"id": 2, "name": "c"}, {"id": 0, "name": "a"}, {"id": 1, "name": "b"}]},
    "label2id": {"label2id": {"c": 2, "a": 0, "b": 1}},
    "label_map": {"label_map": {"2": "c", "0": "a", "1": "b"}},
    "names by number": {"names": {0: "a", 1: "b", 2: "c"}},
    "target_names": {"target_names": ["a", "b", "c"]},
    "folders and their names": {
        "class_to_idx": {"1": 0, "10": 1, "2": 2},
        "cat_to_name": {"1": "a", "2": "c", "10": "b", "11": "other"},
    },
    "placeholders beside names": {
        "id2label": {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        "categories": ["a", "b", "c"],
    },
}


@pytest.mark.parametrize("content", PLACES.values(), ids=PLACES)
def test_names_are_found_where_other_tools_write_them(content: dict[str, Any]) -> None:
    assert labels_in(content) == ("a", "b", "c")


@pytest.mark.parametrize(
    "content",
    [
        {"categories": [{"id": 1, "name": "a"}, {"id": 5, "name": "b"}]},
        {"id2label": {0: "LABEL_0", 1: "LABEL_1"}},
        {"label_map": {"a": 1, "b": 2}},
    ],
)
def test_numberings_with_gaps_and_placeholders_are_no_names(content: dict[str, Any]) -> None:
    assert labels_in(content) is None
