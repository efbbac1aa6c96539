"""Requests: a model to load, and an analysis of a picture. Loads no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcam_core import ImageRecord, LoadedModel


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """What to load: a reference, and what its user added. `weights` is the sha256 of a file's content.

    `labels` are names of the classes. `task` says what its outputs mean, with the `unit` of a regression; "" stands for
    what the model itself says. From its `threshold` on a finding is present. `fingerprint` is that of the weights when
    the model was added to the catalogue. Of plain and `averaged` weights in one file, the plain ones are the usual.
    """

    title: str
    reference: str
    architecture: str = ""
    weights: str = ""
    labels: tuple[str, ...] = ()
    preprocessing: tuple[tuple[str, Any], ...] = ()
    task: str = ""
    unit: str = ""
    threshold: float | None = None
    fingerprint: str = ""
    averaged: bool = False

    @property
    def key(self) -> str:
        """Its key in a session: the same file with other names of classes is another model."""
        parts = (self.reference, self.architecture, self.weights, "averaged" if self.averaged else "")
        return "|".join((*parts, digest(list(self.labels)) if self.labels else "", str(self.preprocessing)))


@dataclasses.dataclass(frozen=True)
class Request:
    """What to explain, and how. With `against`, each class is compared with that one; `lowers` asks what lowers it.

    `texts` are looked for instead of classes.
    """

    methods: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    layers: tuple[str, ...]
    top_k: int = 5
    targets: tuple[int | str, ...] = ()
    against: int | None = None
    lowers: bool = False
    texts: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Analysis:
    """A picture, a model that is prepared for it, and what to explain: with `reference`, what makes both alike."""

    image: ImageRecord
    model: LoadedModel
    request: Request
    reference: ImageRecord | None = None

    @property
    def key(self) -> str:
        """The identity of this analysis, by content. It begins with the picture's sha256."""
        other = self.reference.identity if self.reference else ""
        parts = [self.image.identity, model_key(self.model), dataclasses.asdict(self.request), other]
        return f"{self.image.sha256} {digest(parts)}"


def model_key(model: LoadedModel) -> list[Any]:
    """The identity of a prepared model, by content."""
    labels = digest(list(model.labels))
    spec, outputs = model.preprocessing.to_dict(), model.outputs.to_dict()
    return [model.fingerprint, model.reference, labels, str(model.device), spec, outputs]


def digest(parts: Any) -> str:
    """A short name for any JSON value."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]
