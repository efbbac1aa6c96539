"""The methods' formulas as their papers print them: plain loops, double precision, no shortcuts.

A[k][i][j] is feature map k at row i and column j, g[k][i][j] the class score's derivative by it,
w[k] the classifier's weight. Every function returns the map before its final ReLU. A quotient 0/0
counts as 0.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Maps3 = list[list[list[float]]]
Maps2 = list[list[float]]
Score = Callable[[np.ndarray], float]


def cam(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """Zhou et al. 2016, eq. 2: M(x, y) = sum_k w_k f_k(x, y)."""
    return _sum_of_maps(A, lambda k, i, j: w[k] * A[k][i][j])


def grad_cam(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """Selvaraju et al. 2017, eq. 1 and 2: alpha_k = 1/Z sum_i sum_j dy/dA_ij^k; L = sum_k alpha_k A^k."""
    alpha = [_total(gradient) / _cells(gradient) for gradient in g]
    return _sum_of_maps(A, lambda k, i, j: alpha[k] * A[k][i][j])


def grad_cam_plus_plus(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """Chattopadhyay et al. 2018, eq. 19 with its own denominator, then eq. 5 and 8.

    For a score behind an exponential the second and third derivative are the first one squared and cubed.
    """
    weights = []
    for k in range(len(A)):
        total = _total(A[k])
        weight = 0.0
        for i in range(len(A[k])):
            for j in range(len(A[k][0])):
                second, third = g[k][i][j] ** 2, g[k][i][j] ** 3
                alpha = _quotient(second, 2 * second + total * third)
                weight += alpha * max(g[k][i][j], 0.0)
        weights.append(weight)
    return _sum_of_maps(A, lambda k, i, j: weights[k] * A[k][i][j])


def xgrad_cam(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """Fu et al. 2020, eq. 8: alpha_k = sum_ij (A_ij^k / sum_ij A_ij^k) dS/dA_ij^k."""
    alpha = []
    for k in range(len(A)):
        total = _total(A[k])
        shares = [_quotient(A[k][i][j], total) * g[k][i][j] for i in range(len(A[k])) for j in range(len(A[k][0]))]
        alpha.append(sum(shares))
    return _sum_of_maps(A, lambda k, i, j: alpha[k] * A[k][i][j])


def hires_cam(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """Draelos & Carin 2020, eq. 3: sum_k dy/dA^k * A^k, position by position."""
    return _sum_of_maps(A, lambda k, i, j: g[k][i][j] * A[k][i][j])


def layer_cam(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """Jiang et al. 2021, eq. 5 to 7: w_ij^k = relu(g_ij^k); M = sum_k w_ij^k A_ij^k."""
    return _sum_of_maps(A, lambda k, i, j: max(g[k][i][j], 0.0) * A[k][i][j])


def eigen_cam(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """Muhammad & Yeasin 2020, eq. 1 and 2: O = U S V*, L = O V_1, with a row for each position.

    V_1 has no sign of its own: L is turned so that it agrees with the mean over the channels.
    """
    channels, rows, columns = range(len(A)), range(len(A[0])), range(len(A[0][0]))
    stacked = [[A[k][i][j] for k in channels] for i in rows for j in columns]
    first = np.linalg.svd(np.array(stacked))[2][0]
    L = [sum(row[k] * first[k] for k in channels) for row in stacked]
    turned = -1 if sum(value * sum(row) for value, row in zip(L, stacked, strict=True)) < 0 else 1
    return [[turned * L[i * len(columns) + j] for j in columns] for i in rows]


def eigen_grad_cam(A: Maps3, g: Maps3, w: list[float]) -> Maps2:
    """The same of activation times gradient, position by position."""
    channels, rows, columns = range(len(A)), range(len(A[0])), range(len(A[0][0]))
    return eigen_cam([[[A[k][i][j] * g[k][i][j] for j in columns] for i in rows] for k in channels], g, w)


TWINS: dict[str, Callable[[Maps3, Maps3, list[float]], Maps2]] = {
    twin.__name__: twin
    for twin in (cam, grad_cam, grad_cam_plus_plus, xgrad_cam, hires_cam, layer_cam, eigen_cam, eigen_grad_cam)
}


def twin(name: str, activations: Any, gradients: Any, head: Any) -> np.ndarray:
    """The twin's map [h w] for one picture and target: activations and gradients [C h w], head [C] or None."""
    listed = [np.asarray(x, np.float64).tolist() if x is not None else [] for x in (activations, gradients, head)]
    return np.array(TWINS[name](*listed))


def _sum_of_maps(A: Maps3, value: Callable[[int, int, int], float]) -> Maps2:
    channels, rows, columns = range(len(A)), range(len(A[0])), range(len(A[0][0]))
    return [[sum(value(k, i, j) for k in channels) for j in columns] for i in rows]


def _total(values: Maps2) -> float:
    return sum(sum(row) for row in values)


def _cells(values: Maps2) -> int:
    return len(values) * len(values[0])


def _quotient(above: float, below: float) -> float:
    return above / below if below != 0 else 0.0


def enlarged(grid: Maps2, height: int, width: int) -> Maps2:
    """Bilinear interpolation with cell centres at the middles of their cells, edges held."""

    def beside(place: int, cells: int, length: int) -> tuple[int, int, float]:
        position = min(max((place + 0.5) * cells / length - 0.5, 0.0), cells - 1.0)
        lower = int(position)
        return lower, min(lower + 1, cells - 1), position - lower

    large = []
    for y in range(height):
        up, down, low = beside(y, len(grid), height)
        row = []
        for x in range(width):
            left, right, along = beside(x, len(grid[0]), width)
            above = grid[up][left] * (1 - along) + grid[up][right] * along
            below = grid[down][left] * (1 - along) + grid[down][right] * along
            row.append(above * (1 - low) + below * low)
        large.append(row)
    return large


def score_cam(A: Maps3, picture: np.ndarray, f: Score) -> Maps2:
    """Wang et al. 2020, Algorithm 1: H_k = s(Up(A_k)); alpha = softmax of f(X * H_k) - f(X_b); L = sum alpha_k A_k."""
    baseline = f(np.zeros_like(picture))
    increases = []
    for k in range(len(A)):
        large = np.array(enlarged(A[k], *picture.shape[1:]))
        span = large.max() - large.min()
        mask = (large - large.min()) / span if span > 0 else np.zeros_like(large)
        increases.append(f(picture * mask[None]) - baseline)
    powers = [np.exp(one - max(increases)) for one in increases]
    return _sum_of_maps(A, lambda k, i, j: powers[k] / sum(powers) * A[k][i][j])


def ablation_cam(A: Maps3, score: float, ablated: Callable[[int], float]) -> Maps2:
    """Desai & Ramaswamy 2020, eq. 3 and 4: w_k = (y - y_k) / y; L = sum_k w_k A_k. Here y is taken without its sign."""
    w = [_quotient(score - ablated(k), abs(score)) for k in range(len(A))]
    return _sum_of_maps(A, lambda k, i, j: w[k] * A[k][i][j])


def occlusion(picture: np.ndarray, f: Score, patch: int, stride: int) -> dict[tuple[int, int], float]:
    """Zeiler & Fergus 2014, section 4.2: the fall of the score as a function of the square's place (top, left)."""
    height, width = picture.shape[1:]
    tops = sorted({*range(0, height - patch + 1, stride), height - patch})
    lefts = sorted({*range(0, width - patch + 1, stride), width - patch})
    falls = {}
    for top in tops:
        for left in lefts:
            covered = picture.copy()
            covered[:, top : top + patch, left : left + patch] = 0
            falls[top, left] = f(picture) - f(covered)
    return falls


def rise(picture: np.ndarray, f: Score, masks: list[np.ndarray], keep: float) -> Maps2:
    """Petsiuk et al. 2018, eq. 6: S = 1 / (E[M] N) sum_i f(I * M_i) M_i, here with the scores' mean taken off.

    The masks are those that the code drew, so this proves the sum and not the masks; these have a test of their own.
    """
    scores = [f(picture * mask[None]) for mask in masks]
    mean = sum(scores) / len(scores)
    rows, columns = range(picture.shape[1]), range(picture.shape[2])
    total = [[0.0 for _ in columns] for _ in rows]
    for score, mask in zip(scores, masks, strict=True):
        for i in rows:
            for j in columns:
                total[i][j] += (score - mean) * float(mask[i, j])
    return [[value / (keep * len(masks)) for value in row] for row in total]


def guided_grad_cam(A: Maps3, g: Maps3, guided: np.ndarray) -> Maps2:
    """Selvaraju et al. 2017, section 3.2: the ReLU'd Grad-CAM map, enlarged, times guided backpropagation.

    `guided` is [Cin H W]; its colour channels are summed.
    """
    positive = [[max(value, 0.0) for value in row] for row in grad_cam(A, g, [])]
    peak = max(map(max, positive))
    scaled = [[_quotient(value, peak) for value in row] for row in positive]
    large = enlarged(scaled, *guided.shape[1:])
    summed = guided.sum(axis=0)
    return [[large[i][j] * float(summed[i, j]) for j in range(len(large[0]))] for i in range(len(large))]


def finer_cam(A: Maps3, g: Maps3, similar: list[Maps3], alpha: float) -> Maps2:
    """Zhang et al. 2025: weights alpha_k of Grad-CAM from y_c - gamma y_d, averaged over the similar classes d."""
    w = []
    for k in range(len(A)):
        own = _total(g[k]) / _cells(g[k])
        others = [own - alpha * _total(slopes[k]) / _cells(slopes[k]) for slopes in similar]
        w.append(sum(others) / len(others))
    return _sum_of_maps(A, lambda k, i, j: w[k] * A[k][i][j])


def refine_cam(layers: list[tuple[Maps3, Maps3]]) -> Maps2:
    """Domeniconi et al. 2026: the product over layers of Grad-CAM++'s maps, each scaled to 0..1 and enlarged."""
    rows = max(len(A[0]) for A, _ in layers)
    columns = max(len(A[0][0]) for A, _ in layers)
    product = [[1.0] * columns for _ in range(rows)]
    for A, g in layers:
        positive = [[max(value, 0.0) for value in row] for row in grad_cam_plus_plus(A, g, [])]
        low, high = min(map(min, positive)), max(map(max, positive))
        large = enlarged([[_quotient(value - low, high - low) for value in row] for row in positive], rows, columns)
        product = [[product[i][j] * large[i][j] for j in range(columns)] for i in range(rows)]
    return product


def legrad(gradients: list[Maps3], prefix: int) -> list[float]:
    """Bousselham et al. 2024: E^l_j = 1/(h n) sum_h sum_i (ds^l / dA^l_hij)^+, averaged over the layers l.

    `gradients` hold a block's ds/dA [h][i][j] each; the first `prefix` tokens are no patches.
    """
    tokens = len(gradients[0][0])
    E = [0.0] * tokens
    for G in gradients:
        for j in range(tokens):
            positive = sum(max(G[h][i][j], 0.0) for h in range(len(G)) for i in range(tokens))
            E[j] += positive / (len(G) * tokens) / len(gradients)
    return E[prefix:]


def attention_rollout(attention: list[Maps3], read: list[int], prefix: int) -> list[float]:
    """Abnar & Zuidema 2020, section 3: rollout(l) = (0.5 W_l + 0.5 I) rollout(l - 1), W_l the mean over the heads."""
    tokens = range(len(attention[0][0]))
    flow = [[float(i == j) for j in tokens] for i in tokens]
    for W in attention:
        mixed = [[0.5 * sum(head[i][j] for head in W) / len(W) + 0.5 * float(i == j) for j in tokens] for i in tokens]
        flow = [[sum(mixed[i][m] * flow[m][j] for m in tokens) for j in tokens] for i in tokens]
    return [sum(flow[i][j] for i in read) / len(read) for j in tokens][prefix:]


def ranks(values: Any) -> list[float]:
    """Each value's rank from 1; equal values share the mean of theirs."""
    ordered = sorted(values)
    return [
        sum(place + 1 for place, other in enumerate(ordered) if other == value) / ordered.count(value)
        for value in values
    ]


def spearman(values: Any, others: Any) -> float:
    """Spearman 1904: Pearson's correlation of the ranks."""
    r, s = ranks(list(values)), ranks(list(others))
    mean_r, mean_s = sum(r) / len(r), sum(s) / len(s)
    together = sum((a - mean_r) * (b - mean_s) for a, b in zip(r, s, strict=True))
    return float(together / (sum((a - mean_r) ** 2 for a in r) * sum((b - mean_s) ** 2 for b in s)) ** 0.5)


def hottest(values: Any) -> set[int]:
    """Places that are at least half as hot as the hottest."""
    return {place for place, value in enumerate(values) if value >= max(values) / 2}


def hottest_overlap(values: Any, others: Any) -> float:
    """Jaccard 1912: intersection over union of the hottest places."""
    hot, other_hot = hottest(values), hottest(others)
    return len(hot & other_hot) / len(hot | other_hot)


def movement(values: Any, others: Any) -> float:
    """The share of both hottest areas together that lies in only one of them (Jaccard's distance)."""
    hot, other_hot = hottest(values), hottest(others)
    return sum((place in hot) != (place in other_hot) for place in range(len(values))) / len(hot | other_hot)


def overlap_by_chance(first: int, second: int, places: int) -> float:
    """The mean overlap of two areas of these sizes that lie anywhere: over every number of shared places."""
    total = math.comb(places, second)
    shared = range(max(0, first + second - places), min(first, second) + 1)
    return sum(
        math.comb(first, i) * math.comb(places - first, second - i) / total * i / (first + second - i) for i in shared
    )


def value_at(
    grid: Maps2, box: tuple[float, float, float, float], y: float, x: float, offset: Any = (0.0, 0.0)
) -> float | None:
    """A map's value at a place of the picture, bilinearly between the centres of its cells; None outside its box.

    The centres lie `offset` (down, right) beside the middles of equal parts of the box.
    """
    top, left, bottom, right = box
    if not (top <= y <= bottom and left <= x <= right):
        return None
    rows, columns = len(grid), len(grid[0])
    down = min(max((y - offset[0] - top) / (bottom - top) * rows - 0.5, 0), rows - 1)
    along = min(max((x - offset[1] - left) / (right - left) * columns - 0.5, 0), columns - 1)
    i, j = min(int(down), max(rows - 2, 0)), min(int(along), max(columns - 2, 0))
    p, q = down - i, along - j
    k, m = min(i + 1, rows - 1), min(j + 1, columns - 1)
    return (1 - p) * ((1 - q) * grid[i][j] + q * grid[i][m]) + p * ((1 - q) * grid[k][j] + q * grid[k][m])


def difference(grids: list[Maps2], boxes: Any, picture: tuple[int, int]) -> Maps2:
    """One map minus another, pixel by pixel; NaN where either has no value."""
    rows = []
    for y in range(picture[0]):
        pairs = [
            [value_at(g, b, y + 0.5, x + 0.5) for g, b in zip(grids, boxes, strict=True)] for x in range(picture[1])
        ]
        rows.append([math.nan if a is None or b is None else a - b for a, b in pairs])
    return rows


def common_values(
    grids: list[Maps2], boxes: Any, picture: tuple[int, int], cells: int, offsets: Any = ((0.0, 0.0), (0.0, 0.0))
) -> tuple[list[float], list[float]]:
    """Both maps' values at the middles of a grid over the part of the picture that lies in both boxes."""
    top, left = max(0.0, *(box[0] for box in boxes)), max(0.0, *(box[1] for box in boxes))
    bottom, right = min(picture[0], *(box[2] for box in boxes)), min(picture[1], *(box[3] for box in boxes))
    height, width = bottom - top, right - left
    rows, columns = (round(cells * side / max(height, width)) for side in (height, width))
    values, others = [], []
    for i in range(rows):
        for j in range(columns):
            y, x = top + (i + 0.5) / rows * height, left + (j + 0.5) / columns * width
            a, b = (value_at(grid, box, y, x, beside) for grid, box, beside in zip(grids, boxes, offsets, strict=True))
            values.append(a)
            others.append(b)
    return values, others


def mahalanobis(f: list[float], means: Maps2, covariance: np.ndarray) -> float:
    """Lee et al. 2018, eq. 2, as a distance: the root of min_c (f - mu_c)^T Sigma^-1 (f - mu_c)."""
    precision = np.linalg.inv(covariance)
    squares = []
    for mu in means:
        total = 0.0
        for i in range(len(f)):
            for j in range(len(f)):
                total += (f[i] - mu[i]) * precision[i][j] * (f[j] - mu[j])
        squares.append(total)
    return float(min(squares) ** 0.5)


def tied_covariance(F: Maps2, classes: list[int]) -> tuple[Maps2, np.ndarray]:
    """Lee et al. 2018, eq. 1: mu_c = 1/N_c sum f; Sigma = 1/N sum_c sum (f - mu_c)(f - mu_c)^T."""
    means = []
    for c in range(max(classes) + 1):
        own = [f for f, k in zip(F, classes, strict=True) if k == c]
        means.append([sum(column) / len(own) for column in zip(*own, strict=True)])
    sigma = np.zeros((len(F[0]), len(F[0])))
    for f, k in zip(F, classes, strict=True):
        for i in range(len(f)):
            for j in range(len(f)):
                sigma[i][j] += (f[i] - means[k][i]) * (f[j] - means[k][j]) / len(F)
    return means, sigma


def probabilistic_pca(S: np.ndarray, q: int) -> np.ndarray:
    """Tipping & Bishop 1999, eq. 7 and 8: C = W W^T + s I with W = U_q (L_q - s I)^1/2, s the mean of what is left."""
    values, vectors = np.linalg.eigh(S)
    values, vectors = values[::-1], vectors[:, ::-1]
    s = sum(values[q:]) / (len(values) - q)
    W = vectors[:, :q] @ np.diag([(value - s) ** 0.5 for value in values[:q]])
    covariance: np.ndarray = W @ W.T + s * np.eye(len(values))
    return covariance
