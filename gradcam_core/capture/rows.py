"""A detector's box head, differentiated for the boxes that the targets read instead of for all of them.

Where a step reads what RoIAlign pooled for many boxes, each row of its output depends on its own box only. The pass
runs that step without a graph, and the targets' gradients come back to few of its rows. Those alone are pooled and run
again, with a graph that leads to the maps. What they give must equal what the pass gave; else all rows are run again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """What boxes were pooled to, as `values` [R ...] with a graph, and how some of the `boxes` are pooled again."""

    values: torch.Tensor
    boxes: Any
    pool: Callable[[Any], torch.Tensor]

    def of_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """The values [r ...] of some rows, which ascend."""
        if isinstance(self.boxes, torch.Tensor):
            return self.pool(self.boxes[rows])
        parts, start = [], 0
        for boxes in self.boxes:
            inside = (rows >= start) & (rows < start + len(boxes))
            parts.append(boxes[rows[inside] - start])
            start += len(boxes)
        return self.pool(parts)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A step that ran without a graph: what it read, and its output, `leaf` [R ...], with which a new graph begins."""

    pooled: Pooled
    step: nn.Module
    leaf: torch.Tensor

    def again(self, slopes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The step's output, with a graph, for the rows to which slopes [K R ...] come back; and the slopes there."""
        rows = slopes.flatten(2).any(dim=2).any(dim=0).nonzero()[:, 0]
        values, expected = self.step(self.pooled.of_rows(rows)), self.leaf.detach()[rows]
        slack = 1e-4 * float(expected.abs().max()) if len(rows) else 0.0
        if values.shape == expected.shape and torch.allclose(values, expected, rtol=1e-3, atol=slack):
            return values, slopes[:, rows]
        return self.step(self.pooled.values), slopes


@dataclass(slots=True)
class Cuts:
    """The cuts of one pass. `open` is the step that runs without a graph at the moment."""

    kept: frozenset[str] = frozenset()  # names of layers whose graph is wanted
    cuts: list[Cut] = field(default_factory=list)
    pooled: Pooled | None = None
    open: nn.Module | None = None
    over: bool = False

    def finish(self) -> list[Cut]:
        """The cuts of the pass, which is over: from now on steps that run again are not cut."""
        self.over = True
        return self.cuts


def install_cuts(network: nn.Module, cuts_of_pass: Callable[[], Cuts | None]) -> None:
    """Let steps that read what RoIAlign pooled beside them begin a new graph, in passes that have a Cuts."""
    from torchvision import ops

    pools = (ops.MultiScaleRoIAlign, ops.RoIAlign)
    for name, part in network.named_modules():
        children = dict(part.named_children())
        if not any(isinstance(child, pools) for child in children.values()):
            continue
        for key, child in children.items():
            if isinstance(child, pools):
                child.register_forward_hook(_noting(cuts_of_pass), with_kwargs=True)
            else:
                full = f"{name}.{key}" if name else key
                child.register_forward_pre_hook(_opening(cuts_of_pass, full))
                child.register_forward_hook(_closing(cuts_of_pass))


def _noting(cuts_of_pass: Callable[[], Cuts | None]) -> Callable[..., None]:
    def note(pool: nn.Module, given: tuple[Any, ...], named: dict[str, Any], values: torch.Tensor) -> None:
        cuts = cuts_of_pass()
        if cuts is None or cuts.over or len(given) < 2 or not values.requires_grad:
            return
        maps, boxes, *more = given
        rows = len(boxes) if isinstance(boxes, torch.Tensor) else sum(map(len, boxes))
        cuts.pooled = Pooled(values, boxes, lambda part: pool(maps, part, *more, **named)) if rows else None

    return note


def _opening(cuts_of_pass: Callable[[], Cuts | None], name: str) -> Callable[[nn.Module, Any], None]:
    def begin(step: nn.Module, given: tuple[Any, ...]) -> None:
        cuts = cuts_of_pass()
        if cuts is None or cuts.over or cuts.pooled is None or len(given) != 1:
            return
        if given[0] is cuts.pooled.values and not any(f"{layer}.".startswith(f"{name}.") for layer in cuts.kept):
            cuts.open = step
            torch.set_grad_enabled(False)

    return begin


def _closing(cuts_of_pass: Callable[[], Cuts | None]) -> Callable[[nn.Module, Any, Any], Any]:
    def end(step: nn.Module, given: Any, output: Any) -> Any:
        cuts = cuts_of_pass()
        if cuts is None or cuts.open is not step or cuts.pooled is None:
            return None
        cuts.open = None
        torch.set_grad_enabled(True)
        if not isinstance(output, torch.Tensor) or len(output) != len(cuts.pooled.values):
            return step.forward(*given)  # it does not keep the rows
        leaf = output.detach().requires_grad_()
        cuts.cuts.append(Cut(cuts.pooled, step, leaf))
        return leaf.clone()

    return end
