"""How much alike a picture and a text are to a model that encodes both, such as CLIP."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from gradcam_core.errors import TargetError
from gradcam_core.records import LoadedModel
from gradcam_core.tasks import Target, Task, TextEncoder
from gradcam_core.text import counted, listed, one_line, percent

SCHEME = "text:"
# Longer texts are cut before they are tokenised, whose time grows with the square of a word's length.
MOST_CHARACTERS = 2_000
SHOWN = 40
IS_SIMILARITY = (
    "What stands beside a text is its similarity to the picture (the cosine of their features, −1 to 1), no "
    "probability."
)
REMEDY = "Use a CLIP-like model, such as open-clip:ViT-B-32, or name a class."


@dataclass(frozen=True, slots=True, eq=False)
class TextTarget:
    """The cosine similarity of a picture's features to those of a text.

    `features` [D] are the text's. `value` is the similarity, -1..1; NaN before `explain` has filled it in. `scale` is
    what the model multiplies similarities with before a softmax over texts; 0 where it was not trained with one.
    `notes` are sentences about how the text was read.
    """

    label: str
    features: torch.Tensor
    scale: float = 0.0
    notes: tuple[str, ...] = ()
    value: float = float("nan")
    index: int = -1
    probability: float = float("nan")
    unit: str = "similarity"

    def __call__(self, outputs: torch.Tensor) -> torch.Tensor:
        """Similarities [N] out of the model's outputs [N D]."""
        return functional.cosine_similarity(outputs, self.features.to(outputs)[None], dim=1)


def similar_to_text(text: str, model: LoadedModel) -> TextTarget:
    """Ask what makes a picture like a text to a model that encodes both.

    Pass the result to `explain(..., targets=)` with the same model. In a list of targets, "text:a pacemaker" means the
    same. Raises TargetError for an empty text and for a model that reads none.
    """
    return text_target(text, model.text, model.task)


def text_target(text: str, encoder: TextEncoder | None, task: Task) -> TextTarget:
    """The target of a text, by what the model has for texts. Raises TargetError."""
    shown = one_line(text)
    if encoder is None or task != "embedding":
        remedy = REMEDY if encoder is None else "Leave the model's task out: a text is compared with its features."
        raise TargetError(f"The text '{shown}' cannot be looked for: this model reads no texts.", remedy)
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text[:MOST_CHARACTERS]).split())
    if not words:
        raise TargetError("The text to look for is empty.", "Write what to look for, such as text:a pacemaker.")
    features, tokens = encoder.encode(words)
    if not features.isfinite().all() or not features.any():
        raise TargetError(f"The model gives the text '{shown}' no features.", "Check the model's weights.")
    return TextTarget(shown, features, encoder.scale, _notes(text, words, tokens, encoder.longest))


def is_text(wanted: object) -> bool:
    """Whether a target is written as a text: "text:a pacemaker"."""
    return isinstance(wanted, str) and wanted.startswith(SCHEME)


def text_notes(targets: Sequence[Target], outputs: torch.Tensor) -> tuple[str, ...]:
    """What a reader should know of the texts among the targets; of several, their shares for outputs [1 D]."""
    texts = [target for target in targets if isinstance(target, TextTarget)]
    if not texts:
        return ()
    notes = (note for text in texts for note in text.notes)
    return (IS_SIMILARITY, *_shares(texts, outputs), *dict.fromkeys(notes))


def _shares(texts: Sequence[TextTarget], outputs: torch.Tensor) -> tuple[str, ...]:
    """The softmax over the texts, as the model was trained with it."""
    if len(texts) < 2 or not all(text.scale for text in texts):
        return ()
    scores = torch.stack([text.scale * text(outputs)[0] for text in texts])
    pairs = zip(texts, scores.softmax(dim=0).tolist(), strict=True)
    shares = listed([f"'{one_line(text.label, SHOWN)}' {percent(share)}" for text, share in pairs])
    return (f"The model's softmax over these {len(texts)} texts alone: {shares}. Other texts would change the shares.",)


def _notes(text: str, words: str, tokens: int, longest: int) -> tuple[str, ...]:
    shown, notes = one_line(words, SHOWN), []
    if tokens > longest or len(text) > MOST_CHARACTERS:
        size = counted(len(text), "character")
        notes.append(
            f"The text '{shown}' ({size}) is longer than the {longest} tokens that the model reads: its end was left "
            "out."
        )
    if any(sign.isalpha() and not _is_latin(sign) for sign in words):
        notes.append(
            f"The text '{shown}' is not in Latin letters; most models of this kind know little but English captions."
        )
    return tuple(notes)


def _is_latin(sign: Any) -> bool:
    return unicodedata.name(sign, "LATIN").startswith(("LATIN", "FULLWIDTH LATIN"))
