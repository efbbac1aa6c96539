"""The nouns of a drift: what two models make of each picture, and the numbers over all pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gradcam_core.evaluation.records import NOT_EVALUATED, Share

# Why a row deserves a look.
DIFFER, MOVED, PARTLY_MOVED = "answers differ", "evidence moved", "evidence partly moved"
NOT_COMPARED = "evidence not compared"


@dataclass(frozen=True, slots=True)
class DriftRow:
    """What two models make of one picture. `problem`: why they could not be compared, and what to do.

    `answers` are their top predictions, with their `probabilities`; `same_answer` is None where they are of kinds
    that cannot agree. `label` is the class whose heatmaps are compared: the first model's top prediction.
    `correlation`, `overlap` and `chance` are those of the pair of heatmaps (see comparison.records.Pair). `evidence`
    says how far the hottest areas lie at the same place; "in one model only" where the other model has no evidence for
    the class at all.

    `movement` is what rows are sorted by: 1 minus the overlap of the hottest areas. So it is 0 where they are the same,
    and 1 where they have nothing in common or only one model has any. It is None where there is nothing to compare;
    `note` then says why.
    """

    name: str
    sha256: str
    answers: tuple[str, str] = ("", "")
    probabilities: tuple[float, float] = (0.0, 0.0)
    same_answer: bool | None = None
    label: str = ""
    evidence: Literal["same place", "partly", "different places", "in one model only", "not compared"] = "not compared"
    movement: float | None = None
    correlation: float | None = None
    overlap: float | None = None
    chance: float | None = None
    problem: str = ""
    note: str = ""
    request: str = ""
    inputs: str = ""
    unsuited: bool = False

    @property
    def moved(self) -> bool:
        """Whether the evidence moved: the hottest areas lie at different places."""
        return self.evidence in ("different places", "in one model only")

    @property
    def standing(self) -> str:
        """Why the row deserves a look; "" where nothing stands out."""
        if self.problem:
            return NOT_EVALUATED
        evidence = (
            MOVED if self.moved else {"partly": PARTLY_MOVED, "not compared": NOT_COMPARED}.get(self.evidence, "")
        )
        return ", ".join(filter(None, (DIFFER if self.same_answer is False else "", evidence)))


@dataclass(frozen=True, slots=True)
class DriftModel:
    """One of the two models of a drift. `layer` is the one whose maps are compared; "" where a method reads none."""

    reference: str
    architecture: str
    fingerprint: str
    layer: str
    preprocessing: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """Two models over many pictures: all rows, the largest movement on top, and the counts over them.

    `agreement` counts the pictures with the same top prediction, among those where there are predictions; `moved` those
    whose evidence moved, among those where it could be compared.
    """

    rows: tuple[DriftRow, ...]
    models: tuple[DriftModel, DriftModel]
    method: str
    options: Mapping[str, Any]
    agreement: Share
    moved: Share
    versions: Mapping[str, str]
    created: str

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.rows)

    @property
    def failures(self) -> tuple[DriftRow, ...]:
        """The rows of pictures that could not be compared."""
        return tuple(row for row in self.rows if row.problem)
