"""LeGrad and attention rollout against their papers, on transformers of several makes; and who is refused."""

import copy
import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from gradcam_core import list_methods
from gradcam_core.capture import attention
from gradcam_core.capture.attending import Attending
from gradcam_core.errors import MethodError
from gradcam_core.explanation import explain
from gradcam_core.methods import knows_class
from gradcam_core.records import Explanation, LoadedModel
from tests import networks, papers

KINDS = ["class token", "registers", "dinov2", "no class token", "distilled", "rotary", "biased", "torchvision"]
PREFIXES = dict(zip(KINDS, (1, 3, 5, 0, 2, 3, 1, 1), strict=True))
CLASSES = [0, 3]
PICTURE = networks.picture(seed=3)


@functools.cache
def model_of(kind: str) -> LoadedModel:
    return networks.loaded(networks.transformer(kind))


@functools.cache
def ours(kind: str) -> Explanation:
    return explain(PICTURE, model_of(kind), targets=CLASSES, methods=("legrad", "attention_rollout"))


def scores_of_mean(kind: str, network: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """What the classifier makes of the mean of a block's tokens, written out for each make."""
    mean = tokens.mean(dim=1)
    if kind == "torchvision":
        return network.heads(network.encoder.ln(mean))
    mean = network.norm(mean)
    if kind == "distilled":
        return (network.head(mean) + network.head_dist(mean)) / 2
    return network.head(mean if kind == "distilled" else network.fc_norm(mean))


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The attention weights [N heads T T] of every call, by an explicit softmax in place of the fused one."""
    seen: list[torch.Tensor] = []

    def explicit(query: Any, key: Any, value: Any, attn_mask: Any = None, *given: Any, **named: Any) -> torch.Tensor:
        scores = query @ key.mT / query.shape[-1] ** 0.5
        seen.append((scores if attn_mask is None else scores + attn_mask).softmax(-1))
        return seen[-1] @ value

    monkeypatch.setattr(functional, "scaled_dot_product_attention", explicit)
    return seen


def literal(kind: str, weights: list[torch.Tensor]) -> tuple[nn.Module, list[torch.Tensor], int]:
    """Run a copy in double precision: it, the tokens behind each of its blocks, and the number of prefix tokens."""
    model = model_of(kind)
    network, behind = networks.without_taps(model.module).double(), []
    for name in model.attention:
        network.get_submodule(name).register_forward_hook(lambda module, given, output: behind.append(output))
    inputs = torch.from_numpy(ours(kind).model_input)[None].double().requires_grad_()
    weights.clear()
    network(inputs)
    layer = next(layer for layer in model.layers if layer.name == model.attention[0])
    return network, behind, layer.prefix_tokens


@pytest.mark.parametrize("kind", KINDS)
def test_legrad_equals_its_paper(kind: str, weights: list[torch.Tensor]) -> None:
    heatmaps = [heatmap for heatmap in ours(kind).heatmaps if heatmap.method == "legrad"]
    network, behind, prefix = literal(kind, weights)
    assert len(weights) == len(behind) == 3
    assert len(heatmaps) == 2
    for heatmap in heatmaps:
        gradients = []
        for tokens, A in zip(behind, weights, strict=True):
            score = scores_of_mean(kind, network, tokens)[0, heatmap.target.index]
            gradients.append(torch.autograd.grad(score, A, retain_graph=True)[0][0].tolist())
        twin = np.reshape(papers.legrad(gradients, prefix), (4, 4))
        np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=1e-5 * twin.max())
    assert not np.allclose(heatmaps[0].raw, heatmaps[1].raw, rtol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_rollout_equals_its_paper_and_reads_what_the_classifier_reads(kind: str, weights: list[torch.Tensor]) -> None:
    first, second = (heatmap for heatmap in ours(kind).heatmaps if heatmap.method == "attention_rollout")
    _, _, prefix = literal(kind, weights)
    tokens = weights[0].shape[-1]
    assert prefix == PREFIXES[kind]
    patches = dict.fromkeys(("registers", "no class token", "rotary", "biased"), range(prefix, tokens))
    pooled = (patches | {"distilled": range(2)}).get(kind, range(1))
    twin = np.reshape(papers.attention_rollout([A[0].tolist() for A in weights], list(pooled), prefix), (4, 4))
    np.testing.assert_allclose(first.raw, twin, rtol=0, atol=1e-5 * twin.max())
    np.testing.assert_array_equal(first.raw, second.raw)
    assert np.std(twin) > 0.01 * np.mean(twin)


@pytest.mark.parametrize("first", [2, 3])
def test_legrad_can_begin_at_a_later_block(first: int, weights: list[torch.Tensor]) -> None:
    (heatmap,) = explain(PICTURE, model_of("class token"), targets=0, methods=[("legrad", {"first": first})]).heatmaps
    network, behind, prefix = literal("class token", weights)
    gradients = [
        torch.autograd.grad(scores_of_mean("class token", network, tokens)[0, 0], A, retain_graph=True)[0][0].tolist()
        for tokens, A in zip(behind[first - 1 :], weights[first - 1 :], strict=True)
    ]
    twin = np.reshape(papers.legrad(gradients, prefix), (4, 4))
    np.testing.assert_allclose(heatmap.raw, twin, rtol=0, atol=1e-5 * twin.max())


def test_legrad_of_more_blocks_than_there_are_is_refused() -> None:
    with pytest.raises(MethodError, match="has 3 blocks, so none has the number 4"):
        explain(PICTURE, model_of("class token"), methods=[("legrad", {"first": 4})])


def test_legrad_equals_torchcams() -> None:
    peer = pytest.importorskip("torchcam.methods", reason="the second opinion needs the package torchcam")
    network = networks.without_taps(model_of("torchvision").module).requires_grad_(True)
    inputs = torch.from_numpy(ours("torchvision").model_input)[None]
    for heatmap in ours("torchvision").heatmaps[:2]:
        with peer.LeGrad(network, list(network.encoder.layers)) as extractor:
            other = extractor(heatmap.target.index, network(inputs), normalized=False)[0][0].numpy()
        np.testing.assert_allclose(heatmap.raw, other, rtol=0, atol=1e-5 * other.max())


@pytest.mark.parametrize("kind", ["class token", "rotary"])
def test_attention_that_is_not_fused_gives_the_same_maps(kind: str) -> None:
    network = networks.transformer(kind)
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = False
    unfused = explain(PICTURE, networks.loaded(network), targets=CLASSES, methods=("legrad", "attention_rollout"))
    for one, other in zip(unfused.heatmaps, ours(kind).heatmaps, strict=True):
        np.testing.assert_allclose(one.raw, other.raw, rtol=0, atol=1e-5 * other.raw.max())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_seen_of_a_pass_changes_nothing_in_it(kind: str) -> None:
    network, inputs = networks.transformer(kind), torch.randn(2, 3, 32, 32)
    sums = []

    def attend(values: torch.Tensor, means: Any, output: torch.Tensor) -> torch.Tensor:
        sums.append(means().sum(-1))
        return output

    with torch.no_grad():
        plain = network(inputs)
        with Attending(attend):
            seen = network(inputs)
    torch.testing.assert_close(seen, plain, rtol=1e-5, atol=1e-5)
    assert len(sums) == 3
    for total in sums:
        torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"scale": 0.1},
        {"attn_mask": torch.linspace(-2, 2, 49).reshape(7, 7)},
        {"attn_mask": torch.arange(49).reshape(7, 7) % 3 > 0},
        {"attn_mask": torch.linspace(-2, 2, 98).reshape(2, 1, 7, 7), "scale": 0.5},
        {"dropout_p": 0.0, "is_causal": False},
    ],
)
def test_the_weights_of_fused_attention_are_those_that_make_its_output(named: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 1, 7, 5, generator=generator) for _ in range(3))
    seen: list[torch.Tensor] = []

    def attend(values: torch.Tensor, weights: Any, output: torch.Tensor) -> torch.Tensor:
        seen.append(weights() @ values[:, 0])
        return output

    with Attending(attend):
        output = functional.scaled_dot_product_attention(query, key, value, **named)
    torch.testing.assert_close(seen, [output[:, 0]])


@pytest.mark.parametrize("named", [{"is_causal": True}, {"enable_gqa": True}])
def test_attention_that_is_not_followed_is_left_alone(named: dict[str, Any]) -> None:
    heads = 2 if "enable_gqa" in named else 4
    query, key = torch.randn(1, 4, 7, 5), torch.randn(1, heads, 7, 5)
    with Attending(lambda *given: pytest.fail("it was followed")):
        functional.scaled_dot_product_attention(query, key, key, **named)


def test_threads_that_share_a_model_get_the_maps_that_they_would_get_alone() -> None:
    model = model_of("class token")
    pictures = [networks.picture(seed=seed) for seed in range(6)]
    methods = ("grad_cam", "legrad", "attention_rollout")

    def maps(place: int) -> list[np.ndarray]:
        found = explain(pictures[place], model, targets=CLASSES, methods=methods if place % 2 else "grad_cam")
        return [heatmap.raw for heatmap in found.heatmaps]

    alone = [maps(place) for place in range(6)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(maps, range(6)))
    for one, other in zip(alone, together, strict=True):
        for first, second in zip(one, other, strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-7)


def test_a_classifier_without_weights_of_its_own_yet_reads_the_class_token() -> None:
    network = networks.transformer("torchvision")
    nn.init.zeros_(network.heads.head.weight)
    (rollout,) = explain(PICTURE, networks.loaded(network), targets=0, methods="attention_rollout").heatmaps
    expected = ours("torchvision").heatmaps[2].raw
    np.testing.assert_allclose(rollout.raw, expected, rtol=1e-5)


class Mixing(nn.Module):
    """A block that mixes tokens without attention, as in MLP-Mixer."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.norm = nn.Linear(16, 16), nn.LayerNorm(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mix(self.norm(x).mT).mT


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.blocks = nn.Conv2d(3, 12, 8, 8), nn.Sequential(Mixing(), Mixing())
        self.head = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.embed(x).flatten(2).mT).mean(1))


def windowed() -> nn.Module:
    return timm.models.SwinTransformer(
        img_size=32, patch_size=4, num_classes=5, embed_dim=12, depths=(2, 2), num_heads=(2, 2), window_size=4
    ).eval()


def pooled_by_attention() -> nn.Module:
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, num_classes=5, embed_dim=48, depth=2, num_heads=4, class_token=False,
        global_pool="map",
    ).eval()  # fmt: skip


@pytest.mark.parametrize("method", ["legrad", "attention_rollout"])
@pytest.mark.parametrize("build", [networks.conv_net, Mixer, windowed, pooled_by_attention])
def test_networks_without_such_blocks_are_refused_with_a_remedy(build: Any, method: str) -> None:
    torch.manual_seed(0)
    model = networks.loaded(build())
    assert model.attention == ()
    with pytest.raises(MethodError, match=r"every part of the picture attends.*Use Grad-CAM or Grad-CAM\+\+ instead"):
        explain(PICTURE, model, methods=method)


class TwoCalls(nn.Module):
    """A block that attends twice: no one weight says what its tokens take."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.again = block, copy.deepcopy(block)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.block(x))


def test_blocks_that_attend_twice_are_not_taken_for_one() -> None:
    network = networks.transformer()
    network.blocks = nn.Sequential(*[TwoCalls(block) for block in network.blocks])
    assert networks.loaded(network).attention == ()


class WithoutAttention(nn.Module):
    """What is left of a block whose attention is of a kind that is not seen."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.norm, self.mlp = block.norm2, block.mlp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mlp(self.norm(x))


def test_a_network_of_which_some_blocks_do_not_attend_is_refused_whole() -> None:
    # As in ConViT: a rollout over the last two of its twelve blocks would say nothing of the first ten.
    network = networks.transformer()
    network.blocks[0] = WithoutAttention(network.blocks[0])
    assert networks.loaded(network).attention == ()


def test_more_memory_than_the_bound_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "MOST_BYTES", 3 * 17 * 17 * 4 - 1)
    with pytest.raises(MethodError, match=r"17 tokens in 3 blocks.*smaller input"):
        explain(PICTURE, model_of("class token"), methods="attention_rollout")


def test_methods_whose_maps_are_the_same_for_every_class_are_known_by_what_they_need() -> None:
    assert {one.name for one in list_methods() if not knows_class(one)} == {"eigen_cam", "attention_rollout", "random"}
