"""Pick methods and their options; both are read off the family of methods."""

from typing import Any

import streamlit as st

from gradcam_core import LoadedModel, list_methods, reads_layer, what_it_reads, why_not
from pages.components.session import kept, value_of
from pages.components.words import plain

MOST_METHODS = 6
USUAL = {"method": ["grad_cam"], "compared": ["cam", "grad_cam", "grad_cam_plus_plus"]}
TOGGLES = {"flip": "Average with the map of the mirrored picture, mirrored back"}
LABELS = {
    "copies": "Smoothing: noisy copies",
    "noise": "Smoothing: strength of the noise",
    "flip": "Smoothing: mirrored picture too",
    "share": "Share of the channels",
    "alpha": "Weight of the similar classes",
    "classes": "Similar classes",
    "layers": "Layers multiplied",
    "first": "First block",
}
Options = tuple[tuple[str, Any], ...]
METHODS = {method.name: method for method in list_methods()}


def pick_method(
    model: LoadedModel, layers: tuple[str, ...], *, key: str = "method", only_layers: bool = False
) -> tuple[str, Options]:
    """Pick one method, with its options folded away; with `only_layers`, of those whose maps are a layer's."""
    reasons = _unsuitable(model, layers)
    names = [name for name, member in METHODS.items() if reads_layer(member) or not only_layers]
    name = st.selectbox(
        "Method",
        names,
        format_func=lambda name: _method_title(name, reasons[name]),
        **kept(key, _first(names, reasons), names),
        help="\n".join(f"- **{member.title}** ({member.paper}): {member.summary}" for member in METHODS.values()),
    )
    return name, pick_options([name], key)[name]


def _first(names: list[str], reasons: dict[str, str]) -> str:
    """The method to begin with: Grad-CAM, or the first one that suits the network."""
    return next((name for name in ("grad_cam", "occlusion") if name in names and not reasons[name]), "grad_cam")


def usual_methods(model: LoadedModel, layers: tuple[str, ...], key: str = "method") -> list[str]:
    """The methods to begin with: the usual ones that suit the network and its layers."""
    reasons = _unsuitable(model, layers)
    suitable = [name for name in USUAL[key] if not reasons[name]]
    return suitable or [_first(list(METHODS), reasons)]


def layer_words(method: str) -> str:
    """Say so where the chosen layer does not matter to a method; nothing otherwise."""
    member = METHODS[method]
    reads = plain(what_it_reads(method))
    return "" if reads_layer(member) else f"{member.title} reads {reads}: the chosen layer does not matter."


def _method_title(name: str, reason: str) -> str:
    member = METHODS[name]
    if reason:
        return f"{member.title} (not for this network)"
    return f"{member.title} · takes a while" if member.reports else member.title


def _unsuitable(model: LoadedModel, layers: tuple[str, ...]) -> dict[str, str]:
    """Why each method cannot serve these layers; "" where it can."""
    infos = [layer for layer in model.layers if layer.name in (layers or (model.default_layer,))]
    return {
        name: next(filter(None, (why_not(member, info, model) for info in infos)), "")
        for name, member in METHODS.items()
    }


def pick_methods(
    model: LoadedModel, layers: tuple[str, ...], *, key: str = "compared"
) -> tuple[tuple[str, Options], ...]:
    """Pick several methods to compare; those that cannot serve the layers are left out, and the page says why."""
    reasons = _unsuitable(model, layers)
    names = st.multiselect(
        "Methods",
        list(METHODS),
        format_func=lambda name: _method_title(name, reasons[name]),
        **kept(key, usual_methods(model, layers, "compared"), METHODS, most=MOST_METHODS),
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
    member, default = METHODS[method], METHODS[method].options[option]
    label = LABELS.get(option, option.replace("_", " ").capitalize())
    key, limits = f"{method}.{option}", member.ranges.get(option)
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
