"""The nouns of an evaluation: a row of a table, the result of each picture, and the numbers over all pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import scipy

from gradcam_core.checks.thresholds import Thresholds
from gradcam_core.tasks import UNSTATED, Outputs

# Why a row deserves a look.
NOT_EVALUATED, WRONG, OTHER_FINDINGS = "not evaluated", "top answer is not the label", "findings differ from the table"
EDGE, OUTSIDE = "edge decides", "hottest point outside the marked region"


@dataclass(frozen=True, slots=True)
class TableRow:
    """What a table says about one picture: its file's name, its class, and the name of its mask's file.

    `cells` are the headings and cells of all other columns: findings can have a column each.
    """

    name: str
    label: str = ""
    mask: str = ""
    cells: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FindingResult:
    """One finding in one picture. `present` is by its threshold, `truth` by the table; None where it says nothing.

    Of a detector, `probability` is the score of the best object of a class. Of a segmenter it is NaN, and `area` the
    share of the picture that the class covers.
    """

    index: int
    label: str
    probability: float
    present: bool
    truth: bool | None = None
    area: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one picture. `problem`: why it could not be evaluated, and what to do. `note`: what is missing.

    `label` is the class that the table gives, "" without one; `answer` the top prediction, of this `probability`.
    `region` is the part of the edge that lowers it most when hidden, `lost` the share of the probability that this
    takes away, and `edge_decides` whether that is above the threshold. The measurements are None without a mask, or
    where the heatmap is empty; `iou_by_chance` is what unrelated areas of these sizes would give for `iou_fixed`.
    `request` and `inputs` are the identities of model and settings, and of label and mask.

    Of a model of findings, `findings` has each; `label` and `answer` name those that are present, `edge_class` is the
    one whose probability is followed. Of a regression, `value` is the model's number and `given` the table's; of an
    embedding, `value` is the similarity to the reference picture. A detector's and a segmenter's classes are findings,
    and `objects` counts the objects with a score of at least one half.
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
    iou_fixed: float | None = None
    iou_by_chance: float | None = None
    pointing_game: float | None = None
    relevance_mass: float | None = None
    problem: str = ""
    note: str = ""
    request: str = ""
    inputs: str = ""
    unsuited: bool = False
    edge_class: str = ""
    findings: tuple[FindingResult, ...] = ()
    value: float | None = None
    given: float | None = None
    objects: int | None = None

    @property
    def known_findings(self) -> tuple[FindingResult, ...]:
        """The findings about which the table says something."""
        return tuple(finding for finding in self.findings if finding.truth is not None)

    @property
    def error(self) -> float | None:
        """By how much the model's number differs from the table's; None without one of them."""
        return None if self.value is None or self.given is None else abs(self.value - self.given)

    @property
    def as_labelled(self) -> bool | None:
        """Whether the top prediction is the label, or every known finding is as in the table; None without a label."""
        if self.problem:
            return None
        if self.known_findings:
            return all(finding.present == finding.truth for finding in self.known_findings)
        return None if self.label_index is None else self.answer_index == self.label_index

    @property
    def standing(self) -> str:
        """Why the row deserves a look; "" where nothing stands out."""
        if self.problem:
            return NOT_EVALUATED
        if self.as_labelled is False:
            return OTHER_FINDINGS if self.findings else WRONG
        if self.edge_decides:
            return EDGE
        return OUTSIDE if self.pointing_game == 0 else ""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of a count: `part` of `whole`."""

    part: int
    whole: int

    @property
    def value(self) -> float | None:
        """The share 0..1; None where `whole` is 0."""
        return self.part / self.whole if self.whole else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval after Wilson 1927 (https://doi.org/10.1080/01621459.1927.10502953); None as above."""
        if not self.whole:
            return None
        low, high = scipy.stats.binomtest(self.part, self.whole).proportion_ci(0.95, method="wilson")
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over `count` pictures; None over none."""

    value: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Bin:
    """The labelled pictures whose top prediction has a probability above `lower` and up to `upper`.

    `probability` is their mean, `right` the share whose top prediction is the label; None where there is no picture.
    """

    lower: float
    upper: float
    count: int
    probability: float | None
    right: float | None


@dataclass(frozen=True, slots=True)
class FindingSummary:
    """One finding over all pictures: how many of those that have it, and of those that have it not, are told so."""

    label: str
    threshold: float
    sensitivity: Share
    specificity: Share


@dataclass(frozen=True, slots=True)
class Edges:
    """In how many pictures a corner or border decides; by region, in how many and the mean loss when it is hidden.

    `label` is the top prediction, or the label, of these pictures; "" for all pictures.
    """

    label: str
    share: Share
    regions: Mapping[str, Mean] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All rows, those to look at first on top, and the numbers over them.

    `outputs` says what the model's numbers mean. `accuracy` is the share of labelled pictures whose top prediction is
    the label, or whose findings are all as in the table. `classes` pairs each label with its accuracy, `findings` has
    each finding that the table knows, and `error` is the mean absolute error of a regression; `values` are its numbers,
    or an embedding's similarities. `calibration_error` is the expected calibration error of Guo et al. 2017, over
    `bins`; of findings, over all findings of all pictures; None where the model gives no probabilities. `localisation`
    has the mean of each of the three measurements of a row. `unmatched` counts the rows of the table that match no
    picture. So many areas of every picture were `blanked` before.
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
    outputs: Outputs = UNSTATED
    findings: tuple[FindingSummary, ...] = ()
    error: Mean = Mean(None, 0)
    values: tuple[float, ...] = ()
    blanked: int = 0

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.rows)

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that could not be evaluated."""
        return tuple(row for row in self.rows if row.problem)
