"""Can this heatmap be trusted? Every check of one heatmap, in words, with the numbers behind them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from gradcam_core.checks.needs import Finding, NotTestable, Outcome
from gradcam_core.checks.reruns import Rerun, begin_rerun
from gradcam_core.checks.thresholds import Thresholds, read_thresholds
from gradcam_core.devices import with_enough_memory
from gradcam_core.errors import LayerError, MethodError, TargetError
from gradcam_core.placement import place_words
from gradcam_core.progress import OnProgress, Progress
from gradcam_core.records import Explanation, Heatmap, LoadedModel
from gradcam_core.registry import Member, family, run
from gradcam_core.shapes import InputArray

_FAMILY = family(
    "check", "gradcam_core.checks", first=("support", "learned", "matters", "stable", "edges", "class_specific")
)
NOT_A_CLEARANCE = "That is not a clearance."
NOT_THE_DIAGNOSIS = "These checks test the map, not the diagnosis. A map can pass all of them while the model is wrong."
BLIND_SPOT = (
    "They cannot tell a mark away from the edge, such as a sticker or a device, from a finding: on small networks "
    "trained to cheat by such a mark, all checks passed on 90 to 98\u202f% of pictures."
)

NOT_CALIBRATED = "The thresholds were set on probabilities of classes. For what this model gives they are a convention."


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """One check of a heatmap: its question, the outcome, a sentence with its numbers, and the numbers.

    `shown` is the model's input with a part hidden, where that was tried; `shown_words` says which part.
    """

    name: str
    question: str
    outcome: Outcome
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    shown: InputArray | None = None
    shown_words: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """The checks of one heatmap. `cell` is height and width of a map cell in picture pixels."""

    heatmap: Heatmap
    checks: tuple[Check, ...]
    cell: tuple[float, float]
    thresholds: Thresholds
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> str:
        """How many checks passed, need attention and were not made: never one number for all of it."""
        names = ("passed", "attention", "not tested")
        passed, attention, missing = (sum(check.outcome == name for check in self.checks) for name in names)
        words = [f"{passed} of {len(self.checks)} checks passed"]
        words += [f"{attention} need{'s' if attention == 1 else ''} your attention"] if attention else []
        words += [f"{missing} not tested"] if missing else []
        line = f"{'; '.join(words)}."
        return line if attention else f"{line} {NOT_A_CLEARANCE}"

    @property
    def always(self) -> tuple[str, ...]:
        """What holds for every heatmap, whatever the checks say; and notes on how they were computed."""
        height, width = self.cell
        cell = f"One cell of this map covers {width:.0f} × {height:.0f} px of the picture"
        words = "; ".join(filter(None, (cell, place_words(self.heatmap.placement, brief=True))))
        return f"{words}. Smaller details are interpolated.", NOT_THE_DIAGNOSIS, BLIND_SPOT, *self.notes


def list_checks() -> tuple[Member, ...]:
    """Every check, in the order in which they run: `title` is its question."""
    return tuple(_FAMILY.members.values())


def trust(
    explanation: Explanation,
    heatmap: Heatmap,
    model: LoadedModel,
    *,
    thresholds: Thresholds | None = None,
    on_progress: OnProgress | None = None,
) -> Trust:
    """Run the checks on one of an explanation's heatmaps, with the model that it was made with.

    Raises a GradcamError where the heatmap, the explanation and the model do not belong together.
    """
    limits = thresholds or read_thresholds()
    progress = Progress(on_progress)

    def checked(usable: LoadedModel) -> tuple[Check, ...]:
        rerun, members = begin_rerun(explanation, heatmap, usable), list_checks()
        parts = (progress.part(place, len(members), member.title) for place, member in enumerate(members))
        return tuple(
            _check(member, replace(rerun, progress=part), limits) for member, part in zip(members, parts, strict=True)
        )

    checks, notes = with_enough_memory(model, checked)
    progress(1.0, words="Done")
    grid = (heatmap.raw.shape[0], heatmap.raw.shape[1])
    if not model.outputs.has_probabilities:
        notes = (*notes, NOT_CALIBRATED)
    return Trust(heatmap, checks, heatmap.placement.cell_size(grid), limits, notes)


def _check(member: Member, rerun: Rerun, limits: Thresholds) -> Check:
    """Make one check, or say why it cannot be made."""
    rerun.progress(0.0)
    served = {"heatmap": rerun.heatmap, "rerun": rerun, "probability": rerun.probability, **limits.numbers}
    try:
        finding: Finding = run(_FAMILY.choose(member.name), served, rerun.progress)
    except NotTestable as refusal:
        finding = Finding("not tested", str(refusal))
    except (LayerError, MethodError, TargetError) as error:  # the other checks can still be made
        finding = Finding("not tested", error.message)
    return Check(member.name, member.title, **{part.name: getattr(finding, part.name) for part in fields(finding)})
