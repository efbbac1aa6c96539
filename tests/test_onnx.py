"""ONNX models: outputs and maps equal those of the network that wrote them; hostile files end in words."""

import copy
import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from streamlit.testing.v1 import AppTest

from gradcam_core import (
    GradcamError,
    LoadedModel,
    explain,
    list_methods,
    load_model,
    predict,
    suggest_architectures,
    to_dict,
    trust,
)
from gradcam_core.cli import main
from gradcam_core.readers import read_image
from gradcam_core.samples import read_sample
from gradcam_core.sources import onnx_networks
from pages.components.analysis.requests import ModelChoice
from pages.components.models.candidate import CANDIDATE, Candidate
from tests import onnx_models as written

ROOT = Path(__file__).parent.parent
CAT = read_image(read_sample("cat"))
FAST = [("rise", {"masks": 60}), ("occlusion", {"patch": 8, "stride": 6})]
SETTINGS = {"size": written.SIZE, "mean": 0.5, "std": 0.25, "fit": "squash"}


@pytest.fixture(scope="module")
def twin() -> LoadedModel:
    """The network itself."""
    return load_model(written.network(), preprocessing=SETTINGS, device="cpu")


def loaded(path: Path, **more: Any) -> LoadedModel:
    return load_model(f"file:{path}", preprocessing=SETTINGS, device="cpu", **more)


VARIANTS: dict[str, dict[str, Any]] = {
    "free batch": {},
    "one picture": {"shape": (1, 3, written.SIZE, written.SIZE)},
    "four pictures": {"shape": (4, 3, written.SIZE, written.SIZE)},
    "free sizes": {"shape": ("N", 3, "H", "W")},
    "channels last": {"shape": ("N", written.SIZE, written.SIZE, 3), "channels_last": True},
    "two outputs": {"two_outputs": True},
}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_outputs_and_maps_equal_those_of_the_network(variant: str, tmp_path: Path, twin: LoadedModel) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph(**VARIANTS[variant]))
    model = loaded(path)
    assert (model.task, model.task_origin, len(model.labels)) == ("single_label", "assumed", written.CLASSES)
    ours, theirs = (explain(CAT, x, targets=[0, 3], methods=FAST, layers=None) for x in (model, twin))
    np.testing.assert_array_equal(ours.model_input, theirs.model_input)
    for one, other in zip(ours.predictions, theirs.predictions, strict=True):
        assert (one.index, one.probability) == (other.index, pytest.approx(other.probability, abs=1e-5))
    for one, other in zip(ours.heatmaps, theirs.heatmaps, strict=True):
        np.testing.assert_allclose(one.raw, other.raw, rtol=1e-4, atol=1e-4 * np.abs(other.raw).max())
        assert np.std(other.raw) > 0
    noted = any("Taken as its class scores: the output 'scores'" in note for note in model.notes)
    assert noted == (variant == "two outputs")


def test_outputs_equal_onnx_runtimes_own(tmp_path: Path) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph())
    inputs = torch.randn(3, 3, written.SIZE, written.SIZE)
    (own,) = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
        None, {"x": inputs.numpy()}
    )
    np.testing.assert_allclose(loaded(path).module(inputs).numpy(), own, rtol=1e-6)
    half = written.write(tmp_path / "half.onnx", written.graph(kind=TensorProto.FLOAT16))
    np.testing.assert_allclose(loaded(half).module(inputs).numpy(), own, atol=2e-2)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_torch_exports_loads(tmp_path: Path, twin: LoadedModel) -> None:
    path = tmp_path / "exported.onnx"
    example = torch.zeros(1, 3, written.SIZE, written.SIZE)
    torch.onnx.export(written.network(), (example,), str(path), dynamo=False)
    first, second = (explain(CAT, x, targets=2, methods=FAST[0]).heatmaps[0] for x in (loaded(path), twin))
    np.testing.assert_allclose(first.raw, second.raw, rtol=1e-4, atol=1e-4 * np.abs(second.raw).max())


def test_methods_that_look_inside_are_refused_and_those_that_work_named(tmp_path: Path) -> None:
    model = loaded(written.write(tmp_path / "net.onnx", written.graph()))
    assert any("RISE and occlusion: this model runs in ONNX Runtime" in note for note in model.notes)
    assert [heatmap.method for heatmap in explain(CAT, model, top_k=1).heatmaps] == ["occlusion"]
    for method in {method.name for method in list_methods()} - {"rise", "occlusion"}:
        with pytest.raises(GradcamError) as failed:
            explain(CAT, model, methods=method)
        assert "ONNX Runtime, which shows neither layers nor gradients" in str(failed.value)
        assert "Use Occlusion or RISE instead" in str(failed.value)
    explanation = explain(CAT, model, top_k=1, methods=FAST[1])
    checks = trust(explanation, explanation.heatmaps[0], model)
    assert next(check for check in checks.checks if check.name == "learned").outcome == "not tested"


@pytest.mark.parametrize(("end", "task"), [("Softmax", "single_label"), ("Sigmoid", "multi_label")])
def test_an_ending_is_read_off_the_outputs(end: str, task: str, tmp_path: Path) -> None:
    model = loaded(written.write(tmp_path / "net.onnx", written.graph(end=end)))
    assert (model.task, model.task_origin) == (task, "read")
    shares = [prediction.probability for prediction in predict(CAT, model)]
    with torch.no_grad():
        scores = written.network()(torch.tensor(explain(CAT, model, top_k=1).model_input)[None])
    expected = scores.softmax(1) if end == "Softmax" else scores.sigmoid()
    np.testing.assert_allclose(sorted(shares), sorted(expected[0].tolist()), atol=1e-5)


@pytest.mark.parametrize("form", ["{0: 'a', 1: 'b', 2: 'c', 3: 'd', 4: 'e'}", '["a", "b", "c", "d", "e"]'])
def test_names_of_classes_and_task_are_taken_from_the_metadata(form: str, tmp_path: Path) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph(), names=form, task="multi_label")
    model = loaded(path)
    assert model.labels == ("a", "b", "c", "d", "e")
    assert (model.task, model.task_origin) == ("multi_label", "read")
    assert loaded(path, labels=list("vwxyz")).labels == tuple("vwxyz")
    broken = written.write(tmp_path / "broken.onnx", written.graph(), names="[" * 5_000)
    assert loaded(broken).labels[0] == "class 0"


def test_preprocessing_is_said_to_be_assumed_and_sizes_are_kept(tmp_path: Path) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph())
    model = load_model(f"file:{path}", device="cpu")
    assert model.preprocessing.size == (written.SIZE, written.SIZE)
    assert any("was assumed: 24 x 24, ImageNet's mean and std" in note for note in model.notes)
    with pytest.raises(GradcamError, match="takes pictures of 24 x 24 only"):
        load_model(f"file:{path}", preprocessing={"size": 32})
    free = written.write(tmp_path / "free.onnx", written.graph(shape=("N", 3, "H", "W")))
    assert load_model(f"file:{free}", preprocessing={"size": 40}, device="cpu").preprocessing.size == (40, 40)
    with pytest.raises(GradcamError, match="ONNX model, which holds its own network"):
        load_model(f"file:{path}", architecture="timm:resnet18")
    assert load_model(f"file:{path}", architecture="auto", device="cpu").architecture == "ONNX"


def test_the_fingerprint_and_copies(tmp_path: Path) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph())
    model, again = loaded(path), loaded(path)
    other = loaded(written.write(tmp_path / "other.onnx", written.graph(end="Softmax")))
    assert model.fingerprint == again.fingerprint != other.fingerprint
    assert copy.deepcopy(model.module)(torch.zeros(2, 3, 24, 24)).shape == (2, 5)
    record = to_dict(explain(CAT, model, top_k=1))
    assert record["model"]["architecture"] == "ONNX"
    assert str(tmp_path) not in json.dumps(record)


def test_weights_in_a_file_beside_it_are_read_and_others_are_not(tmp_path: Path, twin: LoadedModel) -> None:
    weights = written.network().state_dict()["0.weight"].numpy().tobytes()
    path = written.write(tmp_path / "net.onnx", written.weights_elsewhere("net.onnx.data"))
    with pytest.raises(GradcamError, match="in another file, which is missing beside it"):
        loaded(path)
    (tmp_path / "net.onnx.data").write_bytes(weights)
    model = loaded(path)
    np.testing.assert_allclose(
        [p.probability for p in predict(CAT, model)], [p.probability for p in predict(CAT, twin)], atol=1e-5
    )
    changed = np.frombuffer(weights, np.float32) * 2
    (tmp_path / "net.onnx.data").write_bytes(changed.tobytes())
    assert loaded(path).fingerprint != model.fingerprint
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret").write_bytes(weights)
    (tmp_path / "inner" / "link").symlink_to(tmp_path / "secret")
    for place in ("../secret", str(tmp_path / "secret"), "..", "link", "a/b", "c:\\secret", "\\\\server\\secret"):
        inner = written.write(tmp_path / "inner" / "net.onnx", written.weights_elsewhere(place))
        with pytest.raises(GradcamError, match="in a file outside of its folder"):
            loaded(inner)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (written.memory_bomb, "does not run on this picture|does not open this model"),
        (written.endless_loop, r"has a loop \(Loop\)"),
        (written.own_operator, r"not part of ONNX Runtime \(evil\.example\.Run\)"),
        (written.own_function, "defines functions of its own"),
        (lambda: written.graph(shape=("N", "C", 24, 24)), "does not say how many channels"),
        (lambda: written.graph(shape=("N", 3, 100_000, 24)), "not pictures"),
        (lambda: written.graph(shape=(10**9, 3, 24, 24)), "not pictures"),
        (lambda: written.graph(shape=("N", 7, 24, 24)), "does not open|does not run"),
    ],
    ids=["memory", "loop", "operator", "function", "channels", "size", "batch", "misfit"],
)
def test_hostile_and_impossible_models_end_in_words(build: Any, words: str, tmp_path: Path) -> None:
    start = time.perf_counter()
    with pytest.raises(GradcamError, match=words):
        load_model(f"file:{written.write(tmp_path / 'net.onnx', build())}", device="cpu")
    assert time.perf_counter() - start < 10


def test_a_model_that_takes_too_long_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written.write(tmp_path / "net.onnx", written.slow())
    monkeypatch.setattr(onnx_networks, "MOST_SECONDS", 1.0)
    start = time.perf_counter()
    with pytest.raises(GradcamError, match="took more than 1 seconds"):
        loaded(path)
    assert time.perf_counter() - start < 30


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.95])
def test_a_cut_off_file_is_called_damaged(cut: float, tmp_path: Path) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole))])
    with pytest.raises(GradcamError, match=r"damaged|does not open"):
        loaded(path)


def test_noise_in_the_file_ends_in_words_or_in_a_model(tmp_path: Path) -> None:
    whole = written.write(tmp_path / "net.onnx", written.graph()).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(25):
        noisy = bytearray(whole)
        for place in random.integers(8, len(noisy), 6):
            noisy[place] = int(random.integers(256))
        (tmp_path / "net.onnx").write_bytes(noisy)
        with suppress(GradcamError):
            loaded(tmp_path / "net.onnx")


@pytest.mark.parametrize("missing", ["onnxruntime", "onnx"])
def test_without_the_packages_a_sentence_names_them(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph())
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(GradcamError, match=r"needs the packages onnxruntime and onnx\. Install them with"):
        loaded(path)


def test_the_terminal_and_the_page_explain_an_onnx_model(tmp_path: Path) -> None:
    path = written.write(tmp_path / "net.onnx", written.graph())
    (tmp_path / "cat.png").write_bytes(read_sample("cat"))
    model = ["--model", f"file:{path}", "--device", "cpu", "--method", "rise:masks=50", "--top-k", "1"]
    assert main(["explain", str(tmp_path / "cat.png"), *model, "--out", str(tmp_path / "out")]) == 0
    record = json.loads((tmp_path / "out" / "cat" / "explanation.json").read_text())
    assert record["heatmaps"][0]["method"] == "rise"
    run = AppTest.from_file(str(ROOT / "pages" / "1_Explain.py"), default_timeout=120)
    run.session_state["models"] = {"net": ModelChoice("net", f"file:{path}")}
    run.session_state["picture"] = "coffee"
    run.run()
    assert not run.exception
    assert not run.error
    assert run.selectbox(key="method").value == "occlusion"
    assert any("ONNX Runtime" in caption.value for caption in run.caption)


def test_a_dropped_onnx_model_is_recognised_and_loads(tmp_path: Path) -> None:
    path = written.write(tmp_path / "weights", written.graph())
    (suggestion,) = suggest_architectures(path)
    assert suggestion.complete
    assert "a network of its own" in suggestion.words
    assert load_model(f"file:{path}", architecture=suggestion.reference, device="cpu").architecture == "ONNX"
    run = AppTest.from_file(str(ROOT / "pages" / "6_Models.py"), default_timeout=120)
    run.session_state[CANDIDATE] = Candidate(ModelChoice("net.onnx", f"file:{path}", weights="0" * 64), "dropped")
    run.run()
    assert not run.exception
    assert any("a network of its own" in caption.value for caption in run.caption)
    run.button(key="use everywhere").click().run()
    assert not run.exception
    assert not run.error
    assert "net.onnx" in {choice.title for choice in run.session_state["models"].values()}
