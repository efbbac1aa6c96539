"""Which of a network's outputs are its class scores, where it returns several or under a name of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from gradcam_core.capture.scores import are_objects
from gradcam_core.errors import ModelError

KNOWN = ("logits", "out")
Path = tuple[Any, ...]


def narrow_outputs(network: nn.Module, returned: Any) -> tuple[Any, str]:
    """Choose the class scores in what a network returned for one picture, and let it return them alone from now on.

    Returns the scores, and a note where there was a choice. Outputs of the usual form stay as they are. Raises
    ModelError, with what was returned, where nothing in it is one score per class.
    """
    if isinstance(returned, torch.Tensor) or _is_usual(returned) or are_objects(returned):
        return returned, ""
    tensors = dict(_tensors(returned))
    candidates = {path: scores for path, tensor in tensors.items() if (scores := _as_scores(tensor)) is not None}
    if not candidates:
        shapes = ", ".join(f"{_words(path)} {list(tensor.shape)}" for path, tensor in list(tensors.items())[:6])
        raise ModelError(
            f"The model returns a {type(returned).__name__} without one score per class ({shapes or 'no tensors'}).",
            "Use a classifier, or wrap yours so that it returns [pictures, classes].",
        )
    read = {path for path in candidates if any(_leads_to(network, candidates[path], x) for x in candidates.values())}
    path = next((path for path in candidates if path not in read), next(iter(candidates)))
    network.register_forward_hook(_narrowing(path))
    return candidates[path], _note(path, candidates, read)


def _note(path: Path, candidates: Mapping[Path, torch.Tensor], read: set[Path]) -> str:
    if len(candidates) == 1:
        return ""
    sizes = {x: f"{_words(x)} ({scores.shape[1]} values)" for x, scores in candidates.items()}
    chosen, others = sizes.pop(path), ", ".join(sizes.values())
    reason = ", which the network computes from the others" if len(candidates) - len(read) == 1 else ""
    return (
        f"The network returns several outputs. Taken as its class scores: {chosen}{reason}; not {others}. "
        "For another one, wrap the network so that it returns that alone."
    )


def _is_usual(returned: Any) -> bool:
    """Whether class_scores finds the scores by the name that they usually have."""
    if isinstance(returned, Mapping):
        return any(isinstance(returned.get(name), torch.Tensor) for name in KNOWN)
    return isinstance(getattr(returned, "logits", None), torch.Tensor)


def _tensors(returned: Any, path: Path = ()) -> Iterator[tuple[Path, torch.Tensor]]:
    """All tensors with the way to them, in order."""
    if isinstance(returned, torch.Tensor):
        yield path, returned
    elif isinstance(returned, Mapping):
        for key, value in returned.items():
            yield from _tensors(value, (*path, key))
    elif isinstance(returned, Sequence) and not isinstance(returned, str) and len(path) < 4:
        for index, value in enumerate(returned):
            yield from _tensors(value, (*path, index))


def _as_scores(tensor: torch.Tensor) -> torch.Tensor | None:
    if tensor.dim() == 4 and tensor.shape[2:] == (1, 1):
        tensor = tensor.flatten(1)
    return tensor if tensor.dim() == 2 and tensor.shape[1] > 0 and tensor.is_floating_point() else None


def _leads_to(network: nn.Module, features: torch.Tensor, scores: torch.Tensor) -> bool:
    """Whether a linear step of the network makes these scores of these features."""
    steps = [part for part in network.modules() if isinstance(part, nn.Linear)]
    shape = (scores.shape[1], features.shape[1])
    return features is not scores and any(
        step.weight.shape == shape
        and torch.allclose(functional.linear(features.to(step.weight), step.weight, step.bias), scores, atol=1e-4)
        for step in steps
    )


def _narrowing(path: Path) -> Callable[[nn.Module, Any, Any], Any]:
    def narrow(network: nn.Module, given: Any, returned: Any) -> Any:
        for key in path:
            returned = returned[key]
        return returned

    return narrow


def _words(path: Path) -> str:
    """`the output 'age'`, `output 2`."""
    key = path[-1]
    return f"output {key + 1}" if isinstance(key, int) else f"the output '{str(key)[:40]}'"
