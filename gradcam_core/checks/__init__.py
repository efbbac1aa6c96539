"""The family of checks: can a heatmap be trusted? Each gives a sentence with the numbers behind it."""

from gradcam_core.checks.calibration import derive_thresholds as derive_thresholds
from gradcam_core.checks.panel import Trust as Trust
from gradcam_core.checks.panel import trust as trust
from gradcam_core.checks.sentences import Check as Check
from gradcam_core.checks.thresholds import Thresholds as Thresholds
from gradcam_core.checks.thresholds import read_thresholds as read_thresholds
