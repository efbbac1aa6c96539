"""The family of measurements: heatmaps -> numbers."""

from gradcam_core.metrics.agreement import agreement as agreement
