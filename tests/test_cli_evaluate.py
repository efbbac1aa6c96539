"""`evaluate` on the command line: a folder of real files, its words, its table, and how it ends."""

import csv
import io
from pathlib import Path

import pytest

from gradcam_core import drawn_folder
from tests.test_cli import draw, model, run

__all__ = ["model"]


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def test_a_shortcut_is_found_in_a_folder_with_labels_and_masks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = drawn_folder("marked_nodules", 18)
    (tmp_path / "scans").mkdir()
    for name, content in {**dict(drawn.pictures), **dict(drawn.masks)}.items():
        (tmp_path / "scans" / name).write_bytes(content)
    (tmp_path / "labels.csv").write_bytes(drawn.table)
    flags = ["--model", "bundled:radiograph_shortcut", "--table", tmp_path / "labels.csv", "--device", "cpu", "--quiet"]
    assert run("evaluate", tmp_path / "scans", *flags, "--out", tmp_path / "results.csv") == 0
    assert "Where: the upper right corner (6)" in capsys.readouterr().out
    rows = rows_of(tmp_path / "results.csv")
    assert len(rows) == 18
    decided = [row for row in rows if row["edge_decides"] == "yes"]
    assert [row["answer"] for row in decided if row["edge_region"] == "upper right corner"] == ["nodule"] * 6
    assert len(decided) <= 7  # hiding the whole frame moves one picture more
    assert all(row["relevance_mass"] for row in rows if row["label"] != "no finding")


def test_without_a_table_and_with_a_broken_file_the_others_are_evaluated_and_nobody_is_named(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    draw(tmp_path / "scans" / "anna-smith.png")
    (tmp_path / "scans" / "bob-jones.png").write_bytes(b"no picture")
    out = tmp_path / "scans" / "results.csv"
    assert run("evaluate", tmp_path / "scans", *model, "--names", "hash", "--out", out, "--quiet") == 1
    printed = capsys.readouterr()
    assert not [name for name in ("anna", "bob") if name in printed.out + printed.err + out.read_text("utf-8-sig")]
    assert len(rows_of(out)) == 2
    assert run("evaluate", tmp_path / "scans", *model, "--out", out, "--quiet") == 1
    assert len(rows_of(out)) == 2, "its own results are no picture"


@pytest.mark.parametrize(
    "wrong",
    [["missing"], ["FOLDER", "--table", "missing.csv"], ["FOLDER", "--method", "grad_kam"], ["FOLDER", "--layer", "x"]],
)
def test_wrong_usage_ends_with_two_and_a_remedy(
    wrong: list[str], tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(draw(tmp_path / "scans" / "a.png").parent)
    given = [folder if one == "FOLDER" else one for one in wrong]
    assert run("evaluate", *given, *model, "--out", tmp_path / "results.csv") == 2
    assert "error: " in capsys.readouterr().err
