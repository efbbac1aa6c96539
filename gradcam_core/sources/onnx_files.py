"""An ONNX file -> a session of ONNX Runtime, after checks: nothing of its own runs, and its memory is bounded.

What the checks refuse: operators that ONNX Runtime does not bring itself, loops (their time has no bound), functions
(few bytes can stand for endless steps), and weights outside the model's own folder. The memory of all sessions
together ends at MOST_BYTES. A pass ends with the first step that ends too late (see onnx_networks.py); the time of a
single step is not bounded.
"""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from gradcam_core.errors import ModelError
from gradcam_core.kinds import HEAD_BYTES, open_checkpoint, recognise
from gradcam_core.sources.checkpoints import first_line

# What stands for the architecture of a file that holds its own.
ONNX = "onnx"
LARGEST_FILE, MOST_BYTES, MOST_NODES = 2 << 30, 8 << 30, 100_000
CHUNK = 1 << 20
OWN_OPERATORS = frozenset({"", "ai.onnx", "com.microsoft"})
LOOPS = frozenset({"Loop", "Scan"})
INSTALL = "Install them with: pip install onnxruntime onnx (or: pip install 'cam-lightbox[onnx]')."
AGAIN = "Export it once more, e.g. with torch.onnx.export."


class OnnxFile(NamedTuple):
    """A checked file: its session, the sha256 of all its bytes, and what it says about itself."""

    session: Any
    sha256: bytes
    metadata: Mapping[str, str]


def is_onnx(path: Path) -> bool:
    """Whether a file is an ONNX model: by its first bytes, or by its ending where these say nothing."""
    if not path.is_file():
        return False
    with open_checkpoint(path) as stream:
        try:
            kind = recognise(stream.read(HEAD_BYTES))
        except OSError:  # said where the file is read
            return False
    return kind.name == "ONNX" or (kind.name in ("unknown", "text") and path.suffix.lower() == ".onnx")


def open_onnx(path: Path) -> OnnxFile:
    """Check a file and begin a session with it. Raises ModelError."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise ModelError("This is an ONNX model, which needs the packages onnxruntime and onnx.", INSTALL) from error
    if path.stat().st_size > LARGEST_FILE:
        raise ModelError("The ONNX file has more than 2 GB.", "Keep its weights in a file of their own beside it.")
    # Both libraries raise many kinds of exceptions for a damaged file.
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ModelError(f"This ONNX model is damaged: {first_line(error)}.", AGAIN) from error
    files = _checked(model, path)
    try:
        # Steps on constants wait for the first pass, whose time is bounded.
        session = onnxruntime.InferenceSession(
            str(path), _options(), providers=["CPUExecutionProvider"], disabled_optimizers=["ConstantFolding"]
        )
    except Exception as error:
        raise ModelError(f"ONNX Runtime does not open this model: {in_words(error)}.", AGAIN) from error
    return OnnxFile(session, _digest([path, *files]), session.get_modelmeta().custom_metadata_map)


def in_words(error: Exception) -> str:
    """ONNX Runtime's own complaint without its preamble and addresses."""
    text = str(error).split("Status Message: ")[-1].split(" : ")[-1]
    return first_line(RuntimeError(text))


def _options() -> Any:
    import onnxruntime

    _bound_memory()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.use_env_allocators", "1")
    return options


@cache
def _bound_memory() -> None:
    """Give all sessions of this process one store of memory with an end."""
    import onnxruntime as runtime

    place = runtime.OrtMemoryInfo("Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT)
    runtime.create_and_register_allocator(place, runtime.OrtArenaCfg({"max_mem": MOST_BYTES}))


def _checked(model: Any, path: Path) -> list[Path]:
    """The files with weights beside a model. Raises ModelError for what is not run here."""
    if len(model.functions):
        raise ModelError("The ONNX model defines functions of its own, which are not run here.", AGAIN)
    files: dict[str, Path] = {}
    for count, part in enumerate(_parts(model.graph)):
        if count > MOST_NODES:
            raise ModelError(f"The ONNX model has more than {MOST_NODES:,} steps.", "Use a smaller model.")
        kind = getattr(part, "op_type", "")
        if kind and part.domain not in OWN_OPERATORS:
            message = (
                f"The ONNX model uses an operator that is not part of ONNX Runtime ({part.domain[:60]}.{kind[:60]})."
            )
            raise ModelError(message, "Export it with ONNX's own operators.")
        if kind in LOOPS:
            raise ModelError(f"The ONNX model has a loop ({kind}), which is not run here.", "Export it without loops.")
        for name in _outside(part):
            files.setdefault(name, _beside(path, name))
    return list(files.values())


def _parts(graph: Any) -> Iterator[Any]:
    """All steps and tensors of a graph and of those inside its steps."""
    waiting = [graph]
    while waiting:
        current = waiting.pop()
        yield from current.initializer
        for sparse in current.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in current.node:
            yield node
            for attribute in node.attribute:
                yield from (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else []))
                waiting += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]


def _outside(part: Any) -> Iterator[str]:
    """The names of files that a tensor's values are in, instead of the model's own."""
    yield from (entry.value for entry in getattr(part, "external_data", ()) if entry.key == "location")


def _beside(path: Path, name: str) -> Path:
    """A file beside a model, by its plain name. Raises ModelError."""
    folder = path.resolve().parent
    plain = Path(name).name == name and name not in ("", ".", "..") and not set("\\:\0") & set(name)
    if not plain or (folder / name).resolve() != folder / name:
        raise ModelError("The ONNX model's weights are in a file outside of its folder.", "Copy both into one folder.")
    if not (folder / name).is_file():
        raise ModelError(
            "The ONNX model's weights are in another file, which is missing beside it.",
            "Copy that file, too; or export the model as one file.",
        )
    return folder / name


def _digest(files: list[Path]) -> bytes:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.digest()
