"""The methods against their papers, and what every method of the family must keep to."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradcam_core import list_methods
from gradcam_core.errors import MethodError
from gradcam_core.explanation import explain
from gradcam_core.methods import (
    caveat,
    choose_method,
    equal_by_algebra,
    find_method,
    instead_of,
    make_maps,
    why_not,
)
from gradcam_core.records import Evidence, LayerInfo
from gradcam_core.registry import family, member, nearest
from tests import networks, papers

PAPER_METHODS = sorted(papers.TWINS)
SHAPES = [(1, 1, 1), (1, 4, 3), (5, 1, 1), (7, 3, 5), (16, 7, 7)]
CONTENTS = ["signed", "positive", "zero channels", "zero gradients", "zero head", "negative"]
EVIDENCE_NEEDS = {"activations", "gradients", "head", "scores"}
ON_EVIDENCE = [entry.name for entry in list_methods() if set(entry.needs) <= EVIDENCE_NEEDS]
ALL_METHODS = [entry.name for entry in list_methods()]


def evidence(
    shape: tuple[int, int, int], content: str = "signed", seed: int = 0, pictures: int = 1, targets: int = 2
) -> Evidence:
    """Made-up evidence at a layer [C h w], in double precision."""
    channels, height, width = shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    activations = normal(pictures, *shape)
    gradients = normal(targets, pictures, *shape) * 1e-3
    head = normal(targets, channels)
    if content == "positive":
        activations = activations.relu()
    if content == "zero channels":
        activations[:, ::2] = 0
    if content == "zero gradients":
        gradients[0] = 0
        gradients[..., 0, 0] = 0
    if content == "zero head":
        head[0] = 0
    if content == "negative":
        gradients = -gradients.abs()
        activations = activations.relu()
    layer = LayerInfo("layer", "Conv2d", channels, (height, width), pooling="mean")
    return Evidence(layer, activations, gradients, normal(targets, pictures), head)


def maps(name: str, of: Evidence, **options: Any) -> torch.Tensor:
    return make_maps(choose_method(name, options), of)


@pytest.mark.parametrize("name", PAPER_METHODS)
@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_its_paper(name: str, content: str, shape: tuple[int, int, int]) -> None:
    for seed in range(4):
        given = evidence(shape, content, seed)
        made = maps(name, given)
        for target in range(2):
            assert given.gradients is not None
            assert given.head is not None
            twin = papers.twin(name, given.activations[0], given.gradients[target, 0], given.head[target])
            slack = 1e-9 * max(1e-12, np.abs(twin).max())
            np.testing.assert_allclose(made[target, 0].numpy(), twin, rtol=0, atol=slack)


@pytest.mark.parametrize("name", PAPER_METHODS)
def test_equals_its_paper_in_single_precision(name: str) -> None:
    given = evidence((64, 7, 7), "positive")
    assert given.gradients is not None
    assert given.head is not None
    single = Evidence(
        given.layer, given.activations.float(), given.gradients.float(), given.scores.float(), given.head.float()
    )
    twin = papers.twin(name, single.activations[0], single.gradients[0, 0], single.head[0])  # type: ignore[index]
    made = maps(name, single)[0, 0]
    assert made.dtype == torch.float32
    np.testing.assert_allclose(made.numpy(), twin, rtol=0, atol=1e-5 * np.abs(twin).max())


def test_the_twins_are_right_on_a_case_done_by_hand() -> None:
    # Two channels on 1 x 2; worked on paper from the printed formulas.
    A, g, w = [[[1.0, 3.0]], [[2.0, -2.0]]], [[[2.0, 0.0]], [[-1.0, 4.0]]], [10.0, 1.0]
    worked = {
        "cam": [[12.0, 28.0]],
        "grad_cam": [[1 + 1.5 * 2, 3 - 1.5 * 2]],
        # alpha = 4/(8 + 4*8) = 0.1 and 0; then 1/2 and 16/32 = 0.5 with sum(A) = 0: weights 0.2 and 2.
        "grad_cam_plus_plus": [[0.2 + 4, 0.6 - 4]],
        # 1/4*2 = 0.5; the second channel's sum is 0.
        "xgrad_cam": [[0.5, 1.5]],
        "hires_cam": [[2 - 2, 0 - 8]],
        "layer_cam": [[2.0, -8.0]],
    }
    for name, expected in worked.items():
        np.testing.assert_allclose(papers.TWINS[name](A, g, w), expected, err_msg=name)
        tensors = [torch.tensor(x, dtype=torch.float64) for x in (A, g, w)]
        layer = LayerInfo("layer", "Conv2d", 2, (1, 2), pooling="mean")
        given = Evidence(layer, tensors[0][None], tensors[1][None, None], torch.zeros(1, 1), tensors[2][None])
        np.testing.assert_allclose(maps(name, given)[0, 0].numpy(), expected, err_msg=name)


@pytest.mark.parametrize("name", ALL_METHODS)
def test_every_method_cites_and_describes_itself(name: str) -> None:
    entry = find_method(name, {})
    assert entry.title
    assert entry.paper[-4:].isdecimal() or name == "random", "the year of the paper"
    assert entry.url.startswith("https://")
    assert "\n" not in entry.summary
    assert 10 < len(entry.summary) <= 160
    assert entry.function.__name__ == name


@pytest.mark.parametrize("name", ON_EVIDENCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_maps_are_finite_and_of_the_grids_size(name: str, shape: tuple[int, int, int]) -> None:
    for content in CONTENTS:
        given = evidence(shape, content, pictures=3)
        made = maps(name, given)
        assert made.shape == (2, 3, *shape[1:])
        assert made.isfinite().all()
        assert not made.requires_grad


@pytest.mark.parametrize("name", ON_EVIDENCE)
def test_maps_do_not_depend_on_the_other_pictures_and_targets(name: str) -> None:
    given = evidence((6, 4, 5), pictures=3, targets=4)
    made = maps(name, given)
    assert given.gradients is not None
    assert given.head is not None
    order = [2, 0, 1]
    turned = Evidence(
        given.layer, given.activations[order], given.gradients[:, order], given.scores[:, order], given.head
    )
    torch.testing.assert_close(maps(name, turned), made[:, order])
    alone = Evidence(
        given.layer,
        given.activations[1:2],
        given.gradients[2:3, 1:2],
        given.scores[2:3, 1:2],
        given.head[2:3],
    )
    torch.testing.assert_close(maps(name, alone), made[2:3, 1:2])


@pytest.mark.parametrize("name", ON_EVIDENCE)
def test_evidence_is_left_as_it_is(name: str) -> None:
    given, same = evidence((6, 4, 5)), evidence((6, 4, 5))
    maps(name, given)
    assert torch.equal(given.activations, same.activations)
    assert torch.equal(given.gradients, same.gradients)  # type: ignore[arg-type]
    assert torch.equal(given.head, same.head)  # type: ignore[arg-type]


def scaled(of: Evidence, activations: float = 1, gradients: float = 1) -> Evidence:
    assert of.gradients is not None
    return Evidence(of.layer, of.activations * activations, of.gradients * gradients, of.scores, of.head)


@pytest.mark.parametrize("name", ["grad_cam", "xgrad_cam", "hires_cam", "layer_cam"])
def test_gradient_methods_follow_the_scale_of_score_and_activation(name: str) -> None:
    given = evidence((6, 4, 5))
    torch.testing.assert_close(maps(name, scaled(given, gradients=1e-4)), 1e-4 * maps(name, given))
    torch.testing.assert_close(maps(name, scaled(given, activations=50)), 50 * maps(name, given))


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6])
def test_grad_cam_plus_plus_needs_no_epsilon_against_small_gradients(scale: float) -> None:
    # Activation up and gradient down by one factor leaves alpha and, but for that factor, the weights alone.
    given = evidence((6, 4, 5), "positive")
    moved = maps("grad_cam_plus_plus", scaled(given, activations=1 / scale, gradients=scale))
    torch.testing.assert_close(moved, maps("grad_cam_plus_plus", given), rtol=1e-9, atol=0)


def test_grad_cam_plus_plus_takes_a_cancelling_denominator_as_undefined() -> None:
    # 2 + sum(A) g = 0 at the first position: 1/0, which no other position may suffer from.
    layer = LayerInfo("layer", "Conv2d", 1, (1, 2))
    activations = torch.tensor([[[[-1.0, -3.0]]]])
    gradients = torch.tensor([[[[[0.5, 0.25]]]]])
    made = maps("grad_cam_plus_plus", Evidence(layer, activations, gradients, torch.zeros(1, 1), None))
    torch.testing.assert_close(made, 0.25 * activations[None, 0] * (1 / (2 - 4 * 0.25)))


def test_behind_an_average_the_cam_family_is_one() -> None:
    given = evidence((6, 4, 5), "positive")
    assert given.head is not None
    constant = (given.head / 20)[:, None, :, None, None].expand(2, 1, 6, 4, 5)
    flat = Evidence(given.layer, given.activations, constant, given.scores, given.head)
    cam = maps("cam", flat)
    for name in equal_by_algebra(given.layer) - {"cam"}:
        torch.testing.assert_close(maps(name, flat) * 20, cam)
    for name in {"layer_cam", "grad_cam_plus_plus"}:
        assert not torch.allclose(maps(name, flat) * 20, cam)


def test_cam_reads_the_activations_behind_a_relu_where_the_head_does() -> None:
    given = evidence((6, 4, 5))
    behind = LayerInfo("layer", "BatchNorm2d", 6, (4, 5), pooling="mean of relu")
    relu = Evidence(given.layer, given.activations.relu(), given.gradients, given.scores, given.head)
    seen = Evidence(behind, given.activations, given.gradients, given.scores, given.head)
    torch.testing.assert_close(maps("cam", seen), maps("cam", relu))


def test_cam_is_refused_where_the_head_reads_more_than_an_average() -> None:
    layer = LayerInfo("features", "Sequential", 6, (4, 5))
    entry = find_method("cam", {})
    model = networks.loaded(networks.conv_net())
    assert "features" in why_not(entry, layer, model)
    assert not caveat(entry, layer, model)
    given = evidence((6, 4, 5))
    with pytest.raises(MethodError, match="CAM needs head"):
        make_maps(choose_method("cam", {}), Evidence(layer, given.activations, given.gradients, given.scores, None))
    assert "ReLU" in caveat(entry, LayerInfo("features", "Fire", 6, (4, 5), pooling="convolution, relu"), model)


@pytest.mark.parametrize("name", ALL_METHODS)
def test_every_method_explains_a_small_network(name: str) -> None:
    model, image = networks.loaded(networks.serving(name)), networks.picture()
    explanation = explain(image, model, methods=name, targets=[0, 3])
    assert [h.target.index for h in explanation.heatmaps] == [0, 3]
    for heatmap in explanation.heatmaps:
        assert heatmap.method == name
        assert heatmap.raw.dtype == np.float32
        assert heatmap.raw.ndim == 2
        assert np.isfinite(heatmap.raw).all()
        assert heatmap.values.shape == (image.height, image.width)
        assert np.nanmin(heatmap.values) >= 0
        assert np.nanmax(heatmap.values) <= 1


def test_unknown_methods_and_options_are_named_with_what_is_near() -> None:
    with pytest.raises(MethodError, match=r"no method 'gradcam'.*grad_cam"):
        find_method("gradcam", {})
    with pytest.raises(MethodError, match=r"no option 'sigma'"):
        find_method("grad_cam", {"sigma": 1})
    assert "one, two" in nearest("xyz", ["one", "two"])


@pytest.mark.parametrize("missing", ["head", "gradients", "guided", "levels"])
def test_a_remedy_never_names_a_method_that_lacks_the_same(missing: str) -> None:
    needs = {entry.title: entry.needs for entry in list_methods()}
    for entry in list_methods():
        if missing in entry.needs:
            named = instead_of(entry, [missing]).removeprefix("Use ").removesuffix(" instead.").split(" or ")
            assert len(named) == 2
            assert all(missing not in needs[title] for title in named)
            if missing == "gradients":
                assert all("levels" not in needs[title] for title in named)


def test_without_gradients_grad_cam_does_not_recommend_itself() -> None:
    given = evidence((6, 4, 5))
    lacking = Evidence(given.layer, given.activations, None, given.scores, given.head)
    with pytest.raises(MethodError, match="Grad-CAM needs gradients") as caught:
        make_maps(choose_method("grad_cam", {}), lacking)
    assert "Grad-CAM" not in str(caught.value).split("lacks.")[1]
    assert "HiResCAM" not in str(caught.value)


def test_smoothing_options_belong_to_every_method_and_reach_none_of_their_functions() -> None:
    for entry in list_methods():
        choice = choose_method(entry.name, {"copies": 3, "flip": True})
        assert choice.shared == {"copies": 3, "noise": 0.1, "flip": True}
        assert not set(choice.options) & set(choice.shared)
        assert set(entry.options) == set(choice.options) | set(choice.shared)
        assert entry.ranges["copies"].most == 100


def test_a_method_that_asks_for_what_nobody_has_fails_when_it_is_written() -> None:
    with pytest.raises(TypeError, match="moon"):

        @member("Moon", paper="Nobody 2000", url="https://example.org", allowed=("activations",))
        def moon_cam(moon: torch.Tensor) -> torch.Tensor:
            return moon


def test_a_new_file_of_a_family_is_found_and_what_it_imports_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "toys"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    mark = "from gradcam_core.registry import member\n"
    (package / "beta.py").write_text(
        mark + "@member('Beta', allowed=('x',))\ndef beta(x, *, size=3):\n    'Two.'\n", "utf-8"
    )
    (package / "alpha.py").write_text(
        mark + "from toys.beta import beta\n@member('Alpha', allowed=('x',))\ndef alpha(x):\n    'One.'\n", "utf-8"
    )
    (package / "zeta.py").write_text(
        mark + "@member('Zeta', allowed=('x',))\ndef zeta(progress, x):\n    'Three.'\n", "utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("toys")
    toys = family("toy", "toys", first=("zeta",), error=MethodError)
    assert list(toys.members) == ["zeta", "alpha", "beta"]
    assert toys.members["beta"].options == {"size": 3}
    assert toys.members["zeta"].needs == ("x",)
    assert toys.members["zeta"].reports
    with pytest.raises(MethodError, match="no toy 'betta'"):
        toys.find("betta")
