"""The family of checks: can a heatmap be trusted? Each answers a question in a sentence with its numbers."""

from gradcam_core.checks.calibration import derive_thresholds as derive_thresholds
from gradcam_core.checks.edges import EDGE_REGIONS as EDGE_REGIONS
from gradcam_core.checks.panel import Check as Check
from gradcam_core.checks.panel import Trust as Trust
from gradcam_core.checks.panel import list_checks as list_checks
from gradcam_core.checks.panel import trust as trust
from gradcam_core.checks.thresholds import Thresholds as Thresholds
from gradcam_core.checks.thresholds import read_thresholds as read_thresholds
