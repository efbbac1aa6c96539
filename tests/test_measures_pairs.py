"""Agreement between heatmaps, against literal counts."""

import numpy as np
import pytest

from gradcam_core.measures import agreement
from gradcam_core.placement import Placement
from gradcam_core.records import Heatmap
from gradcam_core.targets import ClassTarget
from tests import papers


def heatmap(raw: np.ndarray) -> Heatmap:
    placement = Placement((70, 70), (70, 70), (0.0, 0.0, 70.0, 70.0))
    return Heatmap("cam", {}, ClassTarget(0, "a", 0.5), "layer", raw.astype(np.float32), placement)


def twin(values: np.ndarray, others: np.ndarray) -> tuple[float, float, float]:
    """Counted cell by cell, out of the positive parts; chance over every number of shared cells."""
    first, second = values.clip(0).ravel().tolist(), others.clip(0).ravel().tolist()
    mean, other_mean = sum(first) / len(first), sum(second) / len(second)
    together = sum((a - mean) * (b - other_mean) for a, b in zip(first, second, strict=True))
    spread = sum((a - mean) ** 2 for a in first) * sum((b - other_mean) ** 2 for b in second)
    sizes = [len(papers.hottest(series)) for series in (first, second)]
    chance = papers.overlap_by_chance(*sizes, len(first))
    return together / spread**0.5, papers.hottest_overlap(first, second), chance


@pytest.mark.parametrize("seed", range(5))
def test_agreement_equals_its_literal_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    values, others = random.normal(0.5, 1, (7, 7)), random.normal(0.5, 1, (7, 7))
    numbers = agreement(heatmap(values), heatmap(others))
    assert numbers is not None
    correlation, overlap, chance = twin(values, others)
    assert (numbers.correlation, numbers.overlap) == pytest.approx((correlation, overlap), abs=1e-5)
    assert numbers.chance == pytest.approx(chance, abs=0.01)


def test_a_map_agrees_with_itself_at_any_scale() -> None:
    raw = np.random.default_rng(0).normal(size=(7, 7))
    numbers = agreement(heatmap(raw), heatmap(raw * 50))
    assert numbers is not None
    assert (numbers.correlation, numbers.overlap) == pytest.approx((1.0, 1.0))


def test_maps_of_different_places_have_no_hot_area_in_common_however_broad_their_faint_heat_is() -> None:
    rows, columns = np.mgrid[:28, :28]
    spots = [np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 60) for y, x in ((7, 7), (20, 20))]
    numbers = agreement(heatmap(spots[0]), heatmap(spots[1]))
    assert numbers is not None
    assert numbers.overlap == 0
    assert 0 < numbers.chance < 0.2


def test_maps_on_other_grids_are_compared_on_the_finer_one() -> None:
    rows = np.linspace(0, 1, 28)[:, None] * np.ones(28)
    coarse = rows.reshape(7, 4, 7, 4).mean((1, 3))
    numbers = agreement(heatmap(rows), heatmap(coarse))
    assert numbers is not None
    assert numbers.correlation > 0.99
    assert numbers.overlap > 0.8


def test_where_one_map_is_empty_there_is_nothing_to_compare() -> None:
    raw = np.random.default_rng(0).normal(size=(7, 7))
    assert agreement(heatmap(raw), heatmap(-np.abs(raw))) is None
