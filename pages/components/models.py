"""Widgets that show a model and bring new ones."""

import hashlib
import re
from pathlib import PurePath
from typing import Any

import streamlit as st

from gradcam_core import GradcamError, LoadedModel, describe_device, list_devices
from pages.components.cache import ModelChoice, keep_file, model
from pages.components.panels import plain, show_error
from pages.components.session import DEVICE, add_model, value_of

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
WEIGHT_FILES = ["pth", "pt", "bin", "ckpt", "safetensors"]
# A name and nothing else: the page hands no path, address or Python name to the loader.
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


def show_model(loaded: LoadedModel) -> None:
    """What a model is, what it expects, and which of its layers can be explained."""
    spec = loaded.preprocessing
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
    st.markdown(
        f"**{plain(loaded.architecture)}** · {len(loaded.labels):,} classes · "
        f"{len(loaded.layers)} layers can be explained · on {plain(describe_device(loaded.device))}\n\n"
        f"Input {spec.size[1]} × {spec.size[0]} px, {spec.channels} channels, {spec.interpolation}; "
        f"mean {mean}; standard deviation {std}. Fingerprint of the weights: `{loaded.fingerprint[:16]}`"
    )
    for note in loaded.notes:
        st.caption(plain(note))
    left, right = st.columns(2, gap="large")
    with left.expander(f"Layers ({len(loaded.layers)})"):
        st.dataframe(
            [
                {
                    "Layer": layer.name + (" (usual)" if layer.name == loaded.default_layer else ""),
                    "Kind": layer.kind,
                    "Channels": layer.channels,
                    "Map": f"{layer.grid[0]} × {layer.grid[1]}",
                }
                for layer in reversed(loaded.layers)
            ],
            hide_index=True,
        )
    with right.expander(f"Classes ({len(loaded.labels):,})"):
        st.dataframe([{"Index": i, "Label": label} for i, label in enumerate(loaded.labels)], hide_index=True)


def add_from_hub(hub: str) -> None:
    """Load published weights by name, from the hub's cache or the network."""
    with st.form(f"hub {hub}", border=False):
        name = st.selectbox(
            "Name",
            SUGGESTED[hub],
            accept_new_options=True,
            index=None,
            placeholder="Choose, or type any name of this hub",
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
                "Class names (if the weights do not hold them)",
                type=["json", "txt", "csv"],
                help="class_indices.json in either direction, or one name a line.",
            )
        with right:
            hub = st.segmented_control("Architecture from", ["timm", "torchvision"], default="timm", required=True)
            name = st.selectbox(
                "Architecture",
                sorted({*SUGGESTED["timm"], *SUGGESTED["torchvision"]}),
                accept_new_options=True,
                index=None,
                placeholder="Choose, or type any name of this hub",
            )
            changes = _pick_preprocessing()
        sent = st.form_submit_button("Load", type="primary")
    if not sent:
        return
    if file is None:
        st.warning("Choose a file with weights first.")
    elif _check_name(name):
        path, beside = keep_file(
            file.getvalue(), _suffix(file.name), [(labels.getvalue(), _suffix(labels.name))] if labels else []
        )
        digest = hashlib.sha256(file.getvalue()).hexdigest()
        _try(
            ModelChoice(
                title=f"{digest[:6]} · own {name}",
                reference=f"file:{path}",
                architecture=f"{hub}:{name}",
                weights=digest,
                labels=str(beside[0]) if beside else "",
                preprocessing=changes,
            )
        )


def _pick_preprocessing() -> tuple[tuple[str, Any], ...]:
    """How the model was trained, where that differs from its architecture's usual way."""
    with st.expander("Trained otherwise than usual?"):
        size = st.number_input("Input size in pixels", 0, 1024, 0, help="0: as usual for the architecture.")
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
    """Load a model; on success it lies on the desk, otherwise the report stands here."""
    place = st.empty()
    try:
        with st.spinner(f"Loading {choice.title} …"):
            model(
                choice,
                value_of(DEVICE) or list_devices()[0],
                lambda share, words: place.progress(min(max(share, 0.0), 1.0), words),
            )
    except GradcamError as error:
        show_error(error)
        return
    finally:
        place.empty()
    add_model(choice)
