"""A batch: every picture exactly once, whatever happens in between, and the maps that `explain` gives."""

import csv
import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch

import gradcam_core as core
from gradcam_core.batch import running
from gradcam_core.batch.journal import FORMAT
from gradcam_core.batch.records import TRUE, StoredMap, failed
from gradcam_core.batch.working import Heatmaps, border_share, work
from gradcam_core.cli import main
from gradcam_core.many import pictures_apart
from gradcam_core.runners import processes
from gradcam_core.runners.processes import ENDED, Process, in_processes

MODEL = "bundled:radiograph_clean"
RECIPE = core.Recipe(MODEL, together=8)


def draw_pictures(folder: Path, count: int, side: int = 96) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise = np.random.default_rng(number).integers(0, 256, (6, 6, 3), np.uint8)
        pixels = np.ascontiguousarray(np.kron(noise, np.ones((side // 6, side // 6, 1), np.uint8)))
        (folder / f"{number:03}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    draw_pictures(place, 10)
    draw_pictures(place / "more", 2)
    (place / "cut.jpg").write_bytes((place / "000.jpg").read_bytes()[:400])
    (place / "words.dat").write_text("no picture")
    (place / "broken.png").symlink_to("nowhere")
    (place / "more" / "loop").symlink_to("..")
    os.mkfifo(place / "pipe")
    return place


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))


def batch(folder: Path, out: Path, *more: str) -> int:
    return main(["batch", str(folder), "--model", MODEL, "--out", str(out), "--quiet", *more])


def test_every_file_has_a_row_and_a_second_run_computes_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert batch(folder, tmp_path, "--overlays") == 1
    rows = rows_of(tmp_path / "results.csv")
    assert [row["name"] for row in rows if row["status"] == "failed"] == ["broken.png", "cut.jpg", "pipe", "words.dat"]
    assert all(row["problem"] for row in rows if row["status"] == "failed")
    assert len(rows) == 16
    done = [row for row in rows if row["status"] == "ok"]
    assert all((tmp_path / "overlays" / row["overlay"]).is_file() for row in done)
    assert all(row["label"] and 0 < float(row["probability"]) <= 1 for row in done)
    assert len({row["key"] for row in done}) == 10, "two files are copies of others"
    capsys.readouterr()
    assert batch(folder, tmp_path) == 1
    assert "16 pictures known from before" in capsys.readouterr().out
    assert rows_of(tmp_path / "results.csv") == rows


def test_hashed_names_leave_no_file_name_anywhere(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "pictures", 1)
    (tmp_path / "pictures" / "000.jpg").rename(tmp_path / "pictures" / "Miller_John.jpg")
    assert batch(tmp_path / "pictures", tmp_path / "out", "--names", "hash", "--overlays") == 0
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 6
    assert not [path for path in written if "Miller" in path.name or b"Miller" in path.read_bytes()]


def test_maps_are_those_of_explain(folder: Path) -> None:
    model = core.load_model(MODEL)
    jobs = [job for job in core.find_pictures(folder) if job.name[:3].isdecimal()]
    for job, result in zip(jobs, work(jobs, model, RECIPE), strict=True):
        explanation = core.explain(core.read_image(job.path), model, top_k=1, methods=["grad_cam"])
        heatmap, (stored,) = explanation.heatmaps[0], result.maps
        assert stored.target == heatmap.target.index
        np.testing.assert_allclose(stored.raw, heatmap.raw, atol=1e-5 * max(1, np.abs(heatmap.raw).max()))
        assert result.probability == pytest.approx(heatmap.target.probability, abs=1e-5)
        assert result.sha256 == explanation.image.sha256


def test_the_border_of_an_even_map_has_its_share_of_the_area(folder: Path) -> None:
    explanation = core.explain(
        core.read_image(folder / "000.jpg"), core.load_model(MODEL), top_k=1, methods=["grad_cam"]
    )
    heatmap = explanation.heatmaps[0]
    assert border_share(replace(heatmap, raw=np.ones_like(heatmap.raw))) == pytest.approx(0.36, abs=1e-6)
    assert border_share(replace(heatmap, raw=-np.ones_like(heatmap.raw))) is None


def test_wrong_answers_also_have_the_map_of_the_true_label(folder: Path) -> None:
    model = core.load_model(MODEL)
    job = core.find_pictures(folder)[0]
    jobs = [replace(job, label=label) for label in model.labels]
    for each in jobs:
        (result,) = work([each], model, RECIPE)
        assert result.correct is (result.label == each.label)
        assert [stored.role for stored in result.maps] == ["answer"] + ["true label"] * (not result.correct)
        assert result.maps[-1].label == each.label
    (unknown,) = work([replace(job, label="giraffe")], model, RECIPE)
    assert unknown.correct is None
    assert "no class" in unknown.note


def test_shards_are_the_whole_and_a_missing_one_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch(folder, tmp_path / "whole")
    for part in ("1/3", "3/3"):
        batch(folder, tmp_path / "parts", "--shard", part)
    capsys.readouterr()
    assert main(["batch", "--model", MODEL, "--out", str(tmp_path / "parts"), "--merge"]) == 1
    assert "Shard 2 of 3 is missing" in capsys.readouterr().err
    batch(folder, tmp_path / "parts", "--shard", "2/3")
    main(["batch", "--model", MODEL, "--out", str(tmp_path / "parts"), "--merge"])
    assert rows_of(tmp_path / "parts" / "results.csv") == rows_of(tmp_path / "whole" / "results.csv")


def test_a_shard_that_was_stopped_is_said(folder: Path, tmp_path: Path) -> None:
    jobs = core.find_pictures(folder)
    parts = [[job for job in jobs if core.in_shard(job, (part, 2))] for part in (1, 2)]
    journals = [tmp_path / core.journal_name((part, 2)) for part in (1, 2)]
    core.run_batch(parts[0], RECIPE, journals[0])
    more = [replace(job, name=f"{number}/{job.name}") for job in parts[1] for number in range(8)]
    stopped = core.run_batch(more, RECIPE, journals[1], stop=lambda: True, workers=1)
    assert stopped.done < len(more)
    count, sentences = core.merge_shards(tmp_path)
    assert count == len(parts[0]) + stopped.done
    assert sentences == ("Shard 2 of 2 has not ended: some of its pictures are missing.",)
    core.run_batch(more, RECIPE, journals[1], workers=1)
    assert core.merge_shards(tmp_path) == (len(parts[0]) + len(more), ())


def test_a_shard_that_cannot_work_says_that_a_retry_is_no_use(folder: Path, tmp_path: Path) -> None:
    wrong = ["batch", str(folder), "--model", "bundled:unknown", "--out", str(tmp_path), "--shard", "1/2"]
    assert main(wrong) == 42


@pytest.mark.parametrize(("change", "words"), [("method", "other settings"), ("version", "another version")])
def test_a_folder_of_other_results_is_refused_and_keeps_them(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: str
) -> None:
    batch(folder, tmp_path)
    before = (tmp_path / "results.csv").read_bytes()
    if change == "version":
        with sqlite3.connect(tmp_path / "journal.sqlite") as database:
            database.execute("update about set value = ? where name = 'format'", (str(FORMAT + 1),))
    capsys.readouterr()
    assert batch(folder, tmp_path, *(("--method", "layer_cam") if change == "method" else ())) == 2
    assert words in capsys.readouterr().err
    assert (tmp_path / "results.csv").read_bytes() == before


def test_what_is_no_journal_is_refused_in_words(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"something else" * 100)
    assert batch(folder, tmp_path) == 2
    assert "damaged" in capsys.readouterr().err
    assert (tmp_path / "journal.sqlite").read_bytes() == b"something else" * 100


def test_a_folder_without_pictures_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert batch(tmp_path, tmp_path / "out") == 2
    assert "no pictures" in capsys.readouterr().err


def test_two_runs_at_once_do_not_share_a_journal(tmp_path: Path) -> None:
    about = {"version": "x"}
    first = core.Journal(tmp_path / core.journal_name(), about)
    first.add([failed(core.Job("a", "a"), "no")])
    with pytest.raises(core.JournalError, match="Another run"):
        core.Journal(tmp_path / core.journal_name(), about)
    first.close()


class _Deadly(str):
    """A path that ends the process in which it is read."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os._exit, (3,)


def test_a_picture_that_ends_its_process_loses_itself_alone(folder: Path) -> None:
    jobs = [job for job in core.find_pictures(folder) if job.name[:3].isdecimal()][:5]
    jobs[2] = replace(jobs[2], path=_Deadly(jobs[2].path))
    results = [result for group in in_processes([jobs], Heatmaps(RECIPE), [Process()]) for result in group]
    assert sorted(result.id for result in results) == sorted(job.id for job in jobs)
    assert {result.id: result.problem for result in results if result.problem} == {jobs[2].id: ENDED}


@dataclass(frozen=True)
class Faulty:
    """A task with a fault that one item meets."""

    def begin(self) -> Callable[[Sequence[int]], list[str]]:
        return lambda items: [f"1/{1 / item:g}" for item in items]

    def lost(self, item: int, problem: str) -> str:
        return problem


def test_a_fault_of_the_program_costs_one_item_and_is_called_so(capfd: pytest.CaptureFixture[str]) -> None:
    groups = in_processes([[4, 2], [1, 0, 5]], Faulty(), [Process()])
    outcomes = [outcome for group in groups for outcome in group]
    assert sorted(outcomes) == ["1/0.2", "1/0.25", "1/0.5", "1/1", processes.FAULT.format("ZeroDivisionError")]
    assert "ZeroDivisionError" in capfd.readouterr().err


def kill_and_resume(folder: Path, out: Path, seconds: Sequence[float], workers: int) -> None:
    command = [sys.executable, "-m", "gradcam_core", "batch", str(folder), "--model", MODEL, "--out", str(out)]
    command += ["--overlays", "--quiet", "--workers", str(workers)]
    for delay in seconds:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=False, capture_output=True, timeout=300)
    rows = rows_of(out / "results.csv")
    names = [job.name for job in core.find_pictures(folder)]
    assert [row["name"] for row in rows] == names, "every picture exactly once"
    for row in rows:
        content = (out / "overlays" / row["overlay"]).read_bytes()
        assert simplejpeg.decode_jpeg(content).shape[0], "no torn file"


@pytest.mark.slow
def test_twenty_kills_lose_nothing(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "pictures", 300, side=480)
    delays = np.random.default_rng(3).uniform(3, 9, 20)
    kill_and_resume(tmp_path / "pictures", tmp_path / "out", list(delays), 2)


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "pictures", 60)
    kill_and_resume(tmp_path / "pictures", tmp_path / "out", [4.0], 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("filling", ["overlays", "journal"])
def test_a_full_disk_pauses_with_words_and_goes_on(small_disk: Path, tmp_path: Path, filling: str) -> None:
    draw_pictures(tmp_path / "pictures", 24, side=960)
    jobs = core.find_pictures(tmp_path / "pictures")
    recipe = replace(RECIPE, overlays=str(small_disk / "overlays") if filling == "overlays" else "")
    left = 60_000 if filling == "journal" else 200_000
    (small_disk / "filling").write_bytes(bytes(2 * 2**20 - left))
    words: list[str] = []

    def make_room(standing: core.Standing) -> None:
        if standing.paused:
            words.append(standing.paused)
            subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)

    standing = core.run_batch(jobs, recipe, small_disk / core.journal_name(), workers=1, on_standing=make_room)
    assert words
    assert "disk is full" in words[0]
    assert (standing.done, standing.failed) == (24, 0)
    journal = core.Journal(small_disk / core.journal_name())
    assert [result.name for result in journal.results()] == [job.name for job in jobs]
    journal.close()


class _Mixing(torch.nn.Sequential):
    """A network whose scores of a picture depend on the others of its batch."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = super().forward(inputs)
        return scores - scores.mean(dim=0) * (len(scores) > 1)


@pytest.mark.parametrize(("kind", "apart"), [(torch.nn.Sequential, True), (_Mixing, False)])
def test_networks_that_mix_the_pictures_of_a_batch_are_recognised(kind: type[torch.nn.Sequential], apart: bool) -> None:
    torch.manual_seed(0)
    parts = (torch.nn.Conv2d(3, 8, 3, 4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    network = kind(*parts, torch.nn.Linear(8, 3))
    assert pictures_apart(core.load_model(network, preprocessing={"size": 64})) is apart


@pytest.mark.parametrize("method", ["cam", "grad_cam", "grad_cam_plus_plus", "hires_cam", "layer_cam", "eigen_cam"])
def test_pictures_of_one_pass_are_explained_as_each_alone(folder: Path, method: str) -> None:
    model = core.load_model(MODEL)
    images = [core.read_image(folder / f"{number:03}.jpg") for number in range(4)]
    targets = [None, [0, 1], 1, list(model.labels)]
    for image, target, together in zip(
        images, targets, core.explain_many(images, model, targets=targets, method=method), strict=True
    ):
        alone = core.explain(image, model, top_k=1, targets=target, methods=[method])
        assert isinstance(together, core.Explanation)
        assert together.notes == alone.notes
        for one, other in zip(alone.heatmaps, together.heatmaps, strict=True):
            assert (one.target.index, one.layer, one.placement) == (other.target.index, other.layer, other.placement)
            assert one.target.probability == pytest.approx(other.target.probability, abs=1e-5)
            np.testing.assert_allclose(one.raw, other.raw, atol=1e-4 * np.abs(one.raw).max())


def test_folders_that_link_to_each_other_are_read_once_and_any_name_is_kept(tmp_path: Path) -> None:
    for number in range(12):
        draw_pictures(tmp_path / "pictures" / str(number), 1, side=12)
    for number in range(12):
        for other in range(12):
            (tmp_path / "pictures" / str(number) / f"to{other}").symlink_to(f"../{other}")
    odd = os.fsencode(tmp_path / "pictures" / "0") + b"/\xe9.jpg"
    Path(os.fsdecode(odd)).write_bytes((tmp_path / "pictures" / "0" / "000.jpg").read_bytes())
    assert len(core.find_pictures(tmp_path / "pictures")) == 13
    assert batch(tmp_path / "pictures", tmp_path / "out") == 0
    assert "0/\\udce9.jpg" in [row["name"] for row in rows_of(tmp_path / "out" / "results.csv")]


def test_overlays_that_are_asked_for_later_are_drawn_and_are_no_pictures(tmp_path: Path) -> None:
    draw_pictures(tmp_path, 2)
    assert batch(tmp_path, tmp_path / "out") == 0
    assert batch(tmp_path, tmp_path / "out", "--overlays") == 0
    rows = rows_of(tmp_path / "out" / "results.csv")
    assert [row["name"] for row in rows] == ["000.jpg", "001.jpg"]
    overlays = [tmp_path / "out" / "overlays" / row["overlay"] for row in rows]
    assert all(path.is_file() for path in overlays)
    overlays[0].unlink()
    assert batch(tmp_path, tmp_path / "out", "--overlays") == 0
    assert overlays[0].is_file()


def test_labels_are_matched_as_in_an_evaluation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_pictures(tmp_path / "pictures", 3)
    model = core.load_model(MODEL)
    table = tmp_path / "labels.csv"
    table.write_text("name;label\n" + "".join(f"00{number}.jpg;{model.labels[0]}\n" for number in range(2)))
    batch(tmp_path / "pictures", tmp_path / "out", "--table", str(table))
    rows = rows_of(tmp_path / "out" / "results.csv")
    assert [row["true_label"] for row in rows] == [model.labels[0], model.labels[0], ""]
    for row in rows:
        assert row["correct"] == ("" if not row["true_label"] else "yes" if row["label"] == row["true_label"] else "no")
    draw_pictures(tmp_path / "pictures" / "more", 1)
    assert batch(tmp_path / "pictures", tmp_path / "out2", "--table", str(table)) == 0
    assert "2 pictures have no true label here" in capsys.readouterr().err
    assert [row["true_label"] for row in rows_of(tmp_path / "out2" / "results.csv")] == ["", model.labels[0], "", ""]
    assert batch(tmp_path / "pictures", tmp_path / "out3", "--label-folders") == 2
    assert "none of the table’s classes: more" in capsys.readouterr().err


def test_processes_that_end_before_their_model_is_loaded_blame_no_picture(folder: Path) -> None:
    jobs = [job for job in core.find_pictures(folder) if job.name[:3].isdecimal()][:2]
    with pytest.raises(core.GradcamError, match="end before they begin"):
        list(in_processes([jobs], Heatmaps(core.Recipe(_Deadly(MODEL))), [Process()]))


def test_a_tile_does_not_outlive_its_result(tmp_path: Path) -> None:
    journal = core.Journal(tmp_path / core.journal_name(), {})
    bad = failed(core.Job("a", "a"), "no")
    journal.add([replace(bad, tile=b"small")])
    assert journal.tile(bad.id) == b"small"
    journal.add([bad])
    assert journal.tile(bad.id) == b""
    journal.close()


def test_features_are_refused_before_anything_is_computed(folder: Path, tmp_path: Path) -> None:
    recipe = core.Recipe(MODEL, {"task": "embedding"})
    with pytest.raises(core.GradcamError, match="features and no classes"):
        core.run_batch(core.find_pictures(folder), recipe, tmp_path / core.journal_name())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "damage", ["update maps set numbers = x'00'", "update maps set rows = 'a'", "drop table maps", "drop table results"]
)
def test_a_damaged_journal_is_a_sentence(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    batch(folder, tmp_path)
    with sqlite3.connect(tmp_path / core.journal_name()) as database:
        database.execute(damage)
    capsys.readouterr()
    assert batch(folder, tmp_path) == 2
    assert "damaged" in capsys.readouterr().err


def test_processes_do_not_run_the_program_that_began_them(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(
        f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(Path(core.__file__).parents[1])!r})
print("The program runs.", flush=True)
import gradcam_core as core
jobs = core.find_pictures(Path({str(folder)!r}))
standing = core.run_batch(jobs, core.Recipe({MODEL!r}), Path({str(tmp_path / "journal.sqlite")!r}), workers=2)
print(standing.done, standing.failed)
"""
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=300, check=True)
    assert ended.stdout.splitlines() == ["The program runs.", f"{len(core.find_pictures(folder))} 4"]


def test_links_are_followed_only_within_the_given_folder(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "secret", 1)
    draw_pictures(tmp_path / "root" / "a", 1)
    (tmp_path / "root" / "a" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "a" / "out.jpg").symlink_to(tmp_path / "secret" / "000.jpg")
    (tmp_path / "root" / "a" / "copy.jpg").symlink_to("000.jpg")
    jobs = core.find_pictures(tmp_path / "root" / "a", within=tmp_path / "root")
    assert {job.name: bool(job.problem) for job in jobs} == {
        "000.jpg": False,
        "copy.jpg": False,
        "out": True,
        "out.jpg": True,
    }
    assert len(core.find_pictures(tmp_path / "root" / "a")) == 4, "without a bound, links are followed"


def test_one_result_is_read_with_its_maps_and_its_small_picture(folder: Path, tmp_path: Path) -> None:
    jobs = [job for job in core.find_pictures(folder) if job.name == "000.jpg"]
    path = tmp_path / core.journal_name()
    core.run_batch(jobs, RECIPE, path)
    journal = core.Journal(path)
    result = journal.result(jobs[0].id)
    assert result is not None
    assert result.tile
    assert result.maps
    assert journal.result("unknown") is None
    journal.close()


def test_an_evaluation_in_processes_has_the_rows_of_one_in_this_process(tmp_path: Path) -> None:
    drawn = core.drawn_folder("marked_nodules", 9)
    for name, content in {**drawn.pictures, **drawn.masks}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG no picture")
    jobs = core.find_pictures(tmp_path)
    loads = {job.name: partial(core.read_picture, job) for job in jobs}
    masks, table = core.find_masks(loads, ()), core.read_table(drawn.table)
    reference = "bundled:radiograph_shortcut"
    model = core.load_model(reference)
    limits = core.read_thresholds()
    task = core.EvaluationTask(reference, thresholds=limits, fingerprint=model.fingerprint)
    assert core.rows_in_processes(task, 10) is None
    pictures = [(name, load) for name, load in loads.items() if name not in masks]
    given = (pictures, table, {name: loads[name] for name in masks}, model)
    here, there = core.evaluate(*given), core.evaluate(*given, rows_of=core.rows_in_processes(task, 10, 2))
    assert [row.name for row in here.rows] == [row.name for row in there.rows]
    for row, other in zip(here.rows, there.rows, strict=True):
        assert (row.answer, row.problem, row.note, row.inputs, row.request) == (
            *(other.answer, other.problem, other.note, other.inputs, other.request),
        )
        assert other.probability == pytest.approx(row.probability, abs=1e-5)
        assert other.lost == pytest.approx(row.lost, abs=1e-4)
    changed = replace(task, fingerprint="other")
    with pytest.raises(core.GradcamError, match="weights have changed"):
        core.evaluate(*given, rows_of=core.rows_in_processes(changed, 10, 2))


def some_result(number: int, **fields: object) -> core.Result:
    name = f"{number}.png"
    return replace(core.Result(core.Job(name, name).id, name, 1, 1, state="ok"), **fields)  # type: ignore[arg-type]


def test_a_batch_says_what_it_amounts_to() -> None:
    true = StoredMap(TRUE, 0, "Cat", "layer", np.zeros((2, 2), np.float32))
    results = [
        *[some_result(n, label="Cat", true_label="0", correct=True, border=0.2) for n in range(6)],
        *[
            some_result(10 + n, label="dog", true_label="cat", correct=False, border=0.7, maps=(true,))
            for n in range(2)
        ],
        *[some_result(20 + n, label="dog", true_label="dog", correct=True, state="no_evidence") for n in range(2)],
        some_result(30, label="dog", true_label="horse"),
        failed(core.Job("40.png", "x", label="cat"), "damaged"),
    ]
    summary = core.summarise_results(iter(results))
    assert summary.confusion == {("Cat", "Cat"): 6, ("Cat", "dog"): 2, ("dog", "dog"): 2}
    low, high = (f"{100 * bound:.0f}\u202f%" for bound in summary.accuracy.interval or ())
    assert summary.sentences == (
        f"The top answer is the true class in 8 of 10 pictures (80\u202f%; 95\u202f% interval {low} to {high}).",
        "Most often mistaken: Cat, taken for dog (2).",
        "Recognised least often: Cat (6 of 8).",
        "In 2 of 8 pictures, more than 60\u202f% of the heat lies on the outer tenth: look at these first.",
        "In 2 pictures, the map has no evidence for the explained class.",
        "Pictures whose true label is not compared with the model’s answer: 1.",
        "Pictures that could not be explained: 1. The table of results says why.",
    )
    rows = list(csv.DictReader(io.StringIO(core.confusion_to_csv(summary).decode("utf-8-sig"))))
    assert [tuple(row.values()) for row in rows] == [("Cat", "Cat", "6"), ("Cat", "dog", "2"), ("dog", "dog", "2")]
    assert core.summarise_results([]).sentences == ()


def test_a_cluster_without_the_package_ray_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, "ray", None)
    draw_pictures(tmp_path, 1)
    assert batch(tmp_path, tmp_path / "out", "--cluster", "local") == 2
    assert "pip install 'ray[data]'" in capsys.readouterr().err


@pytest.mark.parametrize(("limit", "expected"), [("100000 100000", 1), ("1000 100000", 1), ("max 100000", 0), ("", 0)])
def test_the_limit_of_a_container_counts_as_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    monkeypatch.setattr(processes, "CONTAINER_LIMIT", tmp_path / "cpu.max")
    machine = processes.cores()
    (tmp_path / "cpu.max").write_text(limit)
    assert processes.cores() == (expected or machine)


def test_the_number_of_a_regression_is_in_the_tables(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    steps = (torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    network = torch.nn.Sequential(*steps, torch.nn.Linear(4, 1))
    model = core.load_model(network, task="regression", unit="years", preprocessing={"size": 32})
    jobs = [job for job in core.find_pictures(folder) if job.name[:3].isdecimal()][:3]
    results = work(jobs, model, core.Recipe("", together=8))
    journal = core.Journal(tmp_path / core.journal_name(), {})
    journal.add(results)
    core.write_results_csv(tmp_path / "results.csv", journal.results())
    for job, row in zip(jobs, rows_of(tmp_path / "results.csv"), strict=True):
        target = core.explain(core.read_image(job.path), model).heatmaps[0].target
        assert float(row["value"]) == pytest.approx(target.value, rel=1e-4)
        assert row["probability"] == row["correct"] == ""
    journal.close()


def test_a_fault_in_this_process_costs_one_picture_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [job for job in core.find_pictures(folder) if job.name[:3].isdecimal()][:5]
    written = running.work

    def work_with_a_fault(given: Sequence[core.Job], **options: Any) -> list[core.Result]:
        if jobs[2] in given:
            raise TypeError("Miller.jpg")
        return written(given, **options)

    monkeypatch.setattr(running, "work", work_with_a_fault)
    path = tmp_path / core.journal_name()
    assert core.run_batch(jobs, RECIPE, path).failed == 1
    summary = core.summarise_results(core.Journal(path).results())
    assert (summary.total, summary.failed, summary.faults) == (5, 1, 1)
    assert "fault of CAM Lightbox" in summary.sentences[-1]
    assert "Miller" not in " ".join(result.problem for result in core.Journal(path).results())
