"""The heatmap viewer in a real browser: what it paints, says, sends and keeps."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pytest

from gradcam_core.placement import Placement
from gradcam_core.records import Heatmap, ImageRecord
from gradcam_core.render import overlay
from tests.browser import Serve, chromium, serve

pytestmark = pytest.mark.xdist_group("browser")
fixtures = (chromium, serve)

SCRIPT = Path(__file__).parent / "viewer_page.py"
