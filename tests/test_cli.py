"""The command line, on real files: what it writes, what it prints, and how it ends."""

import ast
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core import advise, explain, list_layers, list_measurements, list_methods, load_model, read_image
from gradcam_core.cli import main
from gradcam_core.commands import list_commands
from gradcam_core.commands.explain import report
from gradcam_core.commands.flags import to_method, to_option
from gradcam_core.commands.terminal import FLAG_NAMES
from gradcam_core.errors import MethodError, ModelError
from gradcam_core.files import FileTooLargeError, read_bounded, write_whole
from gradcam_core.render import overlay

ROOT = Path(__file__).parent.parent
CLASSES = ("cat", "dog", "grüner Kakadu", "<b>{0}%s", "3")


def small_network(num_classes: int = 5) -> nn.Sequential:
    """A network that is built by name, as a user's own is."""
    blocks = [nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, num_classes))


@pytest.fixture
def model(tmp_path: Path) -> list[str]:
    """Flags of a small checkpoint on the disk."""
    torch.manual_seed(4)
    weights = tmp_path / "weights of Doe.pth"
    torch.save({"state_dict": small_network().state_dict(), "class_names": list(CLASSES)}, weights)
    flags = ["--architecture", "python:tests.test_cli:small_network", "--size", "32", "--fit", "squash"]
    return ["--model", f"file:{weights}", *flags, "--mean", "0.5", "--std", "0.5", "--device", "cpu"]


def draw(path: Path, seed: int = 0, size: tuple[int, int] = (30, 40)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    assert cv2.imwrite(str(path), smooth)
    return path


def records(out: Path) -> dict[str, Any]:
    return {path.parent.name: json.loads(path.read_bytes()) for path in out.glob("*/explanation.json")}


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


# What explain writes


def test_explain_writes_a_record_and_one_overlay_per_heatmap_as_large_as_the_picture(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    picture = draw(tmp_path / "my cat.png")
    assert run("explain", picture, *model, "--top-k", 2, "--out", tmp_path / "out") == 0
    record = records(tmp_path / "out")["my cat"]
    assert record["image"]["name"] == "my cat.png"
    assert record["model"]["reference"] == "file:weights of Doe.pth"
    assert record["model"]["architecture"] == "python:tests.test_cli:small_network"
    assert record["preprocessing"]["size"] == [32, 32]
    assert record["preprocessing"]["fit"] == "squash"
    assert [h["method"] for h in record["heatmaps"]] == ["cam"] * 2 + ["grad_cam"] * 2 + ["grad_cam_plus_plus"] * 2
    named = {entry["file"] for entry in record["heatmaps"]} | {"explanation.json"}
    assert named == {path.name for path in (tmp_path / "out" / "my cat").iterdir()}
    for entry in record["heatmaps"]:
        assert cv2.imread(str(tmp_path / "out" / "my cat" / entry["file"])).shape == (30, 40, 3)
    told = capsys.readouterr().out.splitlines()
    best = record["predictions"][0]
    assert len(told) == 1
    path, _, prediction = told[0].partition("\t")
    assert path == str(tmp_path / "out" / "my cat" / "explanation.json")
    assert prediction.endswith(f"{best['probability']:.1%}")


def test_what_is_written_equals_what_python_gives(tmp_path: Path, model: list[str]) -> None:
    picture = draw(tmp_path / "a.png")
    flags = ("--method", "hires_cam", "--target", "dog", 0, "--layer", "0", "1")
    assert run("explain", picture, *model, *flags, "--out", tmp_path / "out") == 0
    loaded = load_model(
        model[1],
        architecture=model[3],
        preprocessing={"size": 32, "fit": "squash", "mean": 0.5, "std": 0.5},
        device="cpu",
    )
    explanation = explain(read_image(picture), loaded, targets=["dog", 0], methods="hires_cam", layers=["0", "1"])
    record = records(tmp_path / "out")["a"]
    assert record["model"]["fingerprint"] == explanation.fingerprint
    assert len(record["heatmaps"]) == len(explanation.heatmaps) == 6
    for entry, heatmap in zip(record["heatmaps"], explanation.heatmaps, strict=True):
        assert (entry["layer"], entry["target"]["index"]) == (heatmap.layer, heatmap.target.index)
        assert entry["raw_peak"] == pytest.approx(heatmap.raw_peak, rel=1e-5)
        drawn = cv2.imread(str(tmp_path / "out" / "a" / entry["file"]))[..., ::-1]
        assert np.abs(drawn.astype(int) - overlay(explanation.image, heatmap)).max() <= 1


def test_frames_and_windows_reach_the_reader_and_the_record(tmp_path: Path, model: list[str]) -> None:
    pages = [np.full((20, 20), value, np.uint16) for value in (100, 900)]
    for page in pages:
        page[5:15, 5:15] = 500
    assert cv2.imwritemulti(str(tmp_path / "scan.tif"), pages)
    flags = ("--frame", 1, "--window", -100, 2000, "--top-k", 1, "--method", "grad_cam")
    assert run("explain", tmp_path / "scan.tif", *model, *flags, "--out", tmp_path / "out") == 0
    image = records(tmp_path / "out")["scan"]["image"]
    assert (image["frame"], image["frames"], image["window"]) == (1, 2, [-100.0, 2000.0])
    assert run("explain", tmp_path / "scan.tif", *model, "--frame", 2, "--out", tmp_path / "out") == 1


def test_labels_may_come_from_a_file_and_weights_be_left_out(tmp_path: Path, model: list[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"thing-{n}" for n in range(5)), "utf-8")
    flags = ("--labels", names, "--target", "THING-3", "--method", "grad_cam")
    assert run("explain", draw(tmp_path / "a.png"), *model, *flags, "--out", tmp_path / "out") == 0
    assert records(tmp_path / "out")["a"]["heatmaps"][0]["target"]["label"] == "thing-3"


# Names


def test_pictures_of_equal_name_get_folders_of_their_own(tmp_path: Path, model: list[str]) -> None:
    pictures = [draw(tmp_path / "1/scan.png", 1), draw(tmp_path / "2/scan.png", 2), draw(tmp_path / "3/SCAN.bmp", 3)]
    shutil.copy(pictures[0], tmp_path / "scan.png")
    flags = (*model, "--top-k", 1, "--method", "grad_cam", "--out", tmp_path / "out")
    assert run("explain", *pictures, tmp_path / "scan.png", pictures[0], *flags) == 0
    written = records(tmp_path / "out")
    hashes = [read_image(path).sha256 for path in pictures]
    same = f"scan-{hashes[0][:8]}"
    assert set(written) == {"scan", f"scan-{hashes[1][:8]}", f"SCAN-{hashes[2][:8]}", same, f"{same}-2"}
    assert written["scan"]["image"]["sha256"] == written[same]["image"]["sha256"] == hashes[0]
    assert written[f"scan-{hashes[1][:8]}"]["image"]["sha256"] == hashes[1]


def test_another_run_replaces_its_own_pictures_and_no_others(tmp_path: Path, model: list[str]) -> None:
    first, second = draw(tmp_path / "1/scan.png", 1), draw(tmp_path / "2/scan.png", 2)
    flags = (*model, "--top-k", 1, "--out", tmp_path / "out")
    for picture in (first, second, first, second):
        assert run("explain", picture, *flags, "--method", "cam", "grad_cam") == 0
    (tmp_path / "out/scan/mine.png").write_text("kept")
    assert run("explain", first, *flags, "--method", "hires_cam") == 0
    written = records(tmp_path / "out")
    left = {path.name for path in (tmp_path / "out/scan").iterdir()}
    assert left == {"explanation.json", "mine.png", written["scan"]["heatmaps"][0]["file"]}
    assert set(written) == {"scan", f"scan-{read_image(second).sha256[:8]}"}
    assert written["scan"]["image"]["sha256"] == read_image(first).sha256


def test_names_that_no_folder_can_bear_are_made_safe(tmp_path: Path, model: list[str]) -> None:
    pictures = [draw(tmp_path / "pictures" / "draw.png")]
    for number, name in enumerate(("...png", "con.png", "a:b|c?.png", " x .png", "ö.png")):
        pictures.append(shutil.copy(draw(tmp_path / f"{number}.png", number), tmp_path / "pictures" / name))
    assert run("explain", *pictures, *model, "--top-k", 1, "--method", "grad_cam", "--out", tmp_path / "out") == 0
    assert set(records(tmp_path / "out")) == {"draw", "picture", "_con", "a_b_c_", "x", "ö"}


def test_hashed_names_appear_nowhere(tmp_path: Path, model: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    good, broken = draw(tmp_path / "in/Doe Jane.png"), tmp_path / "in/Doe John.png"
    broken.write_bytes(good.read_bytes()[:200])
    missing = tmp_path / "in/Doe Jim.png"
    out = tmp_path / "out"
    flags = ("--names", "hash", "--top-k", 1, "--out", out)
    assert run("explain", good, broken, missing, *model, *flags) == 1
    told = capfd.readouterr()
    sha256 = read_image(good).sha256
    assert list(records(out)) == [sha256]
    for path in out.rglob("*"):
        assert "Doe" not in str(path.relative_to(out))
        assert path.is_dir() or b"Doe" not in path.read_bytes()
    assert "Doe" not in told.out + told.err
    assert "picture 2 (sha256 " in told.err
    assert "picture 3:" in told.err


# What goes wrong


def test_broken_pictures_are_named_and_the_others_still_written(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    broken, text = tmp_path / "broken.jpg", tmp_path / "text.png"
    broken.write_bytes(b"\xff\xd8\xff\xe0 nothing")
    text.write_text("no picture")
    last = draw(tmp_path / "last.png")
    out = tmp_path / "out"
    pictures = (draw(tmp_path / "first.png"), broken, tmp_path / "missing.png", tmp_path, text, last)
    assert run("explain", *pictures, *model, "--top-k", 1, "--out", out) == 1
    told = capsys.readouterr()
    assert set(records(out)) == {"first", "last"}
    assert len(told.out.splitlines()) == 2
    failures = [line for line in told.err.splitlines() if line.startswith("failed: ")]
    assert [line.split(": ")[1] for line in failures] == [str(path) for path in pictures[1:5]]
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--layer", "nowhere"], "no layer 'nowhere'"),
        (["--layer", "4"], "cannot be explained"),
        (["--method", "grad_came"], "Did you mean grad_cam"),
        (["--method", "grad_cam:smooth=3"], "no option 'smooth'"),
        (["--method", "grad_cam:smooth"], "name:option=value"),
        (["--target", "dogg"], "Did you mean dog"),
        (["--target", "5"], "from 0 to 4"),
        (["--target", "-9"], "from 0 to 4"),
        (["--top-k", "0"], "--top-k"),
        (["--top-k", "many"], "--top-k"),
        (["--top-k", "2", "--target", "dog"], "not allowed with"),
        (["--frame", "-1"], "--frame"),
        (["--window", "40", "0"], "above 0"),
        (["--window", "40"], "--window"),
        (["--window", "nan", "4"], "is no number"),
        (["--std", "0"], "above 0"),
        (["--mean", "1", "2"], "mean"),
        (["--size", "8", "8", "8"], "size"),
        (["--fit", "stretch"], "--fit"),
        (["--device", "abacus"], "no device"),
        (["--labels", "nowhere.txt"], "no label file"),
        (["--architecture", "python:tests.test_cli:nothing"], "nothing"),
        (["--names", "none"], "--names"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_ends_with_2_and_words_before_any_picture_is_read(
    flags: list[str], words: str, tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "never read.png"
    assert run("explain", missing, *model, *flags, "--out", tmp_path / "out") == 2
    told = capsys.readouterr()
    assert words in told.err
    assert "Traceback" not in told.err
    assert "never read" not in told.err
    assert told.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("reference", ["resnet", "timn:resnet50", "file:nowhere.pth", "bundled:resnet", "timm:resnet5"])
def test_an_unknown_model_is_wrong_usage(reference: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", draw(tmp_path / "a.png"), "--model", reference, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_no_command_and_no_picture_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == run("explain") == run("explane") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_for_results_that_is_a_file_is_wrong_usage(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("")
    assert run("explain", draw(tmp_path / "a.png"), *model, "--out", tmp_path / "out") == 2
    assert "folder for results" in capsys.readouterr().err


def test_a_method_that_the_layer_cannot_serve_is_refused_before_any_picture_is_read(
    tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("explain", tmp_path / "x.png", *model, "--method", "cam", "--layer", "0", "--out", tmp_path / "o") == 2
    assert "CAM needs a classifier" in capsys.readouterr().err


def test_a_full_disk_fails_the_picture_and_leaves_no_half_file(
    tmp_path: Path, model: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device", str(path))

    picture = draw(tmp_path / "a.png")
    monkeypatch.setattr(Path, "write_bytes", half)
    assert run("explain", picture, *model, "--top-k", 1, "--out", tmp_path / "out") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list((tmp_path / "out").rglob("*.*")) == []


def test_a_failed_write_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "a.png", b"old")

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write_whole(tmp_path / "a.png", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.png", b"old")]


def test_a_file_is_read_up_to_its_bound_whatever_size_the_system_states(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bounded(tmp_path / "a", 5) == b"12345"
    with pytest.raises(FileTooLargeError):
        read_bounded(tmp_path / "a", 4)
    endless = Path("/dev/zero")  # its stated size is 0
    if endless.exists():
        with pytest.raises(FileTooLargeError):
            read_bounded(endless, 1000)


@pytest.mark.parametrize("content", [b"[" * 100_000, b"{}", b"3"], ids=["deep", "empty", "number"])
def test_what_is_no_record_belongs_to_others(content: bytes, tmp_path: Path, model: list[str]) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "explanation.json").write_bytes(content)
    flags = ("--method", "grad_cam", "--top-k", 1, "--out", tmp_path / "out")
    assert run("explain", draw(tmp_path / "a.png"), *model, *flags) == 0
    assert (tmp_path / "out" / "a" / "explanation.json").read_bytes() == content


@pytest.mark.parametrize("listed", ["../mine.png", "/tmp/mine.png", "explanation.json", "..\\\\mine.png", "", None, 3])
def test_a_forged_record_deletes_nothing_outside_its_folder(listed: Any, tmp_path: Path, model: list[str]) -> None:
    picture, out = draw(tmp_path / "a.png"), tmp_path / "out"
    forged = {"image": {"sha256": read_image(picture).sha256}, "heatmaps": [{"file": listed}, 3]}
    (out / "a").mkdir(parents=True)
    (out / "a" / "explanation.json").write_text(json.dumps(forged))
    (out / "mine.png").write_text("kept")
    assert run("explain", picture, *model, "--top-k", 1, "--method", "grad_cam", "--out", out) == 0
    assert (out / "mine.png").exists()
    assert len(records(out)["a"]["heatmaps"]) == 1


def test_an_interrupted_run_ends_with_words_and_keeps_what_is_done(
    tmp_path: Path, model: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = draw(tmp_path / "1.png", 1), draw(tmp_path / "2.png", 2)

    def interrupted(path: Path, **options: Any) -> Any:
        if path == second:
            raise KeyboardInterrupt
        return read_image(path, **options)

    monkeypatch.setattr("gradcam_core.read_image", interrupted)
    assert run("explain", first, second, *model, "--top-k", 1, "--out", tmp_path / "out") == 130
    assert "Stopped" in capsys.readouterr().err
    assert list(records(tmp_path / "out")) == ["1"]


def test_folders_of_strangers_and_unfinished_ones_are_told_apart(tmp_path: Path, model: list[str]) -> None:
    for name in ("file", "unfinished", "strange"):
        draw(tmp_path / f"{name}.png")
    out = tmp_path / "out"
    for folder in ("unfinished", "strange"):
        (out / folder).mkdir(parents=True)
    (out / "file").write_text("mine")
    (out / "strange" / "explanation.json").write_text("[]")
    pictures = sorted(tmp_path.glob("*.png"))
    assert run("explain", *pictures, *model, "--top-k", 1, "--method", "grad_cam", "--out", out) == 0
    hashes = {path.stem: read_image(path).sha256[:8] for path in pictures}
    folders = {path.parent.name for path in out.glob("*/*.png")}
    assert folders == {f"file-{hashes['file']}", "unfinished", f"strange-{hashes['strange']}"}
    assert (out / "file").read_text() == "mine"
    assert (out / "strange" / "explanation.json").read_text() == "[]"


# What it prints


@pytest.mark.parametrize(
    ("flags", "options", "flag", "keyword"),
    [
        (["--model", "file:{folder}/labels=x.pth"], {}, "--architecture", "architecture"),
        (
            ["--model", "bundled:radiograph_clean", "--no-pretrained"],
            {"pretrained": False},
            "--no-pretrained",
            "pretrained",
        ),
    ],
)
def test_an_error_spells_its_option_as_a_flag_here_and_as_a_keyword_in_python(
    flags: list[str],
    options: dict[str, Any],
    flag: str,
    keyword: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"state_dict": small_network().state_dict(), "arch": "top_k="}, tmp_path / "labels=x.pth")
    flags = [text.format(folder=tmp_path) for text in flags]
    assert run("layers", *flags) == 2
    error = capsys.readouterr().err.strip()
    words, _, option = error.removeprefix("error: ").partition(" (Option: ")
    assert option == f"{flag})"
    assert "=" not in words.replace("'top_k='", ""), "what comes from the file stays as it is"
    with pytest.raises(ModelError) as raised:
        load_model(flags[1], **options)
    assert f"{raised.value.message} {raised.value.remedy}" == words
    assert str(raised.value) == f"{words} (Option: {keyword}=)"


def test_no_text_of_the_core_spells_an_option_and_every_option_of_an_error_is_a_flag(
    capsys: pytest.CaptureFixture[str],
) -> None:
    html = {"on_screen.py", "pages.py"}  # they write elements with their attributes
    files = [file for file in (ROOT / "gradcam_core").rglob("*.py") if file.parent.name != "commands"]
    files = [file for file in files if file.name not in html]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [node for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    spelled = [node.value for node in texts if id(node) not in docstrings and re.search(r"\b[a-z_]+=", node.value)]
    assert [text for text in spelled if not text.startswith("http")] == []
    errors = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error")]
    options = {ast.unparse(error.args[2]).strip("'") for error in errors if len(error.args) == 3} - {"name"}
    assert {"architecture", "pretrained", "device"} <= options
    assert run("explain", "--help") == 0
    usage = capsys.readouterr().out
    assert not [option for option in options if not re.search(rf"--{FLAG_NAMES.get(option, option)}\b", usage)]


def test_hostile_labels_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = load_model(small_network(), labels=["b\x1b[31mad\nname\u202e"] * 5, device="cpu")
    explanation = explain(read_image(draw(tmp_path / "a.png")), hostile, methods="grad_cam")
    report(tmp_path / "explanation.json", explanation, set())
    told = capsys.readouterr()
    assert told.out.splitlines()[0].split("\t")[1].startswith("b [31mad name ")
    assert "\x1b" not in told.out + told.err
    assert len(told.out.splitlines()) == 1


def test_quiet_tells_only_what_failed(tmp_path: Path, model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", draw(tmp_path / "a.png"), tmp_path / "b.png", *model, "--out", tmp_path, "--quiet") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [line for line in told.err.splitlines() if line.startswith("failed: ")]
    assert len(told.err.splitlines()) == 1


class Terminal(io.StringIO):
    """An error stream that is a terminal; `lines` are those that stay on it."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        return [line.rpartition("\r\033[K")[2] for line in self.getvalue().rstrip("\n").split("\n")]


def test_a_failure_takes_the_place_of_unfinished_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(small_network().state_dict(), tmp_path / "weights.pth")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert run("layers", "--model", f"file:{tmp_path / 'weights.pth'}") == 2
    assert "Reading the file" in terminal.getvalue()
    assert terminal.lines()[-1].startswith("error: ")


def test_methods_are_listed_as_the_registry_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("methods") == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == [entry.name for entry in list_methods()]
    assert all(entry.paper in row for entry, row in zip(list_methods(), rows, strict=True))
    assert run("methods", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == [entry.name for entry in list_methods()]
    assert listed[0]["needs"] == list(list_methods()[0].needs)


@pytest.mark.parametrize(("command", "members"), [("methods", list_methods()), ("measurements", list_measurements())])
def test_a_family_is_listed_as_the_readme_shows_it(
    command: str, members: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [one.name for one in members]
    assert run(command, "--markdown") == 0
    rows = capsys.readouterr().out.splitlines()
    readme = (ROOT / "README.md").read_text("utf-8").splitlines()
    start = readme.index(rows[0])
    assert readme[start : start + len(rows)] == rows
    assert not readme[start + len(rows)].startswith("|")


def test_layers_are_listed_with_the_default_marked(model: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("layers", *model, "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    loaded = load_model(model[1], architecture=model[3], preprocessing={"size": 32}, device="cpu")
    assert [one["name"] for one in listed] == [layer.name for layer in list_layers(loaded)]
    assert [one["name"] for one in listed if one["default"]] == [loaded.default_layer]
    first = {"name": "0", "kind": "Conv2d", "channels": 6, "grid": [16, 16], "default": False}
    assert listed[0] == first | {"advice": list(advise(loaded, list_layers(loaded)[0]))}
    assert listed[0]["advice"][0] == "Early in the network, 16 × 16 cells."
    assert run("layers", *model) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["name", "kind", "channels", "grid", "default", "advice"]
    assert rows[1].split()[:8] == ["0", "Conv2d", "6", "16", "x", "16", "Early", "in"]
    assert [row.split()[0] for row in rows if " default " in row][1:] == [loaded.default_layer]


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name in list_commands():
        assert run(name, "--help") == 0
    assert capsys.readouterr().out.count("usage: ") == len(list_commands())


# Options of methods


def test_options_take_the_type_of_their_default() -> None:
    assert to_option("12", 3) == 12
    assert to_option("0.5", 1.0) == 0.5
    assert to_option("no", True) is False
    assert to_option("mean", "max") == "mean"
    for text in ("copies=2.5", "noise=nan", "flip=perhaps", "copies="):
        with pytest.raises(MethodError, match="such as"):
            to_method(f"grad_cam:{text}")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("grad_cam", {}),
        ("score_cam:share=0.25", {"share": 0.25}),
        ("grad_cam:copies=4, flip=yes", {"copies": 4, "flip": True}),
    ],
)
def test_options_reach_the_method_with_their_type(text: str, options: dict[str, Any]) -> None:
    assert to_method(text) == (text.partition(":")[0], options)


@pytest.mark.parametrize("text", ["score_cam:share=2", "score_cam:share=much", "rise:masks=1.5", "grad_cam:patch=3"])
def test_options_that_a_method_cannot_have_are_refused(text: str) -> None:
    with pytest.raises(MethodError):
        to_method(text)


def test_an_option_is_written_into_the_record(tmp_path: Path, model: list[str]) -> None:
    flags = ("--method", "score_cam:share=0.5", "--top-k", 1, "--out", tmp_path / "out")
    assert run("explain", draw(tmp_path / "a.png"), *model, *flags) == 0
    assert records(tmp_path / "out")["a"]["heatmaps"][0]["options"]["share"] == 0.5


# As a program


def test_help_does_not_wait_for_torch() -> None:
    program = (
        "import sys; from gradcam_core.cli import main; codes = [main(['--help']), main(['explain', '--help'])]; "
        "slow = {'torch', 'timm', 'numpy', 'cv2', 'scipy', 'PIL'} & set(sys.modules); sys.exit(str([*codes, *slow]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.stderr.strip() == "[0, 0]"
    assert set(list_commands()) <= {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")}


def test_the_bundled_model_runs_as_a_program_on_a_terminal_without_unicode(tmp_path: Path) -> None:
    picture = draw(tmp_path / "Röntgen.png", size=(60, 80))
    command = [sys.executable, "-m", "gradcam_core", "explain", str(picture), str(tmp_path / "no.png")]
    flags = ["--model", "bundled:efficientnet_lite0", "--top-k", "1", "--device", "cpu", "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, *flags],
        capture_output=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={"PATH": "", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1, done.stderr
    assert rb"R\xf6ntgen" in done.stdout
    assert b"failed: " in done.stderr
    assert b"Traceback" not in done.stderr
    assert len(list((tmp_path / "out" / "Röntgen").glob("*.png"))) == 3
