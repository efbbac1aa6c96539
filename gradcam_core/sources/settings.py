"""What a whole pickled model says of its layers besides their weights, compared with the network built for them."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.sources.stand_ins import SETTINGS
from gradcam_core.text import one_line

COMPARED = ("stride", "padding", "dilation", "groups", "negative_slope", "num_heads", "approximate")
ACTIVATIONS = "torch.nn.modules.activation."
MOST_MODULES, DEEPEST = 20_000, 24
OTHER_FUNCTION = "Give the architecture as a function that builds the network as it was trained."


def take_settings(network: nn.Module, names: Mapping[str, str], prefix: str, content: Mapping[str, Any]) -> str:
    """Give a network's layers the eps that the file states; return a note about it, or "".

    `names` leads from the network's tensors to the file's. Raises ModelError where a layer of the file works in
    another way than the network's, as with another stride.
    """
    stated = dict(_settings(content))
    if not stated:
        return ""
    places = {own.rpartition(".")[0]: name.rpartition(".")[0] for own, name in names.items()}
    changed = [
        module
        for own, module in network.named_modules()
        if (settings := stated.get(places.get(own, prefix + own))) and _take(own, module, settings)
    ]
    return f"{len(changed)} layers have another eps in the file, which was taken." if changed else ""


def _take(name: str, module: nn.Module, settings: Mapping[str, Any]) -> bool:
    """Compare one layer; return whether its eps was changed."""
    for key in COMPARED:
        own, stated = getattr(module, key, None), settings.get(key)
        if own is not None and type(own) is type(stated) and own != stated:
            message = f"The saved model's layer {one_line(name)} has {key} {stated}, this architecture's {own}."
            raise ModelError(message, OTHER_FUNCTION)
    kind = settings.get("class", "")
    if kind.startswith(ACTIVATIONS) and f"{type(module).__module__}." == ACTIVATIONS:
        own_kind, stated_kind = type(module).__name__, kind.removeprefix(ACTIVATIONS)
        if own_kind != stated_kind:
            message = (
                f"The saved model's layer {one_line(name)} is {one_line(stated_kind)}, this architecture's {own_kind}."
            )
            raise ModelError(message, OTHER_FUNCTION)
    eps = settings.get("eps")
    if not isinstance(eps, float) or not isinstance(getattr(module, "eps", None), float) or module.eps == eps:
        return False
    if not 0 <= eps < 1:
        raise ModelError(f"The saved model's layer {one_line(name)} has eps {eps}.", OTHER_FUNCTION)
    module.eps = eps  # type: ignore[assignment]
    return True


def _settings(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The settings of each module in the content, with its dotted name."""
    waiting: list[tuple[str, Mapping[Any, Any], int]] = [("", content, 0)]
    visited = 0
    while waiting and visited < MOST_MODULES:
        prefix, mapping, depth = waiting.pop()
        visited += 1
        if SETTINGS in mapping:
            yield prefix.rstrip("."), mapping[SETTINGS]
        if depth < DEEPEST:
            inner = ((key, x) for key, x in mapping.items() if isinstance(key, str) and isinstance(x, Mapping))
            waiting.extend((f"{prefix}{key}.", x, depth + 1) for key, x in inner)
