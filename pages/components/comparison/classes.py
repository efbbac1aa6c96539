"""Which class of one model is which class of another: how they are matched, and single matches by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from gradcam_core import Comparison, LoadedModel, counted, partners_of, unsuited_models
from pages.components.session import kept
from pages.components.words import plain, shortened

Models = Sequence[tuple[str, LoadedModel]]
MATCHES = {"label": "Label", "index": "Index"}
SHOWN = 12


def pick_match(models: Models) -> tuple[Mapping[int, int | None], ...]:
    """Pick how classes are matched; return a mapping for each other model, with what was matched by hand.

    Without a choice there is none to show where all models have the same labels.
    """
    first, way = models[0][1], "label"
    if any(partners_of(first.labels, model.labels) != tuple(range(len(first.labels))) for _, model in models[1:]):
        way = st.segmented_control(
            "Match classes by",
            list(MATCHES),
            format_func=MATCHES.get,
            required=True,
            **kept("class match", "label", MATCHES),
            help="Labels may differ in capital letters and spaces. Single classes can be matched by hand below.",
        )
    return tuple(
        dict(enumerate(partners_of(first.labels, model.labels, str(way)))) | _by_hand(first, model)
        for _, model in models[1:]
    )


def _by_hand(first: LoadedModel, model: LoadedModel) -> dict[int, int | None]:
    """The classes that this session matched by hand."""
    known: dict[Any, dict[int, int | None]] = st.session_state.setdefault("class partners", {})
    return known.setdefault((first.fingerprint, first.labels, model.fingerprint, model.labels), {})


def show_matching(comparison: Comparison, models: Models) -> None:
    """Say which classes have no partner, and let the compared ones be matched by hand."""
    unsuited = unsuited_models(comparison.explanations)
    if notes := [plain(note) for note in comparison.notes if note not in unsuited]:
        st.caption(" ".join(notes))
    with st.expander("Which classes belong together", key="matching"):
        for place, (title, model) in enumerate(models[1:], 1):
            st.markdown(f"**Model {place + 1}**, {plain(title)}")
            for compared in comparison.classes:
                _pick_partner(models[0][1], model, place, compared.index, comparison.partners[place][compared.index])
            _show_lonely(models[0][1], model, place, comparison.partners[place])


def _pick_partner(first: LoadedModel, model: LoadedModel, place: int, index: int, partner: int | None) -> None:
    """Pick the class of another model that is compared with a class of the first one."""
    key = f"partner {place} {first.fingerprint[:8]} {model.fingerprint[:8]} {index} {len(model.labels)}"

    def take() -> None:
        _by_hand(first, model)[index] = st.session_state[key]

    st.session_state[key] = partner
    st.selectbox(
        f"{plain(shortened(first.labels[index]))} is compared with",
        range(len(model.labels)),
        format_func=lambda other: f"{model.labels[other]} · {other}",
        key=key,
        on_change=take,
        filter_mode="contains",
        placeholder="No partner",
    )


def _show_lonely(first: LoadedModel, model: LoadedModel, place: int, partners: Sequence[int | None]) -> None:
    """Name the classes of either model that have no partner in the other."""
    matched = set(partners)
    own = [label for label, partner in zip(first.labels, partners, strict=True) if partner is None]
    others = [label for index, label in enumerate(model.labels) if index not in matched]
    st.caption(
        f"{counted(len(first.labels) - len(own), 'class')} of model 1 "
        f"matched. {_names('Model 1', own)} {_names(f'Model {place + 1}', others)}"
    )


def _names(which: str, labels: Sequence[str]) -> str:
    if not labels:
        return f"{which} has no class without a partner."
    names = ", ".join(plain(shortened(label)) for label in labels[:SHOWN])
    more = f" and {len(labels) - SHOWN:,} more" if len(labels) > SHOWN else ""
    return f"Only in {which.lower()}: {names}{more}."
