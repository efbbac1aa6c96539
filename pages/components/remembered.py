"""The catalogue on the pages: who may see it, and which of a session's models it has. Loads no torch.

The catalogue belongs to the one who runs the server. Its paths are shown to other visitors only where the owner says
so: by itself it is used on a server that only this machine reaches.
"""

import dataclasses
import ipaddress
import os
from collections.abc import Mapping
from typing import Literal

import streamlit as st

from gradcam_core import RememberedModel, forget_model, observe_file, read_catalogue, remember_model
from pages.components.analysis.requests import ModelChoice

SETTING = "LIGHTBOX_CATALOGUE"
KNOWN = "remembered models"
LOADED = ("reference", "architecture", "averaged", "labels", "preprocessing")
SAID = ("title", "task", "unit", "threshold")  # what its user says of a model, and can change
Use = Literal["off", "read", "on"]


def use() -> Use:
    """Whether this server offers the catalogue's models, and writes to it: as its owner says, else by its address."""
    stated = os.environ.get(SETTING, "").strip().lower()
    if stated == "read":
        return "read"
    if stated in ("on", "off"):
        return "on" if stated == "on" else "off"
    # Anything else that is stated is a mistake, and must not open what was meant to be closed.
    return "on" if not stated and is_private() else "off"


def is_private() -> bool:
    """Whether only this machine reaches the server: by its address and, behind a proxy, by the names it answers to."""
    hosts = st.get_option("server.allowedHosts") or ["*"]
    return all(map(_is_loopback, (st.get_option("server.address") or "", *hosts)))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def take(models: Mapping[str, ModelChoice]) -> dict[str, ModelChoice]:
    """The catalogue's models that a session lacks, as far as this server offers them. Raises CatalogueError."""
    offered = read_catalogue() if use() != "off" else ()
    choices = {choice_of(model).key: choice_of(model) for model in offered}
    known().update(zip(choices, offered, strict=True))
    return {key: choice for key, choice in choices.items() if key not in models}


def known() -> dict[str, RememberedModel]:
    """This session's models that the catalogue has, by their keys."""
    kept: dict[str, RememberedModel] = st.session_state.setdefault(KNOWN, {})
    return kept


def remember(choice: ModelChoice) -> None:
    """Add a model to the catalogue. Raises CatalogueError."""
    parts = {name: getattr(choice, name) for name in (*SAID, *LOADED)}
    file = observe_file(choice.reference)
    model = RememberedModel(**parts, fingerprint=choice.fingerprint, file=file)
    remember_model(model)
    known()[choice.key] = model


def forget(key: str) -> None:
    """Remove a model from the catalogue, if it is there and the server writes to it. Raises CatalogueError."""
    model = known().pop(key, None)
    if model is not None and use() == "on":
        forget_model(*model.identity)


def update(key: str, choice: ModelChoice) -> None:
    """Write a changed title, task, unit or threshold to the catalogue, if it has the model. Raises CatalogueError."""
    if key in known() and use() == "on":
        model = dataclasses.replace(known()[key], **{name: getattr(choice, name) for name in SAID})
        remember_model(model)
        known()[key] = model


def choice_of(model: RememberedModel) -> ModelChoice:
    """How a model of the catalogue is loaded."""
    return ModelChoice(
        title=model.title,
        reference=model.reference,
        architecture=model.architecture,
        averaged=model.averaged,
        weights=model.file.sha256 if model.file else "",
        labels=model.labels,
        preprocessing=model.preprocessing,
        task=model.task,
        unit=model.unit,
        threshold=model.threshold,
        fingerprint=model.fingerprint,
    )
