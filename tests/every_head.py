"""What works for which kind of model: the table of docs/heads.md, computed with tiny networks.

`python -m tests.every_head` writes the table again; a test compares it with the code.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import gradcam_core as core
from gradcam_core.errors import GradcamError, ModelError
from tests import heads, networks

TABLE = Path(__file__).parents[1] / "docs" / "heads.md"
LABELS = ("background", "cat", "dog", "cup")
HEAD = """\
# What works for which model

Each column is a kind of model, by what its outputs mean (`model.task`); each row is something that is done with one
heatmap, one picture or many. *Yes* stands where it works; a number leads to the sentence that is said instead. The
pages and the terminal use the same functions. The table is computed with tiny networks: `python -m tests.every_head`
writes it, and a test compares it with the code.

"""
AFTER = """
The number that is followed when a part of the picture is hidden is the target's own: a class's probability, a
regression's value in its unit, an object's score, the part of a region that keeps its class, a likeness (cosine
similarity). A value and a likeness have no zero of their own. There a loss is compared with what the picture's mean
colour alone would change, and a corner or border counts whether it raises the number or lowers it. The thresholds of
the checks were set on probabilities of classes; for all other numbers they are a convention, and each record says so.
"""
Given = tuple[core.LoadedModel, Any]


class NotMade(GradcamError):
    """A check or measurement that was not made."""

    def __init__(self, words: str) -> None:
        super().__init__(words, "")


@functools.cache
def models() -> Mapping[str, core.LoadedModel]:
    """A tiny model for each task."""
    own = {"preprocessing": heads.SIZE}
    return {
        "single_label": core.load_model(networks.conv_net(), labels=[f"class {letter}" for letter in "ABCDE"], **own),
        "multi_label": core.load_model(heads.fourteen(), labels=heads.FINDINGS, task="multi_label", **own),
        "binary": core.load_model(heads.one_score(), labels=["nodule"], task="binary", **own),
        "regression": core.load_model(heads.one_score(), labels=["age"], task="regression", unit="years", **own),
        "embedding": core.load_model(heads.headless(), task="embedding", **own),
        "detection": core.load_model(heads.detector(), labels=LABELS, **own),
        "segmentation": core.load_model(heads.segmenter(), labels=LABELS[:3], **own),
    }


def png(seed: int) -> bytes:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@functools.cache
def picture(seed: int) -> core.ImageRecord:
    """The same, decoded."""
    return core.read_image(png(seed))


def target_of(model: core.LoadedModel) -> Any:
    """What is explained: the best class, object or region; of features, the likeness to another picture."""
    return core.similar(picture(9), model) if model.task == "embedding" else None


@functools.cache
def explained(task: str) -> core.Explanation:
    """The heatmap that is checked and measured."""
    model = models()[task]
    return core.explain(picture(1), model, targets=target_of(model), methods="grad_cam", top_k=1)


@functools.cache
def checked(task: str) -> Mapping[str, core.Check]:
    """All checks of it."""
    explanation = explained(task)
    return {check.name: check for check in core.trust(explanation, explanation.heatmaps[-1], models()[task]).checks}


def explain(model: core.LoadedModel) -> Any:
    """A heatmap with evidence, and its record."""
    explanation = explained(model.task)
    assert explanation.heatmaps[-1].state == "ok"
    return core.to_json(core.to_dict(explanation))


def every_class(model: core.LoadedModel) -> Any:
    """The heatmaps of the best classes without any name."""
    return core.explain(picture(1), model, methods="grad_cam")


def lowered(model: core.LoadedModel) -> Any:
    """What lowers a class."""
    return core.explain(picture(1), model, targets=[core.lowers(0, model.labels)], methods="grad_cam")


def contrasted(model: core.LoadedModel) -> Any:
    """What speaks for one class rather than another."""
    return core.explain(picture(1), model, against=0, top_k=1, methods="grad_cam")


def depth(model: core.LoadedModel) -> Any:
    """The same target at several layers."""
    layers = [layer.name for layer in core.layers_by_depth(model)]
    return core.explain(picture(1), model, targets=target_of(model), top_k=1, methods="layer_cam", layers=layers)


def methods(model: core.LoadedModel) -> Any:
    """Several methods, of which one may refuse."""
    wanted = ["grad_cam", "eigen_cam", "finer_cam", "layer_cam"]
    explanation = core.explain(picture(1), model, targets=target_of(model), top_k=1, methods=wanted)
    assert {heatmap.method for heatmap in explanation.heatmaps} >= {"grad_cam", "eigen_cam", "layer_cam"}


def _check(model: core.LoadedModel, *, name: str) -> None:
    check = checked(model.task)[name]
    if check.outcome == "not tested":
        raise NotMade(check.sentence)


def _measurement(model: core.LoadedModel, *, name: str) -> None:
    explanation, region = explained(model.task), np.zeros((40, 56), bool)
    region[10:30, 10:40] = True
    given = {"truth": region, "explanation": explanation, "model": model}
    (result,) = core.measure(explanation.heatmaps[-1], names=[name], **given)
    if result.value is None:
        raise NotMade(result.reason)


def compare(model: core.LoadedModel) -> Any:
    """The model and itself on one picture."""
    comparison = core.compare(picture(1), [model, model])
    assert comparison.classes[0].pairs[0].overlap == 1
    assert len(core.comparison_sentences(comparison)) == 2
    return core.to_json(core.comparison_to_dict(comparison))


def with_classifier(model: core.LoadedModel) -> Any:
    """The model and a classifier that knows its classes."""
    classifier = core.load_model(networks.conv_net(14), labels=[*model.labels[:14], *map(str, range(14))][:14])
    comparison = core.compare(picture(1), [model, classifier])
    assert comparison.classes[0].pairs
    return core.comparison_sentences(comparison)


def drift(model: core.LoadedModel) -> Any:
    """The model and itself on many pictures."""
    result = core.drift([("1.png", lambda: png(1)), ("2.png", lambda: png(2))], model, model)
    assert not result.failures
    assert result.moved.part == 0
    assert core.drift_sentences(result)
    assert core.drift_to_csv(result)
    return core.to_json(core.drift_to_dict(result))


def evaluate(model: core.LoadedModel) -> Any:
    """Many pictures with labels, of which one has a mask."""
    reference = picture(9) if model.task == "embedding" else None
    label = "50" if model.task == "regression" else model.labels[-1]
    table = core.read_table(f"name,label\n1.png,{label}\n".encode())
    mask = np.zeros((40, 56, 3), np.uint8)
    mask[10:30, 10:40] = 255
    masks = {"1_mask.png": lambda: cv2.imencode(".png", mask)[1].tobytes()}
    files = [("1.png", lambda: png(1)), ("2.png", lambda: png(2))]
    result = core.evaluate(files, table, masks, model, reference=reference)
    assert not result.failures
    assert core.evaluation_sentences(result)
    assert core.evaluation_to_csv(result)
    return core.to_json(core.evaluation_to_dict(result, model=model))


def derive(model: core.LoadedModel) -> Any:
    """Thresholds of one's own; two pictures are too few, which counts as yes."""
    try:
        return core.derive_thresholds([picture(1), picture(2)], model, name="mine")
    except GradcamError as error:
        if not isinstance(error, ModelError) and "can be used" in error.message:
            return None
        raise


ROWS: Mapping[str, Callable[[core.LoadedModel], Any]] = {
    "Explain a target": explain,
    "Explain the best classes without naming any": every_class,
    "Explain what lowers a class": lowered,
    "Explain what speaks for one class rather than another": contrasted,
    "Layers: one target through the depth": depth,
    "Compare methods; one that refuses does not lose the others": methods,
    **{f"Check: {check.title}": functools.partial(_check, name=check.name) for check in core.list_checks()},
    **{f"Measure: {one.title}": functools.partial(_measurement, name=one.name) for one in core.list_measurements()},
    "Compare models: two of this kind": compare,
    "Compare models: with a classifier of the same classes": with_classifier,
    "Folder, `evaluate`: many pictures, labels, masks": evaluate,
    "Folder, `drift`: two models on many pictures": drift,
    "`trust --calibrate`: thresholds of your own": derive,
}


@functools.cache
def answer(row: str, task: str) -> str:
    """ "" where it works, else the sentence that is said instead."""
    try:
        ROWS[row](models()[task])
    except GradcamError as error:
        return error.message
    return ""


def table() -> str:
    """The whole document."""
    notes: dict[str, int] = {}
    lines = [f"| | {' | '.join(f'`{task}`' for task in models())} |", f"|---|{'---|' * len(models())}"]
    for row in ROWS:
        words = [answer(row, task) for task in models()]
        cells = [f"no ({notes.setdefault(one, len(notes) + 1)})" if one else "yes" for one in words]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    listed = [f"{number}. {words}" for words, number in notes.items()]
    return "\n".join([HEAD + "\n".join(lines), "", "## Why not", "", *listed, AFTER])


if __name__ == "__main__":
    TABLE.write_text(table(), "utf-8")
