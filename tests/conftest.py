"""Shared by all tests: shapes are checked, seeds are set, and the larger models are built once."""

# ruff: noqa: E402
import os
import tempfile
from pathlib import Path

# Before any server is started: no test reads or writes the catalogue of the person who runs it.
CONFIGURATION = tempfile.TemporaryDirectory(prefix="configuration-")
os.environ["XDG_CONFIG_HOME"] = CONFIGURATION.name
OWNERS = ("LIGHTBOX_CATALOGUE", "LIGHTBOX_MODEL_FOLDERS", "LIGHTBOX_AUDIT", "LIGHTBOX_USER_HEADER", "LIGHTBOX_AUDITORS")
for setting in (*OWNERS, *(name for name in os.environ if name.startswith("LIGHTBOX_DICOMWEB"))):
    os.environ.pop(setting, None)

from jaxtyping import install_import_hook

from tests import shapes

# Before any part of gradcam_core is imported: every annotated shape is checked at every call. Not in capture/, which
# defines small functions for each module of a network: each of them would be compiled. It returns Evidence records,
# which records.py checks.
PARTS = [part.stem for part in (Path(__file__).parents[1] / "gradcam_core").iterdir() if part.stem[0] not in "_."]
CHECKED = [f"gradcam_core.{part}" for part in PARTS if part != "capture"]
install_import_hook(CHECKED, f"{shapes.check.__module__}.{shapes.check.__name__}")

import random

import hypothesis
import numpy as np
import pytest
import torch

from gradcam_core.records import ImageRecord, LoadedModel
from tests import networks
from tests.browser import chromium, serve

__all__ = ["chromium", "serve"]

torch.set_num_threads(1)

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("steady")


SLOW = {line for line in Path(__file__).with_name("slow.txt").read_text("utf-8").splitlines() if "::" in line}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow.txt."""
    for item in items:
        name = f"{item.path.name}::{item.nodeid.split('::', 1)[1]}"
        if {name, name.split("[")[0]} & SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def bundled() -> LoadedModel:
    """The bundled network with its real weights; the whole picture is squashed to its input."""
    from gradcam_core import load_model

    return load_model("bundled:efficientnet_lite0", preprocessing={"fit": "squash"}, device="cpu")


@pytest.fixture(scope="session")
def tiny() -> LoadedModel:
    """A small network with random weights of trained proportions, ready to be explained."""
    return networks.loaded(networks.conv_net())


@pytest.fixture(scope="session")
def cat_and_cup() -> ImageRecord:
    """A cat on the left, a cup of coffee on the right, 600 x 300."""
    return networks.cat_and_cup()
