"""The nouns of a batch: what is computed for every picture, and what comes of one."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradcam_core.choosing import Method
from gradcam_core.picture import Area
from gradcam_core.shapes import Map

WORKED, FAILED = "ok", "failed"
ANSWER, TRUE = "answer", "true label"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How every worker computes: the model by the arguments of `load_model`, and what is explained of each picture.

    `fingerprint` is that of the weights with which the batch began; `identity` that of everything that decides about a
    map; `together` is how many pictures share a pass. `overlays` is the folder for overlays, "" for none. `tiles`:
    whether small pictures are kept for the gallery. `named`: whether file names are kept; else each file's checksum.
    `blanked` areas of every picture are deleted before anything is computed.
    """

    reference: str
    options: Mapping[str, Any] = field(default_factory=dict)
    method: Method = "grad_cam"
    layers: tuple[str, ...] = ()
    target: str = ""
    overlays: str = ""
    tiles: bool = True
    fingerprint: str = ""
    identity: str = ""
    together: int = 1
    named: bool = True
    blanked: tuple[Area, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to explain: what names it, where it lies, and its true label, "" where there is none.

    `size` and `modified_ns` are the file's; `problem` says why it cannot be a picture. `member` is its place in a ZIP,
    counted from 0, None where `path` is the picture's own file.
    """

    name: str
    path: str
    size: int = 0
    modified_ns: int = 0
    problem: str = ""
    label: str = ""
    member: int | None = None

    @property
    def id(self) -> str:
        """What tells this picture from all others of its folder: a hash of its name."""
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, eq=False)
class StoredMap:
    """A raw map at the layer's own grid, of the top `answer` or of the `true label`.

    `offset` is how far (down, right) its cells lie beside an even tiling of the model's input, in cells.
    """

    role: str
    target: int
    label: str
    layer: str
    raw: Map
    probability: float | None = None
    offset: tuple[float, float] = (0.0, 0.0)
    signed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What comes of one picture. `status` is "ok", or "failed" with its `problem` in words.

    `key` names everything that decides about its maps: the file's bytes, model, task, layer, method, options, version.
    `value` is a regression's number. `border` is the share of the heat in the outer tenth of the picture. `tile` shows
    the model's input, as JPEG.
    """

    id: str
    name: str
    size: int
    modified_ns: int
    status: str = WORKED
    problem: str = ""
    sha256: str = ""
    key: str = ""
    label: str = ""
    label_index: int | None = None
    probability: float | None = None
    true_label: str = ""
    correct: bool | None = None
    true_probability: float | None = None
    value: float | None = None
    border: float | None = None
    state: str = ""
    note: str = ""
    overlay: str = ""
    maps: tuple[StoredMap, ...] = ()
    tile: bytes = b""


def failed(job: Job, problem: str, sha256: str = "") -> Result:
    """The result of a picture that cannot be explained."""
    return Result(job.id, job.name, job.size, job.modified_ns, FAILED, problem, sha256, true_label=job.label)


def hashed_name(result: Result) -> str:
    """What stands for a file's name where names are left out: its checksum, or its name's where it was not read."""
    return (result.sha256 or result.id)[:32]


def to_bytes(raw: Map) -> bytes:
    """A map's numbers as float32, rows first, the smallest byte first on every machine."""
    return np.ascontiguousarray(raw, "<f4").tobytes()
