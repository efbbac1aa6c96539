"""A heatmap -> Segmentation, on request only: it looks like the outline of a finding, and is none."""

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from gradcam_core.exporters.dicom.parametric_map import on_source
from gradcam_core.exporters.dicom.source import Source
from gradcam_core.exporters.dicom.study import Export, long_text, orientation_of, own_code, stand_in
from gradcam_core.records import Heatmap

HOTTEST = 0.2
NAME = f"Model attention, hottest {HOTTEST:.0%} of the map"


def attention_segmentation(export: Export, source: Source, heatmap: Heatmap, series: int, title: str) -> Dataset:
    """Write the hottest fifth of what the model saw as one binary segment; places without evidence stay out."""
    values = np.nan_to_num(np.abs(on_source(heatmap, source)), nan=0.0)
    seen = values[values > 0]
    area = int(np.isfinite(on_source(heatmap, source)).sum() * HOTTEST)
    least = np.partition(seen, -area)[-area] if 0 < area < seen.size else 0.0
    algorithm = AlgorithmIdentificationSequence(
        name=long_text(export.model),
        family=codes.DCM.ArtificialIntelligence,
        version=export.explanation.fingerprint,
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label=NAME,
        segmented_property_category=own_code("model", "Property of a model, not of the patient"),
        segmented_property_type=own_code("attention", "Model attention: no outline of a lesion"),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
    )
    plane = source.plane if source.plane and source.plane.reference and source.plane.thickness else None
    written = Segmentation(
        source_images=[stand_in(export.explanation, source, plane)],
        pixel_array=((values > 0) & (values >= least)).astype(np.uint8)[None],
        segmentation_type="BINARY",
        segment_descriptions=[segment],
        content_label="ATTENTION",
        content_description=NAME,
        series_description=long_text(title),
        **export.equipment(series),
    )
    written.ContentCreatorName = None
    if plane is None:
        written.PatientOrientation = orientation_of(source)
    return written
