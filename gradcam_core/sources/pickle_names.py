"""Names in a pickle: those that weights are written with, those of harmless objects, and those of code."""

import re
import sys
from collections.abc import Iterable

import torch

REBUILD = frozenset(
    f"torch._utils._rebuild_{what}"
    for what in ("tensor", "tensor_v2", "tensor_v3", "parameter", "parameter_with_state", "meta_tensor_no_storage")
)
AS_TYPE = "torch._tensor._rebuild_from_type_v2"
ENCODE, BYTES, SET = "_codecs.encode", "builtins.bytearray", "builtins.set"
MAPPINGS = ("collections.OrderedDict", "collections.Counter")
ALLOWED = REBUILD | {
    *(AS_TYPE, ENCODE, BYTES, SET, *MAPPINGS, "builtins.complex", "torch.Size", "torch.device"),
    *("torch.nn.parameter.Parameter", "torch.storage.TypedStorage", "torch.storage.UntypedStorage"),
}
# torch's other ways to write tensors: harmless, and of no use here.
SPARSE = "sparse, while networks here take dense weights"
QUANTISED = "quantised, which leaves no gradients to explain"
UNFIT = {
    r"torch(\.cuda)?\.sparse\.\w+": SPARSE,
    r"torch\._utils\._rebuild_sparse_tensor|torch\.serialization\._get_layout": SPARSE,
    r"torch\._utils\._rebuild_qtensor|torch\.per_(tensor|channel)_\w+": QUANTISED,
    r"torch\._utils\._rebuild_\w+": "kept in a form for another kind of device or wrapper",
}
# Objects that only hold values, or say how to build such an object.
HARMLESS = re.compile(
    r"(argparse|types|enum|collections|datetime|decimal|fractions|uuid|zoneinfo|pathlib|functools|dataclasses|copyreg"
    r"|random|logging|re|array|ipaddress|inspect|string|typing|_random|_operator|operator)\..+"
    r"|builtins\.(slice|range|dict|list|tuple|frozenset|int|float|str|bool|bytes|object|type|getattr|Ellipsis)"
)
# Modules of other packages that load, save, compile or run something.
ACTING = re.compile(
    r"(torch\.(hub|jit(?!\._pickle)|ops|package|serialization|utils\.cpp_extension|_classes|distributed)|joblib|dill|pip|setuptools"
    r"|requests|numpy\.(testing|f2py|distutils|ctypeslib))\..+|(torch|numpy|pandas|joblib)\.(load|save\w*|read_\w+)"
)
BLOCKED = ("os.", "posix.", "nt.", "sys.")  # torch's unpickler stops at them


def is_weights(name: str) -> bool:
    """Whether a name is one that weights are written with."""
    module, _, member = name.rpartition(".")
    if name in ALLOWED or module not in ("torch", "torch.cuda"):
        return name in ALLOWED
    return member.endswith(("Storage", "Tensor")) or isinstance(getattr(torch, member, None), torch.dtype)


def asking_to_run(foreign: Iterable[str], called: Iterable[str]) -> list[str]:
    """Of a pickle's foreign names, those of functions that act on the computer, which no model has a use for."""
    acting = [name for name in called if ACTING.fullmatch(name) or _in_standard_library(name)]
    return sorted({*acting, *(name for name in foreign if name.startswith(BLOCKED))})


def _in_standard_library(name: str) -> bool:
    return name.partition(".")[0] in sys.stdlib_module_names and not HARMLESS.fullmatch(name)


def is_unknown(name: str) -> bool:
    """Whether a foreign name is one of a class that is neither Python's, NumPy's nor a layer of torch."""
    return not HARMLESS.fullmatch(name) and name.partition(".")[0] not in ("torch", "numpy", "omegaconf")
