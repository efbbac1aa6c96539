"""The family of measures: heatmaps -> numbers."""

from gradcam_core.measures.measuring import list_measurements as list_measurements
from gradcam_core.measures.measuring import measure as measure
from gradcam_core.measures.needs import theme_of as theme_of
from gradcam_core.measures.pairs import agreement as agreement
from gradcam_core.measures.readings import Curve as Curve
from gradcam_core.measures.readings import Measurement as Measurement
from gradcam_core.measures.readings import NotMeasurable as NotMeasurable
