"""The nouns of a comparison: a class in every model, a pair of heatmaps, and all of it."""

from dataclasses import dataclass, replace
from typing import Literal

from gradcam_core.checks import Trust
from gradcam_core.comparison.difference import Scale, difference_map, difference_on_picture
from gradcam_core.comparison.partners import Partners
from gradcam_core.records import Explanation, Heatmap, ImageRecord, Prediction
from gradcam_core.shapes import Heat

# What differs between the models, for the first of the compared classes.
Outcome = Literal[
    "nothing differs", "evidence partly differs", "evidence differs", "answers differ", "evidence not compared"
]
# Hottest areas that overlap by SAME_PLACE overlap clearly; by FEW, or by CHANCE times what chance gives,
# at different places. Measured on drawn radiographs: two models that find the nodule overlap by 27 to 92 %, one that
# finds it and one that reads a marker by 0 to 5 %.
SAME_PLACE, FEW, CHANCE = 0.25, 0.1, 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """Two models' heatmaps of one class. `places` are those of the models, counted from 0.

    `correlation` is Spearman's rank correlation, `overlap` the intersection over union of the hottest areas (at least
    half of the peak), and `chance` the overlap of two areas of these sizes that lie anywhere. All are None where there
    is nothing to compare, and `reason` says why.
    """

    label: str
    places: tuple[int, int]
    heatmaps: tuple[Heatmap, Heatmap]
    scale: Scale
    correlation: float | None = None
    overlap: float | None = None
    chance: float | None = None
    reason: str = ""

    @property
    def difference(self) -> Heat:
        """The first heatmap minus the second on the picture's pixels, -1..1; NaN where either did not look.

        Computed at each access, as `Heatmap.values` is.
        """
        return difference_on_picture(*self.heatmaps, self.scale)

    @property
    def difference_map(self) -> Heatmap | None:
        """The difference on a coarse grid, to be drawn; None where the models saw no part in common."""
        return difference_map(*self.heatmaps, self.scale)

    @property
    def standing(self) -> Literal["same place", "partly", "different places", "not compared"]:
        """How far the hottest areas lie at the same place."""
        if self.overlap is None or self.chance is None:
            return "not compared"
        # Halfway between chance and 1 at most: areas that fill most of the picture overlap much by chance.
        if self.overlap <= max(FEW, min(CHANCE * self.chance, (1 + self.chance) / 2)):
            return "different places"
        return "same place" if self.overlap >= SAME_PLACE else "partly"


@dataclass(frozen=True, slots=True, eq=False)
class ComparedClass:
    """A class of the first model, with its heatmap in each model; None where a model has no such class.

    `pairs` has every two of these heatmaps.
    """

    index: int
    label: str
    heatmaps: tuple[Heatmap | None, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two to four models on one picture.

    `explanations` has one for each model. `partners` has, for each model, its index for each class of the first
    model, and `classes` the compared ones. `answers` has each model's top prediction; of findings or a regression, what
    it says of the first compared class; None where it says nothing. `same_answer` has a number for each model: models
    with the same number have the same answer. `seconds` is how long each model took, `comparing_seconds` the rest.
    `checks` are those of each model's heatmap of the first class, where they were asked for.
    """

    explanations: tuple[Explanation, ...]
    partners: tuple[Partners, ...]
    classes: tuple[ComparedClass, ...]
    answers: tuple[Prediction | None, ...]
    same_answer: tuple[int, ...]
    scale: Scale
    seconds: tuple[float, ...]
    comparing_seconds: float
    checks: tuple[Trust | None, ...] = ()
    notes: tuple[str, ...] = ()

    def on_scale(self, scale: Scale) -> "Comparison":
        """The same comparison with its differences on another scale."""
        classes = (
            replace(each, pairs=tuple(replace(pair, scale=scale) for pair in each.pairs)) for each in self.classes
        )
        return replace(self, scale=scale, classes=tuple(classes))

    @property
    def image(self) -> ImageRecord:
        """The picture."""
        return self.explanations[0].image

    @property
    def outcome(self) -> Outcome:
        """What differs: the answers, only the evidence (wholly or in part), or nothing."""
        if len(set(self.same_answer)) > 1:
            return "answers differ"
        standings = {pair.standing for pair in self.classes[0].pairs}
        if not standings - {"not compared"}:
            return "evidence not compared"
        if "different places" in standings:
            return "evidence differs"
        return "evidence partly differs" if "partly" in standings else "nothing differs"
