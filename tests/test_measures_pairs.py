"""Agreement between heatmaps, against literal counts."""

import numpy as np
import pytest

from gradcam_core.measures import agreement
from gradcam_core.placement import Placement
from gradcam_core.records import Heatmap
from gradcam_core.targets import ClassTarget


def heatmap(raw: np.ndarray) -> Heatmap:
    placement = Placement((70, 70), (70, 70), (0.0, 0.0, 70.0, 70.0))
    return Heatmap("cam", {}, ClassTarget(0, "a", 0.5), "layer", raw.astype(np.float32), placement)


def twin(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Counted cell by cell, for maps without ties."""
    one, other = one.clip(0).ravel().tolist(), other.clip(0).ravel().tolist()
    mean_one, mean_other = sum(one) / len(one), sum(other) / len(other)
    together = sum((a - mean_one) * (b - mean_other) for a, b in zip(one, other, strict=True))
    spread = sum((a - mean_one) ** 2 for a in one) * sum((b - mean_other) ** 2 for b in other)
    count = round(len(one) / 5)
    hot_one = set(sorted(range(len(one)), key=lambda i: -one[i])[:count])
    hot_other = set(sorted(range(len(other)), key=lambda i: -other[i])[:count])
    return together / spread**0.5, len(hot_one & hot_other) / len(hot_one | hot_other)


@pytest.mark.parametrize("seed", range(5))
def test_agreement_equals_its_literal_twin(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.normal(0.5, 1, (7, 7)), random.normal(0.5, 1, (7, 7))
    assert agreement(heatmap(one), heatmap(other)) == pytest.approx(twin(one, other), abs=1e-5)


def test_a_map_agrees_with_itself_at_any_scale() -> None:
    raw = np.random.default_rng(0).normal(size=(7, 7))
    assert agreement(heatmap(raw), heatmap(raw * 50)) == pytest.approx((1.0, 1.0))


def test_maps_on_other_grids_are_compared_on_the_finer_one() -> None:
    rows = np.linspace(0, 1, 28)[:, None] * np.ones(28)
    coarse = rows.reshape(7, 4, 7, 4).mean((1, 3))
    correlation, overlap = agreement(heatmap(rows), heatmap(coarse)) or (0, 0)
    assert correlation > 0.99
    assert overlap > 0.8


def test_where_one_map_is_empty_there_is_nothing_to_compare() -> None:
    raw = np.random.default_rng(0).normal(size=(7, 7))
    assert agreement(heatmap(raw), heatmap(-np.abs(raw))) is None
