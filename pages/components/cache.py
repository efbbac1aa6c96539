"""What sessions share: decoded pictures, loaded models, explanations. Keyed by content, bounded.

Nothing here knows a picture's name: two people may hold one file under different names, and what
one of them sees must not tell the other's.
"""

import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Semaphore
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import add_script_run_ctx, get_script_run_ctx

from gradcam_core import (
    Explanation,
    Heatmap,
    ImageRecord,
    LoadedModel,
    Measurement,
    Progress,
    Trust,
    contrast,
    explain,
    list_methods,
    load_model,
    override_preprocessing,
    read_image,
    release_memory,
    trust,
    tune_allocator,
)

Measured = dict[str, dict[str, Measurement]]
SLOW = frozenset(entry.name for entry in list_methods() if entry.reports)


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """What to load: a reference, and what its user added. `weights` is the sha256 of an uploaded file."""

    title: str
    reference: str
    architecture: str = ""
    weights: str = ""
    labels: str = ""
    preprocessing: tuple[tuple[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Request:
    """What to explain, and how."""

    methods: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    layers: tuple[str, ...]
    top_k: int = 5
    targets: tuple[int, ...] = ()
    against: int | None = None


@st.cache_resource(show_spinner=False)
def tune_process() -> bool:
    """Set the process up once for passes of many pictures."""
    return tune_allocator()


@st.cache_resource(max_entries=8, show_spinner=False)
def picture(sha256: str, frame: int, window: tuple[float, float] | None, _content: bytes) -> ImageRecord:
    """Decode a picture once for all sessions that hold these bytes."""
    return read_image(_content, frame=frame, window=window)


@st.cache_resource(max_entries=3, show_spinner=False, on_release=lambda _: release_memory())
def model(choice: ModelChoice, device: str, _on_progress: Callable[[float, str], None]) -> LoadedModel:
    """Load a model once for all sessions; three stay in memory.

    A thread does the work, with this page's context: progress that it draws is then no part of the
    cached value, which Streamlit would draw again for others.
    """
    context = get_script_run_ctx()
    with ThreadPoolExecutor(1, initializer=lambda: add_script_run_ctx(ctx=context)) as thread:
        return thread.submit(
            load_model,
            choice.reference,
            architecture=choice.architecture or None,
            labels=choice.labels or None,
            preprocessing=dict(choice.preprocessing) or None,
            device=device,
            on_progress=_on_progress,
        ).result()


def explanation(
    image: ImageRecord,
    loaded: LoadedModel,
    request: Request,
    changes: Mapping[str, Any],
    on_progress: Progress | None = None,
) -> Explanation:
    """Explain a picture, or find the explanation that was made of the same content before."""
    prepared = fitted(loaded, changes)
    return _explained(identity(image, prepared, request), image, prepared, request, on_progress)


def fitted(loaded: LoadedModel, changes: Mapping[str, Any]) -> LoadedModel:
    """The model with pictures prepared as the person wants it."""
    return dataclasses.replace(loaded, preprocessing=override_preprocessing(loaded.preprocessing, changes))


def identity(image: ImageRecord, fitted: LoadedModel, request: Request) -> str:
    """What tells one analysis from another: the picture's and the model's content, and what is asked."""
    parts = [
        image.sha256,
        image.frame,
        image.window,
        fitted.fingerprint,
        fitted.reference,
        hashlib.sha256("\0".join(fitted.labels).encode()).hexdigest(),
        str(fitted.device),
        fitted.preprocessing.to_dict(),
        dataclasses.asdict(request),
    ]
    return json.dumps(parts, default=str)


@st.cache_resource(max_entries=12, show_spinner=False)
def _explained(
    key: str, _image: ImageRecord, _model: LoadedModel, _request: Request, _on_progress: Progress | None
) -> Explanation:
    takes_long = any(name in SLOW for name, _ in _request.methods)
    with nullcontext() if takes_long else _turns():
        return explain(
            _image,
            _model,
            top_k=_request.top_k,
            targets=_targets(_image, _model, _request) or None,
            methods=[(name, dict(options)) for name, options in _request.methods],
            layers=list(_request.layers) or None,
            on_progress=_on_progress,
        )


@st.cache_resource(max_entries=24, show_spinner=False)
def checked(
    key: str,
    _found: Explanation,
    _heatmap: Heatmap,
    _loaded: LoadedModel,
    _changes: Mapping[str, Any],
    _on_progress: Progress | None,
) -> Trust:
    """Check a heatmap, or find the checks that were made of the same content before."""
    return trust(_found, _heatmap, fitted(_loaded, _changes), on_progress=_on_progress)


@st.cache_resource(max_entries=24, show_spinner=False)
def measured(key: str, _make: Callable[[], Measured]) -> Measured:
    """Measure heatmaps, or find what was measured of the same content before; `key` tells the content."""
    return _make()


@st.cache_resource(show_spinner=False)
def _turns() -> Semaphore:
    """As many quick analyses at a time as there are cores: more would only get in each other's way."""
    return Semaphore(os.cpu_count() or 1)


def _targets(image: ImageRecord, loaded: LoadedModel, request: Request) -> list[Any]:
    """The classes asked for; held against another one, the most probable ones must be known first."""
    if request.against is None:
        return list(request.targets)
    first = request.targets or [
        found.index for found in explain(image, loaded, methods="random", top_k=request.top_k + 1).predictions
    ]
    others = [index for index in first if index != request.against]
    return [contrast(index, request.against, loaded.labels) for index in others[: request.top_k or None]]


@st.cache_resource(show_spinner=False)
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lightbox-")


def keep_file(content: bytes, suffix: str, beside: Sequence[tuple[bytes, str]] = ()) -> tuple[Path, tuple[Path, ...]]:
    """Lay uploaded files into this process's private folder, under names made of their content only."""
    folder = Path(_folder().name) / hashlib.sha256(content).hexdigest()[:16]
    folder.mkdir(exist_ok=True)
    others = [(data, f"{hashlib.sha256(data).hexdigest()[:16]}{ending}") for data, ending in beside]
    for data, name in [(content, f"weights{suffix}"), *others]:
        if not (folder / name).exists():
            # Whole or not at all: another session may be loading the same file.
            with tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:
                part.write(data)
            Path(part.name).replace(folder / name)
    return folder / f"weights{suffix}", tuple(folder / name for _, name in others)
