"""The measurements' formulas as their papers print them: plain loops, double precision, no shortcuts.

heat[i][j] is the heatmap at row i and column j, NaN where the model did not look; truth[i][j] tells
what is marked. x[c][i][j] is the model's input, shown[i][j] the heatmap on it, visible[i][j] whether
the picture is there, and f what the model gives the target.
"""

import math
from collections.abc import Callable

import numpy as np

Grid = list[list[float]]
Marks = list[list[bool]]
Picture = list[Grid]
Place = tuple[int, int]
Probability = Callable[[Picture], float]
Fill = Callable[[Picture, set[Place]], Picture]


def places(grid: Grid | Marks) -> list[Place]:
    return [(i, j) for i in range(len(grid)) for j in range(len(grid[0]))]


def seen(heat: Grid) -> list[Place]:
    return [(i, j) for i, j in places(heat) if not math.isnan(heat[i][j])]


def iou(hot: set[Place], marked: set[Place]) -> float:
    """Jaccard 1912: what two sets share, of all that they hold."""
    return len(hot & marked) / len(hot | marked)


def marks(heat: Grid, truth: Marks) -> set[Place]:
    return {(i, j) for i, j in seen(heat) if truth[i][j]}


def iou_fixed(heat: Grid, truth: Marks) -> float:
    return iou({(i, j) for i, j in seen(heat) if heat[i][j] >= 0.5}, marks(heat, truth))


def iou_otsu(heat: Grid, truth: Marks) -> float:
    """Otsu 1979: the k for which w_0 w_1 (mu_1 - mu_0)^2 is largest, with p_i the shares of 256 levels."""
    level = {(i, j): min(int(heat[i][j] * 256), 255) for i, j in seen(heat)}
    p = [sum(one == i for one in level.values()) / len(level) for i in range(256)]
    best, chosen = -1.0, 0
    for k in range(255):
        w_0, w_1 = sum(p[: k + 1]), sum(p[k + 1 :])
        if w_0 > 0 and w_1 > 0:
            mu_0 = sum(i * p[i] for i in range(k + 1)) / w_0
            mu_1 = sum(i * p[i] for i in range(k + 1, 256)) / w_1
            between = w_0 * w_1 * (mu_1 - mu_0) ** 2
            if between > best + 1e-9:
                best, chosen = between, k
    return iou({place for place, one in level.items() if one > chosen}, marks(heat, truth))


def pointing_game(heat: Grid, truth: Marks) -> float:
    """Zhang et al. 2018: a hit is a maximum on the object or within a tolerance of it; here all of equal maxima."""
    peak = max(heat[i][j] for i, j in seen(heat))
    tolerance = 0.03 * max(len(heat), len(heat[0]))
    tied = [(i, j) for i, j in seen(heat) if heat[i][j] == peak]
    near = [min(math.hypot(i - y, j - x) for y, x in marks(heat, truth)) <= tolerance for i, j in tied]
    return float(all(near))


def energy_inside(heat: Grid, truth: Marks) -> float:
    """Wang et al. 2020, energy-based pointing game: sum of L in the bounding box / (sum in it + sum outside)."""
    rows, columns = [i for i, _ in marks(heat, truth)], [j for _, j in marks(heat, truth)]
    inside = outside = 0.0
    for i, j in seen(heat):
        if min(rows) <= i <= max(rows) and min(columns) <= j <= max(columns):
            inside += heat[i][j]
        else:
            outside += heat[i][j]
    return inside / (inside + outside)


def relevance_mass(heat: Grid, truth: Marks) -> float:
    """Arras et al. 2022, mass accuracy: R_within / R_total."""
    return sum(heat[i][j] for i, j in marks(heat, truth)) / sum(heat[i][j] for i, j in seen(heat))


def relevance_rank(heat: Grid, truth: Marks) -> float:
    """Arras et al. 2022, rank accuracy: |P_topK in GT| / |GT|, K = |GT|; each rank counts its chance to be in GT."""
    marked = marks(heat, truth)
    hottest = sorted((heat[i][j] for i, j in seen(heat)), reverse=True)
    chances = []
    for value in hottest[: len(marked)]:
        equal = {(i, j) for i, j in seen(heat) if heat[i][j] == value}
        chances.append(len(equal & marked) / len(equal))
    return sum(chances) / len(marked)


def entropy(heat: Grid, truth: Marks) -> float:
    """Bhatt et al. 2020: -sum P(i) log P(i), P(i) = |g_i| / sum |g_j|; here as a share of its most, log n."""
    total = sum(heat[i][j] for i, j in seen(heat))
    P = [heat[i][j] / total for i, j in seen(heat)]
    return -sum(p * math.log2(p) for p in P if p > 0) / math.log2(len(P))


def gini(heat: Grid, truth: Marks) -> float:
    """Hurley & Rickard 2009: 1 - 2 sum_k c_(k)/|c|_1 (N - k + 1/2)/N, c_(1) <= c_(2) <= ..."""
    c = sorted(heat[i][j] for i, j in seen(heat))
    N = len(c)
    return 1 - 2 * sum(c[k - 1] / sum(c) * (N - k + 0.5) / N for k in range(1, N + 1))


OF_A_HEATMAP: dict[str, Callable[[Grid, Marks], float]] = {
    twin.__name__: twin
    for twin in (
        iou_fixed,
        iou_otsu,
        pointing_game,
        energy_inside,
        relevance_mass,
        relevance_rank,
        entropy,
        gini,
    )
}


def hottest_first(shown: Grid, visible: Marks, seed: int) -> list[Place]:
    """From hot to cold; equal pixels by a number that is drawn for each."""
    there = [(i, j) for i, j in places(visible) if visible[i][j]]
    drawn = np.random.default_rng(seed).permutation(len(there)).tolist()
    chance = dict(zip(there, drawn, strict=True))
    return sorted(there, key=lambda place: (-shown[place[0]][place[1]], chance[place]))


def deletion(x: Picture, shown: Grid, visible: Marks, f: Probability, fill: Fill, steps: int) -> tuple[float, Grid]:
    """Petsiuk et al. 2018: remove more and more pixels, the hottest first; the area under f."""
    order = hottest_first(shown, visible, 0)
    h = [f(fill(x, set(order[: round(step / steps * len(order))]))) for step in range(steps + 1)]
    return _area(h), h


def insertion(x: Picture, shown: Grid, visible: Marks, f: Probability, steps: int) -> tuple[float, Grid]:
    """The same, uncovering them in a blurred picture."""
    order = hottest_first(shown, visible, 0)
    dim = blurred(x, visible)
    h = []
    for step in range(steps + 1):
        sharp = set(order[: round(step / steps * len(order))])
        h.append(f([[[(x if (i, j) in sharp else dim)[c][i][j] for j in range(len(x[0][0]))] for i in range(len(x[0]))]
                    for c in range(len(x))]))  # fmt: skip
    return _area(h), h


def blurred(x: Picture, visible: Marks) -> Picture:
    """Each visible pixel becomes the mean of all of them, weighted by a bell a tenth of the longer side wide."""
    there = [(i, j) for i, j in places(visible) if visible[i][j]]
    deviation = 0.1 * max(len(visible), len(visible[0]))
    result = [[row.copy() for row in plane] for plane in x]
    for i, j in there:
        bell = {(y, z): math.exp(-((y - i) ** 2 + (z - j) ** 2) / (2 * deviation**2)) for y, z in there}
        for c in range(len(x)):
            result[c][i][j] = sum(bell[y, z] * x[c][y][z] for y, z in there) / sum(bell.values())
    return result


def _area(h: list[float]) -> float:
    return sum((h[k] + h[k + 1]) / 2 for k in range(len(h) - 1)) / (len(h) - 1)


def _through(x: Picture, shown: Grid) -> Picture:
    return [[[v * s for v, s in zip(*rows, strict=True)] for rows in zip(plane, shown, strict=True)] for plane in x]


def average_drop(x: Picture, shown: Grid, f: Probability) -> float:
    """Chattopadhyay et al. 2018: max(0, Y - O) / Y, for one picture."""
    return max(0.0, f(x) - f(_through(x, shown))) / f(x)


def average_increase(x: Picture, shown: Grid, f: Probability) -> float:
    """Chattopadhyay et al. 2018: 1 if Y < O."""
    return 1.0 if f(x) < f(_through(x, shown)) else 0.0


def imputed(x: Picture, hidden: set[Place], visible: Marks) -> Picture:
    """Rong et al. 2022: x_i = sum over neighbours w x, w 1/6 direct and 1/12 diagonal, a dense system.

    Where there are fewer neighbours than eight their weights are scaled up to sum to 1.
    """
    number = {place: k for k, place in enumerate(sorted(hidden))}
    A, b = np.eye(len(hidden)), np.zeros((len(hidden), len(x)))
    for (i, j), k in number.items():
        weights = {}
        for y in (i - 1, i, i + 1):
            for z in (j - 1, j, j + 1):
                inside = 0 <= y < len(visible) and 0 <= z < len(visible[0])
                if (y, z) != (i, j) and inside and visible[y][z]:
                    weights[y, z] = 1 / 6 if y == i or z == j else 1 / 12
        for (y, z), weight in weights.items():
            share = weight / sum(weights.values())
            if (y, z) in hidden:
                A[k, number[y, z]] -= share
            else:
                b[k] += [share * plane[y][z] for plane in x]
    solved = np.linalg.solve(A, b)
    result = [[row.copy() for row in plane] for plane in x]
    for (i, j), k in number.items():
        for c in range(len(x)):
            result[c][i][j] = float(solved[k, c])
    return result


def road(x: Picture, shown: Grid, visible: Marks, f: Probability) -> tuple[float, list[float]]:
    """Rong et al. 2022: f after removing the most and the least relevant first, and imputing with noise."""
    order = hottest_first(shown, visible, 0)
    noise = np.random.default_rng(0)
    most, least = [], []
    for share in (0.2, 0.4, 0.6, 0.8):
        count = round(share * len(order))
        for found, part in ((most, order[:count]), (least, order[len(order) - count :])):
            picture = imputed(x, set(part), visible)
            for i, j in sorted(part):
                for c, drawn in enumerate(noise.standard_normal(len(x)).tolist()):
                    picture[c][i][j] += 0.01 * drawn
            found.append(f(picture))
    return sum(lerf - morf for lerf, morf in zip(least, most, strict=True)) / 4, [f(x), *most]
