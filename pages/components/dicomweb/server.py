"""The DICOMweb server that this server's owner named, if any. Loads no torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradcam_core import DicomwebServer

SETTING = "LIGHTBOX_DICOMWEB"


def is_set() -> bool:
    """Whether the owner named a server. What is named may still be wrong."""
    return bool(os.environ.get(SETTING, "").strip())


def server() -> DicomwebServer:
    """The server that is set. Raises GradcamError where the settings are wrong."""
    from gradcam_core import DicomwebError, dicomweb_server

    stated = dicomweb_server(os.environ)
    if stated is None:
        raise DicomwebError("This server has no archive.", f"Its owner sets {SETTING}.")
    return stated
