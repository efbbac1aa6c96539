"""The nouns of an evaluation: what a table says, what was found in each picture, and the numbers over all of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

from gradcam_core.checks.thresholds import Thresholds

# Of a normal distribution, 95 % lie within so many standard deviations.
DEVIATIONS = NormalDist().inv_cdf(0.975)
NOT_EVALUATED, WRONG, EDGE, OUTSIDE = "not evaluated", "not as labelled", "edge decides", "heat beside the mark"


@dataclass(frozen=True, slots=True)
class TableRow:
    """What a table says about one picture: its file's name, its class, and the name of the file that marks it."""

    name: str
    label: str = ""
    mask: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One picture. `problem` says why it could not be evaluated, and what to do; `note` what is missing in it.

    `label` is the class that the table gives it, "" without one; `answer` is the model's first answer, of this
    `probability`. `region` is that part of the edge which costs the answer most when hidden, `lost` the share of
    the probability that goes with it, and `edge_decides` whether that is more than the threshold. The last three are
    None where no region was marked, or where the heatmap is empty.
    """

    name: str
    sha256: str
    label: str = ""
    label_index: int | None = None
    label_probability: float | None = None
    answer: str = ""
    answer_index: int | None = None
    probability: float = 0.0
    region: str = ""
    lost: float = 0.0
    edge_decides: bool = False
    iou_top_fifth: float | None = None
    pointing_game: float | None = None
    relevance_mass: float | None = None
    problem: str = ""
    note: str = ""

    @property
    def as_labelled(self) -> bool | None:
        """Whether the first answer is the label; None without a label or an answer."""
        if self.problem or self.label_index is None:
            return None
        return self.answer_index == self.label_index

    @property
    def standing(self) -> str:
        """Why one should look at it, in the order in which rows stand; "" where nothing stands out."""
        if self.problem:
            return NOT_EVALUATED
        if self.as_labelled is False:
            return WRONG
        if self.edge_decides:
            return EDGE
        return OUTSIDE if self.pointing_game == 0 else ""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """The share 0..1; None of nothing."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval after Wilson 1927 (https://doi.org/10.1080/01621459.1927.10502953); None of nothing."""
        if self.value is None:
            return None
        n, p, z = self.whole, self.value, DEVIATIONS
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - reach), min(1.0, middle + reach)


@dataclass(frozen=True, slots=True)
class Mean:
    """An average over so many pictures; None over none."""

    value: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Bin:
    """The labelled pictures whose first answer has a probability above `lower` and up to `upper`.

    `probability` is the mean of those, `right` the share that is as labelled; None where there is no picture.
    """

    lower: float
    upper: float
    count: int
    probability: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class Edges:
    """In how many pictures a corner or border decides; by region, in how many and what hiding it costs on average.

    `label` is the class that all of them were answered as, or labelled as; "" where it is all pictures.
    """

    label: str
    share: Share
    regions: Mapping[str, Mean] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All pictures, those to look at first standing first, and the numbers over them.

    `classes` pairs each label with its accuracy. `calibration_error` is the expected one of Guo et al. 2017, over
    `bins`. `localisation` has a mean for each of the three measurements of a row. `unmatched` counts rows of the
    table whose picture was not there.
    """

    rows: tuple[Row, ...]
    accuracy: Share
    classes: tuple[tuple[str, Share], ...]
    bins: tuple[Bin, ...]
    calibration_error: float | None
    localisation: Mapping[str, Mean]
    edges: Edges
    edges_by_answer: tuple[Edges, ...]
    edges_by_label: tuple[Edges, ...]
    thresholds: Thresholds
    unmatched: int = 0

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.rows)

    @property
    def failures(self) -> tuple[Row, ...]:
        """Those that could not be evaluated."""
        return tuple(row for row in self.rows if row.problem)
