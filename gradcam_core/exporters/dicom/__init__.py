"""An explanation -> DICOM objects in the study of the picture's own file."""

from collections.abc import Mapping, Sequence

from gradcam_core.checks.panel import Trust
from gradcam_core.errors import GradcamError
from gradcam_core.records import Explanation


def dicom_objects(
    explanation: Explanation,
    *,
    source: bytes | None,
    heatmaps: Sequence[int] | None = None,
    checks: Mapping[int, Trust] | None = None,
    report: bytes | None = None,
    segmentation: bool = False,
) -> tuple[tuple[str, bytes], ...]:
    """Write an explanation as DICOM objects: (file name, content) of each.

    `source` is the DICOM file that was explained. The objects go to its study and patient, as new series: for each
    heatmap a Parametric Map, a Secondary Capture and, with `segmentation`, a Segmentation; one Structured Report
    (TID 1500); and `report`, a PDF, as an encapsulated document. A source that does not say how its picture lies in
    the patient gets no Parametric Map, since that class requires it. Maps of a stack have a frame for each slice, with
    padding in all but the explained one, up to 33.6 million values in all. Without a source, Secondary Captures alone
    are written, in a new study without patient.

    `heatmaps` are positions in `explanation.heatmaps` (None: all), and `checks` are by these positions.
    Raises GradcamError where the source is another file, lacks its identifiers, or highdicom is not installed.
    """
    try:
        from gradcam_core.exporters.dicom.objects import write_objects
    except ModuleNotFoundError as error:
        raise GradcamError("DICOM objects need the package highdicom.", "Install it: pip install highdicom.") from error
    places = range(len(explanation.heatmaps)) if heatmaps is None else heatmaps
    return write_objects(explanation, source, tuple(places), checks or {}, report, segmentation)
