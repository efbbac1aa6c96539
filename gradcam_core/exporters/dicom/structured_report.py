"""An explanation -> Structured Report (TID 1500): answers, heatmaps, checks, and the objects that show them."""

import math
from collections.abc import Iterator, Mapping, Sequence

from highdicom.sr import (
    AlgorithmIdentification,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    ImageContentItem,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from gradcam_core.checks.panel import Trust
from gradcam_core.exporters.dicom.secondary_capture import cell_words
from gradcam_core.exporters.dicom.study import MAKER, Export, new_uid, own_code, own_scheme
from gradcam_core.methods import find_method
from gradcam_core.records import Heatmap
from gradcam_core.tasks import Prediction, Target
from gradcam_core.text import BANNER, DISCLAIMER, one_line

IMAGING = Code("363679005", "SCT", "Imaging")
LONGEST_TEXT = 1000
Group = MeasurementsAndQualitativeEvaluations


def structured_report(
    export: Export, objects: Mapping[int, Sequence[Dataset]], checks: Mapping[int, Trust], series: int
) -> Dataset:
    """Write predictions and heatmaps as groups of measurements. `objects` are what shows each heatmap, by position."""
    explanation = export.explanation
    groups = [_prediction(export, prediction) for prediction in explanation.predictions]
    groups += [_heatmap(export, place, shown, checks.get(place)) for place, shown in objects.items()]
    device = DeviceObserverIdentifyingAttributes(
        uid=new_uid(), name=MAKER, manufacturer_name=MAKER, model_name=MAKER, serial_number=explanation.fingerprint[:16]
    )
    observer = ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=IMAGING,
        imaging_measurements=groups,
    )
    notes = (BANNER, DISCLAIMER, *explanation.unsuited, *explanation.notes)
    content = report[0].ContentSequence
    first = next(place for place, item in enumerate(content) if item.RelationshipType == "CONTAINS")
    for place, note in enumerate(dict.fromkeys(notes), first):  # a viewer shows them before the numbers
        content.insert(place, _text(note))
    return EnhancedSR(
        evidence=[export.image, *(each for shown in objects.values() for each in shown)],
        content=report[0],
        is_complete=True,
        series_description="Heatmaps: predictions and checks",
        coding_schemes=own_scheme(),
        **export.equipment(series),
    )


def _prediction(export: Export, prediction: Prediction) -> Group:
    rated = [_class(prediction)]
    if prediction.present is not None:
        answer = codes.SCT.Yes if prediction.present else codes.SCT.No
        rated.append(QualitativeEvaluation(own_code("present", "Reaches its threshold"), answer))
    return _group(export, f"Prediction, class {prediction.index}", _amounts(prediction), rated)


def _heatmap(export: Export, place: int, shown: Sequence[Dataset], trust: Trust | None) -> Group:
    """A heatmap with its class, method and peak, the outcomes of its checks, and the objects that show it."""
    heatmap = export.explanation.heatmaps[place]
    size = heatmap.raw_size if heatmap.signed else heatmap.raw_peak
    peak = Measurement(own_code("raw_peak", "Largest raw value of the map"), size, codes.UCUM.NoUnits)
    method = own_code(heatmap.method, find_method(heatmap.method, {}).title)
    rated = [_class(heatmap.target), QualitativeEvaluation(own_code("method", "Method of the heatmap"), method)]
    rated += [
        QualitativeEvaluation(own_code(check.name, check.question), own_code(check.outcome, check.outcome))
        for check in (trust.checks if trust else ())
    ]
    group = _group(export, f"Heatmap {place + 1}", [*_amounts(heatmap.target), peak], rated)
    group[0].ContentSequence.extend(_text(line) for line in _lines(export, heatmap, trust))
    group[0].ContentSequence.extend(
        ImageContentItem(
            name=own_code("heatmap", "Object that shows the heatmap"),
            referenced_sop_class_uid=each.SOPClassUID,
            referenced_sop_instance_uid=each.SOPInstanceUID,
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
        for each in shown
    )
    return group


def _lines(export: Export, heatmap: Heatmap, trust: Trust | None) -> Iterator[str]:
    """What has no code: the class in full, the layer, and the sentences of the checks."""
    yield f"Class: {heatmap.target.label}"
    yield f"Layer: {heatmap.layer or 'the input'}"
    yield f"State: {heatmap.state}"
    yield cell_words(export, heatmap)
    if trust is None:
        yield "No checks were made of this heatmap."
        return
    for check in trust.checks:
        yield f"{check.question} {check.outcome}: {check.sentence}"
    yield from (trust.outcome, *trust.always)


def _group(export: Export, name: str, measurements: list[Measurement], rated: list[QualitativeEvaluation]) -> Group:
    explanation, image = export.explanation, export.image
    settings = explanation.preprocessing
    # The versions of packages stand in Software Versions.
    parameters = [
        f"architecture {explanation.architecture}",
        f"input {settings.size[0]} x {settings.size[1]}, fit {settings.fit}",
    ]
    return Group(
        tracking_identifier=TrackingIdentifier(uid=new_uid(), identifier=name),
        algorithm_id=AlgorithmIdentification(
            name=export.model, version=explanation.fingerprint, parameters=[one_line(each) for each in parameters]
        ),
        measurements=measurements or None,
        qualitative_evaluations=rated,
        source_images=[SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )


def _amounts(thing: Prediction | Target) -> list[Measurement]:
    """The probability that the model gives, or of a regression the number; nothing where there is neither."""
    value, unit = getattr(thing, "value", None), getattr(thing, "unit", "")
    if value is not None and math.isfinite(value):
        words = f"Value that the model gives ({unit})" if unit else "Value that the model gives"
        return [Measurement(own_code("value", words), value, codes.UCUM.NoUnits)]
    if not math.isfinite(thing.probability):
        return []
    return [
        Measurement(own_code("probability", "Probability that the model gives"), thing.probability, codes.UCUM.NoUnits)
    ]


def _class(thing: Prediction | Target) -> QualitativeEvaluation:
    return QualitativeEvaluation(own_code("class", "Class of the model"), own_code(f"class {thing.index}", thing.label))


def _text(words: str) -> TextContentItem:
    return TextContentItem(
        name=codes.DCM.Comment, value=one_line(words, LONGEST_TEXT), relationship_type=RelationshipTypeValues.CONTAINS
    )
