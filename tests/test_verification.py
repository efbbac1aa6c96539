"""`verify`: what was explained comes out again, and a bit that was altered in picture, weights or record is noticed."""

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data

from gradcam_core import (
    GradcamError,
    LoadedModel,
    contrast,
    explain,
    load_model,
    lowers,
    read_image,
    read_sample,
    seal,
    stacks_of,
    to_dict,
    to_json,
    verify,
)
from gradcam_core.cli import main
from gradcam_core.exporters.manifest import means_of
from gradcam_core.verification import ALTERED, OTHER_FILE, OTHER_WEIGHTS, UNSEALED
from tests.test_dicom import dicom, written
from tests.test_dicom_series import slice_at

RANDOM = ("rise", {"masks": 50, "seed": 5})


def photograph() -> bytes:
    return cv2.imencode(".png", data.chelsea()[..., ::-1])[1].tobytes()


def slice_of_ct() -> bytes:
    down, across = np.mgrid[:160, :200]
    stored = (down * 8 + across * 3 + np.random.default_rng(1).integers(0, 90, (160, 200))).astype(np.uint16)
    return written(dicom(stored, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=900))


def recorded(
    content: bytes, model: LoadedModel, *, frame: int = 0, window: Any = None, **request: Any
) -> dict[str, Any]:
    """The record as it is read from a file."""
    explanation = explain(read_image(content, frame=frame, window=window), model, **request)
    record: dict[str, Any] = json.loads(to_json(seal(to_dict(explanation, names="hash"))))
    return record


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("bundled:radiograph_clean", device="cpu")


@pytest.fixture(scope="module")
def radiograph() -> bytes:
    return read_sample("radiograph_nodule")


def test_a_map_of_any_size_is_recorded_by_its_means() -> None:
    numbers = np.random.default_rng(0).normal(size=(37, 16)).astype(np.float32)
    means = means_of(numbers)
    assert means.shape == (16, 16)
    rows = np.linspace(0, 37, 17).astype(int)
    literal = [[numbers[rows[i] : rows[i + 1], j].astype(float).mean() for j in range(16)] for i in range(16)]
    assert np.allclose(means, literal)
    assert np.array_equal(means_of(numbers[:7, :5]), numbers[:7, :5])


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"methods": ["grad_cam", RANDOM, ("occlusion", {})], "top_k": 1},
        {"methods": ["grad_cam", "guided_backprop"], "layers": ["blocks.1", "blocks.2"], "targets": [0]},
        {"targets": "lowered and contrasted"},
    ],
    ids=["usual", "random", "layers", "targets"],
)
def test_what_was_explained_comes_out_again(request_: dict[str, Any], model: LoadedModel, radiograph: bytes) -> None:
    if "layers" in request_:
        request_ = {**request_, "layers": [layer.name for layer in model.layers[-3:-1]]}
    if request_.get("targets") == "lowered and contrasted":
        request_ = {"targets": [lowers(0, model.labels), contrast(1, 0, model.labels), 1], "methods": ["hires_cam"]}
    result = verify(recorded(radiograph, model, **request_), radiograph, model)
    assert result.problems == ()
    assert result.reproduced, [verdict.sentence for verdict in result.verdicts]


def test_frames_windows_and_preprocessing_are_those_of_then(model: LoadedModel) -> None:
    content = slice_of_ct()
    changed = load_model("bundled:radiograph_clean", device="cpu", preprocessing={"fit": "squash", "mean": 0.4})
    record = recorded(content, changed, window=(0, 700), methods=["grad_cam"])
    assert verify(record, content, model).reproduced


def test_one_bit_of_the_picture_or_of_the_weights_is_noticed(model: LoadedModel, radiograph: bytes) -> None:
    record = recorded(radiograph, model, methods=["grad_cam"])
    altered = bytearray(radiograph)
    altered[-20] ^= 1
    assert verify(record, bytes(altered), model).problems == (OTHER_FILE,)
    other = load_model("bundled:radiograph_balanced", device="cpu")
    assert verify(record, radiograph, other).problems == (OTHER_WEIGHTS,)
    assert not verify(record, radiograph, other).reproduced


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Any:
    """Every single value in a record, by its path."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(part, (*path, key))
    else:
        yield path, value


def with_other(record: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(record)
    part: Any = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return changed


def test_every_changed_value_of_the_record_is_noticed(model: LoadedModel, radiograph: bytes) -> None:
    record = recorded(radiograph, model, methods=["grad_cam"], top_k=1)
    for path, value in leaves(record):
        other = f"{value}x" if isinstance(value, str) else 1.5 if value is None else value + 1
        try:
            result = verify(with_other(record, path, other), radiograph, model)
        except GradcamError:
            continue
        assert result.problems, path
    assert verify(with_other(record, ("note",), "by hand"), radiograph, model).problems == (ALTERED,)


def test_a_changed_number_is_noticed_without_the_checksum(model: LoadedModel, radiograph: bytes) -> None:
    record = recorded(radiograph, model, methods=["grad_cam"], top_k=1)
    del record["record_sha256"]
    assert verify(record, radiograph, model).notes == (UNSEALED,)
    assert verify(record, radiograph, model).reproduced
    heatmap = record["heatmaps"][0]
    peak = heatmap["raw_peak"]
    forged = {
        ("heatmaps", 0, "raw_peak"): peak * 1.001,
        ("heatmaps", 0, "raw_means", 2, 3): heatmap["raw_means"][2][3] + peak * 0.001,
        ("heatmaps", 0, "target", "probability"): heatmap["target"]["probability"] - 0.001,
        ("predictions", 0, "probability"): record["predictions"][0]["probability"] - 0.001,
    }
    forged |= {("heatmaps", 0, "raw_peak", kind): value for kind, value in enumerate((None, "x", 10**400, True))}
    forged |= {("heatmaps", 0, "raw_means"): None, ("heatmaps", 0, "target", "label"): "other", ("image", "width"): 3}
    for path, value in forged.items():
        if path[-2:-1] == ("raw_peak",):
            path = path[:-1]
        if value is None and path[-1] == "raw_means":
            with pytest.raises(GradcamError, match="not the record"):
                verify(with_other(record, path, value), radiograph, model)
            continue
        assert not verify(with_other(record, path, value), radiograph, model).reproduced, path


def test_targets_and_methods_that_are_named_twice_come_out_twice(model: LoadedModel, radiograph: bytes) -> None:
    twice = {"targets": [0, 0, 1], "methods": ["grad_cam", "grad_cam", "cam"]}
    assert verify(recorded(radiograph, model, **twice), radiograph, model).reproduced


def test_a_checksum_that_is_emptied_or_of_no_record_is_noticed(model: LoadedModel, radiograph: bytes) -> None:
    record = recorded(radiograph, model, methods=["grad_cam"], top_k=1)
    for value in ("", None, 3):
        assert verify(record | {"record_sha256": value}, radiograph, model).problems == (ALTERED,)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in (float("nan"), deep):
        with pytest.raises(GradcamError, match="not the record"):
            verify(record | {"more": value}, radiograph, model)


@pytest.mark.parametrize(
    "nonsense",
    [
        {},
        {"heatmaps": []},
        {"heatmaps": [3]},
        {"heatmaps": [{}], "image": {}, "model": {}},
        {"heatmaps": [{"target": {"index": True}}] * 2000},
    ],
)
def test_a_file_that_is_no_record_is_refused(nonsense: dict[str, Any], model: LoadedModel, radiograph: bytes) -> None:
    try:
        assert not verify(nonsense, radiograph, model).reproduced
    except GradcamError as error:
        assert "record" in str(error)  # noqa: PT017


def test_in_a_terminal(tmp_path: Path, radiograph: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "picture.png"
    picture.write_bytes(radiograph)
    out = tmp_path / "out"
    options = ["--model", "bundled:radiograph_clean", "--method", "grad_cam", "--top-k", "2", "--quiet"]
    assert main(["explain", str(picture), *options, "--out", str(out)]) == 0
    record = out / "picture" / "explanation.json"
    assert main(["verify", str(record), "--image", str(picture)]) == 0
    assert "2 of 2 heatmaps reproduced" in capsys.readouterr().out
    record.write_text(record.read_text().replace('"frame": 0', '"frame": 0, "more": 1'))
    assert main(["verify", str(record), "--image", str(picture)]) == 1
    assert ALTERED in capsys.readouterr().err
    assert main(["verify", str(picture), "--image", str(picture)]) == 2
    assert "not the record" in capsys.readouterr().err


@pytest.mark.slow
def test_fifty_explanations_come_out_again() -> None:
    contents = [photograph(), read_sample("radiograph_two"), slice_of_ct(), read_sample("coffee")]
    methods = [
        "grad_cam",
        "cam",
        "layer_cam",
        "eigen_cam",
        "grad_cam_plus_plus",
        "hires_cam",
        ("score_cam", {}),
        RANDOM,
    ]
    verified = 0
    for reference in ("bundled:efficientnet_lite0", "bundled:radiograph_mobilenet"):
        model = load_model(reference, device="cpu")
        for content in contents:
            for method in methods:
                record = recorded(content, model, methods=[method], top_k=2)
                assert verify(record, content, model).reproduced, (reference, method)
                verified += 1
    assert verified >= 50


def test_a_slice_of_a_series_is_verified_from_its_folder_and_from_its_zip(
    model: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slices = {f"{place}.dcm": slice_at(place, depth=place) for place in range(3)}
    folder, packed, record = tmp_path / "series", tmp_path / "series.zip", tmp_path / "explanation.json"
    folder.mkdir()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in reversed(slices.items()):
            (folder / name).write_bytes(content)
            archive.writestr(name, content)
    ((_, stack),) = stacks_of(list(slices.items()))
    record.write_text(json.dumps(recorded(stack, model, frame=1, top_k=1)))
    for place in (folder, packed):
        assert main(["verify", str(record), "--image", str(place), "--quiet"]) == 0
    assert main(["verify", str(record), "--image", str(folder / "1.dcm"), "--quiet"]) == 1
    assert "the folder or ZIP of the whole series" in capsys.readouterr().err
