"""The tests' own watchman: shapes are really checked, and other arguments reach the code."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from gradcam_core.errors import TargetError
from gradcam_core.methods.weighting import grad_cam
from gradcam_core.placement import resample
from gradcam_core.records import Evidence, LayerInfo
from gradcam_core.targets import choose_targets


def test_wrong_shapes_are_caught_in_arguments_records_and_results() -> None:
    with pytest.raises(TypeCheckError):
        resample(np.zeros((2, 3, 4), np.float32), (4, 4))
    with pytest.raises(TypeCheckError):
        resample(np.zeros((2, 3)), (4, 4))
    with pytest.raises(TypeCheckError):
        grad_cam(torch.zeros(1, 5, 4, 4), torch.zeros(2, 1, 6, 4, 4))
    layer = LayerInfo("x", "X", 5, (4, 4))
    with pytest.raises(TypeCheckError):
        Evidence(layer, torch.zeros(1, 5, 4, 4), None, torch.zeros(1, 1), torch.zeros(5))


def test_other_arguments_reach_the_code() -> None:
    with pytest.raises(TargetError):
        choose_targets(None, (), "three")  # type: ignore[arg-type]
