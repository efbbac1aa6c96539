"""Whether a picture is of the kind that a model knows: plain rules, and evidence where it is calibrated."""

import numpy as np
import torch
from jaxtyping import Float

from gradcam_core.records import ImageRecord, LoadedModel
from gradcam_core.samples import drawn_samples, list_bundled
from gradcam_core.samples.radiographs import SIDE
from gradcam_core.sources.labels import IMAGENET_CLASSES, imagenet_labels
from gradcam_core.suitability.known import Features, known_to, read_known
from gradcam_core.tasks import probabilities

# Pictures are looked at in about so many pixels to tell grey from colour; of those, so many may have another tint.
LOOKED_AT, TINTED = 250_000, 0.01
ROUNDING = 2.5 / 255


def unsuited(
    image: ImageRecord, model: LoadedModel, outputs: Float[torch.Tensor, "1 classes"], features: Features | None
) -> tuple[str, ...]:
    """Say in sentences why a model's answers on this picture mean nothing; () where nothing suggests that.

    `features` are the averages of the channels at the model's usual layer, where they are at hand. A model without
    a calibration is judged by the plain rules alone.
    """
    known = known_to(model)
    ratio = None if known is None or features is None else known.distance(features) / known.threshold
    sentences = [_made_for_others(image, model, ratio), _everyday_things(image, model, outputs)]
    if known is not None and ratio is not None and ratio > 1:
        times = f"{ratio:.2f}" if ratio < 1.1 else f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"
        sentences.append(
            f"In the model’s own features, this picture lies outside the {known.kind} that it knows: at {times} times "
            "the largest distance that is allowed."
        )
    return tuple(filter(None, sentences))


def converted(image: ImageRecord, model: LoadedModel) -> tuple[str, ...]:
    """Say that a model sees another picture than is shown: its brightness alone."""
    if model.preprocessing.channels != 1 or is_grey(image):
        return ()
    return ("This model takes grey pictures: it sees the picture's brightness, not its colours.",)


def _made_for_others(image: ImageRecord, model: LoadedModel, ratio: float | None) -> str:
    """A bundled model that knows one kind of picture only, and a picture that is none of them.

    Besides the samples, a picture passes that has the form of a drawn one and lies among them in the features. Where
    the features are not at hand, the sentence says what holds for other pictures.
    """
    record = next((record for record in list_bundled() if f"bundled:{record.name}" == model.reference), None)
    if record is None or not record.only or image.sha256 in drawn_samples():
        return ""
    has_the_form = (image.height, image.width, image.bits) == (SIDE, SIDE, 8) and is_grey(image)
    if has_the_form and ratio is None:
        return f"This model was made for {record.only} only: on any other picture none of its answers means anything."
    if has_the_form and ratio is not None and ratio <= 1:
        return ""
    return (
        f"This model was made for {record.only} only, and this picture is not one of them: none of its answers means "
        "anything here."
    )


def _everyday_things(image: ImageRecord, model: LoadedModel, outputs: torch.Tensor) -> str:
    """A medical picture, and a model of everyday things; or a grey one whose top answer has a low probability.

    The largest probability as a score: Hendrycks & Gimpel 2017.
    """
    if model.task != "single_label" or len(model.labels) != IMAGENET_CLASSES or model.labels != imagenet_labels():
        return ""
    if image.format == "DICOM":
        return (
            "This model knows 1,000 everyday things, and a medical picture shows none of them: none of its answers "
            "means anything here."
        )
    if float(probabilities(outputs, model.outputs).max()) >= read_known()["everyday_probability"] or not is_grey(image):
        return ""
    return (
        "This model knows 1,000 everyday things. A medical picture shows none of them: if this picture is one, none of "
        "the model’s answers means anything here."
    )


def is_grey(image: ImageRecord) -> bool:
    """Whether the channels are equal within rounding; a few tinted pixels, such as a coloured label, are allowed."""
    step = max(1, int(np.sqrt(image.height * image.width / LOOKED_AT)))
    red, green, blue = (image.pixels[::step, ::step, channel] for channel in range(3))
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return bool((spread > ROUNDING).mean() <= TINTED)
