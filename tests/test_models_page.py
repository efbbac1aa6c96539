"""Models: checkpoints are dropped, recognised, loaded, named, renamed and removed."""

import io
import json
from typing import Any

import pytest
import timm
import torch
import torchvision
from streamlit.testing.v1 import AppTest

from gradcam_core import GradcamError
from pages.components.analysis import cache
from pages.components.models.places import name_reference, way_of
from pages.components.models.ranges import RANGES, in_shares
from tests.test_pages import opened, text_of

PAGE = "pages/6_Models.py"
USE = "Use it everywhere"
FLOWERS = ("daisy", "dandelion", "iris", "rose", "sunflower", "tulip", "water lily")


def weights_of(network: torch.nn.Module) -> bytes:
    written = io.BytesIO()
    torch.save(torch.nn.DataParallel(network).state_dict(), written)
    return written.getvalue()


def tiny(classes: int = 3) -> bytes:
    torch.manual_seed(classes)
    return weights_of(timm.create_model("test_resnet", num_classes=classes))


def drop(run: AppTest, *files: tuple[str, bytes]) -> AppTest:
    box = next(box for box in run.file_uploader if "Drop a checkpoint" in box.label)
    for name, content in files:
        box.upload(name, content, "application/octet-stream")
    run.run()
    assert not run.exception
    return run


def button(run: AppTest, words: str) -> Any:
    return next(button for button in run.button if button.label.replace("\\", "").startswith(words))


def has_button(run: AppTest, words: str) -> bool:
    return any(button.label.replace("\\", "").startswith(words) for button in run.button)


def shown(run: AppTest) -> str:
    return text_of(run).replace("\\", "").replace("\u202f", " ")


def loaded(run: AppTest, *files: tuple[str, bytes]) -> AppTest:
    button(drop(run, *files), USE).click().run()
    assert not run.exception
    return run


def own_titles(run: AppTest) -> list[str]:
    """Without the demonstration models, which stand last."""
    return [title for title in titles(run) if not title.startswith("Drawn radiographs only")]


def titles(run: AppTest) -> list[str]:
    return list(run.selectbox(key="model").options)


def names(*labels: str) -> bytes:
    return json.dumps(dict(enumerate(labels))).encode()


def test_a_dropped_checkpoint_is_recognised_and_loaded_by_one_button() -> None:
    run = opened(PAGE)
    network = torchvision.models.mobilenet_v2(num_classes=7)
    drop(run, ("flowers.pth.tar", weights_of(network)), ("class_indices.json", names(*FLOWERS)))
    assert not run.error
    assert "This looks like **torchvision:mobilenet_v2** with 7 classes (all 314 tensors fit)." in shown(run)
    assert "class_indices.json: 7 classes: daisy, dandelion" in shown(run)
    button(run, USE).click().run()
    assert not run.exception
    assert not run.error
    assert own_titles(run)[-1] == "flowers.pth.tar"
    assert run.selectbox(key="model").value in run.session_state["models"]
    assert run.dataframe[1].value["Label"].tolist() == list(FLOWERS)
    assert "This looks like" not in shown(run)
    assert not has_button(run, "Remove the class names")


def test_explain_with_it_leads_on_with_the_chosen_model() -> None:
    run = opened("app.py")
    run.switch_page(PAGE).run()
    loaded(run, ("mine.pth", tiny()), ("names.txt", b"daisy\nrose\ntulip\n"))
    run.selectbox(key="model").select("bundled:efficientnet_lite0").run()
    run.button(key="explain with 0").click().run()
    assert not run.exception
    assert run.title[0].value == "What did the model look at?"
    assert "mine.pth" in titles(run)
    assert "tulip" in str(run.dataframe[0].value) + text_of(run)


def test_class_names_may_be_dropped_before_or_after_the_weights() -> None:
    for order in (("weights", "names"), ("names", "weights")):
        run = opened(PAGE)
        files = {"weights": ("w.pt", tiny()), "names": ("labels.csv", b"0,daisy\n1,rose\n2,tulip\n")}
        for part in order:
            drop(run, files[part])
        button(run, USE).click().run()
        assert run.dataframe[1].value["Label"].tolist() == ["daisy", "rose", "tulip"], order


def test_class_names_do_not_stay_for_the_next_weights() -> None:
    run = drop(opened(PAGE), ("first.pth", tiny()), ("names.txt", b"daisy\nrose\ntulip\n"))
    assert "daisy" in shown(run)
    drop(run, ("second.pth", tiny(4)))
    assert "daisy" not in shown(run)
    assert not run.error
    button(run, USE).click().run()
    assert "names.txt" not in shown(run)
    loaded(run, ("third.pth", tiny(3)))
    assert "daisy" not in str(run.dataframe[1].value)


def test_a_wrong_number_of_names_is_said_before_loading_and_names_the_file() -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny(3)), ("two_names.txt", b"daisy\nrose\n"))
    assert "two_names.txt: 2 names, the weights have 3 classes" in shown(run)
    assert button(run, USE).disabled
    button(run, "Remove the class names").click().run()
    assert not run.error
    button(run, USE).click().run()
    assert own_titles(run)[-1] == "mine.pth"


def test_names_that_cannot_be_read_are_refused_with_their_file() -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny(3)), ("broken.json", b'{"daisy": '))
    assert "broken.json" in run.error[0].value.replace("\\", "")
    assert button(run, USE).disabled


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a,b\n1,2\n" * 20, "table (CSV) or text file"), (b"\x89HDF\r\n\x1a\n" + b"\0" * 50, "Keras or other HDF5")],
    ids=["text", "Keras"],
)
def test_what_is_no_checkpoint_is_refused_at_once_in_words(content: bytes, words: str) -> None:
    run = drop(opened(PAGE), ("anna-smith.pth", content))
    assert words in run.error[0].value.replace("\\", "")
    assert "anna" not in run.error[0].value
    button(run, "Remove").click().run()
    assert not run.error
    loaded(run, ("mine.pth", tiny()))


def test_unknown_endings_are_opened_by_content() -> None:
    run = drop(opened(PAGE), ("model.best_epoch17", tiny()), ("classnames", b"daisy\nrose\ntulip\n"))
    assert not run.error
    button(run, USE).click().run()
    assert run.dataframe[1].value["Label"].tolist() == ["daisy", "rose", "tulip"]


def test_a_checkpoint_of_no_known_network_leaves_the_choice_by_name() -> None:
    network = timm.create_model("test_resnet", num_classes=3)
    state = {k: x for k, x in network.state_dict().items() if not k.startswith(("fc.", "layer3"))}
    written = io.BytesIO()
    torch.save(state, written)
    run = drop(opened(PAGE), ("mine.pth", written.getvalue()))
    assert "The nearest is **timm:test_resnet**. Probably" in " ".join(shown(run).split())
    assert not has_button(run, USE)
    box = next(box for box in run.selectbox if box.label == "Architecture")
    box.set_value("resnet18").run()
    button(run, "Use this architecture").click().run()
    assert "do not fit" in run.error[0].value


def test_a_checkpoint_that_is_near_to_no_known_network_says_what_its_names_look_like() -> None:
    written = io.BytesIO()
    torch.save({"decode_head.conv.weight": torch.ones(2, 2)}, written)
    run = drop(opened(PAGE), ("mine.pth", written.getvalue()))
    assert "look like a segmentation model. Only classifiers" in run.error[0].value.replace("\\", "")
    assert has_button(run, "Use this architecture")
    assert not has_button(run, USE)


@pytest.mark.slow
def test_another_architecture_with_its_own_preprocessing_can_be_chosen_by_name() -> None:
    torch.manual_seed(0)
    network = timm.create_model("efficientnet_b0", num_classes=3)
    run = drop(opened(PAGE), ("mine.pth", weights_of(network)))
    assert "The same tensors fit 3 networks" in shown(run)
    box = next(box for box in run.selectbox if box.label == "Architecture" and box.value == "timm:efficientnet_b0")
    box.set_value("timm:tf_efficientnet_b0").run()
    next(box for box in run.number_input if box.label == "Input size in pixels").set_value(96)
    button(run, "Apply").click().run()
    assert "96 × 96 px" in shown(run)
    button(run, USE).click().run()
    assert not run.error
    choice = list(run.session_state["models"].values())[-1]
    assert choice.architecture == "timm:tf_efficientnet_b0"
    assert "Input 96 × 96 px" in shown(run)


def test_the_values_of_the_training_pictures_are_taken_into_mean_and_deviation() -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny()))
    assert "Black becomes −1, white 1." in shown(run)
    next(box for box in run.selectbox if box.label.startswith("Values of the training")).set_value("−1024 to 1024")
    button(run, "Apply").click().run()
    assert not run.exception
    assert "Black becomes −1,024, white 1,024." in shown(run)
    next(box for box in run.text_input if box.label.startswith("Mean")).set_value("half")
    button(run, "Apply").click().run()
    assert "Mean is not a number." in run.error[0].value


@pytest.mark.parametrize(
    ("span", "mean", "std", "black", "white"),
    [
        ("0 to 1", (0.5,), (0.25,), -2.0, 2.0),
        ("0 to 255", (127.5,), (127.5,), -1.0, 1.0),
        ("0 to 255", (), (), 0.0, 255.0),
        ("−1 to 1", (), (), -1.0, 1.0),
        ("−1 to 1", (0.5,), (0.5,), -3.0, 1.0),
        ("−1024 to 1024", (), (), -1024.0, 1024.0),
    ],
)
def test_black_and_white_become_what_they_were_in_training(
    span: str, mean: tuple[float, ...], std: tuple[float, ...], black: float, white: float
) -> None:
    (mean,), (std,) = dict(in_shares(RANGES[span], mean, std)).values()
    assert (0 - mean) / std == pytest.approx(black)
    assert (1 - mean) / std == pytest.approx(white)


def test_the_task_of_a_model_is_chosen_before_it_is_used() -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny()))
    assert "one class of several (assumed)" in str(run.selectbox(key="task candidate").options)
    run.selectbox(key="task candidate").set_value("multi_label").run()
    run.number_input(key="threshold candidate").set_value(0.25).run()
    button(run, USE).click().run()
    assert not run.exception
    choice = list(run.session_state["models"].values())[-1]
    assert (choice.task, choice.threshold) == ("multi_label", 0.25)


def test_names_of_classes_can_be_pasted() -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny()))
    box = next(box for box in run.text_area if box.label.startswith("One name a line"))
    box.set_value("daisy\nrose\ntulip")
    button(run, "Use these names").click().run()
    assert not run.error
    button(run, USE).click().run()
    assert run.dataframe[1].value["Label"].tolist() == ["daisy", "rose", "tulip"]


def test_findings_are_recognised_by_names_that_are_given() -> None:
    findings = "Atelectasis\nCardiomegaly\nEffusion\nInfiltration\nMass\nNodule"
    run = drop(opened(PAGE), ("mine.pth", tiny(6)), ("names.txt", findings.encode()))
    assert "several findings, each with a probability of its own (assumed)" in str(
        run.selectbox(key="task candidate").options
    )


def test_a_test_prediction_stands_there_before_the_model_is_used() -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny()), ("names.txt", b"daisy\nrose\ntulip\n"))
    bars = " ".join(str(part.proto.body) for part in run.get("html"))
    assert "As the model gets it" in bars
    assert all(name in bars for name in ("daisy", "rose", "tulip"))


def test_what_was_found_inside_is_said() -> None:
    written = io.BytesIO()
    network = timm.create_model("test_resnet", num_classes=3)
    extra = {"epoch": 4, "optimizer": {"state": {}, "param_groups": []}, "class_names": ["a", "b", "c"]}
    torch.save({"state_dict": network.state_dict(), **extra}, written)
    run = drop(opened(PAGE), ("mine.pth", written.getvalue()))
    assert f"{len(network.state_dict())} tensors with" in shown(run)
    assert "Beside them: epoch, optimizer, class_names." in shown(run)
    assert "It names 3 classes." in shown(run)


def test_a_second_checkpoint_in_one_drop_is_named_and_left_out() -> None:
    run = drop(opened(PAGE), ("first.pth", tiny(3)), ("second.pth", tiny(4)))
    assert "first.pth" in shown(run)
    assert "second.pth was left out" in shown(run)


def test_models_of_the_same_name_are_told_apart() -> None:
    run = opened(PAGE)
    content = tiny(3)
    loaded(run, ("mine.pth", content), ("a.txt", b"daisy\nrose\ntulip\n"))
    loaded(run, ("mine.pth", content), ("a.txt", b"cat\ndog\ncow\n"))
    torch.manual_seed(9)
    loaded(
        run, ("mine.pth", weights_of(timm.create_model("test_resnet", num_classes=3))), ("a.txt", b"cat\ndog\ncow\n")
    )
    own = [title.replace("\u202f", " ") for title in own_titles(run)[-3:]]
    assert own == ["mine.pth", "mine.pth · 3 classes: cat, dog, cow", "mine.pth · 3 classes: cat, dog, cow (2)"]
    loaded(run, ("mine.pth", content), ("a.txt", b"daisy\nrose\ntulip\n"))
    assert len([title for title in titles(run) if title.startswith("mine")]) == 3, "the same model again"


def test_a_model_can_be_renamed_and_removed() -> None:
    run = loaded(opened(PAGE), ("mine.pth", tiny()))
    box = next(box for box in run.text_input if box.label == "Name")
    box.set_value("Best of\u202e <b>May</b>").run()
    assert own_titles(run)[-1] == "Best of <b>May</b>"
    assert "<b>May" not in text_of(run), "it is escaped"
    run.button(key="remove 0").click().run()
    assert not run.exception
    assert not any("May" in title for title in titles(run))
    assert run.selectbox(key="model").value == "bundled:efficientnet_lite0"


def test_the_bundled_models_stand_last_and_cannot_be_removed() -> None:
    run = loaded(opened(PAGE), ("mine.pth", tiny()))
    rows = [text for text in shown(run).splitlines() if text in titles(run) or "mine.pth" in text]
    assert "mine.pth" in rows[0]
    assert len([button for button in run.button if str(button.key).startswith("remove ")]) == 1


def test_a_files_name_stays_in_its_session() -> None:
    content = tiny(5)
    run = loaded(opened(PAGE), ("anna-smith.pth", content))
    assert not any("anna" in key for key in cache.MODELS._values)
    other = loaded(opened(PAGE), ("other.pth", content))
    assert not any("anna" in title for title in titles(other))
    model = next(iter(run.session_state["models"].values()))
    assert "anna" not in model.reference


def test_a_renamed_model_is_not_loaded_again() -> None:
    run = loaded(opened(PAGE), ("mine.pth", tiny()))
    before = set(cache.MODELS._values)
    next(box for box in run.text_input if box.label == "Name").set_value("Other").run()
    assert set(cache.MODELS._values) == before


def test_a_file_that_is_gone_from_the_server_is_said() -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny(6)))
    run.session_state["candidate"].path.unlink()
    cache.MODELS.drop("cpu")
    run.run()
    assert not run.exception
    assert "no longer has this file" in run.error[0].value
    assert not has_button(run, USE)


@pytest.mark.parametrize("source", ["timm", "torchvision", "hf-hub"])
@pytest.mark.parametrize("name", ["../../etc/passwd", "../etc", "python:os", "local-dir:/etc", "", "a/b/c", "x" * 101])
def test_the_page_looks_up_nothing_that_is_not_a_name(source: str, name: str) -> None:
    with pytest.raises(GradcamError, match="letters, digits"):
        name_reference(source, name)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("timm:resnet18", ("timm", "resnet18")),
        (" hf-hub:timm/resnet18.a1_in1k ", ("hf-hub", "timm/resnet18.a1_in1k")),
        ("timm:hf-hub:a/b", ("hf-hub", "a/b")),
        ("timm:local-dir:/data", ("path", "timm:local-dir:/data")),
        ("mine.pth", ("path", "mine.pth")),
        ("python:os:getcwd", ("path", "python:os:getcwd")),
    ],
)
def test_a_typed_reference_names_its_own_source(typed: str, meant: tuple[str, str]) -> None:
    assert way_of("path", typed, ["timm", "torchvision"]) == meant
