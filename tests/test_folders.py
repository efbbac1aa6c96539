"""Folders of models: transformers' give equal outputs; weights in several files; configurations."""

import json
import sys
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
    "dinov2 with SwiGLU": ("Dinov2", {**VIT, "use_swiglu_ffn": True}, 32),
    "registers": ("Dinov2WithRegisters", VIT, 32),
    "registers on larger pictures": ("Dinov2WithRegisters", {**VIT, "use_swiglu_ffn": True}, 48),
    "beit": ("Beit", {**VIT, "intermediate_size": 24, "use_relative_position_bias": True}, 32),
    "beit with shared places": (
        "Beit",
        {
            **{**VIT, "intermediate_size": 24, "use_mean_pooling": False, "use_absolute_position_embeddings": True},
            **{"use_shared_relative_position_bias": True},
        },
        32,
    ),
    "vit of MSN": ("ViTMSN", {**VIT, "intermediate_size": 24}, 32),
    "convnext v2": ("ConvNextV2", {**STAGES, "layer_norm_eps": 1e-2}, 64),
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


FOUR: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
HEADS_OF_FOUR = {"num_attention_heads": [1, 1, 2, 2], "image_size": 64}
SMALL = {**VIT, "intermediate_size": 24}
TEXT = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
LEVIT_STEPS = [["Subsample", 8, 2, 4, 2, 2], ["Subsample", 8, 3, 4, 2, 2]]
SELDOM = ("mobilenet v1", "efficientnet", "poolformer", "focalnet", "siglip", "pvt v2", "resnet of another width")
# What timm has no equal network for, run by the package itself.
BY_PACKAGE: dict[str, tuple[str, dict[str, Any], int]] = {
    "swin v2": ("Swinv2", {"image_size": 32, "embed_dim": 8, "depths": [1], "num_heads": [2], "window_size": 4}, 32),
    "mobilenet v1": ("MobileNetV1", {"image_size": 32, "depth_multiplier": 0.25}, 32),
    "regnet": ("RegNet", {**FOUR, "hidden_sizes": [8, 8, 16, 16], "embedding_size": 8, "groups_width": 8}, 64),
    "efficientnet": ("EfficientNet", {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128}, 64),
    "levit": (
        "Levit",
        {
            **{"image_size": 64, "hidden_sizes": [16, 24, 32], "depths": [1, 1, 1], "num_attention_heads": [2, 2, 2]},
            **{"key_dim": [8, 8, 8], "down_ops": LEVIT_STEPS},
        },
        64,
    ),
    "poolformer": ("PoolFormer", FOUR, 64),
    "focalnet": ("FocalNet", {"image_size": 64, "embed_dim": 8, "depths": [1, 1, 1, 1]}, 64),
    "segformer": ("Segformer", {**FOUR, **HEADS_OF_FOUR, "decoder_hidden_size": 16}, 64),
    "pvt v2": ("PvtV2", {**FOUR, **HEADS_OF_FOUR}, 64),
    "siglip": ("Siglip", {"vision_config": SMALL, "text_config": TEXT}, 32),
    "clip": ("CLIP", {"vision_config": SMALL, "text_config": TEXT, "projection_dim": 16}, 32),
    "vit of another activation": ("ViT", {**SMALL, "hidden_act": "quick_gelu"}, 32),
    "resnet of another width": ("ResNet", {"embedding_size": 32, "hidden_sizes": [32, 64], "depths": [1, 1]}, 64),
}
SAVED = [
    pytest.param(*values, id=name, marks=[pytest.mark.slow] if name in SELDOM else [])
    for name, values in (MODELS | BY_PACKAGE).items()
]


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


@pytest.mark.parametrize(("kind", "options", "size"), SAVED)
def test_a_folder_of_transformers_gives_the_outputs_of_the_saved_model(
    kind: str, options: dict[str, Any], size: int, tmp_path: Path
) -> None:
    net = trained(kind, options)
    net.save_pretrained(tmp_path)  # type: ignore[operator]
    described(tmp_path, size)
    model = load_model(f"file:{tmp_path}", device="cpu")
    x, expected = logits(net, size)
    with torch.no_grad():
        scores = model.module(x)
    assert torch.allclose(getattr(scores, "logits", scores), expected, atol=1e-4)
    assert model.module.training is False
    assert (type(model.module).__name__ == f"{kind}ForImageClassification") == (
        (kind, options, size) in BY_PACKAGE.values()
    )
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


@pytest.mark.parametrize("kind", ["ViT", "ViTMAE", "Dinov2", "ResNet", "ConvNextV2", "DINOv3ViT", "Swinv2"])
def test_a_body_without_a_classifier_gives_its_features(kind: str, tmp_path: Path) -> None:
    masked = {"decoder_hidden_size": 16, "decoder_num_hidden_layers": 1, "decoder_intermediate_size": 16}
    of_stages = (MODELS | BY_PACKAGE)[
        {"ResNet": "resnet", "ConvNextV2": "convnext", "Swinv2": "swin v2"}.get(kind, "vit")
    ]
    options, size = of_stages[1:] if kind in ("ResNet", "ConvNextV2", "Swinv2") else (SMALL, 32)
    options = options | ({**masked, "decoder_num_attention_heads": 2} if kind == "ViTMAE" else {})
    trained(kind, options, "ForPreTraining" if kind == "ViTMAE" else "Model").save_pretrained(tmp_path)  # type: ignore[operator]
    described(tmp_path, size)
    model = load_model(f"file:{tmp_path}", device="cpu")
    assert model.task == "embedding"
    if kind == "ViTMAE":  # its own network hides patches at random
        return
    net = getattr(transformers(), f"{kind}Model").from_pretrained(tmp_path).eval()
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output, features = net(x), model.module(x)
    tokens = output.last_hidden_state
    expected = {
        "ViT": lambda: tokens[:, 0],
        "Dinov2": lambda: torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1),
    }.get(kind, lambda: output.pooler_output.flatten(1))()
    assert torch.allclose(features, expected, atol=1e-4)


def test_without_the_package_a_refusal_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, options, _ = BY_PACKAGE["poolformer"]
    trained(kind, options).save_pretrained(tmp_path)  # type: ignore[operator]
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModelError, match=r"kind 'poolformer' needs the package transformers.*pip install"):
        load_model(f"file:{tmp_path}", device="cpu")


@pytest.mark.parametrize(
    "led",
    [
        {"auto_map": {"AutoModelForImageClassification": "own.Model", "AutoConfig": "own.Config"}},
        {"attn_implementation": "somebody/kernel", "_attn_implementation": "somebody/kernel"},
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}},
        {"backbone": "somebody/model", "use_pretrained_backbone": True, "dtype": "float16"},
    ],
    ids=lambda led: next(iter(led)),
)
def test_a_configuration_leads_to_no_code_and_no_weights_elsewhere(led: dict[str, Any], tmp_path: Path) -> None:
    kind, options, size = BY_PACKAGE["poolformer"]
    net = trained(kind, options)
    net.save_pretrained(tmp_path)  # type: ignore[operator]
    canary = tmp_path / "canary"
    (tmp_path / "own.py").write_text(f"from pathlib import Path\nPath({str(canary)!r}).touch()\n")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | led))
    model = load_model(f"file:{tmp_path}", device="cpu", preprocessing={"size": size})
    x, expected = logits(net, size)
    with torch.no_grad():
        assert torch.allclose(model.module(x).logits, expected, atol=1e-4)
    assert not canary.exists()


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
        (
            {"model_type": "van", "architectures": ["VanForImageClassification"]},
            "no classifier of pictures called 'Van",
        ),
        ({"architectures": ["ViTForObjectDetection"]}, "'ViTForObjectDetection', is no classifier"),
        ({"model_type": "poolformer", "depths": [10**9]}, "depths cannot be '1000000000'"),
        ({"model_type": "swinv2", "architectures": ["Swinv2ForImageClassification"]}, "transformers cannot build this"),
        (
            {"model_type": "poolformer", "architectures": ["PoolFormerForImageClassification"]},
            "larger network than the",
        ),
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
