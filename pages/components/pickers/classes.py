"""Pick the classes to explain, and a class to compare them with."""

import streamlit as st

from gradcam_core import LoadedModel
from pages.components.session import kept

TOP = {1: "Top 1", 3: "3", 5: "5", 10: "10", 0: "Choose …"}
DIRECTIONS = {"raises": "What raises it", "lowers": "What lowers it"}
UNCHOSEN = {
    "regression": "The first one",
    "embedding": "Choose a feature",
    "detection": "The best object",
    "segmentation": "The largest region",
}
MOST_CLASSES = 12


def pick_class(model: LoadedModel, *, key: str = "layers class", wanted: str = "") -> int | None:
    """Pick one class by name, at first the one called `wanted`; None stands for the most probable one."""
    start = model.labels.index(wanted) if wanted in model.labels else None
    chosen: int | None = st.selectbox(
        "Class",
        range(len(model.labels)),
        index=None,
        format_func=lambda index: _class_title(model, index),
        **kept(f"{key} {model.fingerprint[:8]} {wanted}".rstrip(), start, range(len(model.labels))),
        filter_mode="contains",
        placeholder=UNCHOSEN.get(model.task, "The most probable one"),
    )
    return chosen


def pick_classes(
    model: LoadedModel, *, key: str = "top", most: int = MOST_CLASSES, start: int = 3
) -> tuple[int, tuple[int, ...], int | None, bool]:
    """Pick how many of the most probable classes, or which by name; the class to compare them with; the direction."""
    top = st.segmented_control("Classes", list(TOP), format_func=TOP.get, required=True, **kept(key, start, TOP))
    named: list[int] = []
    if top == 0:
        named = st.multiselect(
            "Class names",
            range(len(model.labels)),
            format_func=lambda index: _class_title(model, index),
            **kept(f"{key} named {model.fingerprint[:8]}", [], range(len(model.labels)), most=most),
            max_selections=most,
            select_all=False,
            filter_mode="contains",
            wrap=True,
            placeholder=f"Type a name; until then, the top {start}",
            label_visibility="collapsed",
        )
    if model.outputs.has_places:  # objects and regions are neither lowered nor compared
        return top or start, tuple(named), None, False
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        lowers = (
            st.segmented_control(
                "Direction",
                list(DIRECTIONS),
                format_func=DIRECTIONS.get,
                required=True,
                label_visibility="collapsed",
                **kept(f"{key} direction", "raises", DIRECTIONS),
            )
            == "lowers"
        )
        against = None if lowers else _pick_against(model, key)
    return top or start, tuple(named), against, lowers


def _pick_against(model: LoadedModel, key: str) -> int | None:
    """Pick a class to compare the others with: what favours one over the other."""
    if len(model.labels) < 2:
        return None
    chosen: int | None = st.selectbox(
        "Compare with class",
        range(len(model.labels)),
        index=None,
        format_func=lambda index: _class_title(model, index),
        **kept(f"{key} against {model.fingerprint[:8]}", None, range(len(model.labels))),
        filter_mode="contains",
        placeholder="No other class",
        help="What favours A over B? Each heatmap then shows the difference of the two classes’ scores.",
    )
    return chosen


def _class_title(model: LoadedModel, index: int) -> str:
    return f"{model.labels[index]} · {index}"
