"""What a reader of a comparison should know: classes without a partner, scales and parts that differ."""

from collections.abc import Iterator, Sequence

from gradcam_core.comparison.difference import Scale
from gradcam_core.comparison.partners import Partners, label_key, repeated
from gradcam_core.comparison.records import ComparedClass
from gradcam_core.records import Explanation, LoadedModel
from gradcam_core.text import listed, one_line


def notes_of(
    models: Sequence[LoadedModel],
    partners: Sequence[Partners],
    explanations: Sequence[Explanation],
    classes: Sequence[ComparedClass],
    scale: Scale,
) -> tuple[str, ...]:
    """Say in sentences what is missing or cannot be compared."""
    notes = list(unsuited_models(explanations))
    for place in range(1, len(models)):
        notes += _without_partner(models[0], models[place], place, partners[place], classes)
        notes += _not_seen(place, partners[place], classes)
        if (models[0].fingerprint, models[0].preprocessing) == (models[place].fingerprint, models[place].preprocessing):
            notes.append(f"Model {place + 1} has the same weights and preprocessing as model 1.")
    if len({explanation.placement.box for explanation in explanations}) > 1:
        notes.append(
            "The models saw different parts of the picture. They are compared on what both models of a pair saw."
        )
    if scale == "same" and not same_network(explanations):
        notes.append(
            "Raw values of different networks, or of different layers, have no common unit: on the same scale, the "
            "brightness of these heatmaps cannot be compared."
        )
    return tuple(notes)


def unsuited_models(explanations: Sequence[Explanation]) -> tuple[str, ...]:
    """Say which models do not know pictures of this kind."""
    return tuple(f"Model {place}: {words}" for place, each in enumerate(explanations, 1) for words in each.unsuited)


def same_network(explanations: Sequence[Explanation]) -> bool:
    """Whether raw values can be compared: one architecture, one layer, one method."""
    kinds = {
        (explanation.architecture, heatmap.layer, heatmap.method)
        for explanation in explanations
        for heatmap in explanation.heatmaps
    }
    return len(kinds) == 1


def _not_seen(place: int, partners: Partners, classes: Sequence[ComparedClass]) -> Iterator[str]:
    """Name the classes that a model has, and does not find in this picture."""
    missing = [each.label for each in classes if partners[each.index] is not None and each.heatmaps[place] is None]
    if missing:
        yield f"Model {place + 1} finds no {listed([f'“{one_line(label)}”' for label in missing])} in this picture."


def _without_partner(
    first: LoadedModel, model: LoadedModel, place: int, partners: Partners, classes: Sequence[ComparedClass]
) -> Iterator[str]:
    missing = [compared.label for compared in classes if partners[compared.index] is None]
    if not missing:
        return
    names = listed([f"“{one_line(label)}”" for label in missing])
    yield f"Model {place + 1} has no class that is matched with {names} of model 1."
    shared = repeated(first.labels) | repeated(model.labels)
    if any(label_key(label) in shared for label in missing):
        yield "Labels that several classes have are not matched: match the classes by index or one by one."
    elif len(missing) == len(classes) and len(first.labels) == len(model.labels):
        yield (f"Both models have {len(first.labels)} classes: match them by index if they stand in the same order.")
