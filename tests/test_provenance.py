"""Checkpoints of other tools through the page of models: good ones answer as saved, wrong ones are told in words."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from streamlit.testing.v1 import AppTest

from pages.components.analysis import cache
from tests import test_checkpoints as broken
from tests.checkpoints import same_outputs
from tests.provenance import AVERAGED, FILES, FOLDERS, NAMED, NAMES, Written, monai, network, torchxrayvision
from tests.test_model_places import load
from tests.test_models_page import PAGE, USE, button, drop, has_button, shown
from tests.test_pages import opened

Writer = Callable[[Path, Path], None]
Write = Callable[[Path], Written]


def used(run: AppTest) -> Any:
    """Use the model, and load what was added."""
    assert not run.error, [error.value for error in run.error]
    button(run, USE).click().run()
    assert not run.exception
    assert not run.error, [error.value for error in run.error]
    return cache.model(list(run.session_state["models"].values())[-1], "cpu")


def check(model: Any, write: Write, saved: torch.nn.Module) -> None:
    channels = 1 if model.preprocessing.channels == 1 else 3
    assert same_outputs(model.module, saved, channels=channels), write.__name__
    if write in NAMED:
        assert model.labels == NAMES, write.__name__


# DenseNets take many seconds each.
LARGE = (monai, torchxrayvision)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param([write for write in FILES if write not in LARGE], id="small"),
        pytest.param(LARGE, id="large", marks=pytest.mark.slow),
    ],
)
def test_files_of_twelve_tools_load_through_the_page_and_answer_as_they_were_saved(
    files: list[Write], tmp_path: Path
) -> None:
    run = opened(PAGE)
    for write in files:
        path, saved = write(tmp_path)
        drop(run, (path.name, path.read_bytes()))
        assert run.get("html"), "the test on a picture"
        if has_button(run, "Try torchvision:densenet121"):  # under names of its own, in the same order
            assert write is monai
            button(run, "Try torchvision:densenet121").click().run()
        both = bool([group for group in run.get("button_group") if "two sets of weights" in str(group.proto)])
        assert both == (write in AVERAGED), write.__name__
        model = used(run)
        check(model, write, saved)
        if write is torchxrayvision:
            assert model.task == "multi_label"
            assert "Black becomes −1,024" in shown(drop(run, (path.name, path.read_bytes())))


def test_folders_of_tools_load_by_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIGHTBOX_MODEL_FOLDERS", str(tmp_path))
    monkeypatch.setenv("LIGHTBOX_CATALOGUE", "off")
    for write in FOLDERS:
        path, saved = write(tmp_path)
        run = load(opened(PAGE), path.name)
        check(used(run), write, saved)


def written(content: Any) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def no_numbers(path: Path, canary: Path) -> None:
    state = network().state_dict()
    state["fc.bias"][0] = float("nan")
    path.write_bytes(written(state))


def another_network(path: Path, canary: Path) -> None:
    path.write_bytes(
        written(timm.create_model("test_vit", num_classes=3).state_dict() | {"extra.weight": torch.ones(9, 9)})
    )


def without_a_stage(path: Path, canary: Path) -> None:
    state = network().state_dict()
    path.write_bytes(written({name: x for name, x in state.items() if not name.startswith(("layer3.", "fc."))}))


def a_segmenter(path: Path, canary: Path) -> None:
    path.write_bytes(written({"decode_head.conv.weight": torch.ones(2, 2)}))


WRONG: tuple[tuple[Writer, str], ...] = (
    (broken.cut_off_zip, r"cut off or damaged"),
    (broken.notes, r"text file"),
    (broken.web_page, r"web page \(HTML\)"),
    (broken.lfs_pointer, r"Git LFS pointer"),
    (broken.empty, r"empty \(0 bytes\)"),
    (broken.optimizer_only, r"only the state of an optimizer"),
    (broken.command, r"asks to run code on this computer"),
    (broken.bomb, r"would unpack to"),
    (broken.onnx, r"ONNX model"),
    (broken.hdf5, r"HDF5 file"),
    (broken.saved_model, r"TensorFlow model"),
    (broken.picture, r"PNG picture"),
    (broken.quantised, r"quantised"),
    (no_numbers, r"holds NaN or infinity"),
    (another_network, r"No known network has exactly these tensors\. The nearest is timm:test_vit"),
    (without_a_stage, r"No known network has exactly these tensors\. The nearest is timm:test_resnet"),
    (a_segmenter, r"look like a segmentation model"),
)


def test_wrong_files_are_told_in_words_and_run_nothing(tmp_path: Path) -> None:
    run, canary = opened(PAGE), tmp_path / "canary"
    for number, (write, words) in enumerate(WRONG):
        path = tmp_path / f"{number}.pth"
        write(path, canary)
        drop(run, ("mine.pth", path.read_bytes()))
        said = re.sub(r"\s+", " ", shown(run).replace("**", ""))
        assert re.search(words, said), (write.__name__, said)
        assert not has_button(run, USE), write.__name__
        assert not canary.exists(), write.__name__
    drop(run, ("mine.pth", written(network().state_dict())))
    assert not run.error
    assert has_button(run, USE), "a good one after all of them"


@pytest.mark.parametrize("write", sorted(AVERAGED, key=lambda write: write.__name__))
def test_the_averaged_weights_are_chosen_on_the_page(write: Write, tmp_path: Path) -> None:
    path, _ = write(tmp_path)
    run = drop(opened(PAGE), (path.name, path.read_bytes()))
    run.session_state["weights of candidate"] = True
    run.run()
    model = used(run)
    assert same_outputs(model.module, network(1))
    assert list(run.session_state["models"].values())[-1].averaged
