"""The family of measures: heatmaps -> numbers."""

from gradcam_core.measures.measuring import Measurement as Measurement
from gradcam_core.measures.measuring import list_measurements as list_measurements
from gradcam_core.measures.measuring import measure as measure
from gradcam_core.measures.needs import Curve as Curve
from gradcam_core.measures.needs import NotMeasurable as NotMeasurable
from gradcam_core.measures.needs import theme_of as theme_of
from gradcam_core.measures.similar import Agreement as Agreement
from gradcam_core.measures.similar import agreement as agreement
