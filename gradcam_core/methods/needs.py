"""What a method may ask for, and the mark that makes a function a method.

activations [N C h w]   the layer's output
gradients   [K N C h w] the targets' scores differentiated by it
head        [K C]       the classifier's weights of the targets, where it reads the layer's average
"""

from collections.abc import Callable
from functools import partial

from gradcam_core.registry import Function, member

method: Callable[..., Callable[[Function], Function]] = partial(member, allowed=("activations", "gradients", "head"))
