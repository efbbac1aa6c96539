"""A heatmap -> Parametric Map: floating-point values on the pixels of the source."""

import copy
from dataclasses import replace

import numpy as np
from highdicom import VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.valuerep import DS

from gradcam_core.exporters.dicom.source import Source
from gradcam_core.exporters.dicom.study import UNPAIRED, Export, add_side, long_text, stand_in
from gradcam_core.records import Heatmap
from gradcam_core.shapes import Heat

# Viewers look for this label.
LABEL, RAW_LABEL = "HEATMAP", "RAW"
# Outside what a heatmap can hold, and drawn like 0: what the model did not see. NaN is not drawn alike everywhere.
UNSEEN = -2.0
ARBITRARY = Code("[arb'U]", "UCUM", "arbitrary unit")


def parametric_map(export: Export, source: Source, heatmap: Heatmap, series: int, title: str) -> Dataset:
    """Write one heatmap as float32 on the rows and columns of a source whose plane is known.

    Values are 0 to 1; -1 to 1 of a signed heatmap. Two mappings give the share of the map's own peak and the raw
    values. Pixels that the model did not see have the padding value. Of a stack, each slice has a frame.
    """
    values = on_source(heatmap, source)
    window = VOILUTTransformation(window_center=0.0 if heatmap.signed else 0.5, window_width=2.0 - (not heatmap.signed))
    written = ParametricMap(
        source_images=[stand_in(export.explanation, source, source.plane)],
        pixel_array=np.where(np.isnan(values), np.float32(UNSEEN), values),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=_mappings(heatmap),
        voi_lut_transformations=[window],
        content_label=LABEL,
        content_description=long_text(title),
        series_description=long_text(title),
        **export.equipment(series),
    )
    written.FloatPixelPaddingValue = written.FloatPixelPaddingRangeLimit = UNSEEN
    measures = written.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    for keyword, known in (("SpacingBetweenSlices", False), ("PixelSpacing", source.spacing is not None)):
        if keyword in measures and not known:  # highdicom fills them in
            del measures[keyword]
    written.ContentCreatorName = None
    if len(source.stack) > 1:
        _fill_stack(written, source)
    add_side(written, source)
    _add_anatomy(written)
    return written


def _fill_stack(written: Dataset, source: Source) -> None:
    """Add a frame of padding for each other slice of the stack.

    OHIF draws a map only if it has as many frames as the series it belongs to. Frames of padding are derived from
    nothing.
    """
    frames = [np.full(source.shape, UNSEEN, "<f4").tobytes()] * len(source.stack)
    frames[source.place] = written.FloatPixelData
    explained = written.PerFrameFunctionalGroupsSequence[0]
    groups = []
    for place, position in enumerate(source.stack):
        group = copy.deepcopy(explained)
        group.PlanePositionSequence[0].ImagePositionPatient = [DS(x, auto_format=True) for x in position]
        group.FrameContentSequence[0].DimensionIndexValues = [place + 1]
        if place != source.place:
            group.DerivationImageSequence = []
        groups.append(group)
    written.PerFrameFunctionalGroupsSequence = groups
    written.NumberOfFrames, written.FloatPixelData = len(groups), b"".join(frames)


def _add_anatomy(written: Dataset) -> None:
    """Name the body part by a code, where it is known and in the middle of the body: 3D Slicer's reader demands it."""
    region = UNPAIRED.get(written.get("BodyPartExamined", ""))
    if region is None:
        return
    anatomy = Dataset()
    anatomy.AnatomicRegionSequence = [CodedConcept.from_code(region)]
    anatomy.FrameLaterality = "U"
    written.SharedFunctionalGroupsSequence[0].FrameAnatomySequence = [anatomy]


def on_source(heatmap: Heatmap, source: Source) -> Heat:
    """The heatmap on the source's own pixels, which are not square where the picture was stretched to show it."""
    placement = heatmap.placement
    (rows, columns), (height, width) = source.shape, placement.image_size
    top, left, bottom, right = placement.box
    down, across = rows / height, columns / width
    box = (top * down, left * across, bottom * down, right * across)
    heatmap = replace(heatmap, placement=replace(placement, image_size=source.shape, box=box))
    return heatmap.signed_values if heatmap.signed else heatmap.values


def _mappings(heatmap: Heatmap) -> list[RealWorldValueMapping]:
    span = (-1.0 if heatmap.signed else 0.0, 1.0)
    share = RealWorldValueMapping(
        LABEL, "Share of the largest value of this map", codes.UCUM.NoUnits, span, slope=1.0, intercept=0.0
    )
    peak = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
    if not peak > 0:
        return [share]
    words = "Raw value of the map" if heatmap.signed else "Raw value of the map, negative ones as 0"
    return [share, RealWorldValueMapping(RAW_LABEL, words, ARBITRARY, span, slope=peak, intercept=0.0)]
