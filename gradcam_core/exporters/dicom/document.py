"""A report as PDF -> Encapsulated PDF."""

from highdicom.base import SOPClass
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from gradcam_core.errors import GradcamError
from gradcam_core.exporters.dicom.study import Export


def encapsulated_pdf(export: Export, report: bytes, series: int) -> Dataset:
    """Write a PDF as an encapsulated document that refers to the source. Raises GradcamError for anything else."""
    if not report.startswith(b"%PDF-"):
        raise GradcamError("The report is no PDF.", "Give the report as PDF.")
    image = export.image
    written = SOPClass(
        study_instance_uid=image.StudyInstanceUID,
        sop_class_uid=EncapsulatedPDFStorage,
        modality="DOC",
        series_description="Heatmap report. Research only",
        **export.equipment(series),
    )
    written.ConversionType = "WSD"
    # The words do not name a patient; the pictures in it may.
    written.BurnedInAnnotation = "YES"
    written.AcquisitionDateTime = None
    written.DocumentTitle = "Heatmap report"
    written.ConceptNameCodeSequence = []
    written.VerificationFlag = "UNVERIFIED"
    written.MIMETypeOfEncapsulatedDocument = "application/pdf"
    written.EncapsulatedDocumentLength = len(report)
    written.EncapsulatedDocument = report + b"\0" * (len(report) % 2)
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    written.SourceInstanceSequence = [item]
    return written
