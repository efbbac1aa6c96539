"""CONTRIBUTING.md is true: every recipe, followed literally in a copy of the project, gives what it promises.

Its code blocks are written into the files that they name. Then one process asks the terminal and another the pages for
the new members.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
COPIED = ("gradcam_core", "pages", ".streamlit", "app.py", "README.md", "pyproject.toml")
RECIPES = {"method", "measurement", "command", "page", "check", "source of models", "format of pictures"}
SECTIONS = dict(re.findall(r"^### An? (.+?)\n(.*?)(?=^##)", GUIDE, re.DOTALL | re.MULTILINE))
BLOCK = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```", re.DOTALL | re.MULTILINE)

TERMINAL = """
import contextlib, io, json, sys
import gradcam_core
from gradcam_core.cli import main

def output(*arguments):
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        code = main(list(arguments))
    return [code, text.getvalue()]

model = ["--model", "bundled:radiograph_clean", "--device", "cpu"]
printed = {
    "where": gradcam_core.__file__,
    "help": output("--help"),
    "methods": output("methods"),
    "methods table": output("methods", "--markdown"),
    "measurements": output("measurements"),
    "measurements table": output("measurements", "--markdown"),
    "explain": output("explain", "scan.png", *model, "--method", "mean_activation", "--out", "out"),
    "trust": output("trust", "scan.png", *model, "--quiet"),
    "samples": output("samples"),
    "titles": output("samples", "--titles"),
    "source": output("layers", "--model", "untrained:test_resnet", "--device", "cpu"),
    "format": output("explain", "scan.qoi", *model, "--method", "grad_cam", "--out", "qoi"),
}
print(json.dumps(printed))
"""

PAGES = """
import json
import gradcam_core
from streamlit.testing.v1 import AppTest

def text_of(run):
    parts = [*run.get("html"), *run.markdown, *run.caption, *run.metric]
    return " ".join(str(getattr(part.proto, "body", "")) + str(getattr(part, "label", "")) for part in parts)

def opened(path, **state):
    run = AppTest.from_file(path, default_timeout=120)
    for name, value in state.items():
        run.session_state[name] = value
    run.run()
    return run

def seen(run):
    return {
        "errors": [str(error.value) for error in [*run.exception, *run.error]],
        "text": text_of(run),
        "options": {box.key or box.label: list(box.options) for box in [*run.selectbox, *run.multiselect]},
        "choices": [option.content for group in run.get("button_group") for option in group.proto.options],
        "links": [link.proto.label for link in run.get("page_link")],
    }

shown = {"where": gradcam_core.__file__}
explain = opened("pages/1_Explain.py")
shown["explain"] = seen(explain)
explain.selectbox(key="method").select("mean_activation").run()
shown["explained"] = seen(explain)
explain.button(key="check explain").click().run()
shown["checked"] = seen(explain)
shown["evaluate"] = seen(opened("pages/4_Evaluate.py"))
shown["new page"] = seen(opened("pages/8_Histogram.py"))
shown["models"] = seen(opened("pages/6_Models.py"))
shown["start"] = seen(opened("app.py"))
print(json.dumps(shown))
"""


def follow(copy: Path) -> None:
    """Write every block into the file that it names: a new one, or the end of one that exists."""
    for section in SECTIONS.values():
        for name, code in BLOCK.findall(section):
            file = copy / name
            before = file.read_text("utf-8") + "\n\n" if file.exists() else ""
            file.write_text(before + code, "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    follow(folder)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    cv2.imwrite(str(folder / "scan.png"), pixels)
    (folder / "scan.qoi").write_bytes(imagecodecs.qoi_encode(pixels))
    return folder


@pytest.fixture(scope="module")
def answers(copy: Path) -> Mapping[str, Any]:
    """What the terminal and the pages of the copy show; both processes run at the same time."""
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    running = {
        name: subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=copy,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, program in (("terminal", TERMINAL), ("pages", PAGES))
    }
    shown = {}
    for name, process in running.items():
        output, errors = process.communicate(timeout=180)
        assert process.returncode == 0, errors[-3000:]
        shown[name] = json.loads(output.splitlines()[-1])
        assert Path(shown[name]["where"]).is_relative_to(copy), "the copy is not what was run"
    return shown


def test_there_is_a_recipe_for_everything_one_may_add() -> None:
    assert set(SECTIONS) == RECIPES
    assert not [name for name, section in SECTIONS.items() if not BLOCK.search(section)]


def test_the_recipes_code_passes_the_linter(copy: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "."], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_a_method_is_in_the_terminal_and_in_the_table(answers: Mapping[str, Any], copy: Path) -> None:
    terminal = answers["terminal"]
    assert re.search(r"^mean_activation +Mean activation", terminal["methods"][1], re.MULTILINE)
    assert "| `mean_activation` | Example 2026 | activations, head |" in terminal["methods table"][1]
    assert terminal["explain"][0] == 0
    record = json.loads((copy / "out" / "scan" / "explanation.json").read_bytes())
    assert {heatmap["method"] for heatmap in record["heatmaps"]} == {"mean_activation"}


def test_a_method_is_on_the_page(answers: Mapping[str, Any]) -> None:
    before, after = answers["pages"]["explain"], answers["pages"]["explained"]
    assert "Mean activation" in before["options"]["method"]
    assert not after["errors"]


def test_a_measurement_is_in_the_terminal_and_in_the_table(answers: Mapping[str, Any]) -> None:
    terminal = answers["terminal"]
    assert re.search(r"^warm_share +Warm share", terminal["measurements"][1], re.MULTILINE)
    assert "| `warm_share` | Example 2026 | heat |" in terminal["measurements table"][1]


def test_a_measurement_is_on_the_page(answers: Mapping[str, Any]) -> None:
    page = answers["pages"]["evaluate"]
    assert not page["errors"]
    assert "Warm share" in page["text"]
    assert "warmer than half of the peak" in page["text"]


def test_a_check_is_in_the_terminal(answers: Mapping[str, Any]) -> None:
    code, text = answers["terminal"]["trust"]
    assert code == 0
    assert "Is the map more than one spot?" in text


def test_a_check_is_on_the_page(answers: Mapping[str, Any]) -> None:
    page = answers["pages"]["checked"]
    assert not page["errors"]
    assert "Is the map more than one spot?" in page["text"]


def test_a_command_is_in_the_help_and_runs(answers: Mapping[str, Any]) -> None:
    terminal = answers["terminal"]
    assert re.search(r"^ +samples +List the sample pictures$", terminal["help"][1], re.MULTILINE)
    assert terminal["samples"][0] == terminal["titles"][0] == 0
    assert "cat_and_coffee" in terminal["samples"][1].splitlines()
    assert "Cat and coffee" in terminal["titles"][1].splitlines()


def test_a_page_opens_by_itself(answers: Mapping[str, Any]) -> None:
    page = answers["pages"]["new page"]
    assert not page["errors"]
    assert "Mean brightness" in page["text"]


def test_a_page_is_linked_from_the_others(answers: Mapping[str, Any]) -> None:
    assert "Histogram" in answers["pages"]["start"]["links"]


def test_a_picture_format_is_read(answers: Mapping[str, Any], copy: Path) -> None:
    assert answers["terminal"]["format"][0] == 0
    record = json.loads((copy / "qoi" / "scan" / "explanation.json").read_bytes())
    assert (record["image"]["width"], record["image"]["height"]) == (64, 64)


def test_a_source_is_offered_on_the_page(answers: Mapping[str, Any]) -> None:
    page = answers["pages"]["models"]
    assert not page["errors"]
    assert "untrained" in page["choices"]


def test_a_source_is_known_to_the_terminal(answers: Mapping[str, Any]) -> None:
    code, text = answers["terminal"]["source"]
    assert code == 0
    assert "layer4" in text
