"""The taps: hooks that are installed once, when a model is loaded, and do nothing but look into a context variable.

The variable is per thread, so that many analyses can run through one shared model at once, without a
lock. Nothing is written on the model.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn

from gradcam_core.capture.rows import Cuts, install_cuts


class Listener(Protocol):
    """What one pass wants of the taps: the layers, and what each of them hands on instead of its output."""

    @property
    def wanted(self) -> frozenset[str]:
        """Names of layers."""

    def take(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """Take a layer's output; return what the network goes on with."""


@dataclass(slots=True)
class Session:
    """Which layers' outputs one analysis wants, whether with gradients, and the outputs so far.

    `cuts` are those of a detector's box head (see capture/rows.py), where the analysis can do with them.
    """

    wanted: frozenset[str]
    gradients: bool
    outputs: dict[str, torch.Tensor] = field(default_factory=dict)
    cuts: Cuts | None = None

    def take(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """Start the graph at this layer, and hand on a copy, which a later in-place step may overwrite.

        A second layer behind the first keeps its place in the graph that the first one started.
        """
        if not self.gradients:
            self.outputs[name] = output.clone()
            return output
        torch.set_grad_enabled(True)
        leaf = output if output.requires_grad else output.detach().requires_grad_()
        self.outputs[name] = leaf
        return leaf.clone()


_session: ContextVar[Listener | None] = ContextVar("capture_session", default=None)


def install_taps(network: nn.Module, names: Iterable[str]) -> None:
    """Install a tap behind every named module, and where a detector's box head can be cut; they stay there."""
    modules = dict(network.named_modules())
    install_cuts(network, lambda: getattr(_session.get(), "cuts", None))
    for name in names:
        modules[name].register_forward_hook(_tap(name))


def _tap(name: str) -> Callable[[nn.Module, Any, Any], Any]:
    def tap(module: nn.Module, inputs: Any, output: Any) -> Any:
        session = _session.get()
        if session is None or name not in session.wanted:
            return None
        return session.take(name, output)

    return tap


def wants_gradients() -> bool:
    """Whether the analysis of this thread reads gradients."""
    return getattr(_session.get(), "gradients", False) is True


@contextmanager
def listening(session: Listener | None, device: torch.device) -> Iterator[None]:
    """Run with this session's taps, in any mode of the caller's; all are restored at the end.

    Where gradients are wanted they are on from the beginning, so that a part that the network itself runs without
    them ends with them on. Nothing is recorded before the first tap: no tensor there requires a gradient.
    """
    token = _session.set(session)
    try:
        with (
            torch.inference_mode(False),
            torch.set_grad_enabled(wants_gradients()),
            torch.autocast(device.type, enabled=False),
        ):
            yield
    finally:
        _session.reset(token)
