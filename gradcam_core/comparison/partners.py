"""Which class of one model is which class of another: by label, by index, or as the caller says."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gradcam_core.errors import TargetError
from gradcam_core.targets import find_class

Class = int | str
# "label", "index", or a mapping from classes of the first model to classes of the other; None: no partner.
Match = str | Mapping[Class, Class | None]
# For each class of the first model, the other model's index for it, or None.
Partners = tuple[int | None, ...]


def partners_of(first: Sequence[str], other: Sequence[str], match: Match = "label") -> Partners:
    """Return the other model's index for each class of the first model, None where it has no such class.

    Labels are the same where they differ in capital letters and white space only. What a mapping does not name is
    matched by label. Raises TargetError for an unknown way to match, and for classes that a model does not have.
    """
    if isinstance(match, Mapping):
        matched = _by_mapping(first, other, match)
        return tuple(matched.get(index, partner) for index, partner in enumerate(_by_label(first, other)))
    if match == "index":
        return tuple(index if index < len(other) else None for index in range(len(first)))
    if match == "label":
        return _by_label(first, other)
    raise TargetError(f"Classes cannot be matched by {match!r}.", 'Give "label", "index", or a mapping of classes.')


def _by_mapping(
    first: Sequence[str], other: Sequence[str], mapping: Mapping[Class, Class | None]
) -> dict[int, int | None]:
    """Look a mapping's classes up. A class may be named twice, by index and by label, with one partner only."""
    matched: dict[int, int | None] = {}
    for own, partner in mapping.items():
        index, other_index = find_class(own, first), None if partner is None else find_class(partner, other)
        if matched.setdefault(index, other_index) != other_index:
            raise TargetError(
                f"The class '{first[index]}' is matched with two classes of the same model.", "Name one partner only."
            )
    return matched


def label_key(label: str) -> str:
    """Return what labels are matched by: without capital letters and surplus white space."""
    return " ".join(unicodedata.normalize("NFC", label).casefold().split())


def repeated(labels: Sequence[str]) -> frozenset[str]:
    """Return the keys of the labels that several classes have."""
    return frozenset(key for key, count in Counter(map(label_key, labels)).items() if count > 1)


def match_of_each(match: Any, others: int) -> tuple[Match, ...]:
    """Return how each of the other models is matched, out of one way for all of them or one for each."""
    if isinstance(match, str | Mapping):
        return (match,) * others
    listed = tuple(match) if isinstance(match, Sequence) else ()
    if len(listed) != others:
        raise TargetError(
            "It is not clear how classes are matched.",
            f"Give one way for all models, or a list of {others}: one for each model after the first.",
        )
    return listed


def _by_label(first: Sequence[str], other: Sequence[str]) -> Partners:
    """Match by label. Labels that several classes have are matched only where both lists are the same."""
    keys, other_keys = [label_key(label) for label in first], [label_key(label) for label in other]
    if keys == other_keys:
        return tuple(range(len(keys)))
    places = {key: index for index, key in enumerate(other_keys)}
    shared = repeated(first) | repeated(other)
    return tuple(None if key in shared else places.get(key) for key in keys)
