"""`compare` on the command line: words, the record, pictures, and how it ends."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from gradcam_core import (
    Drawing,
    compare,
    comparison_archive,
    comparison_sentences,
    comparison_to_dict,
    load_model,
    overlay_difference,
    read_image,
)
from tests.test_cli import draw, model, run, small_network

__all__ = ["model"]
SHAPE = ["--size", "32", "--fit", "squash", "--mean", "0.5", "--std", "0.5", "--device", "cpu", "--quiet"]
ARCHITECTURE = "python:tests.test_cli:small_network"


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Flags of two small checkpoints with labels that differ in capital letters, and in one class."""
    flags = []
    for seed, labels in ((4, ["cat", "dog", "fox", "hen", "cow"]), (9, ["Dog", "CAT", "hen ", "emu", "cow"])):
        torch.manual_seed(seed)
        weights = tmp_path / f"Doe {seed}.pth"
        torch.save({"state_dict": small_network().state_dict(), "class_names": labels}, weights)
        flags += ["--model", f"file:{weights}"]
    return [*flags, "--architecture", ARCHITECTURE, *SHAPE]


def loaded(models: list[str]) -> list[Any]:
    preprocessing = {"size": 32, "fit": "squash", "mean": 0.5, "std": 0.5}
    references = [models[1], models[3]]
    return [load_model(r, architecture=ARCHITECTURE, preprocessing=preprocessing, device="cpu") for r in references]


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what differs from run to run."""
    del record["created"], record["seconds"]
    for each in record["models"]:
        del each["seconds"]
    return record


def test_the_verdict_is_printed_first_and_then_each_model_and_each_pair(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = draw(tmp_path / "scan.png")
    assert run("compare", picture, *models, "--top-k", 5, "--checks") == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    expected = comparison_sentences(compare(read_image(picture), loaded(models)))
    assert lines[:2] == [" ".join(sentence.split()) for sentence in expected]
    assert [line.split()[1] for line in lines if line.startswith("  model ")] == ["1", "2", "1", "2"]
    assert sum(line.startswith("  For ") for line in lines) == 4
    assert "Model 2 has no class that is matched with “fox”" in printed.err


def test_the_record_is_the_one_that_python_gives_and_every_file_is_there(tmp_path: Path, models: list[str]) -> None:
    picture, out = draw(tmp_path / "scan.png"), tmp_path / "out"
    flags = ("--target", "cat", "dog", "--method", "layer_cam", "--scale", "same", "--out", out)
    assert run("compare", picture, *models, *flags) == 0
    record = json.loads((out / "comparison.json").read_bytes())
    comparison = compare(read_image(picture), loaded(models), targets=["cat", "dog"], method="layer_cam", scale="same")
    files = {heatmap.pop("file") for each in record["models"] for heatmap in each["heatmaps"]}
    files |= {pair.pop("file") for each in record["classes"] for pair in each["pairs"]}
    assert len(files) == 6
    assert {path.name for path in out.iterdir()} == files | {"comparison.json"}
    expected = json.loads(json.dumps(comparison_to_dict(comparison)))
    for each in expected["models"]:
        for heatmap in each["heatmaps"]:
            del heatmap["file"]
    for each in expected["classes"]:
        for pair in each["pairs"]:
            del pair["file"]
    assert without_times(record) == without_times(expected)
    drawn = cv2.imread(str(out / f"difference_01_{comparison.classes[0].index}_model1_minus_model2.png"))[..., ::-1]
    np.testing.assert_array_equal(drawn, overlay_difference(comparison.image, comparison.classes[0].pairs[0]))


def test_json_has_the_checks_and_hashed_names_are_not_printed(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = draw(tmp_path / "anna-smith.png")
    assert run("compare", picture, *models, "--json", "--names", "hash", "--checks", "--target", "cat") == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert [len(each["checks"]["checks"]) for each in record["models"]] == [6, 6]
    assert not [name for name in ("anna", "Doe 4", "Doe 9") if name in printed.out + printed.err]


def test_a_pair_of_classes_is_matched_as_it_is_named(
    tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = draw(tmp_path / "scan.png")
    assert run("compare", picture, *models, "--json", "--target", "fox", "--pair", "fox", "emu") == 0
    (compared,) = json.loads(capsys.readouterr().out)["classes"]
    assert [partner["label"] for partner in compared["partners"]] == ["fox", "emu"]


def test_every_model_can_have_its_own_architecture_and_layer(tmp_path: Path, models: list[str]) -> None:
    picture = draw(tmp_path / "scan.png")
    flags = ["--model", "bundled:radiograph_clean", *models[:2], "--match", "index", "--quiet", "--device", "cpu"]
    own = ["--architecture", "-", "--architecture", ARCHITECTURE, "--layer", "-", "--layer", "0"]
    assert run("compare", picture, *flags, *own) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        ["--architecture", "timm:resnet18", "--architecture", "timm:resnet18"],
        ["--layer", "0", "--layer", "1", "--layer", "2"],
        ["--target", "unicorn"],
        ["--pair", "cat", "unicorn"],
        ["--pair", "cat", "CAT", "--match", "index"],
        ["--pair", "cat", "CAT", "--pair", "cat", "Dog"],
        ["--pair", "cat", "CAT", "--pair", "0", "Dog"],
        ["--method", "grad_kam"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two_and_a_remedy(
    wrong: list[str], tmp_path: Path, models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", draw(tmp_path / "scan.png"), *models, *wrong) == 2
    assert "error: " in capsys.readouterr().err


def test_one_model_and_a_broken_picture_are_refused(
    tmp_path: Path, model: list[str], models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", draw(tmp_path / "scan.png"), *model) == 2
    assert "Give 2 to 4" in capsys.readouterr().err
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert run("compare", tmp_path / "broken.png", *models) == 2
    assert run("compare", tmp_path / "missing.png", *models) == 2
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert run("compare", draw(tmp_path / "scan.png"), *models, "--out", blocked) == 2
    assert "Choose another one" in capsys.readouterr().err


def test_a_folder_is_written_whole_and_foreign_files_stay(tmp_path: Path, models: list[str]) -> None:
    picture, out = draw(tmp_path / "scan.png"), tmp_path / "out"
    assert run("compare", picture, *models, "--target", "cat", "dog", "--out", out) == 0
    foreign = ["model1_notes.png", "difference_of_opinion.png", "model9_01_grad_cam_0_x.png", "readme.txt"]
    for name in foreign:
        (out / name).write_text("mine")
    outside = tmp_path / "outside.png"
    outside.write_text("mine")
    record = json.loads((out / "comparison.json").read_bytes())
    record["models"][0]["heatmaps"].append({"file": "../outside.png"})
    (out / "comparison.json").write_text(json.dumps(record))
    assert run("compare", picture, *models, "--target", "cow", "--method", "layer_cam", "--out", out) == 0
    record = json.loads((out / "comparison.json").read_bytes())
    files = {heatmap["file"] for each in record["models"] for heatmap in each["heatmaps"]}
    files |= {pair["file"] for each in record["classes"] for pair in each["pairs"]}
    assert {path.name for path in out.iterdir()} == files | {"comparison.json", *foreign}
    assert outside.exists()


def test_an_archive_of_a_comparison_has_captions_the_record_and_the_disclaimer(
    tmp_path: Path, models: list[str]
) -> None:
    comparison = compare(read_image(draw(tmp_path / "Doe.png")), loaded(models), targets=["cat"])
    drawing = Drawing(opacity=0.4, colormap="viridis", captions=True, shared_scale=True, display={"scale": "shared"})
    with zipfile.ZipFile(io.BytesIO(comparison_archive(comparison, drawing=drawing))) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    record = json.loads(contents["comparison.json"])
    assert "not for diagnosis" in record["disclaimer"]
    assert "not for diagnosis" in contents["README.txt"].decode()
    assert (record["scale"], record["drawing"]["scale"], record["drawing"]["opacity"]) == ("same", "shared", 0.4)
    pair = record["classes"][0]["pairs"][0]
    files = {pair["file"], *(heatmap["file"] for each in record["models"] for heatmap in each["heatmaps"])}
    assert set(contents) == files | {"comparison.json", "README.txt"}
    picture = cv2.imdecode(np.frombuffer(contents[pair["file"]], np.uint8), 1)[..., ::-1]
    same = comparison.on_scale("same").classes[0].pairs[0]
    drawn = overlay_difference(comparison.image, same, opacity=0.4)
    times = picture.shape[1] // drawn.shape[1]
    rows, columns = (times * side for side in drawn.shape[:2])
    assert np.array_equal(picture[:rows:times, :columns:times], drawn)
    below = picture[rows:]
    assert (below < 100).all(axis=2).sum() > 1000, "there is no caption"
    assert not any(b"Doe" in content for content in contents.values())
