"""Pick the layers to explain at."""

from collections.abc import Sequence

import streamlit as st

from gradcam_core import LayerInfo, LoadedModel, advise
from pages.components.session import choose, kept, value_of
from pages.components.words import plain

MOST_LAYERS = 5
ALL, LEVELS = "", "all levels of the pyramid, fused"


def pick_layers(model: LoadedModel) -> tuple[str, ...]:
    """Pick layers by name, deepest first; each gets its heatmaps, and several are fused as well."""
    infos = _ordered_layers(model)
    key = _layers_key(model)
    names = st.multiselect(
        "Layers",
        list(infos),
        format_func=lambda name: _layer_title(infos[name], model.default_layer),
        **kept(key, _recommended(model), infos, most=MOST_LAYERS),
        max_selections=MOST_LAYERS,
        select_all=False,
        filter_mode="contains",
        wrap=True,
        placeholder=f"{model.default_layer} (recommended)",
        help="Late layers know what is in the picture but only roughly where; earlier ones see finer detail of less "
        f"meaning. The recommended one here is {model.default_layer}. Several are shown each, and all of them fused.",
    )
    _show_advice(model, [infos[name] for name in names or _recommended(model)])
    return tuple(names)


def _show_advice(model: LoadedModel, layers: Sequence[LayerInfo]) -> None:
    """Say of each layer what speaks against it, and how well it localises where that was measured."""
    for layer in layers:
        advice = advise(model, layer)[1:]
        if advice:
            st.caption(f"**{plain(layer.name)}**: {plain(' '.join(advice))}")


def pick_layer(model: LoadedModel) -> tuple[str, ...]:
    """Pick one layer; where several were chosen on Explain, the first one is taken, and the page says so.

    Of a detector, all levels of its pyramid together are one choice: (), which stands for what is recommended.
    """
    infos, key = _ordered_layers(model), _layers_key(model)
    layers = chosen_layers(model)
    together = bool(model.pyramid) and layers == _recommended(model)
    one, start, options = f"one of {key}", ALL if together else layers[0], [*([ALL] if model.pyramid else []), *infos]
    choose(one, start)
    name = st.selectbox(
        "Layer",
        options,
        format_func=lambda name: LEVELS if name == ALL else _layer_title(infos[name], model.default_layer),
        **kept(one, start, options, then=lambda: choose(key, _taken(model, value_of(one)))),
        filter_mode="contains",
    )
    if name == ALL:
        return ()
    _show_advice(model, [infos[name]])
    if len(layers) > 1 and name == layers[0]:
        st.caption(f"{len(layers)} layers are chosen on Explain. This page uses the first, {plain(name)}.")
    return (name,)


def _taken(model: LoadedModel, name: str) -> list[str]:
    return _recommended(model) if name == ALL else [name]


def one_layer_words(model: LoadedModel) -> list[str]:
    """The one layer that a page uses, in words."""
    layers = chosen_layers(model)
    return [LEVELS] if model.pyramid and layers == _recommended(model) else layers[:1]


def chosen_layers(model: LoadedModel) -> list[str]:
    """The names of the layers that are chosen, or of the recommended one."""
    names = {layer.name for layer in model.layers}
    return [name for name in value_of(_layers_key(model), []) if name in names] or _recommended(model)


def _recommended(model: LoadedModel) -> list[str]:
    """The layers to begin with: several of a detector, which finds objects of different sizes on different ones."""
    return list(model.pyramid[:MOST_LAYERS]) or [model.default_layer]


def _ordered_layers(model: LoadedModel) -> dict[str, LayerInfo]:
    """Layers by name, blocks before their parts and deep ones before early ones: likely choices come first."""
    ordered = sorted(reversed(model.layers), key=lambda layer: min(layer.name.count("."), 2) // 2)
    return {layer.name: layer for layer in ordered}


def _layers_key(model: LoadedModel) -> str:
    return f"layers {model.reference} {model.architecture} {model.fingerprint[:8]}"


def choose_layer(model: LoadedModel, name: str) -> None:
    """Let the other pages explain at this layer."""
    choose(_layers_key(model), [name])
    st.session_state.layer_chosen = name


def _layer_title(layer: LayerInfo, recommended: str) -> str:
    title = f"{layer.name} · {layer.grid[1]} × {layer.grid[0]}"
    return f"{title} · recommended" if layer.name == recommended else title
