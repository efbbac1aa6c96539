"""Folders of models: transformers' give equal outputs; weights in several files; configurations."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources import load_model
from gradcam_core.sources.folders import stated_preprocessing
from tests.checkpoints import SmallNet, same_outputs, small

VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
STAGES = {"hidden_sizes": [64, 64, 96, 128], "depths": [1, 2, 1, 1]}
NAMES = {0: "daisy", 1: "rose", 2: "tulip"}
MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit": ("ViT", {**VIT, "intermediate_size": 24, "layer_norm_eps": 1e-3}, 32),
    "vit without biases": ("ViT", {**VIT, "intermediate_size": 24, "qkv_bias": False, "hidden_act": "gelu_new"}, 32),
    "deit": ("DeiT", {**VIT, "intermediate_size": 24}, 32),
    "dinov2": ("Dinov2", VIT, 32),
    "dinov2 on larger pictures": ("Dinov2", VIT, 48),
    "resnet": ("ResNet", {**STAGES, "layer_type": "bottleneck", "embedding_size": 64}, 64),
    "resnet of basic blocks": ("ResNet", {**STAGES, "layer_type": "basic", "embedding_size": 64}, 64),
    "convnext": ("ConvNext", {**STAGES, "layer_norm_eps": 1e-2}, 64),
    "swin": (
        "Swin",
        {
            "image_size": 64,
            "embed_dim": 8,
            "depths": [1, 2],
            "num_heads": [2, 2],
            "window_size": 4,
            "layer_norm_eps": 1e-3,
        },
        64,
    ),
}


def transformers() -> Any:
    """The package that writes these folders; nothing but these tests needs it."""
    return pytest.importorskip("transformers", reason="requirements-dev.txt is not installed")


def trained(kind: str, options: dict[str, Any], ending: str = "ForImageClassification") -> nn.Module:
    """A small model of transformers whose every tensor is random, as after training."""
    config = getattr(transformers(), f"{kind}Config")(
        **options, id2label=NAMES, label2id={x: n for n, x in NAMES.items()}
    )
    net: nn.Module = getattr(transformers(), f"{kind}{ending}")(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                noise = 0.2 * torch.randn(tensor.shape, generator=generator)
                tensor.copy_(noise.abs() + 0.5 if "running_var" in name else noise)
    return net


def described(folder: Path, size: int) -> None:
    content = {"do_resize": True, "size": {"height": size, "width": size}, "resample": 3}
    stated = content | {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.1]}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))


def logits(net: nn.Module, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, net(x).logits


@pytest.mark.parametrize(("kind", "options", "size"), MODELS.values(), ids=MODELS)
def test_a_folder_of_transformers_gives_the_outputs_of_the_saved_model(
    kind: str, options: dict[str, Any], size: int, tmp_path: Path
) -> None:
    net = trained(kind, options)
    net.save_pretrained(tmp_path)  # type: ignore[operator]
    described(tmp_path, size)
    model = load_model(f"file:{tmp_path}", device="cpu")
    x, expected = logits(net, size)
    with torch.no_grad():
        assert torch.allclose(model.module(x), expected, atol=1e-4)
    assert model.labels == tuple(NAMES.values())
    assert model.preprocessing.mean == (0.5, 0.4, 0.3)
    assert (model.preprocessing.size, model.preprocessing.interpolation) == ((size, size), "bicubic")


def test_a_teachers_second_head_counts(tmp_path: Path) -> None:
    net = trained("DeiT", {**VIT, "intermediate_size": 24}, "ForImageClassificationWithTeacher")
    net.save_pretrained(tmp_path)  # type: ignore[operator]
    described(tmp_path, 32)
    x, expected = logits(net, 32)
    with torch.no_grad():
        assert torch.allclose(load_model(f"file:{tmp_path}", device="cpu").module(x), expected, atol=1e-4)


def test_a_model_wrapped_from_timm_loads(tmp_path: Path) -> None:
    config = transformers().TimmWrapperConfig(architecture="test_resnet", num_labels=4)
    net = transformers().TimmWrapperForImageClassification(config).eval()
    net.save_pretrained(tmp_path)
    x, expected = logits(net, 64)
    model = load_model(f"file:{tmp_path}", device="cpu", preprocessing={"size": 64})
    with torch.no_grad():
        assert torch.allclose(model.module(x), expected, atol=1e-4)


def test_several_labels_at_once_are_said_by_the_configuration(tmp_path: Path) -> None:
    net = trained("ViT", {**VIT, "problem_type": "multi_label_classification"})
    net.save_pretrained(tmp_path)  # type: ignore[operator]
    assert load_model(f"file:{tmp_path}", device="cpu", preprocessing={"size": 32}).task == "multi_label"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "beit"}, "kind 'beit' are not known"),
        ({"architectures": ["ViTModel"]}, "'ViTModel', is no classifier"),
        ({"hidden_act": "mish"}, "activation 'mish' is not known"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers cannot be '1000000000'"),
        ({"hidden_size": "x"}, "hidden_size cannot be 'x'"),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused_in_words(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    trained("ViT", VIT).save_pretrained(tmp_path)  # type: ignore[operator]
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ModelError, match=words):
        load_model(f"file:{tmp_path}", device="cpu")


SETTINGS: dict[str, tuple[dict[str, Any], Any]] = {
    "squashed": ({"size": {"height": 32, "width": 48}}, ((32, 48), (32, 48), "squash")),
    "a number": ({"size": 32}, ((32, 32), (32, 32), "center")),
    "cut": (
        {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224},
        ((224, 224), (256, 256), "center"),
    ),
    "squashed and cut": (
        {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
        ((224, 224), (256, 256), "squash"),
    ),
    "ConvNeXt": ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, ((224, 224), (256, 256), "center")),
    "ConvNeXt, large": ({"size": {"shortest_edge": 384}, "crop_pct": 1.0}, ((384, 384), (384, 384), "squash")),
}


@pytest.mark.parametrize(("config", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_preprocessing_is_read_off_its_configuration(config: dict[str, Any], expected: Any) -> None:
    stated = stated_preprocessing({**config, "image_mean": [0.5], "image_std": [0.25]})
    assert stated is not None
    assert (stated.size, stated.resize, stated.crop_mode) == expected
    assert (stated.mean, stated.std, stated.interpolation) == ((0.5,) * 3, (0.25,) * 3, "bilinear")


@pytest.mark.parametrize(
    "config", [{}, {"size": 4}, {"size": 32, "image_std": [0.0]}, {"size": 32, "image_mean": ["x"]}]
)
def test_preprocessing_that_cannot_be_is_not_taken(config: dict[str, Any]) -> None:
    assert stated_preprocessing(config) is None


def in_parts(folder: Path, net: nn.Module) -> None:
    state = list(net.state_dict().items())
    names = [f"model-{n:05}-of-00002.safetensors" for n in (1, 2)]
    for name, part in zip(names, (state[:4], state[4:]), strict=True):
        save_file(dict(part), folder / name)
    places = {key: names[place >= 4] for place, (key, _) in enumerate(state)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("name", ["", "model.safetensors.index.json", "model-00002-of-00002.safetensors"])
def test_weights_in_several_files_load_by_any_of_their_names(name: str, tmp_path: Path) -> None:
    net = small()
    in_parts(tmp_path, net)
    model = load_model(f"file:{tmp_path / name}", architecture=SmallNet, device="cpu", preprocessing={"size": 32})
    assert same_outputs(model.module, net)


def test_a_missing_part_is_counted(tmp_path: Path) -> None:
    in_parts(tmp_path, small())
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(ModelError, match="1 of the 2 files with the weights are missing"):
        load_model(f"file:{tmp_path}", architecture=SmallNet)


@pytest.mark.parametrize("place", ["../secret.safetensors", "/etc/passwd", "..", "a\\b", 3])
def test_an_index_leads_to_files_beside_it_only(place: Any, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"fc.weight": place}}))
    with pytest.raises(ModelError, match="names no files of weights beside it"):
        load_model(f"file:{tmp_path}", architecture=SmallNet)


def test_an_empty_folder_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no weights in this folder.*model.safetensors"):
        load_model(f"file:{tmp_path}", architecture=SmallNet)


def test_configurations_beside_a_file_of_weights_are_read(tmp_path: Path) -> None:
    net = small(3)
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {str(n): x for n, x in NAMES.items()}}))
    described(tmp_path, 48)
    model = load_model(f"file:{tmp_path / 'model.safetensors'}", architecture=SmallNet, device="cpu")
    assert model.labels == tuple(NAMES.values())
    assert model.preprocessing == Preprocessing(
        (48, 48), (48, 48), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), "bicubic", crop_mode="squash"
    )


def test_a_folder_of_timm_loads_as_a_file_too(tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", num_classes=3).eval()
    timm.models.save_for_hf(net, tmp_path, model_config={"label_names": list(NAMES.values())})
    model = load_model(f"file:{tmp_path}", device="cpu")
    assert same_outputs(model.module, net)
    assert model.labels == tuple(NAMES.values())
    other = load_model(f"timm:local-dir:{tmp_path}", device="cpu")
    assert model.preprocessing == other.preprocessing
