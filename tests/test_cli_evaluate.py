"""`evaluate` on the command line: a folder of real files, its words, its table, and how it ends."""

import csv
import io
import zipfile
from pathlib import Path

import pytest

from gradcam_core import drawn_folder
from tests.dicom_sources import shipped
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


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """A mixed folder: the names of DICOM files and of their folders are a patient's. One of them cannot be read."""
    folder = tmp_path / "scans" / "Miller^John"
    draw(folder / "Miller_side.png")
    (folder / "Miller_1.dcm").write_bytes(shipped("CT_small.dcm"))
    (folder / "Miller_2.dcm").write_bytes(shipped("CT_small.dcm")[:20_000])
    (tmp_path / "labels.csv").write_text("name,label\nMiller^John/Miller_1.dcm,no finding\n")
    return tmp_path


CLEAN = ["--model", "bundled:radiograph_clean", "--device", "cpu"]
BATCH = ["batch", "scans", *CLEAN, "--table", "labels.csv", "--overlays", "--out", "out"]


@pytest.mark.parametrize(
    "arguments",
    [
        BATCH,
        ["evaluate", "scans", *CLEAN, "--table", "labels.csv", "--out", "results.csv"],
        ["drift", "scans", *CLEAN, "--model", "bundled:radiograph_shortcut", "--out", "out"],
        ["drift", "scans", *CLEAN, "--model", "bundled:radiograph_shortcut", "--json"],
    ],
    ids=["batch", "evaluate", "drift", "json"],
)
def test_names_of_dicom_files_and_their_folders_appear_nowhere(
    arguments: list[str], patients: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(patients)
    before = set(patients.rglob("*"))
    assert run(*arguments) == 1, "one file is damaged"
    printed = "".join(capfd.readouterr())
    written = [path for path in set(patients.rglob("*")) - before if path.is_file()]
    assert written or "--json" in arguments
    assert not [path for path in written if b"miller" in (path.name.encode() + path.read_bytes()).lower()]
    assert "miller" not in printed.lower()
    if arguments[0] == "evaluate":
        assert [row["label"] for row in rows_of(patients / "results.csv")].count("no finding") == 1


def test_a_batch_of_dicom_files_goes_on_by_checksum_and_names_are_kept_where_that_is_wanted(
    patients: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(patients)
    assert run(*BATCH, "--quiet") == 1
    rows = rows_of(patients / "out" / "results.csv")
    assert [row["true_label"] for row in rows].count("no finding") == 1
    assert {row["name"] for row in rows} == {row["sha256"][:32] for row in rows}
    capsys.readouterr()
    assert run(*BATCH, "--quiet") == 1
    assert "3 pictures known from before" in capsys.readouterr().out
    assert rows_of(patients / "out" / "results.csv") == rows
    assert run(*BATCH[:-1], "kept", "--quiet", "--names", "keep") == 1
    assert {row["name"] for row in rows_of(patients / "kept" / "results.csv")} == {
        f"Miller^John/Miller_{end}" for end in ("side.png", "1.dcm", "2.dcm")
    }


def test_pictures_that_are_no_dicom_keep_their_names_and_a_zip_is_looked_into(tmp_path: Path) -> None:
    picture = draw(tmp_path / "scans" / "Miller.png")
    assert run("batch", picture.parent, *CLEAN, "--out", tmp_path / "out", "--quiet") == 0
    assert [row["name"] for row in rows_of(tmp_path / "out" / "results.csv")] == ["Miller.png"]
    with zipfile.ZipFile(tmp_path / "scans.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Miller.png", picture.read_bytes())
        archive.writestr("Miller.dcm", shipped("CT_small.dcm"))
    assert run("batch", tmp_path / "scans.zip", *CLEAN, "--out", tmp_path / "zipped", "--quiet") == 0
    rows = rows_of(tmp_path / "zipped" / "results.csv")
    assert {row["name"] for row in rows} == {row["sha256"][:32] for row in rows}
