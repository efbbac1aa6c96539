"""Texts as targets, with CLIP-like models of open_clip: against its own encoders and plain autograd."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from torch import nn
from torch.nn import functional

from gradcam_core import (
    GradcamError,
    LoadedModel,
    compare,
    explain,
    list_methods,
    load_model,
    measure,
    predict,
    similar,
    similar_to_text,
    to_dict,
    trust,
    why_not,
    with_task,
)
from gradcam_core.cli import main
from gradcam_core.exporters.caption import caption_lines
from gradcam_core.exporters.names import shown_reference
from gradcam_core.readers import read_image
from gradcam_core.samples import read_sample
from gradcam_core.targets import TextTarget
from pages.components.analysis.requests import ModelChoice
from tests import clips, networks, papers

ROOT = Path(__file__).parent.parent
TEXTS = ["a pacemaker", "a photo of a cat"]
WANTED = [f"text:{text}" for text in TEXTS]
CAT = read_image(read_sample("cat"))


@pytest.fixture(scope="module", params=list(clips.VISION))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: clips.write_folder(tmp_path_factory.mktemp(kind), kind) for kind in clips.VISION}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, LoadedModel]:
    return {kind: load_model(f"open-clip:local-dir:{folder}", device="cpu") for kind, folder in folders.items()}


def own_similarities(clip: nn.Module, inputs: torch.Tensor, texts: list[str] = TEXTS) -> torch.Tensor:
    """Cosines [texts] by open_clip's own encoders."""
    pictures = clip.encode_image(inputs, normalize=True)  # type: ignore[operator]
    return (pictures @ clip.encode_text(open_clip.tokenize(texts), normalize=True).T)[0]  # type: ignore[operator]


def test_the_similarity_is_that_of_open_clips_own_encoders(kind: str, models: dict[str, LoadedModel]) -> None:
    model, clip = models[kind], clips.network(kind)
    assert (model.task, model.task_origin, len(model.labels)) == ("embedding", "read", 16)
    explanation = explain(CAT, model, targets=WANTED, methods="grad_cam")
    inputs = torch.tensor(explanation.model_input)[None]
    with torch.no_grad():
        own = own_similarities(clip, inputs)
        shares = clip.get_logits(inputs, open_clip.tokenize(TEXTS))[0].softmax(dim=1)[0]
    targets = [heatmap.target for heatmap in explanation.heatmaps]
    assert [target.label for target in targets] == TEXTS
    np.testing.assert_allclose([target.value for target in targets], own.numpy(), atol=1e-5)
    assert abs(float(own[0] - own[1])) > 0.01
    (said,) = (note for note in explanation.notes if "softmax over these 2 texts" in note)
    assert f"'a pacemaker' {100 * float(shares[0]):.1f}\u202f%" in said
    assert any("no probability" in note for note in explanation.notes)
    assert predict(CAT, model) == ()


def test_pictures_are_prepared_as_open_clip_does(kind: str, models: dict[str, LoadedModel]) -> None:
    size = clips.VISION[kind]["image_size"]
    settings = open_clip.transform.PreprocessCfg(size=size, **clips.PICTURES)
    transform = open_clip.transform.image_transform_v2(settings, is_train=False)
    own = transform(Image.fromarray(np.rint(CAT.pixels * 255).astype(np.uint8))).numpy()
    ours = explain(CAT, models[kind], targets=WANTED, methods="random").model_input
    np.testing.assert_allclose(ours, own, atol=1e-5)


def test_grad_cam_equals_plain_autograd_through_the_whole_network(kind: str, models: dict[str, LoadedModel]) -> None:
    model, clip, kept = models[kind], clips.network(kind), list[torch.Tensor]()
    explanation = explain(CAT, model, targets=WANTED, methods="grad_cam")
    clip.visual.get_submodule(model.default_layer).register_forward_hook(
        lambda module, given, output: kept.append(output)
    )
    scores = own_similarities(clip, torch.tensor(explanation.model_input)[None])
    for heatmap, score in zip(explanation.heatmaps, scores, strict=True):
        (slope,) = torch.autograd.grad(score, kept, retain_graph=True)
        values = kept[0]
        if kind == "transformer":  # tokens: the first is the class token
            slope, values = (x[:, 1:].mT.reshape(1, 32, 4, 4) for x in (slope, values))
        literal = (slope.mean(dim=(2, 3), keepdim=True) * values).sum(dim=1)[0].detach().numpy()
        np.testing.assert_allclose(heatmap.raw, literal, rtol=1e-4, atol=1e-4 * np.abs(literal).max())
        assert np.std(literal) > 0


def test_legrad_equals_its_paper_for_texts(models: dict[str, LoadedModel], monkeypatch: pytest.MonkeyPatch) -> None:
    model, weights, behind = models["transformer"], list[torch.Tensor](), list[torch.Tensor]()
    explanation = explain(CAT, model, targets=WANTED, methods="legrad")

    def explicit(query: Any, key: Any, value: Any, attn_mask: Any = None, *given: Any, **named: Any) -> torch.Tensor:
        weights.append((query @ key.mT / query.shape[-1] ** 0.5).softmax(-1))
        return weights[-1] @ value

    clip = clips.network("transformer").double()
    visual = clip.visual
    with torch.no_grad():
        texts = clip.encode_text(open_clip.tokenize(TEXTS))
    for block in visual.transformer.resblocks:
        block.register_forward_hook(lambda module, given, output: behind.append(output))
    monkeypatch.setattr(functional, "scaled_dot_product_attention", explicit)
    visual(torch.tensor(explanation.model_input)[None].double().requires_grad_())
    assert len(weights) == len(behind) == 3
    for heatmap, text in zip(explanation.heatmaps, texts, strict=True):
        gradients = []
        for tokens, A in zip(behind, weights, strict=True):
            features = visual.ln_post(tokens.mean(dim=1)) @ visual.proj
            score = functional.cosine_similarity(features, text[None])[0]
            gradients.append(torch.autograd.grad(score, A, retain_graph=True)[0].reshape(2, 17, 17).tolist())
        twin = np.reshape(papers.legrad(gradients, 1), (4, 4))
        np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=1e-5 * twin.max())
    assert not np.allclose(explanation.heatmaps[0].raw, explanation.heatmaps[1].raw, rtol=0.01)


def test_every_method_that_the_network_allows_gives_a_finite_map(kind: str, models: dict[str, LoadedModel]) -> None:
    model = models[kind]
    layer = next(layer for layer in model.layers if layer.name == model.default_layer)
    refused = {method.name for method in list_methods() if why_not(method, layer, model)}
    guided, attending = {"guided_backprop", "guided_grad_cam"}, {"legrad", "attention_rollout"}
    assert refused == {"cam"} | (guided if kind == "transformer" else attending)
    names = {method.name for method in list_methods()} - refused - {"finer_cam"}
    methods = [(name, {"masks": 50} if name == "rise" else {}) for name in sorted(names)]
    explanation = explain(CAT, model, targets=WANTED, methods=methods)
    assert len(explanation.heatmaps) == 2 * len(names)
    assert all(np.isfinite(heatmap.raw).all() for heatmap in explanation.heatmaps)
    with pytest.raises(GradcamError, match="the target is not a class of a whole picture"):
        explain(CAT, model, targets=WANTED, methods="finer_cam")


def test_a_reference_picture_works_too_and_texts_stand_beside_it(models: dict[str, LoadedModel]) -> None:
    model = models["transformer"]
    wanted = [similar(CAT, model), similar_to_text("a cat", model), "text:a cat"]
    first, second, third = explain(CAT, model, targets=wanted, methods="grad_cam").heatmaps
    assert first.target.value == pytest.approx(1)
    np.testing.assert_array_equal(second.raw, third.raw)
    with torch.no_grad():
        own = own_similarities(clips.network("transformer"), torch.tensor(explain(
            CAT, model, targets="text:a cat", methods="random").model_input)[None], ["a cat"])  # fmt: skip
    assert second.target.value == pytest.approx(float(own), abs=1e-5)


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\ud800\u0000"])
def test_an_empty_text_is_refused(text: str, models: dict[str, LoadedModel]) -> None:
    with pytest.raises(GradcamError, match=r"text to look for is empty\. Write what to look for"):
        explain(CAT, models["transformer"], targets=f"text:{text}")


def test_a_long_text_is_cut_and_that_is_said(models: dict[str, LoadedModel]) -> None:
    model, long = models["transformer"], "a heart " * 1_250
    start = time.perf_counter()
    explanation = explain(CAT, model, targets=[f"text:{long}"], methods="grad_cam")
    assert time.perf_counter() - start < 5
    (note,) = (note for note in explanation.notes if "longer than the 77 tokens" in note)
    assert "(10,000 characters)" in note
    assert len(explanation.heatmaps[0].target.label) <= 80
    with torch.no_grad():
        own = own_similarities(
            clips.network("transformer"), torch.tensor(explanation.model_input)[None], ["a heart " * 50]
        )
    assert explanation.heatmaps[0].target.value == pytest.approx(float(own), abs=1e-5)
    fits = explain(CAT, model, targets=["text:" + "a heart " * 37], methods="random")
    assert not [note for note in fits.notes if "77 tokens" in note]


def test_one_endless_word_does_not_take_long(models: dict[str, LoadedModel]) -> None:
    letters = "".join(np.random.default_rng(0).choice(list("abcdefghijklmnopqrstuvwxyz"), 200_000))
    start = time.perf_counter()
    assert "(200,000 characters)" in similar_to_text(letters, models["transformer"]).notes[0]
    assert time.perf_counter() - start < 15


@pytest.mark.parametrize(
    ("text", "foreign"), [("猫", True), ("сердце", True), ("ein Bär", False), ("a cat 😀!", False)]
)
def test_a_text_in_other_letters_is_taken_with_a_note(text: str, foreign: bool, models: dict[str, LoadedModel]) -> None:
    target = similar_to_text(text, models["transformer"])
    assert target.label == text
    assert any("not in Latin letters" in note for note in target.notes) == foreign


def test_a_model_without_texts_says_so(tiny: LoadedModel) -> None:
    for ask in (lambda: explain(CAT, tiny, targets="text:a cat"), lambda: similar_to_text("a cat", tiny)):
        with pytest.raises(GradcamError, match=r"this model reads no texts\. Use a CLIP-like model"):
            ask()
    called = load_model(networks.conv_net(), labels=["text:a cat", *"bcdefghi"][: len(tiny.labels)])
    assert explain(CAT, called, targets="text:a cat").heatmaps[0].target.index == 0


def test_what_needs_classes_says_so(models: dict[str, LoadedModel]) -> None:
    model = models["transformer"]
    with pytest.raises(GradcamError, match=r"there is no text to look for\. Give one, such as text:a pacemaker"):
        explain(CAT, model)
    with pytest.raises(GradcamError, match="not compared with a class"):
        explain(CAT, model, targets=WANTED, against=0)
    with pytest.raises(GradcamError, match="Several models are not asked for a text at once"):
        compare(CAT, [model, models["resnet"]], targets=WANTED)
    with pytest.raises(GradcamError, match="Several models are not asked for a text at once"):
        compare(CAT, [model, models["resnet"]])
    with pytest.raises(GradcamError, match=r"reads no texts\. Leave the model's task out"):
        explain(CAT, with_task(model, "single_label"), targets=WANTED)
    explanation = explain(CAT, model, targets=WANTED, methods="grad_cam")
    sentences = {check.name: check.sentence for check in trust(explanation, explanation.heatmaps[0], model).checks}
    assert "no probability" in sentences["support"]
    assert "takes the similarity from" in sentences["matters"]
    (deletion,) = measure(explanation.heatmaps[0], names=["deletion"], explanation=explanation, model=model)
    assert "the similarity is not one" in deletion.reason


def test_records_and_captions_name_the_text_and_no_class(models: dict[str, LoadedModel], folders: Any) -> None:
    model = models["resnet"]
    explanation = explain(CAT, model, targets=WANTED[:1], methods="grad_cam")
    record = to_dict(explanation)
    target = record["heatmaps"][0]["target"]
    assert (target["label"], target["unit"], target["probability"]) == ("a pacemaker", "similarity", None)
    assert target["value"] == pytest.approx(explanation.heatmaps[0].target.value)
    assert record["model"]["task"] == "embedding"
    assert record["predictions"] == []
    caption = caption_lines(explanation, explanation.heatmaps[0])[0]
    assert caption.startswith("a pacemaker: ")
    assert "class" not in caption
    assert str(folders["resnet"].parent) not in json.dumps(to_dict(explanation))
    assert shown_reference("open-clip:ViT-B-32.openai", "f" * 64, "hash") == "open-clip:ViT-B-32.openai"


def test_the_fingerprint_covers_the_part_for_texts(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    folder = clips.write_folder(tmp_path, "resnet")
    clip = clips.network("resnet")
    with torch.no_grad():
        clip.ln_final.bias += 1
    clips.save_file(clip.state_dict(), str(folder / "open_clip_model.safetensors"))
    other = load_model(f"file:{folder}", device="cpu")
    assert other.fingerprint != models["resnet"].fingerprint
    again = load_model(f"file:{clips.write_folder(tmp_path, 'resnet')}", device="cpu")
    assert again.fingerprint == models["resnet"].fingerprint


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny architecture among open_clip's own, for the length of a test."""
    for name in ("_MODEL_CONFIG_PATHS", "_MODEL_CONFIGS"):
        monkeypatch.setattr(open_clip.factory, name, getattr(open_clip.factory, name).copy())
    (tmp_path / "tiny-clip.json").write_text(json.dumps(clips.configuration("transformer")))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    return "tiny-clip"


@pytest.mark.parametrize("form", ["plain", "wrapped", "custom text"])
def test_a_file_with_the_architecture(form: str, registered: str, tmp_path: Path, models: Any) -> None:
    stored: Any = clips.network("transformer").state_dict()
    if form == "wrapped":
        stored = {"epoch": 3, "state_dict": {f"module.{name}": x for name, x in stored.items()}}
    if form == "custom text":
        own = clips.configuration("transformer", custom_text=True)
        (tmp_path / "tiny-clip.json").write_text(json.dumps(own))
        open_clip.add_model_config(tmp_path / "tiny-clip.json")
    torch.save(stored, tmp_path / "weights.pt")
    settings = {"mean": clips.PICTURES["mean"], "std": clips.PICTURES["std"]}
    model = load_model(
        f"file:{tmp_path / 'weights.pt'}", architecture=f"open-clip:{registered}", preprocessing=settings, device="cpu"
    )
    first, second = (explain(CAT, x, targets=WANTED[:1]).heatmaps[0] for x in (model, models["transformer"]))
    np.testing.assert_allclose(first.raw, second.raw, atol=1e-6)
    assert first.target.value == pytest.approx(second.target.value, abs=1e-6)
    assumed = load_model(f"file:{tmp_path / 'weights.pt'}", architecture=f"open-clip:{registered}", device="cpu")
    assert any("as open_clip does for this architecture was assumed" in note for note in assumed.notes)


def test_names_that_cannot_work(registered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    untrained = load_model(f"open-clip:{registered}", pretrained=False, device="cpu")
    assert any("weights are random" in note for note in untrained.notes)
    torch.save({"visual.proj": torch.zeros(3)}, tmp_path / "part.pt")
    for reference, more, words in [
        ("open-clip:ViT-B-23", {}, "has no model 'ViT-B-23'. Did you mean open-clip:ViT-B-32"),
        ("open-clip:ViT-B-32.nothing", {}, "no weights 'nothing' for ViT-B-32. There are openai, "),
        (f"open-clip:{registered}", {}, "open_clip publishes no weights for tiny-clip"),
        ("open-clip:ViT-B-16-SigLIP", {}, "tokenizer of Hugging Face's, which is not supported here"),
        (f"open-clip:local-dir:{tmp_path / 'none'}", {}, "There is no readable open_clip_config.json"),
        (f"file:{tmp_path / 'part.pt'}", {"architecture": f"open-clip:{registered}"}, "do not fit open-clip:tiny-clip"),
        (f"open-clip:{registered}", {"num_classes": 3}, "cannot be set for open-clip: models"),
    ]:
        with pytest.raises(GradcamError) as failed:
            load_model(reference, **more)
        assert words in str(failed.value), reference
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(GradcamError, match=r"need the package open_clip_torch\. Install it with: pip install"):
        load_model("open-clip:ViT-B-32")


@pytest.mark.parametrize("name", ["ViT-B-32", "ViT-B-32.openai", "hf-hub:timm/some-clip"])
def test_without_a_network_a_hub_name_fails_at_once(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    start = time.perf_counter()
    with pytest.raises(GradcamError, match="are not on this computer, and HF_HUB_OFFLINE is set"):
        load_model(f"open-clip:{name}")
    assert time.perf_counter() - start < 5


def _changed(**parts: Any) -> dict[str, Any]:
    config = clips.configuration("transformer")
    for key, changes in parts.items():
        config[key] = {**config[key], **changes} if isinstance(changes, dict) else changes
    return config


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (_changed(vision_cfg={"width": 60_000, "layers": 40}), "larger network than it has weights for"),
        (_changed(vision_cfg={"layers": 10**9}), "layers cannot be '1000000000'"),
        (_changed(vision_cfg={"image_size": 10**9}), "image_size cannot be"),
        (_changed(vision_cfg={"timm_model_name": "hf-hub:some/one"}), "timm has no network 'hf-hub:some/one'"),
        (_changed(vision_cfg={"pos_embed_type": "sin_cos_2d"}), "computes its table of places"),
        (_changed(text_cfg={"hf_model_name": "some/one"}), "tokenizer of Hugging Face's"),
        (_changed(text_cfg={"context_length": 10**9}), "context_length cannot be"),
        (_changed(text_cfg={"tokenizer_kwargs": {"clean": "__import__"}}), "way to clean texts"),
        (_changed(text_cfg={"vocab_size": 10}), "smaller than CLIP's own"),
        (_changed(vision_cfg={"head_width": 0}), "configuration cannot be used"),
        (_changed(unknown=3), "configuration cannot be used"),
        ({"vision_cfg": 3}, "describes no network for pictures and texts"),
        (3, "describes no model"),
    ],
)
def test_a_folder_that_asks_for_too_much_is_refused(config: Any, words: str, folders: Any, tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    (tmp_path / "open_clip_model.safetensors").symlink_to(folders["transformer"] / "open_clip_model.safetensors")
    start = time.perf_counter()
    with pytest.raises(GradcamError) as failed:
        load_model(f"open-clip:local-dir:{tmp_path}")
    assert words in str(failed.value)
    assert time.perf_counter() - start < 10


def test_the_terminal_takes_a_text(folders: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "cat.png").write_bytes(read_sample("cat"))
    model = ["--model", f"open-clip:local-dir:{folders['transformer']}", "--device", "cpu", "--method", "legrad"]
    out = ["--target", *WANTED, "--out", str(tmp_path / "out")]
    assert main(["explain", str(tmp_path / "cat.png"), *model, *out]) == 0
    record = json.loads((tmp_path / "out" / "cat" / "explanation.json").read_text())
    assert [heatmap["target"]["label"] for heatmap in record["heatmaps"]] == TEXTS
    printed = capsys.readouterr()
    assert f"a pacemaker {record['heatmaps'][0]['target']['value']:.4g} similarity" in printed.out.replace(
        "\u2212", "-"
    )
    assert "no probability" in printed.err


def test_a_text_target_is_public_and_frozen(models: dict[str, LoadedModel]) -> None:
    target = similar_to_text("a cat", models["resnet"])
    assert isinstance(target, TextTarget)
    assert models["resnet"].text is not None
    assert models["resnet"].text.encode("a cat")[0] is models["resnet"].text.encode("a cat")[0], (
        "kept, not encoded again"
    )
    assert not any(parameter.requires_grad for parameter in models["resnet"].text.network.parameters())


def opened(page: str, folder: Path) -> AppTest:
    run = AppTest.from_file(str(ROOT / "pages" / page), default_timeout=120)
    run.session_state["models"] = {"clip": ModelChoice("clip", f"open-clip:local-dir:{folder}")}
    run.session_state["picture"] = "coffee"
    run.run()
    assert not run.exception
    return run


def test_explain_asks_where_it_sees_something(folders: dict[str, Path]) -> None:
    run = opened("1_Explain.py", folders["transformer"])
    assert run.text_input(key="texts").label == "Where does it see …?"
    assert any("Write what to look for" in info.value for info in run.info)
    run.text_input(key="texts").set_value("a cup; a cat").run()
    assert not run.exception
    assert not run.error
    headline = next(part.value for part in run.markdown if "a cup" in part.value and "similarity" in part.value)
    assert "a cat" in headline
    assert any("no probability" in caption.value for caption in run.caption)
    assert "Class names" not in {box.label for box in run.multiselect}
    fold = next(expander.label for expander in run.expander if "Grad\\-CAM" in expander.label)
    assert "classes" not in fold
    run.button(key="check explain").click().run()
    assert not run.exception
    assert not run.error


@pytest.mark.parametrize("page", ["2_Compare.py", "3_Layers.py", "4_Evaluate.py"])
def test_other_pages_take_the_text_too(page: str, folders: dict[str, Path]) -> None:
    run = opened(page, folders["transformer"])
    run.text_input(key="texts").set_value("a cup").run()
    assert not run.exception
    assert not run.error
    assert any("no probability" in caption.value for caption in run.caption)
