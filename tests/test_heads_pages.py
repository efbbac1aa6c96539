"""The pages with a model of findings and with a regression: no sentence speaks of shares or of a top answer."""

import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from pages.components.analysis.requests import ModelChoice
from tests import heads
from tests.heads import FINDINGS

ROOT = Path(__file__).parent.parent
PERCENT = re.compile(r"\d\s?%")


@pytest.fixture
def choices(tmp_path: Path) -> dict[str, ModelChoice]:
    torch.save(heads.fourteen().state_dict(), tmp_path / "findings.pth")
    torch.save(heads.regressor().state_dict(), tmp_path / "age.pth")
    torch.save(heads.headless().state_dict(), tmp_path / "features.pth")
    (tmp_path / "names.json").write_text(json.dumps(FINDINGS))
    (tmp_path / "age.json").write_text('["age"]')
    small = (("size", 32), ("fit", "squash"))

    def choice(name: str, recipe: str, labels: str = "", task: str = "", unit: str = "") -> ModelChoice:
        path = tmp_path / f"{name}.pth"
        names = tuple(json.loads((tmp_path / labels).read_text())) if labels else ()
        return ModelChoice(name, f"file:{path}", f"python:tests.heads:{recipe}", "", names, small, task, unit)

    return {
        "findings": choice("findings", "fourteen", "names.json", "multi_label"),
        "regression": choice("age", "regressor", "age.json", "regression", "years"),
        "embedding": choice("features", "headless"),
    }


def opened(page: str, choices: dict[str, ModelChoice], *names: str, **state: object) -> AppTest:
    run = AppTest.from_file(str(ROOT / "pages" / page), default_timeout=120)
    run.session_state["models"] = {name: choices[name] for name in names}
    run.session_state["picture"] = "coffee"
    for key, value in state.items():
        run.session_state[key.replace("_", " ")] = value
    run.run()
    assert not run.exception
    return run


def text_of(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.error, *page.warning, *page.info, *page.metric, *page.get("html")]
    return "\n".join(str(getattr(part, "value", None) or part.proto.body).replace("\\", "") for part in parts)


def test_explain_shows_findings_with_a_probability_of_their_own(choices: dict[str, ModelChoice]) -> None:
    run = opened("1_Explain.py", choices, "findings")
    assert not run.error
    headline = next(part.value for part in run.markdown if "present" in part.value or "absent" in part.value)
    assert headline.startswith("Most probable findings: ")
    assert len(re.findall(r"\((?:present|absent)\)", headline)) == 3
    assert "Top answer" not in text_of(run)
    assert "no answer reaches" not in text_of(run)
    assert "The model gives several findings, each with a probability of its own" in text_of(run)
    table = run.dataframe[0].value
    assert table["Class"][0].startswith("finding ")
    run.button_group(key="top direction").set_value("lowers").run()
    assert not run.exception
    assert not run.error
    assert all(label.startswith("lowers finding ") for label in run.dataframe[0].value["Class"])
    run.button(key="check explain").click().run()
    assert not run.exception
    assert "Not tested" in text_of(run) or "Passed" in text_of(run) or "Look here" in text_of(run)


def test_a_threshold_decides_which_findings_are_present(choices: dict[str, ModelChoice]) -> None:
    sure = dataclasses.replace(choices["findings"], threshold=1.0)
    run = opened("1_Explain.py", {"findings": sure}, "findings")
    assert not run.error
    headline = next(part.value for part in run.markdown if part.value.startswith("Most probable findings"))
    assert headline.count("(absent)") == 3


def test_explain_shows_a_number_with_its_unit_and_no_percentage(choices: dict[str, ModelChoice]) -> None:
    run = opened("1_Explain.py", choices, "regression")
    assert not run.error
    (headline,) = (part.value for part in run.markdown if part.value.startswith("**age"))
    assert "years" in headline
    assert not PERCENT.search(headline)
    table = run.dataframe[0].value
    assert "Probability" not in table
    assert table["Value"][0].endswith("years")


@pytest.mark.parametrize("page", ["1_Explain.py", "2_Compare.py", "3_Layers.py", "4_Evaluate.py"])
def test_features_are_compared_with_another_picture(page: str, choices: dict[str, ModelChoice]) -> None:
    run = opened(page, choices, "embedding")
    assert not run.error
    assert run.selectbox(key="reference picture").value != run.selectbox(key="picture").value
    run.selectbox(key="reference picture").set_value("cat").run()
    assert not run.exception
    assert not run.error
    if page == "1_Explain.py":
        assert "the reference picture" in text_of(run)
        run.button(key="check explain").click().run()
        assert not run.exception
        assert not run.error


@pytest.mark.parametrize("name", ["findings", "regression"])
@pytest.mark.parametrize("page", ["2_Compare.py", "3_Layers.py", "4_Evaluate.py", "6_Models.py"])
def test_the_other_pages_open_with_every_head(page: str, name: str, choices: dict[str, ModelChoice]) -> None:
    run = opened(page, choices, name)
    assert not run.error
    assert "Top answer" not in text_of(run)
    if page == "3_Layers.py" and name == "regression":
        assert "years" in text_of(run)


def test_models_of_findings_and_regressions_are_compared_in_their_own_words(choices: dict[str, ModelChoice]) -> None:
    run = opened("2_Compare_models.py", choices, "findings", "regression", compared_models=["regression"])
    assert not run.error
    assert "cannot be compared" in run.markdown[0].value
    assert "years" in text_of(run)


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (48, 40, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def evaluated(choices: dict[str, ModelChoice], name: str, table: bytes) -> AppTest:
    run = opened("5_Folder.py", choices, name)
    contents = {"a.png": (png(0), "image/png"), "b.png": (png(1), "image/png"), "t.csv": (table, "text/csv")}
    for file, (content, kind) in contents.items():
        uploader = next(box for box in run.file_uploader if str(box.key).startswith("folder uploader"))
        uploader.upload(file, content, kind).run()
    run.button(key="evaluate").click().run()
    assert not run.exception
    return run


def test_a_folder_is_evaluated_finding_by_finding(choices: dict[str, ModelChoice]) -> None:
    run = evaluated(choices, "findings", b"name,label\na.png,finding A;finding B\nb.png,none\n")
    text = text_of(run)
    assert "finding A: present by the model in" in text
    assert "op answer" not in text
    assert {metric.label for metric in run.metric} >= {"All findings correct", "Calibration error"}
    assert "Accuracy by finding" in [part.value for part in run.header]


def test_a_folder_of_numbers_has_an_error_in_its_unit(choices: dict[str, ModelChoice]) -> None:
    run = evaluated(choices, "regression", b"name,label\na.png,50\nb.png,47\n")
    text = text_of(run)
    assert "The mean absolute error is" in text
    assert "years over 2 pictures" in text
    assert "op answer" not in text
    (error,) = (metric.value for metric in run.metric if metric.label == "Mean absolute error")
    assert error.endswith("years")
    assert list(run.dataframe[0].value["Error"]) == sorted(run.dataframe[0].value["Error"], reverse=True)


def test_the_task_is_chosen_on_the_models_page(choices: dict[str, ModelChoice]) -> None:
    run = opened("6_Models.py", {"findings": choices["findings"]}, "findings")
    box = run.selectbox(key="task findings")
    assert box.value == "multi_label"
    run.number_input(key="threshold findings").set_value(0.9).run()
    assert not run.exception
    assert run.session_state["models"]["findings"].threshold == 0.9
    box.set_value("regression").run()
    run.text_input(key="unit findings").set_value("mm").run()
    assert not run.exception
    choice = run.session_state["models"]["findings"]
    assert (choice.task, choice.unit) == ("regression", "mm")
    run.selectbox(key="task findings").set_value("").run()
    choice = run.session_state["models"]["findings"]
    assert (choice.task, choice.unit) == ("", "")
    assert "one class of several (assumed)" in str(run.selectbox(key="task findings").options)
