"""What a method may ask for, and the mark that makes a function a method.

activations [N C h w]       the layer's output
gradients   [K N C h w]     the targets' scores differentiated by it
head        [K C]           the classifier's weights of the targets, where it reads the layer's average
scores      [K N]           the targets' scores
inputs      [N Cin Hin Win] what the network was given
guided      [K N Cin Hin Win] gradients by the input, through guided ReLUs
forward     inputs [B Cin Hin Win] -> scores [K B]: the whole network
tail        activations [B C h w] -> scores [K B]: what follows the layer

A method with `forward` or `tail` gets one picture at a time (N = 1). One that takes long also asks for
`progress`, and calls it after each batch with the share done and the maps so far, if there are any.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from gradcam_core.registry import Function, member

NEEDS = ("activations", "gradients", "head", "scores", "inputs", "guided", "forward", "tail")
# Methods that need none of these ignore the layer: their map lies on the model's input.
OF_A_LAYER = frozenset({"activations", "gradients", "head", "tail"})
# Methods that need one of these run the network themselves, one picture at a time.
OWN_PASSES = frozenset({"forward", "tail"})

Rescore = Callable[[Tensor], Tensor]

method: Callable[..., Callable[[Function], Function]] = partial(member, allowed=NEEDS)
