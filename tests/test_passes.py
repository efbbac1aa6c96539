"""Methods that take passes of their own, against their papers: on real networks, whose scores come by other means."""

import copy
import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from gradcam_core import list_methods
from gradcam_core.capture import capture
from gradcam_core.errors import GradcamError, MethodError
from gradcam_core.explanation import explain
from gradcam_core.layers import resolve_layer, to_grid
from gradcam_core.methods import choose_method, knows_class, make_maps, reads_layer, why_not
from gradcam_core.methods.smoothing import Smoothing, smoothed
from gradcam_core.records import Evidence, Heatmap, LoadedModel
from gradcam_core.targets import choose_targets
from tests import networks, papers

CLASSES = [0, 3]
SLOW = [entry.name for entry in list_methods() if entry.reports]
ALL = [entry.name for entry in list_methods()]
FEW = {"rise": {"masks": 60}, "occlusion": {"patch": 12, "stride": 8}}


@pytest.fixture(scope="module")
def small() -> LoadedModel:
    """A network of 12 channels for pictures of 24 x 32, some of whose channels are always 0."""
    network = networks.conv_net()
    with torch.no_grad():
        network[4].weight[[2, 7]] = 0
        network[4].bias[[2, 7]] = -1
    return networks.loaded(network, (24, 32))


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.randn(1, 3, 24, 32, generator=torch.Generator().manual_seed(3))


def evidence_for(
    model: LoadedModel, inputs: torch.Tensor, layer: str, needs: Collection[str], classes: Sequence[int] = CLASSES
) -> Evidence:
    info = resolve_layer(model, layer)
    return capture(model, inputs, choose_targets(list(classes), model.labels, 1), [info], needs=needs)[2][0]


def maps(name: str, evidence: Evidence, **options: Any) -> np.ndarray:
    return make_maps(choose_method(name, options), evidence)[:, 0].numpy()


def score_of(model: LoadedModel, index: int) -> Callable[[np.ndarray], float]:
    """A class's score, straight from a copy of the network that knows nothing of us."""
    plain = networks.without_taps(model.module)

    def score(picture: np.ndarray) -> float:
        with torch.no_grad():
            return float(plain(torch.tensor(picture, dtype=torch.float32)[None])[0, index])

    return score


def score_without(model: LoadedModel, layer: str, inputs: torch.Tensor, index: int) -> Callable[[int], float]:
    """A class's score with one channel of a layer set to 0 by a hook, in the whole network."""

    def score(channel: int) -> float:
        plain = networks.without_taps(model.module)

        def ablate(module: Any, given: Any, output: torch.Tensor) -> torch.Tensor:
            output = output.clone()
            to_grid(output, resolve_layer(model, layer))[:, channel] = 0
            return output

        plain.get_submodule(layer).register_forward_hook(ablate)
        with torch.no_grad():
            return float(plain(inputs)[0, index])

    return score


def close(made: np.ndarray, twin: Any, share: float = 1e-4) -> None:
    expected = np.array(twin)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(made, expected, rtol=0, atol=share * np.abs(expected).max())


@pytest.mark.parametrize("layer", ["5", "3", "1"])
def test_score_cam_equals_its_paper(small: LoadedModel, inputs: torch.Tensor, layer: str) -> None:
    found = evidence_for(small, inputs, layer, {"inputs", "forward"})
    made = maps("score_cam", found)
    for place, index in enumerate(CLASSES):
        A = found.activations[0].double().tolist()
        close(made[place], papers.score_cam(A, inputs[0].double().numpy(), score_of(small, index)))


def test_score_cams_channels_without_any_activation_are_not_run(small: LoadedModel, inputs: torch.Tensor) -> None:
    found = evidence_for(small, inputs, "5", {"inputs", "forward"})
    dead = int((found.activations[0].flatten(1) == 0).all(1).sum())
    assert dead >= 2
    seen = []

    def counting(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        scores: torch.Tensor = found.passes["forward"](batch)
        return scores

    counted = dataclasses.replace(found, passes={"forward": counting})
    np.testing.assert_array_equal(maps("score_cam", counted), maps("score_cam", found))
    assert sum(seen) == 12 - dead + 1  # and one for what they all would show: nothing


def test_a_draft_of_score_cam_takes_the_most_varied_channels_and_comes_near(
    bundled: LoadedModel, cat_and_cup: Any
) -> None:
    options = [("score_cam", {"share": share}) for share in (0.06, 0.12)]
    rough, fine = explain(cat_and_cup, bundled, methods=options, targets=[285]).heatmaps
    assert rough.options["share"] == 0.06
    assert np.corrcoef(rough.raw.ravel(), fine.raw.ravel())[0, 1] > 0.97
    assert fine.raw[:, :4].mean() > fine.raw[:, 4:].mean()  # the cat is on the left


@pytest.mark.parametrize("layer", ["5", "3", "1"])
def test_ablation_cam_equals_its_paper(small: LoadedModel, inputs: torch.Tensor, layer: str) -> None:
    found = evidence_for(small, inputs, layer, {"tail"})
    made = maps("ablation_cam", found)
    for place, index in enumerate(CLASSES):
        A = found.activations[0].double().tolist()
        score = score_of(small, index)(inputs[0].numpy())
        close(made[place], papers.ablation_cam(A, score, score_without(small, layer, inputs, index)))


def test_ablation_cam_speaks_for_a_class_also_where_its_score_is_negative(inputs: torch.Tensor) -> None:
    network = networks.conv_net()
    with torch.no_grad():
        network[-1].weight.abs_()
        network[-1].bias.fill_(-100)
    model = networks.loaded(network, (24, 32))
    found = evidence_for(model, inputs, "5", {"tail"})
    assert (found.scores < 0).all()
    assert (maps("ablation_cam", found) >= 0).all()  # every channel speaks for every class here


@pytest.mark.parametrize("side", [8, 4])
def test_occlusion_equals_its_paper_where_squares_do_not_overlap(
    small: LoadedModel, inputs: torch.Tensor, side: int
) -> None:
    found = evidence_for(small, inputs, "5", {"inputs", "forward"})
    made = maps("occlusion", found, patch=side, stride=side)
    for place, index in enumerate(CLASSES):
        falls = papers.occlusion(inputs[0].numpy(), score_of(small, index), side, side)
        close(made[place], [[falls[top, left] for left in range(0, 32, side)] for top in range(0, 24, side)])


@pytest.mark.parametrize(("patch", "stride"), [(10, 6), (7, 3)])
def test_overlapping_squares_are_averaged_over_each_cell(
    small: LoadedModel, inputs: torch.Tensor, patch: int, stride: int
) -> None:
    """The averaging is our own step: this restates it, on the paper's falls."""
    found = evidence_for(small, inputs, "5", {"inputs", "forward"})
    made = maps("occlusion", found, patch=patch, stride=stride)
    falls = papers.occlusion(inputs[0].numpy(), score_of(small, CLASSES[0]), patch, stride)
    rows, columns = made.shape[1:]
    assert (rows, columns) == (-(-24 // stride), -(-32 // stride))
    for i in range(rows):
        for j in range(columns):
            y, x = (i + 0.5) * 24 / rows, (j + 0.5) * 32 / columns
            over = [v for (top, left), v in falls.items() if top <= y <= top + patch and left <= x <= left + patch]
            assert made[0, i, j] == pytest.approx(np.mean(over), abs=1e-4 * float(np.abs(made[0]).max()))


def test_occlusion_refuses_squares_that_leave_gaps(small: LoadedModel) -> None:
    with pytest.raises(MethodError, match=r"never be covered.*at most 5"):
        explain(networks.picture(), small, methods=[("occlusion", {"patch": 5, "stride": 8})])


def test_rise_equals_its_paper_on_the_masks_it_drew(small: LoadedModel, inputs: torch.Tensor) -> None:
    found = evidence_for(small, inputs, "5", {"inputs", "forward"})
    drawn: list[np.ndarray] = []

    def recording(batch: torch.Tensor) -> torch.Tensor:
        drawn.extend(batch[:, 0].numpy())
        return torch.zeros(2, len(batch))

    white = dataclasses.replace(found, inputs=torch.ones_like(inputs), passes={"forward": recording})
    maps("rise", white, masks=50, cells=4, keep=0.4, seed=5)
    assert len(drawn) == 50
    made = maps("rise", found, masks=50, cells=4, keep=0.4, seed=5)
    for place, index in enumerate(CLASSES):
        close(made[place], papers.rise(inputs[0].numpy(), score_of(small, index), drawn, 0.4))
    assert not np.allclose(made, maps("rise", found, masks=50, cells=4, keep=0.4, seed=6))


def test_rises_masks_are_smooth_and_show_the_share_they_should() -> None:
    from gradcam_core.methods.perturbation import _random_masks

    masks = _random_masks(400, 7, 0.3, (60, 80), torch.Generator().manual_seed(0))
    assert masks.shape == (400, 60, 80)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert abs(float(masks.mean()) - 0.3) < 0.02
    assert masks.mean(0).std() < 0.04  # no place is favoured
    assert masks.diff(dim=2).abs().max() < 0.2


def test_guided_grad_cam_equals_its_paper(small: LoadedModel, inputs: torch.Tensor) -> None:
    found = evidence_for(small, inputs, "5", {"gradients", "guided"})
    assert found.gradients is not None
    assert found.guided is not None
    made = maps("guided_grad_cam", found)
    for place in range(2):
        A, g = found.activations[0].double().tolist(), found.gradients[place, 0].double().tolist()
        close(made[place], papers.guided_grad_cam(A, g, found.guided[place, 0].double().numpy()))
    np.testing.assert_allclose(maps("guided_backprop", found), found.guided[:, 0].sum(1).numpy())


def test_the_random_map_is_the_same_for_one_seed_and_no_other() -> None:
    image, model = networks.picture(), networks.loaded(networks.conv_net())
    same, other = (
        explain(image, model, methods=[("random", {"seed": seed})], targets=[0, 1]).heatmaps for seed in (4, 5)
    )
    again = explain(networks.picture(seed=8), model, methods=[("random", {"seed": 4})], targets=[0, 1]).heatmaps
    np.testing.assert_array_equal(same[0].raw, again[0].raw)
    assert not np.allclose(same[0].raw, other[0].raw)
    np.testing.assert_array_equal(same[0].raw, same[1].raw)  # for every class, or the checks could not find it out


@pytest.mark.parametrize("name", SLOW)
def test_progress_rises_to_the_end_and_what_it_raises_cancels(name: str) -> None:
    image, model = networks.picture(), networks.loaded(networks.conv_net())
    told: list[tuple[float, str, tuple[Heatmap, ...]]] = []
    explain(
        image,
        model,
        methods=["cam", (name, FEW.get(name, {}))],
        targets=CLASSES,
        on_progress=lambda share, words, drafts: told.append((share, words, drafts)),
    )
    shares = [share for share, _, _ in told]
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1
    assert told[-1][1] == choose_method(name, {}).member.title

    class Enough(BaseException):
        pass

    def stop(share: float, words: str, drafts: Any) -> None:
        if share > 0.5:
            raise Enough

    with pytest.raises(Enough):
        explain(image, model, methods=[name, (name, FEW.get(name, {}))], on_progress=stop)


@pytest.mark.parametrize("name", ["score_cam", "rise"])
def test_drafts_come_near_to_the_whole(name: str) -> None:
    drafts: list[Heatmap] = []
    whole = explain(
        networks.picture(),
        networks.loaded(networks.conv_net(width=48)),  # more channels than are taken at a time
        methods=name,
        targets=CLASSES,
        on_progress=lambda share, words, some: drafts.extend(some),
    ).heatmaps
    assert len(drafts) >= 2
    assert [draft.target.index for draft in drafts[-2:]] == CLASSES
    assert drafts[-1].raw.shape == whole[-1].raw.shape
    assert np.corrcoef(drafts[-1].raw.ravel(), whole[-1].raw.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("name", [name for name in ALL if not reads_layer(choose_method(name, {}).member)])
def test_maps_of_the_input_come_once_however_many_layers(name: str) -> None:
    model = networks.loaded(networks.serving(name))
    layers = [model.layers[1].name, model.default_layer]
    found = explain(
        networks.picture(), model, methods=[(name, FEW.get(name, {}))], targets=CLASSES, layers=layers
    ).heatmaps
    assert [heatmap.target.index for heatmap in found] == CLASSES
    assert {heatmap.layer for heatmap in found} == {""}
    assert {heatmap.fusion for heatmap in found} == {""}


# --- smoothing, an option of every method


@pytest.mark.parametrize("name", ALL)
def test_every_method_can_be_smoothed(name: str) -> None:
    image, model = networks.picture(), networks.loaded(networks.serving(name))
    options = {"copies": 3, "noise": 0.2, "flip": True, **FEW.get(name, {})}
    made = explain(image, model, methods=[(name, options)], targets=CLASSES).heatmaps
    plain = explain(image, model, methods=[(name, FEW.get(name, {}))], targets=CLASSES).heatmaps
    for one, other in zip(made, plain, strict=True):
        assert one.options["copies"] == 3
        assert one.raw.shape == other.raw.shape
        assert np.isfinite(one.raw).all()
        assert not np.array_equal(one.raw, other.raw)
    assert "copies" not in plain[0].options


def test_smoothing_is_the_mean_over_the_copies_with_mirrored_ones_turned_back() -> None:
    image, model = networks.picture(), networks.loaded(networks.conv_net())
    asked = Smoothing(copies=5, noise=0.3, flip=True)
    made = explain(image, model, methods=[("grad_cam", {"copies": 5, "noise": 0.3, "flip": True})], targets=CLASSES)
    x = torch.tensor(made.model_input)[None]
    maps_of_copies = []
    for copies, mirrored in smoothed(x, asked, 2):
        for one in copies:
            raw = maps("grad_cam", evidence_for(model, one[None], model.default_layer, {"gradients"}))
            maps_of_copies.append(raw[..., ::-1] if mirrored else raw)
    assert len(maps_of_copies) == 10
    for place in range(2):
        close(made.heatmaps[place].raw, np.mean([one[place] for one in maps_of_copies], axis=0), 1e-5)


def test_the_noise_is_as_strong_as_asked_and_the_same_every_time(inputs: torch.Tensor) -> None:
    (first, _), (again, _) = (next(smoothed(inputs, Smoothing(64, 0.1, False), 64)) for _ in range(2))
    assert torch.equal(first, again)
    noise = first - inputs
    assert float(noise.std()) == pytest.approx(0.1 * float(inputs.max() - inputs.min()), rel=0.02)
    together = torch.cat([copies for copies, _ in smoothed(inputs, Smoothing(64, 0.1, False), 7)])
    torch.testing.assert_close(together, first)


# --- what options may be


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("score_cam", {"share": 0.0}),
        ("score_cam", {"share": "half"}),
        ("rise", {"masks": 12.5}),
        ("rise", {"masks": True}),
        ("rise", {"keep": float("nan")}),
        ("occlusion", {"patch": 0}),
        ("grad_cam", {"copies": -1}),
        ("grad_cam", {"flip": 1}),
        ("random", {"seed": -3}),
    ],
)
def test_impossible_options_are_refused_in_words(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(MethodError, match=next(iter(options))):
        explain(networks.picture(), networks.loaded(networks.conv_net()), methods=[(name, options)])


def test_every_option_that_is_a_number_has_a_range_that_holds_its_default() -> None:
    for entry in list_methods():
        for option, default in entry.options.items():
            if not isinstance(default, bool):
                limits = entry.ranges[option]
                assert limits.least <= default <= limits.most
                assert limits.words


def test_guided_methods_are_refused_where_there_is_no_relu() -> None:
    model = networks.loaded(networks.LastAxis())
    with pytest.raises(GradcamError, match=r"no.*ReLU|ReLUs.*none"):
        explain(networks.picture(), model, methods="guided_backprop")


def test_the_bundled_network_puts_the_cat_on_the_left_by_every_method(bundled: LoadedModel, cat_and_cup: Any) -> None:
    # 285 Egyptian cat. Without the baseline and Eigen-CAM, which does not depend on the class; drafts are enough.
    options = {"score_cam": {"share": 0.05}, "rise": {"masks": 120}, "occlusion": {"patch": 64, "stride": 32}}
    layer = resolve_layer(bundled, bundled.default_layer)
    names = [one.name for one in list_methods() if knows_class(one) and not why_not(one, layer, bundled)]
    found = explain(cat_and_cup, bundled, methods=[(name, options.get(name, {})) for name in names], targets=[285])
    for heatmap in found.heatmaps:
        positive = np.maximum(heatmap.raw, 0)
        half = positive.shape[1] // 2
        assert positive[:, :half].sum() > 1.5 * positive[:, half:].sum(), heatmap.method


def test_a_copy_of_a_model_explains_alike() -> None:
    model, image = networks.loaded(networks.conv_net()), networks.picture()
    one = explain(image, model, methods="ablation_cam", targets=[0]).heatmaps[0]
    twin = networks.loaded(copy.deepcopy(networks.without_taps(model.module)))
    other = explain(image, twin, methods="ablation_cam", targets=[0]).heatmaps[0]
    np.testing.assert_allclose(one.raw, other.raw, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["score_cam", "rise", "occlusion", ("grad_cam", {"copies": 3, "flip": True})])
def test_a_network_that_accepts_one_picture_at_a_time_gives_the_same_maps(method: Any) -> None:
    single, plain = networks.loaded(networks.OneByOne()), networks.loaded(networks.conv_net())
    layer = plain.default_layer
    maps = [
        explain(networks.picture(), model, methods=[method], targets=[0], layers=name).heatmaps[0].raw
        for model, name in ((single, f"body.{layer}"), (plain, layer))
    ]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-3, atol=1e-5)
