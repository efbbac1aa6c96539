"""Widgets that show a model and bring new ones."""

import hashlib
import re
from pathlib import PurePath
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from gradcam_core import GradcamError, LoadedModel, describe_device, list_devices, list_sources
from pages.components import frame, session
from pages.components.analysis.files import keep_file
from pages.components.analysis.requests import ModelChoice
from pages.components.words import plain, show_error

SUGGESTED = {
    "timm": [
        "mobilenetv2_100",
        "resnet18",
        "resnet50",
        "efficientnet_b0",
        "densenet121",
        "convnext_tiny",
        "regnety_008",
    ],
    "torchvision": [
        "mobilenet_v2",
        "resnet18",
        "resnet50",
        "efficientnet_b0",
        "densenet121",
        "convnext_tiny",
        "vgg16_bn",
    ],
}
# The page offers no names of files: those are uploaded.
HUBS = [name for name in list_sources() if name not in ("bundled", "file")]
ARCHITECTURES = [name for name, source in list_sources().items() if source.architecture]
WEIGHT_FILES = ["pth", "pt", "bin", "ckpt", "safetensors"]
# A name and nothing else: the page hands no path, address or Python name to the loader.
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


def show_model(model: LoadedModel) -> None:
    """What a model is, what it expects, and which of its layers can be explained."""
    spec = model.preprocessing
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
    st.markdown(
        f"**{plain(model.architecture)}** · {len(model.labels):,} classes · "
        f"{len(model.layers)} layers can be explained · on {plain(describe_device(model.device))}\n\n"
        f"Input {spec.size[1]} × {spec.size[0]} px, {spec.channels} channels, {spec.interpolation}; "
        f"mean {mean}; standard deviation {std}. Fingerprint of the weights: `{model.fingerprint[:16]}`"
    )
    for note in model.notes:
        st.caption(plain(note))
    left, right = st.columns(2, gap="large")
    with left.expander(f"Layers ({len(model.layers)})"):
        st.dataframe(
            [
                {
                    "Layer": layer.name + (" (recommended)" if layer.name == model.default_layer else ""),
                    "Kind": layer.kind,
                    "Channels": layer.channels,
                    "Map": f"{layer.grid[1]} × {layer.grid[0]}",
                }
                for layer in reversed(model.layers)
            ],
            hide_index=True,
        )
    with right.expander(f"Classes ({len(model.labels):,})"):
        st.dataframe([{"Index": i, "Label": label} for i, label in enumerate(model.labels)], hide_index=True)


def add_from_hub(hub: str) -> None:
    """Load published weights by name, from the hub's cache or the network."""
    with st.form(f"hub {hub}", border=False):
        name = st.selectbox(
            "Name",
            SUGGESTED.get(hub, []),
            accept_new_options=True,
            index=None,
            placeholder="Choose, or type a model name",
        )
        sent = st.form_submit_button("Load", type="primary")
    st.caption(
        "Weights that are not in this machine’s cache are downloaded from the hub; pictures never leave the machine."
    )
    if sent and _check_name(name):
        _try(ModelChoice(f"{name} ({hub})", f"{hub}:{name}"))


def add_from_checkpoint() -> None:
    """Load an uploaded checkpoint into an architecture that its user names."""
    with st.form("checkpoint", border=False):
        left, right = st.columns(2, gap="large")
        with left:
            file = st.file_uploader(
                "Weights", type=WEIGHT_FILES, help="A state dict, bare or in one of the usual wrappers."
            )
            labels = st.file_uploader(
                "Class names (if they are not in the weights)",
                type=["json", "txt", "csv"],
                help="class_indices.json in either direction, or one name a line.",
            )
        with right:
            hub = st.segmented_control("Architecture from", ARCHITECTURES, default=ARCHITECTURES[0], required=True)
            name = st.selectbox(
                "Architecture",
                sorted({*SUGGESTED["timm"], *SUGGESTED["torchvision"]}),
                accept_new_options=True,
                index=None,
                placeholder="Choose, or type a model name",
            )
            changes = _pick_preprocessing()
        sent = st.form_submit_button("Load", type="primary")
    if not sent:
        return
    if file is None:
        st.warning("Choose a file with weights first.")
    elif _check_name(name):
        _load_checkpoint(file, labels, f"{hub}:{name}", changes)


def _load_checkpoint(file: Any, labels: Any, architecture: str, changes: tuple[tuple[str, Any], ...]) -> None:
    """Load uploaded weights into an architecture."""
    parts = [part for part in (file, labels) if part is not None]
    if not all(isinstance(part, UploadedFile) for part in parts):
        show_error(GradcamError("The server no longer has this file.", "Add it again."))
        return
    content, suffix = file.getvalue(), _suffix(file.name)
    path, beside = keep_file(content, suffix, [(labels.getvalue(), _suffix(labels.name))] if labels else [])
    digest = hashlib.sha256(content).hexdigest()
    _try(
        ModelChoice(
            title=f"{digest[:6]} · own {architecture.partition(':')[2]}",
            reference=f"file:{path}",
            architecture=architecture,
            weights=digest,
            labels=str(beside[0]) if beside else "",
            preprocessing=changes,
        )
    )


def _pick_preprocessing() -> tuple[tuple[str, Any], ...]:
    """How pictures were prepared in training, where that differs from the architecture's default."""
    with st.expander("Custom preprocessing"):
        size = st.number_input("Input size in pixels", 0, 1024, 0, help="0: the architecture’s default.")
        mean = st.text_input("Mean", placeholder="e.g. 0.5, or 0.485, 0.456, 0.406")
        std = st.text_input("Standard deviation", placeholder="e.g. 0.5, or 0.229, 0.224, 0.225")
    changes: list[tuple[str, Any]] = [("size", int(size))] if size else []
    for name, text in (("mean", mean), ("std", std)):
        if text.strip():
            changes.append((name, tuple(part.strip() for part in text.split(","))))
    return tuple(changes)


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()


def _check_name(name: str | None) -> bool:
    if name and NAME.fullmatch(name):
        return True
    st.warning("Give the architecture’s name: letters, digits, dots, hyphens and underscores.")
    return False


def _try(choice: ModelChoice) -> None:
    """Load a model; on success it is added and chosen, otherwise the reason is shown here."""
    try:
        frame.load(choice, session.value_of(session.DEVICE) or list_devices()[0], st.empty(), "added")
    except GradcamError as error:
        show_error(error)
        return
    session.add_model(choice)
