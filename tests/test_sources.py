"""load_model: references, options, preprocessing, and the family of sources."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from timm.data import create_transform, resolve_model_data_config

import gradcam_core
from gradcam_core.errors import GradcamError, ModelError
from gradcam_core.sources import list_bundled, load_model
from gradcam_core.sources.family import source
from gradcam_core.sources.labels import imagenet_labels
from gradcam_core.sources.timm_models import timm_preprocessing
from tests.checkpoints import SmallNet, small


def test_the_bundled_model_recognises_a_real_picture_offline() -> None:
    import numpy as np
    import skimage.data

    from gradcam_core.preprocess import prepare
    from tests.networks import record

    heard: list[tuple[float, str, tuple[()]]] = []
    model = load_model("bundled:efficientnet_lite0", device="cpu", on_progress=lambda *report: heard.append(report))
    assert [share for share, *_ in heard] == sorted(share for share, *_ in heard)
    assert (heard[0][0], heard[-1][0]) == (0.0, 1.0)
    assert all(words and drafts == () for _, words, drafts in heard)
    x, _ = prepare(record(np.ascontiguousarray(skimage.data.coffee())), model.preprocessing)
    probabilities = model.module(torch.from_numpy(x)[None]).softmax(1)[0]
    assert model.labels[int(probabilities.argmax())] == "espresso"
    assert probabilities.max() > 0.9
    assert model.architecture == "tf_efficientnet_lite0"
    assert not model.notes
    assert list_bundled()[0].name == "efficientnet_lite0", "the default stands first"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("resnet18", "incomplete.*bundled:.*file:.*timm:.*torchvision:"),
        ("", "incomplete"),
        ("timm:", "incomplete"),
        ("file:", "incomplete"),
        ("tim:resnet18", "'tim:' is no source.*Did you mean timm:"),
        ("https://example.org/x.pth", "is no source"),
        ("bundled:efficientnet_lite", "Did you mean bundled:efficientnet_lite0"),
        ("timm:mobilnetv2_100", "timm has no model.*timm:mobilenetv2_100"),
        ("timm:resnet18.unknown_in1k", "no weights 'unknown_in1k'.*resnet18.a1_in1k"),
        ("torchvision:resnet5", "torchvision has no model.*torchvision:resnet50"),
        ("torchvision:resnet50.V9", "no weights 'V9'.*IMAGENET1K_V2"),
        ("timm:local-dir:/nowhere/at/all", "no readable config.json"),
        ("timm:hf-hub:no-organisation", "ORGANISATION/NAME"),
        ("timm:hf-hub:a/..", "cannot be a model of the hub"),
    ],
)
def test_a_reference_that_cannot_work_says_what_would(reference: str, words: str) -> None:
    with pytest.raises(ModelError, match=f"(?s){words}"):
        load_model(reference)


@pytest.mark.parametrize(
    ("reference", "options", "words"),
    [
        (
            "bundled:efficientnet_lite0",
            {"num_classes": 5},
            "cannot be set for bundled: models.*file:, timm:, torchvision:.*num_classes=",
        ),
        ("bundled:efficientnet_lite0", {"architecture": "timm:resnet18"}, "belongs to file:"),
        ("timm:resnet10t", {"num_classes": -1}, "num_classes cannot be -1"),
        ("timm:resnet10t", {"in_chans": True}, "in_chans cannot be True"),
        ("torchvision:resnet18", {"num_classes": 0}, "num_classes cannot be 0"),
        ("torchvision:vit_b_32", {"preprocessing": {"size": 64}}, "224 x 224 only.*timm"),
        ("bundled:efficientnet_lite0", {"pretrained": False}, "belongs to timm:, torchvision:"),
        (SmallNet(), {"labels": ["a"]}, "1 labels do not fit"),
        (SmallNet(), {"num_classes": 5}, "cannot be set for a model in memory"),
        (SmallNet(), {"preprocessing": {"colour": 1}}, "no 'colour'.*size"),
        (SmallNet(), {"preprocessing": {"std": 0}}, "std"),
        (SmallNet(), {"preprocessing": {"size": [1, 2, 3]}}, "size"),
    ],
)
def test_an_option_that_cannot_work_is_refused_in_words(reference: Any, options: Any, words: str) -> None:
    with pytest.raises(GradcamError, match=f"(?s){words}"):
        load_model(reference, device="cpu", **options)


def test_without_weights_a_network_says_that_it_is_random_and_has_no_imagenet_names() -> None:
    for reference in ("timm:resnet10t", "torchvision:mobilenet_v3_small"):
        model = load_model(reference, pretrained=False, device="cpu")
        assert any("random" in note for note in model.notes)
        assert model.labels[:2] == ("class 0", "class 1")
        assert len(model.labels) == 1000


@pytest.mark.parametrize("reference", ["timm:resnet10t", "torchvision:mobilenet_v3_small"])
def test_classes_and_channels_can_be_chosen(reference: str) -> None:
    model = load_model(reference, pretrained=False, num_classes=3, in_chans=1, device="cpu")
    assert len(model.labels) == 3
    assert model.preprocessing.channels == len(model.preprocessing.mean) == 1
    assert model.preprocessing.mean[0] == pytest.approx((0.485 + 0.456 + 0.406) / 3)


def test_a_network_without_classifier_says_so() -> None:
    model = load_model("timm:resnet10t", pretrained=False, num_classes=0, device="cpu")
    assert any("no classifier" in note for note in model.notes)


def test_a_network_of_four_channels_loads_and_says_so() -> None:
    model = load_model("timm:resnet10t", pretrained=False, in_chans=4, device="cpu")
    assert any("4 channels" in note for note in model.notes)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.slow
def test_torchvision_networks_with_side_heads_work(name: str) -> None:
    model = load_model(f"torchvision:{name}", pretrained=False, num_classes=4, device="cpu")
    assert model.module(torch.rand(1, 3, 96, 96)).shape == (1, 4)


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "regnety_004", "dm_nfnet_f0", "eca_nfnet_l0"])
def test_preprocessing_is_that_of_timms_own_transform(name: str) -> None:
    with torch.device("meta"):
        module = timm.create_model(name)
    config = resolve_model_data_config(module)
    resize, cut = create_transform(**config).transforms[:2]
    own = timm_preprocessing(module)
    full = resize.size if isinstance(resize.size, (list, tuple)) else (resize.size, resize.size)
    assert own.resize == tuple(full)
    assert own.size == tuple(cut.size)
    assert (own.interpolation, own.crop_mode) == (config["interpolation"], config["crop_mode"])
    assert (own.mean, own.std) == (tuple(config["mean"]), tuple(config["std"]))


def test_preprocessing_is_that_of_torchvisions_own_transform() -> None:
    for name in ("mobilenet_v3_small", "squeezenet1_0"):
        transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        own = load_model(f"torchvision:{name}", pretrained=False, device="cpu").preprocessing
        assert own.size == (transform.crop_size[0],) * 2
        assert own.resize == (transform.resize_size[0],) * 2
        assert own.interpolation == transform.interpolation.value
        assert [*own.mean, *own.std] == [*transform.mean, *transform.std]


def test_a_chosen_size_reaches_networks_that_are_built_for_one_size() -> None:
    for reference in ("timm:vit_tiny_patch16_224", "torchvision:vit_b_32"):
        model = load_model(reference, pretrained=False, num_classes=2, device="cpu", preprocessing={"size": 64})
        assert model.preprocessing.size == (64, 64)
        assert model.module(torch.rand(1, 3, 64, 64)).shape == (1, 2)


def test_imagenet_names_are_1000_and_distinct() -> None:
    assert len(set(imagenet_labels())) == len(imagenet_labels()) == 1000


def test_preprocessing_can_be_replaced_in_parts() -> None:
    options = {"size": 160, "mean": 0.5, "std": 0.5, "fit": "squash"}
    model = load_model("timm:resnet10t", pretrained=False, device="cpu", preprocessing=options)
    own = model.preprocessing
    assert (own.size, own.mean, own.std, own.fit) == ((160, 160), (0.5,) * 3, (0.5,) * 3, "squash")
    assert own.resize[0] / 160 == pytest.approx(201 / 176, abs=0.01)


@pytest.mark.parametrize("wrong", [None, 3, Path("x.pth")])
def test_what_is_no_reference_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(ModelError, match="no reference to a model"):
        load_model(wrong)


@pytest.mark.parametrize("wrong", ["squash", 5, [("size", 64)]])
def test_what_is_no_preprocessing_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(ModelError, match="no preprocessing"):
        load_model(small(), preprocessing=wrong)


TOY = '''
"""A source for a test."""

from torch import nn

from gradcam_core.sources.family import Network, assumed_preprocessing, source


@source("toy", example="toy:3")
def load_toy(name: str, *, num_classes: int | None) -> Network:
    """Build a network of NAME classes."""
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes or int(name))
    return Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), *head), "toy", assumed_preprocessing())
'''
USE = """
from gradcam_core import load_model
from gradcam_core.errors import ModelError
print(len(load_model("toy:3").labels), len(load_model("toy:3", num_classes=5).labels))
wrong = ("nowhere:3", {}), ("tyo:3", {}), ("toy:3", {"in_chans": 1}), ("bundled:x", {"num_classes": 2})
for reference, options in wrong:
    try:
        load_model(reference, **options)
    except ModelError as error:
        print(error)
"""


def test_a_source_is_one_file_with_one_marked_function(tmp_path: Path) -> None:
    """CONTRIBUTING's recipe, followed in a copy of the package."""
    package = Path(gradcam_core.__file__).parent
    shutil.copytree(package, tmp_path / "gradcam_core", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "gradcam_core" / "sources" / "toy.py").write_text(TOY)
    answer = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=True
    )
    sizes, unknown, near, refused, bundled = answer.stdout.splitlines()
    assert sizes == "3 5"
    assert "toy:3" in unknown
    assert "Did you mean toy:?" in near
    assert "This option cannot be set for toy: models" in refused
    assert "(Option: in_chans=)" in refused
    assert "It belongs to file:, timm:, torchvision:, toy:" in bundled


def test_a_source_that_asks_for_an_unknown_keyword_fails_at_import() -> None:
    def load_odd(name: str, *, colour: str) -> Any:
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"asks for .'colour'.; it may ask for"):
        source("odd", example="odd:x")(load_odd)
