"""Walk through a pickle without making anything in it, before torch's restricted unpickler reads it.

That unpickler runs nothing foreign, but a small file can still keep it busy for hours: by slow codecs, by keys
whose hashes collide, by long values used again and again. Such files are refused here, in linear time.
"""

import pickletools
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import torch

from gradcam_core.errors import ModelError
from gradcam_core.kinds import AGAIN, SAVE_WEIGHTS

MOST_OPCODES = 1_000_000
MOST_WORK = 5_000_000  # letters, and sixteen times the items, of what calls take in
MOST_ODD_KEYS = 1_000
LARGEST_KEY = 1 << 72
PLAIN = (str, int, float, bytes, type(None))
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
RESAVE = (
    f"If you made this file, or know and trust who did: save the weights alone, {SAVE_WEIGHTS}, "
    "in the project that made it, and load that file with its architecture."
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A class or function that the pickle names."""

    name: str


@dataclass(slots=True)
class _Made:
    """What a call would give; `size` counts the items of a dictionary."""

    name: str
    instance: bool = False
    size: int = 0


@dataclass(slots=True)
class PickleContents:
    """What a pickle asks for: names that are not weights, with whether they are called, and the outermost object."""

    foreign: dict[str, bool] = field(default_factory=dict)
    root: str = ""


def scan_pickle(stream: BinaryIO, most_bytes: int) -> PickleContents:
    """Scan one pickle from where the stream stands; it stands behind the pickle afterwards.

    `most_bytes` is how much the storages may claim together. Raises ModelError for a pickle that is damaged or
    would take far more time or memory than its size warrants.
    """
    walk = _Walk(most_bytes)
    try:
        for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
            if count > MOST_OPCODES:
                walk.refuse("it has more steps than any model's")
                break
            walk.step(opcode.name, value)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError) as error:
        if walk.contents.foreign:  # reason enough to refuse it
            return walk.contents
        raise ModelError(
            f"The file is cut off or damaged ({type(error).__name__} in its list of contents).", AGAIN
        ) from error
    return walk.contents


class _Walk:
    """The unpickler's stack of symbols; plain values, tuples and lists stand for themselves."""

    def __init__(self, most_bytes: int) -> None:
        self.contents = PickleContents()
        self.most_bytes = most_bytes
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.claimed: dict[str, int] = {}
        self.odd_keys = self.work = self.claims = 0

    def step(self, name: str, value: Any) -> None:
        """Take one opcode with its argument."""
        take = STEPS.get(name)
        if take is None:
            message = f"The file was pickled in a way that cannot be read safely (pickle protocol: {name})."
            raise ModelError(message, RESAVE)
        take(self, value)

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    def refuse(self, why: str) -> None:
        """Raise ModelError, unless the file names foreign code: then that is what its user should read."""
        if not self.contents.foreign:
            raise ModelError(f"The file's list of contents was not opened: {why}.", RESAVE)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def items(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def tuple_from_mark(self) -> None:
        items = tuple(self.items())
        self.stack.append(items)

    def group(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError("stack")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        for key in items[::2]:
            self.check_key(key)
        self.stack[-1].size += len(items) // 2

    def check_key(self, key: Any) -> None:
        """Keys whose hashes could be chosen to collide, or take long to compute, are rare in real files."""
        if isinstance(key, int) and abs(key) >= LARGEST_KEY:
            self.refuse("a key in it is a number of more than twenty digits")
        if isinstance(key, (*PLAIN, _Named)):
            return
        self.odd_keys += 1
        if not _is_flat(key) or self.odd_keys > MOST_ODD_KEYS:
            self.refuse("keys in it are neither names nor numbers")

    def spend(self, *values: Any) -> None:
        """Count what a call takes in, since one long value can be given to thousands of calls."""
        for value in values:
            self.work += len(value) if isinstance(value, str) else 1
            self.work += 16 * (len(value) if isinstance(value, tuple | list) else getattr(value, "size", 0))
        if self.work > MOST_WORK:
            self.refuse("it uses long values far too often")

    def persistent(self) -> None:
        """A storage, or in the oldest format a class with its source."""
        values = self.stack.pop()
        if not all(isinstance(part, (*PLAIN, _Named)) or _is_flat(part) for part in values):
            self.refuse("a storage in it is described in an unknown way")
        if values[0] == "module":
            self.stack.append(values[1])
            return
        _, kind, key, _, count, *_ = values
        if not (isinstance(kind, _Named) and isinstance(key, str) and isinstance(count, int) and count >= 0):
            raise ValueError("storage")
        self.claims += count - self.claimed.get(key, 0)
        self.claimed[key] = count
        if self.claims > self.most_bytes:
            raise ModelError(
                f"The tensors claim {self.claims / 1e6:,.1f} MB or more, the file has {self.most_bytes / 1e6:,.1f} MB.",
                RESAVE,
            )
        self.stack.append(_Made("storage"))

    def named(self, text: str) -> _Named:
        module, _, member = text.partition(" ")
        module, member = NAME_MAPPING.get((module, member), (IMPORT_MAPPING.get(module, module), member))
        full = f"{module}.{member}"
        if is_weights(full):
            return _Named(full)
        for names, what in UNFIT.items():
            if re.fullmatch(names, full):
                raise ModelError(f"Tensors in the file are {what}.", RESAVE)
        self.contents.foreign.setdefault(full[:200], False)
        return _Named(full)

    def call(self, instance: bool) -> None:
        """A function or class is called with a tuple of arguments."""
        values, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.result(function.name, values, instance))

    def result(self, name: str, values: tuple[Any, ...], instance: bool = False) -> Any:
        """Check a call, and give the symbol of what it returns."""
        self.spend(*values)
        if name == ENCODE or (name == BYTES and values):
            if not isinstance(values[0], str) or values[1:] not in (("latin1",), ("latin-1",), ()):
                self.refuse("it holds bytes written in an unusual way")
            return values[0]
        if name in (SET, *MAPPINGS) and values:
            self.check_members(name, values[0])
        elif name == AS_TYPE:
            if getattr(values[0], "name", "") not in REBUILD:
                self.refuse("a tensor in it is rebuilt in an unusual way")
            self.result(values[0].name, values[2])
        elif name.startswith("torch.") and name.endswith(("Tensor", "Storage")):
            self.refuse("it makes tensors from nothing")
        elif name[:200] in self.contents.foreign:
            self.contents.foreign[name[:200]] |= not instance
        return _Made(name, instance)

    def check_members(self, name: str, members: Any) -> None:
        if not isinstance(members, tuple | list):
            if getattr(members, "name", "") != "dict":
                self.refuse("a set in it is made in an unusual way")
            return
        for member in members:
            pair = name == MAPPINGS[0] and isinstance(member, tuple | list) and member
            self.check_key(member[0] if pair else member)

    def build(self) -> None:
        self.spend(self.stack.pop())

    def stop(self) -> None:
        root = self.stack.pop()
        if isinstance(root, _Made) and root.instance:
            self.contents.root = root.name


def _is_flat(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(part, PLAIN) for part in value)


def is_weights(name: str) -> bool:
    """Whether a name is one that weights are written with."""
    module, _, member = name.rpartition(".")
    if name in ALLOWED or module not in ("torch", "torch.cuda"):
        return name in ALLOWED
    return member.endswith(("Storage", "Tensor")) or isinstance(getattr(torch, member, None), torch.dtype)


VALUES = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
STEPS: Mapping[str, Callable[[_Walk, Any], None]] = {
    **dict.fromkeys(VALUES, _Walk.push),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Walk.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Walk.get),
    **dict.fromkeys(("PROTO", "FRAME"), lambda walk, value: None),
    "GLOBAL": lambda walk, text: walk.push(walk.named(text)),
    "NONE": lambda walk, _: walk.push(None),
    "NEWTRUE": lambda walk, _: walk.push(True),
    "NEWFALSE": lambda walk, _: walk.push(False),
    "EMPTY_TUPLE": lambda walk, _: walk.push(()),
    "EMPTY_LIST": lambda walk, _: walk.push([]),
    "EMPTY_DICT": lambda walk, _: walk.push(_Made("dict")),
    "EMPTY_SET": lambda walk, _: walk.push(_Made("set")),
    "MARK": lambda walk, _: walk.mark(),
    "TUPLE": lambda walk, _: walk.tuple_from_mark(),
    "TUPLE1": lambda walk, _: walk.group(1),
    "TUPLE2": lambda walk, _: walk.group(2),
    "TUPLE3": lambda walk, _: walk.group(3),
    "APPEND": lambda walk, _: walk.append([walk.stack.pop()]),
    "APPENDS": lambda walk, _: walk.append(walk.items()),
    "SETITEM": lambda walk, _: walk.set_items([walk.stack.pop(), walk.stack.pop()][::-1]),
    "SETITEMS": lambda walk, _: walk.set_items(walk.items()),
    "BINPERSID": lambda walk, _: walk.persistent(),
    "REDUCE": lambda walk, _: walk.call(False),
    "NEWOBJ": lambda walk, _: walk.call(True),
    "BUILD": lambda walk, _: walk.build(),
    "STOP": lambda walk, _: walk.stop(),
}
