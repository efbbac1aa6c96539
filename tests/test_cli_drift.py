"""`drift` on the command line: two models over a folder of real files, its words, its files, and how it ends."""

import csv
import io
import json
from pathlib import Path

import pytest

from gradcam_core import drawn_folder
from tests.test_cli import run

MODELS = ["--model", "bundled:radiograph_clean", "--model", "bundled:radiograph_shortcut", "--device", "cpu", "--quiet"]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder with nine drawn radiographs and the masks of their lesions."""
    drawn = drawn_folder("marked_nodules", 9)
    (tmp_path / "scans").mkdir()
    for name, content in {**drawn.pictures, **drawn.masks}.items():
        (tmp_path / "scans" / name).write_bytes(content)
    return tmp_path / "scans"


def test_a_model_that_reads_the_marker_moves_the_evidence(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = scans.parent / "out"
    assert run("drift", scans, *MODELS, "--out", out) == 0
    printed = capsys.readouterr().out
    record = json.loads((out / "drift.json").read_bytes())
    rows = list(csv.DictReader(io.StringIO((out / "drift.csv").read_text("utf-8-sig"))))
    assert record["pictures"] == len(rows) == 9, "masks are no pictures"
    assert record["moved"]["part"] >= 2
    assert f"The evidence moved on {record['moved']['part']} of 9 pictures" in printed
    assert {row["answer_1"] for row in rows if "evidence moved" in row["look_at"]} == {"nodule"}


def test_names_stay_out_where_they_are_not_wanted_and_a_broken_file_is_reported(
    scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scans / "anna-smith.png").write_bytes(b"no picture")
    assert run("drift", scans, *MODELS, "--names", "hash", "--json") == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["failed"] == 1
    assert "failed: " in printed.err
    assert not [name for name in ("anna", "drawn_") if name in printed.out + printed.err]


@pytest.mark.parametrize(
    "wrong", [["--model", "bundled:radiograph_clean"], [*MODELS, "--layer", "x"], [*MODELS, "--method", "grad_kam"]]
)
def test_wrong_usage_ends_with_two_and_a_remedy(
    wrong: list[str], scans: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("drift", scans, *wrong) == 2
    assert "error: " in capsys.readouterr().err
