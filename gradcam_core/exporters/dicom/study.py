"""What all objects of one export have in common: study and patient, equipment, series, references to the source."""

import copy
import io
from dataclasses import dataclass
from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from gradcam_core.exporters.dicom.source import Source, element_of, numbers_of, text_of
from gradcam_core.exporters.names import shown_reference
from gradcam_core.records import Explanation
from gradcam_core.text import one_line

BANNER = "Research and demonstration. Not for diagnostic use."
MAKER = "CAM Lightbox"
SCHEME = "99CAMLIGHTBOX"
UTF_8 = "ISO_IR 192"
LONG_STRING, SHORT_STRING = 64, 16  # of the value representations LO and SH
UNIDENTIFIED = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber StudyID "
    "ReferringPhysicianName"
).split()
# Copied as they stand, so that the objects are filed with their source. Sequences stay out.
OF_THE_STUDY = (
    *UNIDENTIFIED,
    *"IssuerOfPatientID TypeOfPatientID PatientBirthTime OtherPatientNames EthnicGroup PatientComments "
    "PatientSpeciesDescription PatientBreedDescription ResponsiblePerson ResponsiblePersonRole "
    "ResponsibleOrganization QualityControlSubject PatientIdentityRemoved DeidentificationMethod "
    "StudyInstanceUID StudyDescription PatientAge PatientSize PatientWeight PregnancyStatus "
    "ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSiteID "
    "ClinicalTrialSiteName ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialTimePointID".split(),
)
SERIES_GAP, FIRST_SERIES, LAST_SOURCE_SERIES = 1000, 900, 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """One export of an explanation. `stand_in` is what highdicom gets as the source: geometry and identifiers only."""

    explanation: Explanation
    source: Source | None
    stand_in: Dataset

    def equipment(self, series: int, instance: int = 1) -> dict[str, Any]:
        """The arguments that every class of highdicom takes: new identifiers, numbers, maker and versions.

        Each call begins a new series.
        """
        versions = self.explanation.versions
        return {
            "series_instance_uid": new_uid(),
            "series_number": _first_series(self.source) + series,
            "sop_instance_uid": new_uid(),
            "instance_number": instance,
            "manufacturer": MAKER,
            "manufacturer_model_name": MAKER,
            "software_versions": tuple(long_text(f"{name} {version}") for name, version in versions.items()),
            "device_serial_number": self.explanation.fingerprint[:16],
            "specific_character_set": UTF_8,
            "transfer_syntax_uid": ExplicitVRLittleEndian,
        }

    @property
    def model(self) -> str:
        """The model's reference without folders and names of files."""
        return shown_reference(self.explanation.reference, self.explanation.fingerprint, "hash")


def begin_export(explanation: Explanation, source: Source | None) -> Export:
    """Begin an export to the study of a source, or to a new study without patient."""
    return Export(explanation, source, _stand_in(explanation, source))


def new_uid() -> str:
    """Return a unique identifier made of a random UUID, under 2.25."""
    return str(generate_uid(prefix=None))


def long_text(text: str) -> str:
    """Make text fit into a value of DICOM: one line of 64 bytes, without the backslash that separates values.

    The limit is 64 letters, but older archives count bytes.
    """
    plain = one_line(text, LONG_STRING).replace("\\", "/")
    return plain.encode()[:LONG_STRING].decode("utf-8", "ignore").strip()


def own_code(value: str, meaning: str) -> CodedConcept:
    """Return a code of the project's own scheme."""
    return CodedConcept(value[:SHORT_STRING], SCHEME, long_text(meaning) or "-")


def own_scheme() -> list[CodingSchemeIdentificationItem]:
    """Say what the project's own scheme of codes is."""
    return [CodingSchemeIdentificationItem(designator=SCHEME, name=MAKER)]


def write(export: Export, written: Dataset) -> bytes:
    """Put an object into the source's study, complete its references, and encode it."""
    if export.source is not None:
        for keyword in OF_THE_STUDY:
            element = element_of(export.source.header, keyword)
            if element is not None:
                written.add(copy.deepcopy(element))
        _complete_references(written, export.source, frames=True)
    encoded = io.BytesIO()
    written.save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()


def add_side(written: Dataset, source: Source | None) -> None:
    """Copy body part and side; the side is present and empty where the source does not state it."""
    header = Dataset() if source is None else source.header
    body = text_of(header, "BodyPartExamined")
    if body:
        written.BodyPartExamined = body
    side = text_of(header, "Laterality") or text_of(header, "ImageLaterality")
    written.Laterality = side if side in ("L", "R") else None


def _first_series(source: Source | None) -> int:
    """A number beyond the ones that scanners give: series 3 is followed by 3901, 3902, ..."""
    number = numbers_of(source.header, "SeriesNumber", 1) if source else None
    own = int(number[0]) if number and 0 < number[0] < LAST_SOURCE_SERIES else 0
    return own * SERIES_GAP + FIRST_SERIES


def _stand_in(explanation: Explanation, source: Source | None) -> Dataset:
    """A single-frame image for highdicom, which accepts few classes, refuses odd values and logs names.

    It has no patient. Class and frame are put right in `_complete_references`.
    """
    stand_in = Dataset()
    for keyword in UNIDENTIFIED:
        setattr(stand_in, keyword, None)
    header = Dataset() if source is None else source.header
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(stand_in, keyword, text_of(header, keyword) or new_uid())
    plane, image = None if source is None else source.plane, explanation.image
    stand_in.SOPClassUID = SecondaryCaptureImageStorage if plane is None else CTImageStorage
    stand_in.Rows, stand_in.Columns = (image.height, image.width) if source is None else source.shape
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        element = element_of(header, keyword)
        if element is not None:
            stand_in.add(copy.deepcopy(element))
    if source is not None and plane is not None:
        stand_in.FrameOfReferenceUID = plane.reference or new_uid()
        stand_in.ImagePositionPatient = list(plane.position)
        stand_in.ImageOrientationPatient = list(plane.orientation)
        stand_in.PixelSpacing = list(source.spacing or (1.0, 1.0))
        stand_in.SliceThickness = plane.thickness
    return stand_in


def _complete_references(written: Dataset, source: Source, *, frames: bool) -> None:
    """Give every reference to the source its true class, and where it is about pixels its frame."""
    for element in written:
        if element.VR != "SQ":
            continue
        # A list of evidence names files, not frames.
        about_pixels = frames and element.tag != Tag("CurrentRequestedProcedureEvidenceSequence")
        for item in element.value:
            if text_of(item, "ReferencedSOPInstanceUID") == source.uid:
                item.ReferencedSOPClassUID = text_of(source.header, "SOPClassUID")
                if source.frame and about_pixels and element.tag != Tag("ReferencedInstanceSequence"):
                    item.ReferencedFrameNumber = source.frame
            _complete_references(item, source, frames=about_pixels)
