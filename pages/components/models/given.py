"""Where a model comes from: a dropped file, a path that the server opens, a name of a hub."""

from pathlib import Path

import streamlit as st

from gradcam_core import GradcamError, list_sources
from pages.components.analysis.requests import ModelChoice
from pages.components.models import candidate
from pages.components.models.candidate import Candidate
from pages.components.models.dropped import drop_zone
from pages.components.models.places import (
    HUB,
    PATH,
    allowed_folders,
    allowed_path,
    name_reference,
    offered_paths,
    way_of,
)
from pages.components.session import kept
from pages.components.words import show_error, shown_name

SUGGESTED = {
    "timm": ["mobilenetv2_100", "resnet18", "resnet50", "efficientnet_b0", "densenet121", "convnext_tiny"],
    "torchvision": ["mobilenet_v2", "resnet18", "resnet50", "efficientnet_b0", "densenet121", "convnext_tiny"],
    "open-clip": ["ViT-B-32", "ViT-B-16", "ViT-L-14", "RN50", "convnext_base_w"],
    HUB: ["timm/mobilenetv3_small_100.lamb_in1k", "google/vit-base-patch16-224", "microsoft/resnet-18"],
}
TITLES = {PATH: "File or folder", HUB: "Hugging Face"}
# What needs no name of a hub, and what would take a path.
NOT_BY_NAME = ("bundled", "file", "local-dir")
WAYS = [PATH, *dict.fromkeys([*(name for name in list_sources() if name not in NOT_BY_NAME), HUB])]
ARCHITECTURES = [name for name, source in list_sources().items() if source.architecture]


def take_model() -> None:
    """Draw the ways in which a model can be given; what is given becomes the candidate."""
    st.html(f"<style>{(Path(__file__).parent / 'models.css').read_text('utf-8')}</style>")
    drop_zone()
    with st.container(key="by-name"):
        left, right = st.columns([2.1, 1.7], vertical_alignment="bottom", gap="medium")
        way = str(left.segmented_control("Or open", WAYS, format_func=_title, **_kept(), required=True))
        with right, st.form(f"open {way}", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
            text = _pick(way)
            sent = st.form_submit_button("Load")
    st.caption(_words(way))
    if sent:
        _open(way, text or "")


def _kept() -> dict[str, object]:
    return kept("model source", WAYS[0], WAYS)


def _title(way: str) -> str:
    return TITLES.get(way, way)


def _pick(way: str) -> str | None:
    options = offered_paths() if way == PATH else SUGGESTED.get(way, [])
    label = "Path on this server" if way == PATH else "Organisation/name" if way == HUB else "Name"
    placeholder = "Choose, or type a path" if way == PATH else "Choose, or type a name"
    return st.selectbox(label, options, accept_new_options=True, index=None, placeholder=placeholder)


def _words(way: str) -> str:
    """What is opened, and what leaves the machine."""
    if way != PATH:
        return "Weights that are not on this machine are downloaded from the hub. Pictures never leave the machine."
    if allowed_folders():
        return "From the folders that this server’s owner opened. The file stays where it is; nothing in it is run."
    return (
        "This server opens no paths by itself. Its owner names folders with LIGHTBOX_MODEL_FOLDERS, or adds a model "
        "in a terminal: `python -m gradcam_core models add PATH`."
    )


def _open(way: str, text: str) -> None:
    """Make the candidate of what was typed; where it cannot be one, say why."""
    try:
        way, name = way_of(way, text, WAYS[1:])
        if way == PATH:
            path = allowed_path(name)
            candidate.give_path(path, shown_name(path.name))
        else:
            choice = ModelChoice(f"{name} ({_title(way)})", name_reference(way, name))
            candidate.give(Candidate(choice, "name"))
    except GradcamError as error:
        show_error(error)


def pick_architecture() -> str | None:
    """Choose an architecture by name for a checkpoint; None until its name is one that can be looked up."""
    hub = st.segmented_control("Architecture from", ARCHITECTURES, default=ARCHITECTURES[0], required=True)
    names = sorted({*SUGGESTED["timm"], *SUGGESTED["torchvision"]})
    name = st.selectbox(
        "Architecture", names, accept_new_options=True, index=None, placeholder="Choose, or type a name"
    )
    if not st.button("Use this architecture"):
        return None
    try:
        return name_reference(*way_of(str(hub), name or "", ARCHITECTURES))
    except GradcamError as error:
        show_error(error)
        return None
