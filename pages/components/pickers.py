"""Widgets that return what to explain: methods with their options, layers, classes."""

from typing import Any

import streamlit as st

from gradcam_core import LayerInfo, LoadedModel, list_methods, why_not
from pages.components.panels import plain

TOP = {1: "1", 3: "3", 5: "5", 10: "10", 0: "By name"}
MOST_LAYERS, MOST_CLASSES = 5, 12
METHODS = {entry.name: entry for entry in list_methods()}


def pick_method(loaded: LoadedModel, layers: tuple[str, ...]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    """One method, with a widget for each of its options."""
    reasons = _unsuitable(loaded, layers)
    st.session_state.setdefault("method", "grad_cam")
    name = st.selectbox(
        "Method",
        list(METHODS),
        format_func=lambda key: f"{METHODS[key].title} (not for this network)" if reasons[key] else METHODS[key].title,
        key="method",
        persist_state="session",
        help="\n".join(f"- **{entry.title}** ({entry.paper}): {entry.summary}" for entry in METHODS.values()),
    )
    return name, pick_options(name)


def _unsuitable(loaded: LoadedModel, layers: tuple[str, ...]) -> dict[str, str]:
    """Why each method cannot serve these layers; "" where it can."""
    infos = [layer for layer in loaded.layers if layer.name in (layers or (loaded.default_layer,))]
    return {
        name: next(filter(None, (why_not(entry, info, loaded) for info in infos)), "")
        for name, entry in METHODS.items()
    }


def pick_methods(loaded: LoadedModel, layers: tuple[str, ...]) -> tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]:
    """Several methods to hold against each other; those that cannot serve the layers are left out with a word."""
    reasons = _unsuitable(loaded, layers)
    st.session_state.setdefault("compared", ["cam", "grad_cam", "grad_cam_plus_plus"])
    names = st.multiselect(
        "Methods",
        list(METHODS),
        format_func=lambda key: METHODS[key].title,
        key="compared",
        persist_state="session",
        select_all=False,
        wrap=True,
    )
    for reason in filter(None, (reasons[name] for name in names)):
        st.caption(f"Left out. {plain(reason)}")
    return tuple((name, pick_options(name)) for name in names if not reasons[name])


def pick_options(method: str) -> tuple[tuple[str, Any], ...]:
    """A widget for each option of a method, made from its default value."""
    chosen = []
    for option, default in METHODS[method].options.items():
        label, key = option.replace("_", " ").capitalize(), f"{method}.{option}"
        if isinstance(default, bool):
            value: Any = st.toggle(label, default, key=key, persist_state="session")
        elif isinstance(default, int | float):
            value = st.number_input(label, value=default, key=key, persist_state="session")
        else:
            value = st.text_input(label, str(default), key=key, persist_state="session")
        chosen.append((option, value))
    return tuple(chosen)


def pick_layers(loaded: LoadedModel, *, most: int = MOST_LAYERS) -> tuple[str, ...]:
    """Layers by name, deepest first; each keeps its heatmaps, and several are fused as well."""
    # Blocks before their parts, deep ones before early ones: the likely choices stand first.
    ordered = sorted(reversed(loaded.layers), key=lambda layer: min(layer.name.count("."), 2) // 2)
    infos = {layer.name: layer for layer in ordered}
    key = f"layers {loaded.reference} {loaded.architecture} {loaded.fingerprint[:8]}"
    st.session_state.setdefault(key, [loaded.default_layer])
    names = st.multiselect(
        "Layer",
        list(infos),
        format_func=lambda name: _layer_title(infos[name], loaded.default_layer),
        key=key,
        persist_state="session",
        max_selections=most,
        select_all=False,
        filter_mode="contains",
        wrap=True,
        placeholder=f"{loaded.default_layer} (usual)",
        help="Deep layers know what is in the picture but only roughly where; earlier ones see finer detail of less "
        f"meaning. The usual one here is {loaded.default_layer}. With several, each is shown, and all of them fused.",
    )
    return tuple(names)


def _layer_title(layer: LayerInfo, usual: str) -> str:
    title = f"{layer.name} · {layer.grid[0]} × {layer.grid[1]}"
    return f"{title} · usual" if layer.name == usual else title


def pick_classes(
    loaded: LoadedModel, *, key: str = "top", most: int = MOST_CLASSES, start: int = 3
) -> tuple[int, tuple[int, ...]]:
    """How many of the most probable classes, or which ones by name: (top_k, indices)."""
    st.session_state.setdefault(key, start)
    top = st.segmented_control(
        "Most probable classes", list(TOP), format_func=TOP.get, key=key, persist_state="session", required=True
    )
    if top or top is None:
        return top or start, ()
    named = st.multiselect(
        "Class names",
        range(len(loaded.labels)),
        format_func=lambda index: f"{loaded.labels[index]} · {index}",
        key=f"{key} named {loaded.fingerprint[:8]}",
        persist_state="session",
        max_selections=most,
        select_all=False,
        filter_mode="contains",
        wrap=True,
        placeholder=f"Type a name; until then, the top {start}",
        label_visibility="collapsed",
    )
    return start, tuple(named)
