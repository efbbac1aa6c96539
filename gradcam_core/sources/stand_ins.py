"""Read objects of foreign classes as plain values: an inert stand-in for each class, which keeps what it is given.

A module of torch becomes the nested mapping of its tensors, a NumPy value becomes Python's, an object with attributes
becomes a mapping of them. Nothing of the file is run.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gradcam_core.sources.old_format import NAME, ClassWithoutSource
from gradcam_core.sources.pickle_scan import PickleContents

DEEPEST, LARGEST_ARRAY = 40, 8_000_000
PLAIN = (str, int, float, bool, bytes, complex, type(None), torch.Tensor, torch.Size, torch.device, torch.dtype)
# Numbers, text and dates of NumPy; "O" would be Python objects.
NUMPY_TYPE = re.compile(r"[biufcSU]\d{1,7}|[mM]8")
SCALAR = re.compile(r"numpy\._?core\.multiarray\.scalar")
ARRAY = re.compile(r"numpy\._?core\.multiarray\._reconstruct|numpy\._?core\.numeric\._frombuffer")
# The key under which a module's mapping holds the module's class and settings; not a text, as tensors' names are.
SETTINGS = ("settings",)
SETTING_TYPES = (str, int, float, bool)
# torch keeps one list of allowed names for the whole process, so only one file with foreign names is read at a time.
ONE_AT_A_TIME = threading.Lock()


class StandIn(list[Any]):
    """What an object of a foreign class becomes; a list, since torch appends only to lists."""

    name = ""
    __slots__ = ("arguments", "state")
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> "StandIn":
        """Keep the arguments of a call."""
        instance = super().__new__(cls)
        instance.arguments, instance.state = arguments, None
        return instance

    def __init__(self, *arguments: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__


class _MappingStandIn:
    """What a foreign class of dictionaries becomes: torch fills only real ones."""

    def __new__(cls, *arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict(arguments[0]) if arguments and isinstance(arguments[0], dict) else OrderedDict()


@contextmanager
def stand_ins(contents: PickleContents) -> Iterator[None]:
    """Let torch's restricted unpickler give an inert object for each foreign name of a scanned pickle."""
    if not contents.foreign:
        yield
        return
    allowed: list[Any] = [(_stand_in(name, contents), name) for name in contents.foreign]
    if contents.containers:
        allowed.append((ClassWithoutSource, NAME))
    with ONE_AT_A_TIME, torch.serialization.safe_globals(allowed):
        yield


def _stand_in(name: str, contents: PickleContents) -> type:
    if name in contents.tensor_types:
        return torch.Tensor
    if name in contents.mappings:
        return type("MappingStandIn", (_MappingStandIn,), {})
    return type("StandIn", (StandIn,), {"name": name, "__slots__": ()})


def plain_values(content: Any, arrays: bool = False) -> Any:
    """Turn stand-ins, wherever they are, into plain values; None where there is nothing plain about one.

    NumPy's arrays of real numbers become lists, or tensors where `arrays` is set. Each object is converted once, and
    an object inside itself becomes None, so time and memory follow the content's size.
    """
    return _Plain(arrays).value(content, 0)


class _Plain:
    """One conversion: what was converted by its identity, so that shared and endless structures end."""

    def __init__(self, arrays: bool) -> None:
        self.converted: dict[int, Any] = {}
        self.arrays = arrays

    def value(self, value: Any, depth: int) -> Any:
        """Convert one value, at a depth of nesting."""
        if isinstance(value, PLAIN):
            return value
        if id(value) not in self.converted:
            self.converted[id(value)] = None
            if depth < DEEPEST:
                self.converted[id(value)] = self._convert(value, depth + 1)
        return self.converted[id(value)]

    def _convert(self, value: Any, depth: int) -> Any:
        if isinstance(value, StandIn):
            return self._object(value, depth)
        if isinstance(value, dict):
            return self._mapping(value, depth)
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth) for item in value]
        return None

    def _mapping(self, value: dict[Any, Any], depth: int) -> dict[Any, Any]:
        pairs = dict.items(value)  # the file may have put something else in the place of value.items
        return {key: self.value(item, depth) for key, item in pairs if isinstance(key, str | int | float | tuple)}

    def _object(self, value: StandIn, depth: int) -> Any:
        if SCALAR.fullmatch(value.name):
            kind, data = (*value.arguments, None, None)[:2]
            return _from_bytes(kind, data, (), "C")
        if ARRAY.fullmatch(value.name):
            return self._array(value.state, depth)
        state = _attributes(value.state)
        if state is not None and isinstance(state.get("_modules"), dict):
            return self._module(value.name, state, depth)
        if state:
            return self._mapping(state, depth)
        if value:
            return [self.value(item, depth) for item in value]
        arguments = [self.value(argument, depth) for argument in value.arguments]
        modules = (each for each in arguments if isinstance(each, dict) and SETTINGS in each)
        return next(modules, arguments[0] if len(arguments) == 1 else None)

    def _array(self, state: Any, depth: int) -> Any:
        """A NumPy array from its state; one of Python objects keeps a list of them instead of bytes."""
        if not isinstance(state, tuple) or len(state) != 5:
            return None
        _, shape, kind, in_columns, data = state
        if isinstance(data, list):
            return self.value(data, depth)
        read = _as_tensor if self.arrays else _from_bytes
        return read(kind, data, shape, "CF"[bool(in_columns)])

    def _module(self, name: str, state: Mapping[str, Any], depth: int) -> dict[Any, Any]:
        """The tensors of a module as its state dict has them, and the modules in it."""
        passing = state.get("_non_persistent_buffers_set") or ()
        tensors: dict[Any, Any] = {SETTINGS: {"class": name, **_settings(state)}}
        for place in ("_parameters", "_buffers"):
            stored = state.get(place)
            for key, tensor in dict.items(stored) if isinstance(stored, dict) else ():
                if isinstance(tensor, torch.Tensor) and key not in passing:
                    tensors[key] = tensor
        tensors |= {key: x for key, x in dict.items(dict(state)) if isinstance(key, str) and _is_naming(x)}
        for key, module in dict.items(state["_modules"]):
            if module is not None:
                tensors[key] = self.value(module, depth)
        return tensors


def _attributes(state: Any) -> dict[Any, Any] | None:
    """An object's attributes, from the two usual forms of its state."""
    if isinstance(state, tuple) and len(state) == 2:
        parts = [part for part in state if isinstance(part, dict)]
        return {key: value for part in parts for key, value in dict.items(part)} if parts else None
    return state if isinstance(state, dict) else None


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    """A module's own numbers and words, such as eps and stride."""
    return {
        key: value
        for key, value in dict.items(dict(state))
        if isinstance(key, str) and not key.startswith("_") and _is_setting(value)
    }


def _is_naming(value: Any) -> bool:
    """Whether an attribute may hold names of classes."""
    if isinstance(value, dict):
        return len(value) > 0 and all(isinstance(part, str | int) for pair in dict.items(value) for part in pair)
    return isinstance(value, list) and len(value) > 0 and all(isinstance(part, str) for part in value)


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) < 9 and all(isinstance(part, SETTING_TYPES) for part in value)
    return isinstance(value, SETTING_TYPES)


def _from_bytes(kind: Any, data: Any, shape: Any, order: Any) -> Any:
    """A NumPy number, text or array as Python's own; None for a large one, one of another type, or a damaged one."""
    stated = _numpy_type(kind)
    if stated is None or not isinstance(data, bytes) or len(data) > LARGEST_ARRAY:
        return None
    try:
        return np.frombuffer(data, stated).reshape(shape, order=order).tolist()
    except (ValueError, TypeError, OverflowError):
        return None


def _as_tensor(kind: Any, data: Any, shape: Any, order: Any) -> Any:
    """An array of real numbers as a tensor, as large as its bytes; another one as lists."""
    stated = _numpy_type(kind)
    if stated is None or stated.kind != "f" or not isinstance(data, bytes):
        return _from_bytes(kind, data, shape, order)
    try:
        array = np.frombuffer(data, stated).reshape(shape, order=order)
        return torch.from_numpy(array.astype(stated.newbyteorder("="), order="C"))
    except (ValueError, TypeError, OverflowError):
        return None


def _numpy_type(kind: Any) -> np.dtype[Any] | None:
    """The type that numpy.dtype was called with, of plain values only, in the byte order of its state."""
    if not isinstance(kind, StandIn) or not kind.arguments or not isinstance(kind.arguments[0], str):
        return None
    if not NUMPY_TYPE.fullmatch(kind.arguments[0]):
        return None
    order = kind.state[1] if isinstance(kind.state, tuple) and len(kind.state) > 1 else "="
    return np.dtype(f"{order if order in ('<', '>') else '='}{kind.arguments[0]}")
