"""What a model gives a heatmap's target, and which share of it is lost with a part of the picture."""

from dataclasses import dataclass

import torch

from gradcam_core.capture import scorer
from gradcam_core.checks.needs import NotTestable
from gradcam_core.checks.reruns import Rerun
from gradcam_core.errors import TargetError
from gradcam_core.measures.given import visible_in
from gradcam_core.shapes import InputTensor
from gradcam_core.targets import Followed

# Below this share, hiding a part has nothing to take away; numbers that differ by less than SAME are the same.
NOTHING_TO_LOSE, SAME = 0.001, 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Amount:
    """The number that a target is followed by: `before` is that of the whole picture.

    `empty` is the number of a picture that has this one's mean colour everywhere. It stands for nothing where the
    number has no zero of its own; None for a share, which has.
    """

    followed: Followed
    before: float
    empty: float | None = None

    @property
    def name(self) -> str:
        """What the number is called."""
        return self.followed.name

    @property
    def is_share(self) -> bool:
        """Whether the number is a share, 0..1."""
        return self.empty is None

    def words(self, value: float) -> str:
        """Write one of its values with its unit."""
        return self.followed.words(value)

    def lost(self, after: float) -> float:
        """The share of it that is lost where the number is `after`; below 0 where there is more of it."""
        if self.empty is None:
            return (self.before - after) / self.before if self.before else 0.0
        whole = abs(self.before - self.empty)
        return self.followed.sign * (self.before - after) / whole if whole else 0.0

    def changed(self, after: float) -> float:
        """The same, in either direction for a number: what is read may raise it or lower it."""
        return self.lost(after) if self.empty is None else abs(self.lost(after))

    @property
    def empty_words(self) -> str:
        """A sentence on the number of an empty picture; "" for a share."""
        if self.empty is None:
            return ""
        return f" The picture’s mean colour alone gives {self.words(self.empty)}."


def amount_of_target(rerun: Rerun) -> Amount:
    """What the model gives the heatmap's target. Takes one pass more for a number that has no zero of its own."""
    number = rerun.followed
    before = float(number.values(rerun.first.outputs)[0])
    if number.is_share:
        return Amount(number, before)
    return Amount(number, before, float(number.values(scorer(rerun.first.model)(empty_input(rerun)))[0]))


def testable_amount(rerun: Rerun) -> Amount:
    """The same. Raises NotTestable where hiding a part has nothing to take away."""
    try:
        amount = amount_of_target(rerun)
    except TargetError as error:
        raise NotTestable(error.message) from error
    if amount.empty is None:
        if not amount.before >= NOTHING_TO_LOSE:
            name = amount.name.capitalize()
            raise NotTestable(f"{name} of {amount.followed.label} is almost 0, so hiding a part cannot lower it.")
    elif not abs(amount.before - amount.empty) > SAME * max(abs(amount.before), abs(amount.empty)):
        raise NotTestable(
            f"The picture’s mean colour alone gives {amount.words(amount.empty)}, as the picture does, so there is "
            "nothing that could be lost."
        )
    return amount


def empty_input(rerun: Rerun) -> InputTensor:
    """The input [1 Cin Hin Win] with its mean colour instead of the picture; padding stays."""
    inputs = rerun.first.inputs
    visible = torch.from_numpy(visible_in(rerun.heatmap.placement)).to(inputs.device)
    means = (inputs * visible).sum(dim=(2, 3), keepdim=True) / visible.sum().clamp(min=1)
    return torch.where(visible, means, inputs)
