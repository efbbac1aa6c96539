"""The shape letters, as types that the tests check at run time.

N pictures (or noisy copies), K targets, C channels, h w the layer's grid, H W picture pixels,
Hin Win the model input.
"""

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor

Pixels = Float32[np.ndarray, "H W 3"]
Map = Float32[np.ndarray, "h w"]
Heat = Float32[np.ndarray, "H W"]
Colours = UInt8[np.ndarray, "H W 3"]
InputArray = Float32[np.ndarray, "C Hin Win"]

InputTensor = Float32[Tensor, "N Cin Hin Win"]
Activations = Shaped[Tensor, "N C h w"]
Gradients = Shaped[Tensor, "K N C h w"]
Maps = Shaped[Tensor, "K N h w"]
InputGradients = Shaped[Tensor, "K N Cin Hin Win"]
InputMaps = Shaped[Tensor, "K N Hin Win"]
Outputs = Shaped[Tensor, "N classes"]
Scores = Shaped[Tensor, "K N"]
Head = Shaped[Tensor, "K C"]
