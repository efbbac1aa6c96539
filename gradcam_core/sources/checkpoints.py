"""Read a checkpoint file without ever running what is in it -> tensors and plain values."""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch

from gradcam_core.errors import GradcamError, ModelError
from gradcam_core.kinds import AGAIN, SAVE_WEIGHTS, identify, open_checkpoint
from gradcam_core.sources.archives import checked_list, is_program, without_program
from gradcam_core.sources.old_format import without_sources
from gradcam_core.sources.pickle_names import asking_to_run, is_unknown
from gradcam_core.sources.pickle_scan import RESAVE, PickleContents, scan_pickle
from gradcam_core.sources.stand_ins import SETTINGS, plain_values, stand_ins
from gradcam_core.text import one_line

DEEPEST, MOST_MAPPINGS = 24, 20_000
MOST_TENSORS, MOST_LETTERS = 100_000, 4_000_000
LONGEST_NAME, MOST_DOTS = 2_000, 64
TORCH_MAGIC = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
LEADING_PICKLES, OLD_PICKLES = 3, 5
KEPT_BY_OPTIMIZERS = (".exp_avg", ".exp_avg_sq", ".max_exp_avg_sq", ".momentum_buffer", ".square_avg", ".step")
FROM_PROGRAM = (
    "This is a TorchScript archive, a program with its weights: the weights were taken, the program was not run. "
    "Steps without weights cannot be compared with the architecture's."
)
WARNING = "Do not open it with other programs either; get the weights from a source that you trust."


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a file holds: nested mappings with tensors and plain values; `metadata` is safetensors' own.

    `tensors` are all of them, by their dotted names; `notes` are sentences about how they were read.
    """

    content: Mapping[str, Any]
    metadata: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    notes: tuple[str, ...] = ()


@contextmanager
def guarded(failure: str, remedy: str) -> Iterator[None]:
    """Turn any exception into a ModelError: a foreign file, or the caller's own code, can make any step trip."""
    try:
        yield
    except GradcamError:
        raise
    except MemoryError as error:
        raise ModelError("The weights do not fit into this computer's memory.", "Use a smaller model.") from error
    except Exception as error:
        kind, line = type(error).__name__, first_line(error)
        raise ModelError(f"{failure}: {kind if line == kind else f'{kind}: {line}'}.", remedy) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, fit to be shown; its type where the text says nothing."""
    line = str(error).strip().split("\n")[0][:160]
    return line.rstrip(".") if " " in line and line.isprintable() else type(error).__name__


def read_checkpoint(path: Path) -> Checkpoint:
    """Read .pth, .pt, .bin, .ckpt or .safetensors by its content, not by its name.

    Only tensors and plain values are taken (`weights_only`); there is no other way to load, and nothing in the file
    is run. Time and memory grow no faster than the file. Raises ModelError, each kind of trouble with its own sentence.
    """
    with open_checkpoint(path) as stream, guarded("The file is cut off or damaged", AGAIN):
        kind = identify(stream)
        if kind == "safetensors":
            content, metadata = _read_safetensors(path)
            return Checkpoint(content, metadata, named_tensors(content))
        read, notes = _read_pickle(stream, kind)
        return Checkpoint(read, {}, named_tensors(read), notes)


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            _check_names(len(names), sum(map(len, names)))
            return {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        message = "This safetensors file is damaged: its header and its content do not agree"
        raise ModelError(f"{message} ({first_line(error)}).", AGAIN) from error


def _read_pickle(stream: BinaryIO, kind: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Load with torch's restricted unpickler, after the scan; return the content and notes."""
    contents = _scan(stream, kind, stream.seek(0, 2))
    program = kind == "zip" and is_program(stream)
    if program:
        stream = without_program(stream)
    elif contents.containers:
        stream = without_sources(stream, contents)
    stream.seek(0)
    try:
        with stand_ins(contents):
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError("The file holds Python objects that cannot be read safely.", RESAVE) from error
    raw = content
    if contents.foreign:
        content = plain_values(raw)
    content = _by_number(content)
    if contents.foreign and isinstance(content, Mapping) and not named_tensors(content):
        content = _by_number(plain_values(raw, arrays=True))  # weights that were kept as NumPy's arrays
    if not isinstance(content, Mapping):
        known = {torch.Tensor: "one tensor", type(None): f"an object of {one_line(contents.root or 'a class')}"}
        what = known.get(type(content), f"a {type(content).__name__}")
        raise ModelError(f"The file holds {what}, not a model's weights by name.", RESAVE)
    return content, (FROM_PROGRAM,) if program else _notes(contents, content)


def _by_number(content: Any) -> Any:
    """What a list or tuple holds by its places, or by the names in its pairs, where there are any mappings or pairs."""
    if not isinstance(content, list | tuple) or len(content) > MOST_MAPPINGS:
        return content
    if content and all(isinstance(x, list | tuple) and len(x) == 2 and isinstance(x[0], str) for x in content):
        return dict(content)
    if any(isinstance(each, Mapping) for each in content):
        return {str(place): each for place, each in enumerate(content)}
    return content


def _scan(stream: BinaryIO, kind: str, size: int) -> PickleContents:
    """Scan what torch would unpickle, before it does. Raises ModelError."""
    if kind == "zip":
        contents = scan_pickle(checked_list(stream, size), size)
        _refuse_code(contents)
        return contents
    stream.seek(0)
    in_old_format = TORCH_MAGIC in stream.read(32)
    stream.seek(0)
    if not in_old_format:
        _refuse_code(scan_pickle(stream, size))
        raise ModelError("This is a Python pickle that torch.save did not write.", RESAVE)
    # A magic number, a version, the system, then the content and a list of its storages.
    pickles = [scan_pickle(stream, size) for _ in range(OLD_PICKLES)]
    for contents in pickles:
        _refuse_code(contents)
    if any(contents.foreign for place, contents in enumerate(pickles) if place != LEADING_PICKLES):
        raise ModelError("The file's list of contents is not as PyTorch writes it.", RESAVE)
    return pickles[LEADING_PICKLES]


def _refuse_code(contents: PickleContents) -> None:
    """Raise ModelError where a pickle calls what no model has a use for, though nothing of it would run here."""
    code = asking_to_run(contents.foreign, contents.called)
    if code:
        message = f"asks to run code on this computer ({code[0][:100]}). It was not opened, and nothing was run."
        raise ModelError(f"The file {message}", WARNING)


def _notes(contents: PickleContents, content: Any) -> tuple[str, ...]:
    """Say what of a file was read through stand-ins."""
    modules = SETTINGS in content or any(SETTINGS in x for x in content.values() if isinstance(x, dict))
    unknown = sorted(name for name in contents.foreign - contents.called if is_unknown(name))
    if modules:
        name = contents.root if contents.root in contents.instances else next(iter(unknown), "")
        return (
            f"The file holds a whole pickled model ({one_line(name)}): its weights were taken, its code was not run.",
        )
    if unknown:
        return (f"The file also holds {_named(unknown)}, read without running any code of them.",)
    return ()


def _named(names: list[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"objects of {one_line(names[0])}{more}"


def require_weights(checkpoint: Checkpoint) -> None:
    """Raise ModelError where a checkpoint holds nothing that could be a model's weights."""
    content = checkpoint.content
    grouped = any("param_groups" in place for place in (content, *content.values()) if isinstance(place, Mapping))
    kept = ("optimizer.", "optim.")
    for name in checkpoint.tensors:
        if not name.startswith(kept) and not (grouped and name.endswith(KEPT_BY_OPTIMIZERS)):
            return
    if grouped:
        message = "The file holds only the state of an optimizer, not the model's weights."
        raise ModelError(message, f"Save the model itself: {SAVE_WEIGHTS}.")
    raise ModelError("The file holds no tensors at all, so no weights.", f"Save the model: {SAVE_WEIGHTS}.")


def named_tensors(content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors in nested mappings, named by their keys joined with dots.

    So wrappers such as {"state_dict": {...}} become prefixes. Bounded, since a small hostile file
    can nest the same mapping in itself many times over. Raises ModelError for names that no model has.
    """
    tensors: dict[str, torch.Tensor] = {}
    waiting: list[tuple[str, Mapping[Any, Any], int]] = [("", content, 0)]
    visited = letters = 0
    while waiting and visited < MOST_MAPPINGS:
        prefix, mapping, depth = waiting.pop()
        visited += 1
        inner: list[tuple[str, Mapping[Any, Any], int]] = []
        for key, value in mapping.items():
            if not isinstance(key, str):
                continue
            if isinstance(value, torch.Tensor):
                name = prefix + key
                if len(name) > LONGEST_NAME or name.count(".") > MOST_DOTS:
                    raise ModelError("The name of a tensor in the file is far too long.", RESAVE)
                tensors[name] = value.detach()
                letters += len(name)
                _check_names(len(tensors), letters)
            elif isinstance(value, Mapping) and depth < DEEPEST and len(prefix) + len(key) < LONGEST_NAME:
                inner.append((f"{prefix}{key}.", value, depth + 1))
        waiting.extend(reversed(inner))  # so that tensors stand in the order of the file
    return tensors


def _check_names(count: int, letters: int) -> None:
    if count > MOST_TENSORS or letters > MOST_LETTERS:
        raise ModelError("The file holds far more tensors, or longer names, than any model.", RESAVE)
