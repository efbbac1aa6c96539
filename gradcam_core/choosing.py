"""What a caller asks for -> the methods that this network and these layers allow."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gradcam_core.errors import MethodError
from gradcam_core.layers import INPUT
from gradcam_core.methods import caveat, choose_method, instead_of, why_not
from gradcam_core.methods.needs import OF_A_LAYER
from gradcam_core.records import LayerInfo, LoadedModel
from gradcam_core.registry import Choice

Method = str | tuple[str, Mapping[str, Any]]
DEFAULT_METHODS: Sequence[Method] = ("cam", "grad_cam", "grad_cam_plus_plus")
FORWARD_METHODS: Sequence[Method] = ("occlusion",)


def choose_methods(
    methods: Method | Sequence[Method] | None, layers: Sequence[LayerInfo], model: LoadedModel
) -> tuple[list[Choice], list[str]]:
    """Look the methods up, the default ones for None; leave those out that cannot work here, each with a sentence.

    Raises MethodError where none is left, and for unknown methods and options.
    """
    choices: list[Choice] = []
    notes: list[str] = []
    refusals: list[MethodError] = []
    closed = any(layer.kind == INPUT for layer in layers)
    usual = FORWARD_METHODS if closed else DEFAULT_METHODS
    for name, options in _listed(usual if methods is None else methods):
        choice = choose_method(name, options)
        reason = next(filter(None, (why_not(choice.member, layer, model) for layer in layers)), "")
        if reason:
            refusals.append(MethodError(reason, instead_of(choice.member, OF_A_LAYER if closed else ())))
            notes.append(reason)
        else:
            notes += list(filter(None, {caveat(choice.member, layer, model) for layer in layers}))
            choices.append(choice)
    if not choices:
        if methods is None:
            raise MethodError(refusals[0].message, "Use Eigen-CAM, Score-CAM or occlusion.")
        raise refusals[0]
    return choices, notes


def _listed(methods: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """One method or several, as pairs of name and options."""
    single = isinstance(methods, str) or _is_pair(methods)
    asked = [methods] if single else list(methods) if isinstance(methods, Iterable) else []
    pairs = [(method, {}) if isinstance(method, str) else method for method in asked]
    if not pairs:
        raise MethodError("No method is chosen.", "Name at least one, e.g. grad_cam.")
    for pair in pairs:
        if not _is_pair(pair):
            raise MethodError(f"{pair!r} is not a method.", 'Give a name, or a pair: ("name", {"option": value}).')
    return [(str(name), options) for name, options in pairs]


def _is_pair(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and isinstance(value[1], Mapping)
