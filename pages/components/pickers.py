"""Widgets that return what to explain: methods with their options, layers, classes."""

from typing import Any

import streamlit as st

from gradcam_core import LayerInfo, LoadedModel, list_methods, reads_layer, why_not
from pages.components.panels import plain, shortened
from pages.components.session import choose, kept, value_of

TOP = {1: "1", 3: "3", 5: "5", 10: "10", 0: "By name"}
MOST_LAYERS, MOST_CLASSES, MOST_METHODS = 5, 12, 6
TOGGLES = {"flip": "Average with the map of the mirrored picture, turned back"}
LABELS = {
    "copies": "Smoothing: noisy copies",
    "noise": "Smoothing: strength of the noise",
    "flip": "Smoothing: mirrored picture too",
    "share": "Share of the channels",
}
Options = tuple[tuple[str, Any], ...]
METHODS = {entry.name: entry for entry in list_methods()}


def pick_method(
    loaded: LoadedModel, layers: tuple[str, ...], *, key: str = "method", only_layers: bool = False
) -> tuple[str, Options]:
    """One method, with its options folded away; with `only_layers`, of those whose maps are a layer's."""
    reasons = _unsuitable(loaded, layers)
    names = [name for name, entry in METHODS.items() if reads_layer(entry) or not only_layers]
    name = st.selectbox(
        "Method",
        names,
        format_func=lambda one: _method_title(one, reasons[one]),
        **kept(key, "grad_cam", names),
        help="\n".join(f"- **{entry.title}** ({entry.paper}): {entry.summary}" for entry in METHODS.values()),
    )
    return name, pick_options([name], key)[name]


def layer_words(method: str) -> str:
    """Say where the chosen layer plays no part; nothing otherwise."""
    entry = METHODS[method]
    return "" if reads_layer(entry) else f"{entry.title} looks at the model’s input: the layer plays no part."


def _method_title(name: str, reason: str) -> str:
    entry = METHODS[name]
    if reason:
        return f"{entry.title} (not for this network)"
    return f"{entry.title} · takes a while" if entry.reports else entry.title


def _unsuitable(loaded: LoadedModel, layers: tuple[str, ...]) -> dict[str, str]:
    """Why each method cannot serve these layers; "" where it can."""
    infos = [layer for layer in loaded.layers if layer.name in (layers or (loaded.default_layer,))]
    return {
        name: next(filter(None, (why_not(entry, info, loaded) for info in infos)), "")
        for name, entry in METHODS.items()
    }


def pick_methods(
    loaded: LoadedModel, layers: tuple[str, ...], *, key: str = "compared"
) -> tuple[tuple[str, Options], ...]:
    """Several methods to hold against each other; those that cannot serve the layers are left out with a word."""
    reasons = _unsuitable(loaded, layers)
    names = st.multiselect(
        "Methods",
        list(METHODS),
        format_func=lambda name: _method_title(name, reasons[name]),
        **kept(key, ["cam", "grad_cam", "grad_cam_plus_plus"], METHODS, most=MOST_METHODS),
        max_selections=MOST_METHODS,
        select_all=False,
        wrap=True,
    )
    suitable = [name for name in names if not reasons[name]]
    options = pick_options(suitable, key) if suitable else {}
    for reason in filter(None, (reasons[name] for name in names)):
        st.caption(f"Left out. {plain(reason)}")
    return tuple((name, options[name]) for name in suitable)


def pick_options(methods: list[str], key: str) -> dict[str, Options]:
    """The options of these methods, folded away; only what differs from the default is returned."""
    changed = {name: _changed(name) for name in methods}
    count = sum(map(len, changed.values()))
    label = f"Options · {count} changed" if count else "Options"
    with st.popover(label, type="tertiary", icon=":material/tune:", key=f"options {key}"):
        for name in methods:
            if len(methods) > 1:
                st.markdown(f"**{METHODS[name].title}**")
            for option in METHODS[name].options:
                _option_widget(name, option)
    return {name: _changed(name) for name in methods}


def _changed(method: str) -> Options:
    """The options that differ from their defaults, as the widgets have them now."""
    values = {option: value_of(f"{method}.{option}", default) for option, default in _defaults(method)}
    return tuple((option, values[option]) for option, default in _defaults(method) if values[option] != default)


def _defaults(method: str) -> list[tuple[str, Any]]:
    return list(METHODS[method].options.items())


def _option_widget(method: str, option: str) -> None:
    """A widget for an option, made from its default value and its range."""
    entry, default = METHODS[method], METHODS[method].options[option]
    label = LABELS.get(option, option.replace("_", " ").capitalize())
    key, limits = f"{method}.{option}", entry.ranges.get(option)
    arguments = kept(key, default)
    if isinstance(default, bool):
        st.toggle(label, help=TOGGLES.get(option), **arguments)
    elif limits is None:
        st.text_input(label, **arguments)
    else:
        kind = type(default)
        st.number_input(
            label,
            kind(limits.least),
            kind(limits.most),
            **arguments,
            step=kind(1) if kind is int else 0.05,
            help=limits.words,
        )


def pick_layers(loaded: LoadedModel) -> tuple[str, ...]:
    """Pick layers by name, deepest first; each gets its heatmaps, and several are fused as well."""
    infos = _ordered_layers(loaded)
    key = _layers_key(loaded)
    names = st.multiselect(
        "Layers",
        list(infos),
        format_func=lambda name: _layer_title(infos[name], loaded.default_layer),
        **kept(key, [loaded.default_layer], infos, most=MOST_LAYERS),
        max_selections=MOST_LAYERS,
        select_all=False,
        filter_mode="contains",
        wrap=True,
        placeholder=f"{loaded.default_layer} (usual)",
        help="Deep layers know what is in the picture but only roughly where; earlier ones see finer detail of less "
        f"meaning. The usual one here is {loaded.default_layer}. With several, each is shown, and all of them fused.",
    )
    return tuple(names)


def pick_layer(loaded: LoadedModel) -> tuple[str, ...]:
    """Pick one layer; where several were chosen on Explain, the first one is taken, and the page says so."""
    infos, key = _ordered_layers(loaded), _layers_key(loaded)
    layers = [name for name in value_of(key, []) if name in infos] or [loaded.default_layer]
    one = f"one of {key}"
    choose(one, layers[0])
    name = st.selectbox(
        "Layer",
        list(infos),
        format_func=lambda name: _layer_title(infos[name], loaded.default_layer),
        **kept(one, layers[0], infos, then=lambda: choose(key, [value_of(one)])),
        filter_mode="contains",
    )
    if len(layers) > 1 and name == layers[0]:
        st.caption(f"{len(layers)} layers are chosen on Explain. This page uses the first, {plain(name)}.")
    return (name,)


def _ordered_layers(loaded: LoadedModel) -> dict[str, LayerInfo]:
    """Layers by name, blocks before their parts and deep ones before early ones: likely choices come first."""
    ordered = sorted(reversed(loaded.layers), key=lambda layer: min(layer.name.count("."), 2) // 2)
    return {layer.name: layer for layer in ordered}


def _layers_key(loaded: LoadedModel) -> str:
    return f"layers {loaded.reference} {loaded.architecture} {loaded.fingerprint[:8]}"


def choose_layer(loaded: LoadedModel, name: str) -> None:
    """Let the other pages explain at this layer."""
    choose(_layers_key(loaded), [name])
    st.session_state.layer_chosen = name


def pick_class(loaded: LoadedModel, *, key: str = "layers class", wanted: str = "") -> int | None:
    """One class by name, at first the one called `wanted`; without a choice it is the most probable one."""
    start = loaded.labels.index(wanted) if wanted in loaded.labels else None
    chosen: int | None = st.selectbox(
        "Class",
        range(len(loaded.labels)),
        index=None,
        format_func=lambda index: _class_title(loaded, index),
        **kept(f"{key} {loaded.fingerprint[:8]} {wanted}".rstrip(), start, range(len(loaded.labels))),
        filter_mode="contains",
        placeholder="The most probable one",
    )
    return chosen


def _layer_title(layer: LayerInfo, usual: str) -> str:
    title = f"{layer.name} · {layer.grid[0]} × {layer.grid[1]}"
    return f"{title} · usual" if layer.name == usual else title


def pick_classes(
    loaded: LoadedModel, *, key: str = "top", most: int = MOST_CLASSES, start: int = 3
) -> tuple[int, tuple[int, ...], int | None]:
    """How many of the most probable classes, or which by name, and the class they are held against, if any."""
    top = st.segmented_control("Classes", list(TOP), format_func=TOP.get, required=True, **kept(key, start, TOP))
    named: list[int] = []
    if top == 0:
        named = st.multiselect(
            "Class names",
            range(len(loaded.labels)),
            format_func=lambda index: _class_title(loaded, index),
            **kept(f"{key} named {loaded.fingerprint[:8]}", [], range(len(loaded.labels)), most=most),
            max_selections=most,
            select_all=False,
            filter_mode="contains",
            wrap=True,
            placeholder=f"Type a name; until then, the top {start}",
            label_visibility="collapsed",
        )
    return top or start, tuple(named), _pick_against(loaded, key)


def _pick_against(loaded: LoadedModel, key: str) -> int | None:
    """A class that the others are held against: what speaks for one rather than the other."""
    if len(loaded.labels) < 2:
        return None
    name = f"{key} against {loaded.fingerprint[:8]}"
    against = value_of(name)
    label = "Rather than …" if against is None else f"Rather than {plain(shortened(loaded.labels[against]))}"
    with st.popover(label, type="tertiary", icon=":material/compare_arrows:", key=f"popover {key}"):
        chosen: int | None = st.selectbox(
            "Rather than",
            range(len(loaded.labels)),
            index=None,
            format_func=lambda index: _class_title(loaded, index),
            **kept(name, None, range(len(loaded.labels))),
            filter_mode="contains",
            placeholder="No other class",
            help="Shows what speaks for each class rather than for this one: the difference of their scores.",
        )
    return chosen


def _class_title(loaded: LoadedModel, index: int) -> str:
    return f"{loaded.labels[index]} · {index}"
