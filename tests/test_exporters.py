"""What leaves the program: names, explanation.json, the ZIP archive."""

import io
import json
import math
import zipfile
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch

from gradcam_core import read_image
from gradcam_core.exporters import Drawing, ReportContents, archive, heatmap_names, png, to_dict, to_json
from gradcam_core.exporters.names import file_name, safe, shown_reference
from gradcam_core.placement import Placement
from gradcam_core.records import Explanation, Heatmap, ImageRecord, Prediction, Preprocessing
from gradcam_core.render import colour_heatmap, overlay, picture_pixels

HOSTILE = 'a/b\\..:*?"<>|\x00\x1b[31m\n\u202e{x}%s=1+1'
PERSON = "Doe_Jane_1970"


@dataclass(frozen=True)
class Class:
    index: int
    label: str
    probability: float

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs[:, self.index]


SIZE = (40, 50)
SEEN = Placement(SIZE, (32, 32), (0.0, 5.0, 40.0, 45.0))


def heatmap(
    method: str = "grad_cam", index: int = 2, layer: str = "layer4.1", raw: Any = None, label: str = "cat"
) -> Heatmap:
    values = np.random.default_rng(index).normal(size=(4, 4)) if raw is None else np.asarray(raw)
    return Heatmap(method, {"steps": np.int64(3)}, Class(index, label, 0.7), layer, values.astype(np.float32), SEEN)


def explanation(*heatmaps: Heatmap, reference: str = "bundled:efficientnet_lite0", label: str = "cat") -> Explanation:
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.float32) / np.float32(255)
    preprocessing = Preprocessing((32, 32), (36, 36), (0.5,) * 3, (0.5,) * 3)
    return Explanation(
        image=ImageRecord(pixels, "ab" * 32, f"/home/{PERSON}/{PERSON}.scan.png", "PNG", window=(40.0, 400.0)),
        reference=reference,
        architecture="timm:tf_efficientnet_lite0",
        fingerprint="cd" * 32,
        device="cpu",
        preprocessing=preprocessing,
        placement=SEEN,
        predictions=(Prediction(2, label, 0.7), Prediction(0, "dog", 0.3)),
        heatmaps=heatmaps or (heatmap(), heatmap("cam", raw=-np.ones((4, 4)))),
        model_input=np.zeros((3, 32, 32), np.float32),
        seconds={"model": 0.01},
        versions={"torch": "2"},
        created="2026-01-01T00:00:00+00:00",
        notes=("Laid on white.",),
    )


def unpack(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


def decoded(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]


# Names


@pytest.mark.parametrize(
    "text", [HOSTILE, "CON", "aux.txt", "Lpt1", "com¹", "..", ".", "", "   ", "a. ", "\udc80", "x" * 999, "é" * 200]
)
def test_every_name_is_a_plain_file_name_on_every_system(text: str) -> None:
    name = safe(text)
    assert name
    assert len(name.encode()) <= 151
    assert not set(name) & set('/\\:*?"<>|\x00\x1b\n\u202e')
    assert name == name.strip(" .")
    assert name.split(".")[0].lower() not in ("con", "aux", "lpt1", "com¹")


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("cat", "my photo (2)", "Röntgen-Bild.links", "猫", "console", "a.b.c"):
        assert safe(name) == name


def test_the_last_part_of_a_path_is_found_for_every_system() -> None:
    assert file_name("/data/ward/a.png") == file_name("C:\\ward\\a.png") == file_name("a.png") == "a.png"


def test_heatmap_names_tell_number_method_class_and_layer() -> None:
    heatmaps = (heatmap(index=285, layer="bn2"), heatmap("cam", 7, "layer3.0 + layer4.1"))
    assert heatmap_names(heatmaps) == ("01_grad_cam_285_bn2", "02_cam_7_layer3.0+layer4.1")


def test_heatmap_names_are_unique_and_short_whatever_the_layers_are_called() -> None:
    heatmaps = [heatmap(layer=layer) for layer in ("a", "a", "A", HOSTILE, "blocks." * 200)] * 30
    names = heatmap_names(heatmaps)
    assert len({name.casefold() for name in names}) == 150
    assert names[0].startswith("001_")
    assert max(map(len, names)) <= 100
    assert not set("".join(names)) & set("/\\:*?\"<>|\x00\x1b\n {}%=$`'")


def test_labels_never_enter_file_names() -> None:
    assert heatmap_names([heatmap(label="zebra")]) == heatmap_names([heatmap(label=HOSTILE)])


@pytest.mark.parametrize(
    "reference", ["bundled:x", "timm:resnet50.a1_in1k", "timm:hf-hub:timm/x", "torchvision:resnet50", "memory:Net"]
)
def test_references_that_name_no_file_are_told_whole(reference: str) -> None:
    assert shown_reference(reference, "cd" * 32, "keep") == reference
    assert shown_reference(reference, "cd" * 32, "hash") == reference


@pytest.mark.parametrize(
    "path",
    [
        "file:w.pth",
        f"file:/home/{PERSON}/w.pth",
        f"file:///home/{PERSON}/w.pth",
        f"file:C:\\{PERSON}\\w.pth",
        f"C:\\{PERSON}\\w.pth",
        f"../{PERSON}/w.pth",
    ],
)
def test_a_model_files_folder_is_never_told_and_its_name_only_if_kept(path: str) -> None:
    assert shown_reference(path, "cd" * 32, "keep") == "file:w.pth"
    assert shown_reference(path, "cd" * 32, "hash") == "file:cdcdcdcdcdcdcdcd"


def test_a_model_folders_place_is_never_told() -> None:
    assert shown_reference(f"timm:local-dir:/home/{PERSON}/net", "cd" * 32, "keep") == "timm:local-dir:net"
    assert shown_reference(f"timm:local-dir:/home/{PERSON}", "cd" * 32, "hash") == "timm:local-dir:cdcdcdcdcdcdcdcd"


# explanation.json


def test_the_record_holds_what_the_contract_names() -> None:
    record = to_dict(explanation(), files={0: {"file": "01.png"}})
    assert record["image"]["sha256"] == "ab" * 32
    assert (record["image"]["width"], record["image"]["height"]) == (50, 40)
    assert record["image"]["name"] == f"{PERSON}.scan.png"
    assert record["model"]["reference"] == "bundled:efficientnet_lite0"
    assert record["model"]["architecture"] == "timm:tf_efficientnet_lite0"
    assert record["model"]["fingerprint"] == "cd" * 32
    assert record["preprocessing"]["size"] == [32, 32]
    assert record["predictions"][0] == {"index": 2, "label": "cat", "probability": 0.7}
    first, second = record["heatmaps"]
    assert (first["method"], first["layer"], first["file"]) == ("grad_cam", "layer4.1", "01.png")
    assert first["target"]["index"] == 2
    assert first["target"]["label"] == "cat"
    assert first["options"] == {"steps": 3}
    assert first["raw_peak"] == pytest.approx(explanation().heatmaps[0].raw.max())
    assert (first["grid"], first["cell_size"]) == ([4, 4], [10.0, 10.0])
    assert (second["state"], second["file"]) == ("no positive evidence", None)
    assert record["created"] == "2026-01-01T00:00:00+00:00"
    assert record["versions"] == {"torch": "2"}
    assert record["notes"][-1] == "Laid on white."


def test_the_record_survives_strict_json_unchanged() -> None:
    record = to_dict(explanation())
    assert json.loads(to_json(record), parse_constant=pytest.fail) == record


def test_numbers_that_are_not_finite_are_null_and_never_invented() -> None:
    raw = np.full((4, 4), math.nan)
    broken = replace(heatmap(raw=raw), options={"a": math.inf, "b": (1, np.float32("nan")), "c": True, "d": None})
    broken = replace(broken, target=Class(-1, "box", math.nan))
    record = to_dict(explanation(broken))["heatmaps"][0]
    assert record["raw_peak"] is None
    assert record["target"]["probability"] is None
    assert record["options"] == {"a": None, "b": [1, None], "c": True, "d": None}
    to_json(record)


def test_hostile_labels_stay_as_written_and_stay_valid_json() -> None:
    for label in (HOSTILE, "猫", "\udc80 lone"):
        record = to_dict(explanation(label=label))
        assert json.loads(to_json(record))["predictions"][0]["label"] == label


def test_hashed_records_name_neither_the_picture_nor_the_model_file() -> None:
    example = explanation(reference=f"file:/home/{PERSON}/{PERSON}.pth")
    assert PERSON.encode() in to_json(to_dict(example, names="keep"))
    hashed = to_dict(example, names="hash")
    assert PERSON.encode() not in to_json(hashed)
    assert "name" not in hashed["image"]


def test_folders_are_told_by_no_record() -> None:
    example = explanation(reference=f"file:/home/{PERSON}/w.pth")
    assert b"home" not in to_json(to_dict(example, names="keep"))


# Pictures and archive


def test_png_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    assert (decoded(png(pixels)) == pixels).all()


def test_an_archive_holds_the_picture_every_heatmap_and_words() -> None:
    example = explanation()
    files = unpack(archive(example, ReportContents(Drawing(colormap="viridis", opacity=0.5))))
    record = json.loads(files["explanation.json"])
    assert set(files) == {"README.txt", "explanation.json", "picture.png", "report.pdf", "report.html"} | {
        entry[key] for entry in record["heatmaps"] for key in ("file", "heatmap_file", "raw_file")
    }
    assert len(files) == 5 + 3 * 2
    assert (decoded(files["picture.png"]) == picture_pixels(example.image)).all()
    for entry, one in zip(record["heatmaps"], example.heatmaps, strict=True):
        drawn = overlay(example.image, one, colormap="viridis", opacity=0.5)
        assert (decoded(files[entry["file"]]) == drawn).all()
        assert (decoded(files[entry["heatmap_file"]]) == colour_heatmap(one, colormap="viridis")).all()
        raw = np.load(io.BytesIO(files[entry["raw_file"]]), allow_pickle=False)
        assert raw.dtype == np.float32
        assert (raw == one.raw).all()
    assert record["drawing"] == {"opacity": 0.5, "threshold": 0.0, "colormap": "viridis"}


def test_the_same_explanation_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    first = archive(explanation())
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    assert archive(explanation()) == first
    assert archive(explanation(), ReportContents(Drawing(opacity=0.5))) != first


def test_an_archive_names_nobody_unless_asked_to() -> None:
    example = explanation(reference=f"file:/home/{PERSON}/{PERSON}.pth")
    hidden = unpack(archive(example))
    assert not [name for name, content in hidden.items() if PERSON in name or PERSON.encode() in content]
    assert PERSON.encode() in unpack(archive(example, ReportContents(names="keep")))["explanation.json"]


def test_hostile_labels_and_layers_make_no_hostile_paths_or_lines() -> None:
    example = explanation(heatmap(label=HOSTILE, layer="../../etc/x"), heatmap(label="CON"), label=HOSTILE)
    files = unpack(archive(example))
    for name in files:
        assert ".." not in name.split("/")
        assert not set(name) & set('\\:*?"<>|\x00\x1b\n ')
    words = files["README.txt"].decode()
    assert "\x1b" not in words
    assert "\u202e" not in words
    assert "{x}%s=1+1" in words


def test_the_words_name_predictions_peaks_and_states() -> None:
    words = unpack(archive(explanation()))["README.txt"].decode()
    assert "70.0 %  cat (class 2)" in words
    assert f"raw peak {explanation().heatmaps[0].raw_peak:.3g}" in words
    assert "02_cam_2_layer4.1: cam for cat at layer4.1, no positive evidence" in words
    assert "one cell is 10 x 10 pixels" in words
    assert "not for diagnosis" in words


def test_the_record_says_what_was_cropped_what_its_numbers_mean_and_what_it_is_for() -> None:
    record = to_dict(explanation())
    assert "not for diagnosis" in record["disclaimer"]
    assert record["notes"][0] == "20\u202f% of this picture was cropped away: the model did not see it."
    assert record["placement"]["box"] == [0.0, 5.0, 40.0, 45.0]
    assert "pixels of the picture" in record["placement"]["box_means"]
    assert record["placement"]["seen_share"] == 0.8
    whole = replace(explanation(), placement=Placement(SIZE, (32, 32), (0.0, 0.0, 40.0, 50.0)))
    assert to_dict(whole)["notes"] == ["Laid on white."]


@pytest.mark.parametrize("inverted", [False, True])
def test_the_record_holds_the_files_own_range_beside_that_of_a_window(inverted: bool) -> None:
    samples = np.linspace(100, 3000, 64 * 48).reshape(48, 64).astype(np.uint16)
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric="miniswhite" if inverted else "minisblack")
    order = slice(None, None, -1) if inverted else slice(None)
    for window, stored in ((None, (100.0, 3000.0)), ((1000.0, 400.0), (800.0, 1200.0))):
        image = read_image(file.getvalue(), window=window)
        record = to_dict(replace(explanation(), image=image))["image"]
        assert record["stored_range"] == list(stored[order])
        assert record["usual_range"] == [100.0, 3000.0][order]
