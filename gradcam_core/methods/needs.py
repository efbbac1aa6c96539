"""What a method may ask for, and the mark that makes a function a method.

activations [N C h w]       the layer's output
gradients   [K N C h w]     the targets' scores differentiated by it
head        [K C]           the classifier's weights of the targets, where it reads the layer's average
scores      [K N]           the targets' scores
inputs      [N Cin Hin Win] what the network was given
guided      [K N Cin Hin Win] gradients by the input, through guided ReLUs
forward     inputs [B Cin Hin Win] -> scores [K B]: the whole network
tail        activations [B C h w] -> scores [K B]: what follows the layer
similar     count -> gradients [K N C h w] of the mean score of the classes most like each target's
levels      count -> evidence at layers of the network's depth, shallow to deep; the layer itself is the last
attention   () -> the attention weights of a vision transformer's blocks
attention_gradients  first block -> for each block from there on the gradients [K N heads T d] of its own target scores
            by its attention's output, and its patches' values [N heads d h w]

A method with one of the functions gets one picture at a time (N = 1). One that takes long also asks for
`progress`, and calls it after each batch with the share done and the maps so far, if there are any.
"""

from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor

from gradcam_core.capture import Attention
from gradcam_core.records import Evidence
from gradcam_core.registry import Function, member

# Methods that need one of these run the network themselves, one picture at a time.
OWN_PASSES = frozenset({"forward", "tail", "similar", "levels", "attention", "attention_gradients"})
NEEDS = ("activations", "gradients", "head", "scores", "inputs", "guided", *sorted(OWN_PASSES))
# Methods that need none of these ignore the layer: their map lies on the model's input.
OF_A_LAYER = frozenset({"activations", "gradients", "head", "tail", "levels"})
# What is the same for every class.
OF_NO_CLASS = frozenset({"activations", "scores", "inputs", "attention"})

Rescore = Callable[[Tensor], Tensor]
Similar = Callable[[int], Tensor]
Levels = Callable[[int], tuple[Evidence, ...]]
BlockAttention = Callable[[], Attention]
BlockGradients = Callable[[int], Iterator[tuple[Tensor, Tensor]]]

method: Callable[..., Callable[[Function], Function]] = partial(member, allowed=NEEDS)
