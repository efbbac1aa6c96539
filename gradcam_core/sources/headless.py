"""A file without a classifier, as pretraining leaves it: the same architecture, ending in features."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from gradcam_core.sources.family import Architecture
from gradcam_core.sources.names import EXTRAS, Shape
from gradcam_core.sources.state_dicts import Fit, fit_tensors
from gradcam_core.sources.torchvision_models import task_of

# What pretraining without labels keeps beside the network: MoCo, SimCLR, BYOL, SwAV, DINO, iBOT, MAE, SimMIM.
PRETRAINED = re.compile(
    r"(^|[._])(queue|queue_ptr|encoder_q|encoder_k|base_encoder|momentum_encoder|online_\w+|student|teacher|projector|"
    r"projection_head|proj_head|predictor|prototypes|dino_head|ibot_head|decoder_\w+|mask_token)([._]|$)"
)
ONLY_PRETRAINING = ("queue", "projector.", "projection_head.", "predictor.", "prototypes.", "decoder_", "mask_token")
PROJECTED = re.compile(r"(^|[._])(queue|encoder_q)([._]|$)")
# Parts of names that tell of a classifier, or of another kind of head.
HEADS = re.compile(
    r"(^|[._])(\w*head\w*|classifier\w*|cls|logits|fc\d*|last_linear|last_layer|out|output|decode\w*)[._]", re.I
)
LEAST_SHARE = 0.5


def without_classifier(recipe: Architecture, fit: Fit, stored: Mapping[str, Shape]) -> Architecture | None:
    """The recipe without its classifier, if a file that does not fit it may be its body alone; else None.

    A file with another classifier, which the architecture cannot take, is no body.
    """
    places = {name.rpartition(".")[0] for name in fit.head}
    if not places or "" in places or task_of(recipe.name.rpartition(":")[2]):
        return None
    pretrained, projected = (any(map(sign.search, stored)) for sign in (PRETRAINED, PROJECTED))
    own = fit.match.names.keys() & set(fit.head)
    needed = [name for name in fit.expected if not name.endswith(EXTRAS)]
    if (own and not projected) or len(stored) < LEAST_SHARE * len(needed):
        return None
    widths = {shape[1] for name in fit.head if len(shape := tuple(fit.expected[name].shape)) > 1}
    if not pretrained and _has_a_head((*fit.match.unexpected, *fit.match.elsewhere), stored, widths):
        return None
    unused = (*recipe.unused, *ONLY_PRETRAINING, *(f"{place}." for place in places)) if pretrained else recipe.unused

    def build(**options: Any) -> nn.Module:
        return _ending_in_features(recipe.build(**options, num_classes=1), places)

    return replace(recipe, build=build, options=recipe.options - {"num_classes"}, unused=unused, headless=True)


def fit_network_or_body(recipe: Architecture, shapes: Mapping[str, Shape]) -> Fit:
    """Compare a file with a network, or with the network's body where that is all that the file holds."""
    fit = fit_tensors(recipe, shapes)
    body = without_classifier(recipe, fit, shapes)
    without = fit_tensors(body, shapes) if body else fit
    return without if without.complete else fit


def _has_a_head(rest: Iterable[str], stored: Mapping[str, Shape], widths: set[int]) -> bool:
    """Whether a tensor that the body has no use for reads features, or is named as part of a head."""
    return any(HEADS.search(name) or (len(stored[name]) == 2 and stored[name][1] in widths) for name in rest)


def _ending_in_features(network: nn.Module, places: Iterable[str]) -> nn.Module:
    """The network with its classifier replaced, by its own way of doing that if it has one."""
    if callable(reset := getattr(network, "reset_classifier", None)):
        reset(0)
    else:
        for place in places:
            network.set_submodule(place, nn.Identity())
    if isinstance(getattr(network, "num_classes", None), int):
        network.num_classes = 0  # type: ignore[assignment]
    return network
