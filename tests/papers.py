"""The methods' formulas as their papers print them: plain loops, double precision, no shortcuts.

A[k][i][j] is feature map k at row i and column j, g[k][i][j] the class score's derivative by it,
w[k] the classifier's weight. Every function returns the map before its final ReLU. A quotient 0/0
counts as 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Maps3 = list[list[list[float]]]
Maps2 = list[list[float]]


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


TWINS: dict[str, Callable[[Maps3, Maps3, list[float]], Maps2]] = {
    twin.__name__: twin for twin in (cam, grad_cam, grad_cam_plus_plus, xgrad_cam, hires_cam, layer_cam)
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
