"""The catalogue: models are remembered by reference and fingerprint, in one readable file that survives everything."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gradcam_core.catalogue import (
    RememberedModel,
    catalogue_path,
    forget_model,
    observe_file,
    read_catalogue,
    remember_model,
    what_changed,
)
from gradcam_core.cli import main
from gradcam_core.errors import CatalogueError
from tests.test_models_page import names, tiny

MODEL = RememberedModel("Mine", "timm:resnet18", labels=("a", "b"), preprocessing=(("mean", (0.5,)), ("size", 96)))


@pytest.fixture(autouse=True)
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


def of_file(path: Path, content: bytes = b"weights") -> RememberedModel:
    path.write_bytes(content)
    reference = f"file:{path.resolve()}"
    return RememberedModel("Mine", reference, "timm:test_resnet", file=observe_file(reference))


def test_what_is_remembered_is_read_again_as_it_was(configuration: Path, tmp_path: Path) -> None:
    assert read_catalogue() == ()
    second = of_file(tmp_path / "w.pth")
    remember_model(MODEL)
    remember_model(second)
    assert read_catalogue() == (MODEL, second)
    assert catalogue_path() == configuration / "cam-lightbox" / "models.json"
    assert [file.name for file in catalogue_path().parent.iterdir() if file.suffix != ".lock"] == ["models.json"]
    assert json.loads(catalogue_path().read_text("utf-8"))["models"][0]["title"] == "Mine"


def test_the_same_reference_is_replaced_and_another_architecture_is_another_model() -> None:
    remember_model(MODEL)
    renamed = replace(MODEL, title="Löwenzahn", task="multi_label", threshold=0.3)
    remember_model(renamed)
    other = replace(MODEL, architecture="timm:resnet34")
    remember_model(other)
    assert read_catalogue() == (renamed, other)
    assert forget_model(MODEL.reference)
    assert not forget_model(MODEL.reference)
    assert read_catalogue() == (other,)


def test_a_file_that_is_touched_is_the_same_and_one_that_is_changed_or_moved_is_said(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    model = of_file(path)
    assert what_changed(model) == ""
    os.utime(path, ns=(1, 1))
    assert what_changed(model) == ""
    path.write_bytes(b"Weights")  # as many bytes
    assert what_changed(model) == "The file was changed since it was added."
    path.write_bytes(b"longer weights")
    assert what_changed(model) == "The file was changed since it was added."
    path.rename(tmp_path / "elsewhere.pth")
    assert what_changed(model) == "It is no longer at its place: it was moved or deleted."
    path.symlink_to(tmp_path / "elsewhere.pth")
    assert what_changed(model) == "The file’s place now leads to another one."


def test_a_folder_is_what_its_files_are(tmp_path: Path) -> None:
    folder = tmp_path / "vit"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    reference = f"file:{folder}"
    model = RememberedModel("ViT", reference, file=observe_file(reference))
    (folder / "README.md").write_text("no part of it")
    assert what_changed(model) == ""
    (folder / "config.json").write_text("[]")
    assert what_changed(model) == "The folder was changed since it was added."


def test_names_of_hubs_have_no_file() -> None:
    assert observe_file("timm:resnet18") is None
    assert observe_file("file:hf-hub:timm/resnet18.a1_in1k") is None
    assert what_changed(MODEL) == ""


BROKEN: dict[str, Any] = {
    "nothing": b"",
    "no JSON": b"{",
    "bytes": b"\xff\xfe\x00",
    "nested": b"[" * 100_000,
    "a long number": b'{"models": [' + b"9" * 10_000 + b"]}",
    "not a number": b'{"version": 1, "models": [{"title": "x", "reference": "timm:x", "threshold": NaN}]}',
    "a list": [],
    "no models": {"version": 1},
    "models of another kind": {"models": {"a": 1}},
    "a newer one": {"version": 2, "models": []},
    "too many": {"models": [{}] * 1001},
    "a model of another kind": {"models": ["timm:resnet18"]},
    "no title": {"models": [{"reference": "timm:resnet18"}]},
    "no reference": {"models": [{"title": "x"}]},
    "an unknown part": {"models": [{"title": "x", "reference": "timm:x", "pickle": "..."}]},
    "code as architecture": {"models": [{"title": "x", "reference": "file:/w", "architecture": "python:os:getcwd"}]},
    "code as reference": {"models": [{"title": "x", "reference": "python:os:getcwd"}]},
    "a title that turns": {"models": [{"title": "exe\u202egnp", "reference": "timm:x"}]},
    "a reference with a line break": {"models": [{"title": "x", "reference": "timm:x\nfile:/etc/passwd"}]},
    "labels of another kind": {"models": [{"title": "x", "reference": "timm:x", "labels": [{"a": 1}]}]},
    "labels without an end": {"models": [{"title": "x", "reference": "timm:x", "labels": ["a"] * 100_001}]},
    "preprocessing of another kind": {"models": [{"title": "x", "reference": "timm:x", "preprocessing": [1]}]},
    "endless preprocessing": {"models": [{"title": "x", "reference": "timm:x", "preprocessing": {"mean": [0.5] * 99}}]},
    "a task of another kind": {"models": [{"title": "x", "reference": "timm:x", "task": ["a"]}]},
    "a file of another kind": {"models": [{"title": "x", "reference": "file:/w", "file": {"bytes": "1"}}]},
    "yes as a number": {"models": [{"title": "x", "reference": "timm:x", "threshold": True}]},
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_or_hostile_catalogue_is_a_sentence_and_is_not_overwritten(content: Any) -> None:
    path = catalogue_path()
    path.parent.mkdir(parents=True)
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    path.write_bytes(written)
    for act in (read_catalogue, lambda: remember_model(MODEL), lambda: forget_model("timm:x")):
        with pytest.raises(CatalogueError, match="catalogue"):
            act()
    assert path.read_bytes() == written


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "python:os:getcwd"},
        {"reference": "memory:Net"},
        {"reference": "bundled:efficientnet_lite0"},
        {"title": " "},
        {"preprocessing": (("mean", object),)},
    ],
    ids=str,
)
def test_what_the_catalogue_does_not_take_is_refused_before_it_is_written(change: dict[str, Any]) -> None:
    with pytest.raises(CatalogueError, match="cannot be remembered"):
        remember_model(replace(MODEL, **change))
    assert not catalogue_path().exists()


def test_a_catalogue_that_cannot_be_written_is_said(configuration: Path) -> None:
    configuration.write_text("a file where the folder should be")
    with pytest.raises(CatalogueError, match="cannot be written"):
        remember_model(MODEL)


def test_several_that_write_at_once_lose_nothing(configuration: Path) -> None:
    program = (
        "import sys; from gradcam_core.catalogue import RememberedModel, remember_model\n"
        "for i in range(8): remember_model(RememberedModel('x', f'timm:{sys.argv[1]}_{i}'))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    others = [subprocess.Popen([sys.executable, "-c", program, name], env=environment) for name in ("a", "b")]
    threads = [
        threading.Thread(
            target=lambda name=name: [remember_model(replace(MODEL, reference=f"timm:{name}_{i}")) for i in range(8)]
        )
        for name in ("c", "d")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait(60) for other in others] == [0, 0]
    assert {model.reference for model in read_catalogue()} == {f"timm:{n}_{i}" for n in "abcd" for i in range(8)}


def test_the_catalogue_is_read_without_loading_torch() -> None:
    program = "import sys, gradcam_core; gradcam_core.read_catalogue(); assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_models_are_listed_added_and_removed_in_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flowers.pth"
    path.write_bytes(tiny())
    (tmp_path / "labels.json").write_bytes(names("daisy", "rose", "tulip"))
    before = path.stat().st_mtime_ns, path.read_bytes()
    assert main(["models", "add", str(path), "--labels", str(tmp_path / "labels.json"), "--task", "multi_label"]) == 0
    (model,) = read_catalogue()
    assert model.reference == f"file:{path}"
    assert (model.architecture, model.labels, model.task) == (
        "timm:test_resnet",
        ("daisy", "rose", "tulip"),
        "multi_label",
    )
    assert len(model.fingerprint) == 64
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert sum(file.stat().st_size for file in catalogue_path().parent.iterdir()) < 2000, "the weights are not copied"
    path.write_bytes(tiny(4))
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    assert str(catalogue_path()) in printed
    assert "The file was changed since it was added." in printed
    assert main(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["title"] == "flowers.pth"
    assert main(["models", "remove", str(path)]) == 0
    assert read_catalogue() == ()
    assert path.exists()
    assert main(["models", "remove", str(path)]) == 1


def test_what_cannot_be_loaded_is_not_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pth")
    for reference in (str(tmp_path / "w.pth"), "file:/nowhere.pth", "python:os:getcwd", "bundled:efficientnet_lite0"):
        assert main(["models", "add", reference]) == 2, reference
    assert main(["models", "add"]) == 2
    assert read_catalogue() == ()
    assert "Write models add REF" in capsys.readouterr().err
