"""The objects of one export, in their order: maps, pictures, segmentations, the structured report, the document."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydicom.dataset import Dataset

from gradcam_core.checks.panel import Trust
from gradcam_core.exporters.dicom.document import encapsulated_pdf
from gradcam_core.exporters.dicom.parametric_map import parametric_map
from gradcam_core.exporters.dicom.secondary_capture import secondary_capture
from gradcam_core.exporters.dicom.segmentation import attention_segmentation
from gradcam_core.exporters.dicom.source import Source, read_source
from gradcam_core.exporters.dicom.structured_report import structured_report
from gradcam_core.exporters.dicom.study import Export, begin_export, new_uid, write
from gradcam_core.exporters.names import heatmap_names
from gradcam_core.methods import find_method
from gradcam_core.records import Explanation, Heatmap
from gradcam_core.tasks import amount_of

Named = tuple[str, Dataset]
# Of the Parametric Maps of one export together, of 4 bytes each: 128 slices of 512 by 512 for a single heatmap.
MOST_VALUES = 1 << 25


def write_objects(
    explanation: Explanation,
    source: bytes | None,
    places: tuple[int, ...],
    checks: Mapping[int, Trust],
    report: bytes | None,
    segmentation: bool,
) -> tuple[tuple[str, bytes], ...]:
    """Write the objects; see `dicom_objects`."""
    origin = None if source is None else _bounded(read_source(source, explanation.image), len(places))
    export = begin_export(explanation, origin)
    numbers = itertools.count(1)
    shown = dict(_shown(export, places, checks, numbers, segmentation))
    written = [named for objects in shown.values() for named in objects]
    if origin is not None:
        objects = {place: [each for _, each in named] for place, named in shown.items()}
        written.append(("structured_report", structured_report(export, objects, checks, next(numbers))))
    if origin is not None and report is not None:
        written.append(("report", encapsulated_pdf(export, report, next(numbers))))
    return tuple((f"{name}.dcm", write(export, each)) for name, each in written)


def _bounded(source: Source, heatmaps: int) -> Source:
    """Write maps of the explained slice alone where maps of the whole stack would be too large."""
    values = heatmaps * len(source.stack) * source.shape[0] * source.shape[1]
    return source if values <= MOST_VALUES else replace(source, stack=())


def _shown(
    export: Export, places: tuple[int, ...], checks: Mapping[int, Trust], numbers: Iterator[int], segmentation: bool
) -> Iterator[tuple[int, list[Named]]]:
    """What shows each heatmap, by its position.

    Viewers show the first Parametric Map or Segmentation of a series, so each has a series of its own. The Secondary
    Captures of an export are one series.
    """
    explanation, source = export.explanation, export.source
    stems = heatmap_names(explanation.heatmaps)
    captures, number = new_uid(), next(numbers)
    for instance, place in enumerate(places, 1):
        heatmap, stem = explanation.heatmaps[place], stems[place]
        title = _title(heatmap)
        objects: list[Named] = []
        if source is not None and source.plane is not None:
            map_object = parametric_map(export, source, heatmap, next(numbers), title)
            objects.append((f"{stem}_parametric_map", map_object))
        capture = secondary_capture(
            export, heatmap, checks.get(place), (captures, number, instance), "Model attention over the picture"
        )
        objects.append((f"{stem}_secondary_capture", capture))
        if source is not None and segmentation:
            segments = attention_segmentation(export, source, heatmap, next(numbers), title)
            objects.append((f"{stem}_segmentation", segments))
        yield place, objects


def _title(heatmap: Heatmap) -> str:
    """Name a heatmap as a list of series shows it: what the model gives its class comes last."""
    method = find_method(heatmap.method, {}).title
    return f"Model attention, {method}: {heatmap.target.label} {amount_of(heatmap.target)}"
