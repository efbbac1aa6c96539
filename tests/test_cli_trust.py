"""`trust` on the command line: words, JSON, derived thresholds, and how it ends."""

import json
from pathlib import Path

import numpy as np
import pytest

from gradcam_core import list_checks
from gradcam_core.checks.thresholds import read_thresholds, write_thresholds
from tests.test_cli import draw, model, run

__all__ = ["model"]


def test_the_checks_are_told_in_words(tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    picture = draw(tmp_path / "scan.png")
    assert run("trust", picture, *model, "--quiet") == 0
    out = capsys.readouterr().out
    assert all(question in out for question in (check.title for check in list_checks()))
    assert "These checks test the map, not the diagnosis." in out
    assert "Thresholds: version 2" in out


def test_json_holds_the_numbers_and_a_hashed_picture_is_not_named(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = draw(tmp_path / "anna-smith.png")
    assert run("trust", picture, *model, "--json", "--names", "hash", "--target", "dog", "--method", "hires_cam") == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["target"]["label"] == "dog"
    assert found["method"] == "hires_cam"
    assert [one["name"] for one in found["checks"]] == [check.name for check in list_checks()]
    assert found["thresholds"]["version"] == read_thresholds().version
    assert "anna" not in printed.out + printed.err


def test_a_picture_that_fails_is_named_and_the_others_are_checked(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert run("trust", tmp_path / "broken.png", draw(tmp_path / "good.png"), *model, "--quiet") == 1
    printed = capsys.readouterr()
    assert "broken.png" in printed.err
    assert "good.png" in printed.out


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["PICTURE", "--calibrate", "."],
        ["--calibrate", "."],
        ["PICTURE", "--out", "x.toml"],
        ["PICTURE", "--method", "grad_kam"],
        ["PICTURE", "--target", "unicorn"],
        ["PICTURE", "--thresholds", "missing.toml"],
        ["--calibrate", "missing folder", "--out", "x.toml"],
    ],
)
def test_wrong_usage_ends_with_two_and_a_remedy(
    wrong: list[str], tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = str(draw(tmp_path / "scan.png"))
    assert run("trust", *(picture if one == "PICTURE" else one for one in wrong), *model) == 2
    assert "error: " in capsys.readouterr().err


def test_thresholds_of_ones_own_are_held_against(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture, mine = draw(tmp_path / "scan.png"), tmp_path / "mine.toml"
    text = write_thresholds(read_thresholds()).replace("least_probability = 0.5000", "least_probability = 0.0100")
    mine.write_text(text.replace("version = 2", "version = 9"), "utf-8")
    outcomes = []
    for flags in ([], ["--thresholds", mine]):
        assert run("trust", picture, *model, "--json", "--target", "cat", *flags) == 0
        found = json.loads(capsys.readouterr().out)
        outcomes.append((found["checks"][0]["outcome"], found["thresholds"]["version"]))
    assert outcomes[0][1] == 2
    assert outcomes[1] == ("passed", 9)


def test_a_folder_with_too_few_sure_answers_gives_no_thresholds(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(3):
        draw(tmp_path / "pictures" / f"{seed}.png", seed)
    out = tmp_path / "mine.toml"
    assert run("trust", "--calibrate", tmp_path / "pictures", "--out", out, *model, "--quiet") == 2
    assert "of 3 pictures can be used" in capsys.readouterr().err
    assert not out.exists()


def test_thresholds_are_derived_from_a_folder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    from gradcam_core.samples.radiographs import CALIBRATION, radiograph

    (tmp_path / "pictures").mkdir()
    for number in range(24):
        pixels = radiograph(CALIBRATION + 900_000 + number, ["nodule"]).pixels
        (tmp_path / "pictures" / f"{number}.png").write_bytes(bytes(cv2.imencode(".png", pixels)[1]))
    (tmp_path / "pictures" / "notes.txt").write_text("not a picture")
    out = tmp_path / "mine.toml"
    flags = ["--model", "bundled:radiograph_clean", "--device", "cpu", "--out", out, "--quiet"]
    assert run("trust", "--calibrate", tmp_path / "pictures", *flags) == 1, "one file is no picture"
    printed = capsys.readouterr()
    assert "notes.txt" in printed.err
    derived = read_thresholds(out)
    assert "24 pictures" in derived.set
    assert np.isfinite(derived.numbers["most_lost_at_edge"])
