"""Walk through a pickle without making anything in it, before torch's restricted unpickler reads it.

The walk lists the foreign names, which get stand-ins (`stand_ins.py`). That unpickler runs nothing foreign, but a
small file can still keep it busy for hours: by slow codecs, by keys whose hashes collide, by long values used again
and again. Such files are refused here, in linear time.
"""

import pickletools
import re
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from gradcam_core.errors import ModelError
from gradcam_core.kinds import AGAIN, SAVE_WEIGHTS
from gradcam_core.sources.pickle_names import AS_TYPE, BYTES, ENCODE, MAPPINGS, REBUILD, SET, UNFIT, is_weights

MOST_OPCODES = 1_000_000
# Letters, and sixteen times the items, of what calls take in; and as often as this more for each byte of the file.
MOST_WORK, WORK_PER_BYTE, LARGEST_PICKLE = 5_000_000, 2, 64_000_000
MOST_NAMES, LONGEST_NAME = 500, 200  # foreign names: torch goes through all of them at every call of one
MOST_ODD_KEYS = 1_000
LARGEST_KEY = 1 << 72
PLAIN = (str, int, float, bytes, type(None))
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
    """What a pickle asks for beside weights.

    `foreign` are the names that are not those of weights. Of these, `called` are called as functions, `instances` are
    classes, `mappings` give objects that are filled like dictionaries, `tensor_types` are types of tensors.
    `containers` are the places, among all references to storages, of classes that the oldest format keeps with their
    source text. `root` is the outermost object's class, `begin` where the pickle begins in its file.
    """

    foreign: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    instances: set[str] = field(default_factory=set)
    mappings: set[str] = field(default_factory=set)
    tensor_types: set[str] = field(default_factory=set)
    containers: set[int] = field(default_factory=set)
    root: str = ""
    begin: int = 0


def scan_pickle(stream: BinaryIO, most_bytes: int) -> PickleContents:
    """Scan one pickle from where the stream stands; it stands behind the pickle afterwards.

    `most_bytes` is how much the storages may claim together. Raises ModelError for a pickle that is damaged or
    would take far more time or memory than its size warrants.
    """
    walk = _Walk(most_bytes)
    walk.contents.begin = stream.tell()
    try:
        for count, (opcode, value, _) in enumerate(pickletools.genops(stream)):
            if count > MOST_OPCODES:
                walk.refuse("it has more steps than any model's")
                break
            walk.step(opcode.name, value)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError) as error:
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
        self.odd_keys = self.work = self.claims = self.references = 0

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
        filled = self.stack[-1]
        filled.size += len(items) // 2
        if filled.name in self.contents.foreign:
            self.contents.mappings.add(filled.name)

    def check_key(self, key: Any) -> None:
        """Keys whose hashes could be chosen to collide, or take long to compute, are rare in real files."""
        if isinstance(key, int) and abs(key) >= LARGEST_KEY:
            self.refuse("a key in it is a number of more than twenty digits")
        if isinstance(key, (*PLAIN, _Named)):
            return
        self.odd_keys += 1
        by_identity = isinstance(key, _Made) and key.name in self.contents.foreign
        if not (by_identity or _is_flat(key)) or self.odd_keys > MOST_ODD_KEYS:
            self.refuse("keys in it are neither names nor numbers")

    def spend(self, *values: Any) -> None:
        """Count what a call takes in, since one long value can be given to thousands of calls."""
        for value in values:
            self.work += len(value) if isinstance(value, str) else 1
            self.work += 16 * (len(value) if isinstance(value, tuple | list) else getattr(value, "size", 0))
        if self.work > MOST_WORK + WORK_PER_BYTE * min(self.most_bytes, LARGEST_PICKLE):
            self.refuse("it uses long values far too often")

    def persistent(self) -> None:
        """A storage, or in the oldest format a class with its source."""
        values = self.stack.pop()
        self.references += 1
        if not all(isinstance(part, (*PLAIN, _Named)) or _is_flat(part) for part in values):
            self.refuse("a storage in it is described in an unknown way")
        if values[0] == "module":
            self.contents.containers.add(self.references - 1)
            self.stack.append(_Named(values[1].name))
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
        self.contents.foreign.add(full)
        if len(self.contents.foreign) > MOST_NAMES or len(full) > LONGEST_NAME:
            self.refuse("it names far more classes, or longer names, than any model's")
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
            if values[1].name in self.contents.foreign:
                self.contents.tensor_types.add(values[1].name)
        elif name.startswith("torch.") and name.endswith(("Tensor", "Storage")):
            self.refuse("it makes tensors from nothing")
        elif name in self.contents.foreign:
            self.work += len(self.contents.foreign)
            (self.contents.instances if instance else self.contents.called).add(name)
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
        if isinstance(root, _Made):
            self.contents.root = root.name
        if self.contents.tensor_types & (self.contents.called | self.contents.instances):
            self.refuse("it makes tensors from nothing")


def _is_flat(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(part, PLAIN) for part in value)


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
