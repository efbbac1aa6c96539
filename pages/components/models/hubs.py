"""Models by name: published weights from a hub, and the names of architectures for weights of one's own."""

import re

import streamlit as st

from gradcam_core import GradcamError, LoadedModel, list_devices, list_sources
from pages.components import frame, session
from pages.components.analysis.requests import ModelChoice
from pages.components.words import show_error

SUGGESTED = {
    "open-clip": ["ViT-B-32", "ViT-B-16", "ViT-L-14", "RN50", "convnext_base_w"],
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
# A name and nothing else: the page hands no path, address or Python name to the loader.
NAME = re.compile(r"[A-Za-z0-9_.\-]{1,100}")


def add_from_hub(hub: str) -> None:
    """Load published weights by name, from the hub's cache or the network."""
    with st.form(f"hub {hub}", border=False):
        name = pick_name("Name", SUGGESTED.get(hub, []))
        sent = st.form_submit_button("Load", type="primary")
    st.caption(
        "Weights that are not in this machine’s cache are downloaded from the hub; pictures never leave the machine."
    )
    if sent and is_name(name):
        choice = ModelChoice(f"{name} ({hub})", f"{hub}:{name}")
        if loads(choice):
            session.add_model(choice)


def pick_architecture() -> str | None:
    """Choose an architecture by name for a checkpoint; None until its name is one that can be looked up."""
    hub = st.segmented_control("Architecture from", ARCHITECTURES, default=ARCHITECTURES[0], required=True)
    name = pick_name("Architecture", sorted({*SUGGESTED["timm"], *SUGGESTED["torchvision"]}))
    if not st.button("Use this architecture") or not is_name(name):
        return None
    return f"{hub}:{name}"


def pick_name(label: str, names: list[str]) -> str | None:
    """Choose a name of this list, or type another."""
    placeholder = "Choose, or type a model name"
    return st.selectbox(label, names, accept_new_options=True, index=None, placeholder=placeholder)


def is_name(name: str | None) -> bool:
    """Whether a typed name can be one; where it cannot, say so."""
    if name and NAME.fullmatch(name):
        return True
    st.warning("Give the architecture’s name: letters, digits, dots, hyphens and underscores.")
    return False


def loads(choice: ModelChoice) -> LoadedModel | None:
    """Load a model; where that fails, say why and return None."""
    try:
        return frame.load(choice, session.value_of(session.DEVICE) or list_devices()[0], st.empty(), "added")
    except GradcamError as error:
        show_error(error)
        return None
