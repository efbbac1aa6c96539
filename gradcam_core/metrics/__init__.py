"""The family of measurements: heatmaps -> numbers."""

from gradcam_core.metrics.agreement import agreement as agreement
from gradcam_core.metrics.calibrate import derive_thresholds as derive_thresholds
from gradcam_core.metrics.checks import Check as Check
from gradcam_core.metrics.measure import list_measurements as list_measurements
from gradcam_core.metrics.measure import measure as measure
from gradcam_core.metrics.measurement import Curve as Curve
from gradcam_core.metrics.measurement import Measurement as Measurement
from gradcam_core.metrics.measurement import NotMeasurable as NotMeasurable
from gradcam_core.metrics.thresholds import Thresholds as Thresholds
from gradcam_core.metrics.thresholds import read_thresholds as read_thresholds
from gradcam_core.metrics.trust import Trust as Trust
from gradcam_core.metrics.trust import trust as trust
