"""What all objects of one export have in common: study and patient, equipment, series, references to the source."""

import copy
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr.coding import CodedConcept
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from gradcam_core.exporters.dicom.source import Plane, Source, element_of, numbers_of, text_of
from gradcam_core.exporters.names import shown_reference
from gradcam_core.records import Explanation
from gradcam_core.text import one_line

MAKER = "CAM Lightbox"
SCHEME = "99CAMLIGHTBOX"
UTF_8 = "ISO_IR 192"
LONG_STRING, SHORT_STRING = 64, 16  # of the value representations LO and SH
# Type 2: present in every object, empty where not known.
ALWAYS_PRESENT = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "StudyID",
    "ReferringPhysicianName",
)
# Copied as they stand, so that the objects are filed with their source.
OF_THE_STUDY = (
    *ALWAYS_PRESENT,
    "StudyInstanceUID",
    "StudyDescription",
    "IssuerOfPatientID",
    "TypeOfPatientID",
    "OtherPatientNames",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientSpeciesDescription",
    "PatientBreedDescription",
    "ResponsiblePerson",
    "ResponsiblePersonRole",
    "QualityControlSubject",
    "ClinicalTrialSponsorName",
    "ClinicalTrialProtocolID",
    "ClinicalTrialSiteID",
    "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID",
    "ClinicalTrialTimePointID",
)
# The predecessor of DICOM wrote 1997.04.24 and 14:04:38, which readers accept and writers must not write.
FORMER_MARKS = {"DA": ".", "TM": ":"}
SIDES = ("L", "R")
UNPAIRED = {
    "ABDOMEN": codes.SCT.Abdomen,
    "BRAIN": codes.SCT.Brain,
    "CHEST": codes.SCT.Chest,
    "CSPINE": codes.SCT.CervicalSpine,
    "HEAD": codes.SCT.Head,
    "HEART": codes.SCT.Heart,
    "LSPINE": codes.SCT.LumbarSpine,
    "NECK": codes.SCT.Neck,
    "PELVIS": codes.SCT.Pelvis,
    "SKULL": codes.SCT.Skull,
    "TSPINE": codes.SCT.ThoracicSpine,
}
# Their references name files, not frames.
OF_FILES = {"CurrentRequestedProcedureEvidenceSequence", "ReferencedSeriesSequence", "SourceInstanceSequence"}
SERIES_GAP, FIRST_SERIES, LAST_SOURCE_SERIES = 1000, 900, 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Export:
    """One export of an explanation. `image` is what highdicom gets as the source: identifiers and size only."""

    explanation: Explanation
    source: Source | None
    image: Dataset

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
    return Export(explanation, source, stand_in(explanation, source, None))


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
        for element in _of_the_study(export.source.header):
            written.add(element)
        _complete_references(written, export.source, frames=True)
    encoded = io.BytesIO()
    written.save_as(encoded, enforce_file_format=True)
    return encoded.getvalue()


def _of_the_study(header: Dataset) -> Iterator[DataElement]:
    """Copy what files an object with its patient and study, as far as it can be read.

    That a patient's identity was removed must not be said without how.
    """
    how = [name for name in ("DeidentificationMethod", "DeidentificationMethodCodeSequence") if name in header]
    for keyword in (*OF_THE_STUDY, *(("PatientIdentityRemoved", *how) if how else ())):
        element = element_of(header, keyword)
        if element is not None:
            element = copy.deepcopy(element)
            for item in element.value if element.VR == "SQ" else ():
                item.decode()  # from the source's encoding
            if element.VR in FORMER_MARKS and isinstance(element.value, str):
                element.value = element.value.replace(FORMER_MARKS[element.VR], "")
            yield element


def add_side(written: Dataset, source: Source | None) -> None:
    """Copy the body part and its side, where both are stated or the part is in the middle of the body.

    Without a body part, an empty side says that it is not known.
    """
    header = Dataset() if source is None else source.header
    body, side = text_of(header, "BodyPartExamined"), text_of(header, "Laterality")
    side = side or text_of(header, "ImageLaterality")
    if body and side in SIDES:
        written.BodyPartExamined, written.Laterality = body, side
    elif body in UNPAIRED:
        written.BodyPartExamined = body
    else:
        written.Laterality = side if side in SIDES else None


def orientation_of(source: Source | None) -> Any:
    """Return the letters of the source's Patient Orientation; None, which is written as empty, where it has none."""
    element = None if source is None else element_of(source.header, "PatientOrientation")
    return None if element is None else element.value


def _first_series(source: Source | None) -> int:
    """A number beyond the ones that scanners give: series 3 is followed by 3901, 3902, ..."""
    number = numbers_of(source.header, "SeriesNumber", 1) if source else None
    own = int(number[0]) if number and 0 < number[0] < LAST_SOURCE_SERIES else 0
    return own * SERIES_GAP + FIRST_SERIES


def stand_in(explanation: Explanation, source: Source | None, plane: Plane | None) -> Dataset:
    """A single-frame image for highdicom, which accepts few classes, refuses odd values and logs names.

    It has no patient. Class and frame are put right when an object is written. A spacing that is not known is 1 mm
    here: the object must not keep it.
    """
    image = Dataset()
    for keyword in ALWAYS_PRESENT:
        setattr(image, keyword, None)
    header = Dataset() if source is None else source.header
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        setattr(image, keyword, text_of(header, keyword) or new_uid())
    shown = explanation.image
    image.SOPClassUID = SecondaryCaptureImageStorage if plane is None else CTImageStorage
    image.Rows, image.Columns = (shown.height, shown.width) if source is None else source.shape
    for keyword in ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        element = element_of(header, keyword)
        if element is not None:
            image.add(copy.deepcopy(element))
    if source is not None and plane is not None:
        image.FrameOfReferenceUID = plane.reference or new_uid()
        image.ImagePositionPatient = list(plane.position)
        image.ImageOrientationPatient = list(plane.orientation)
        image.PixelSpacing = list(source.spacing or (1.0, 1.0))
        image.SliceThickness = plane.thickness
    return image


def _complete_references(written: Dataset, source: Source, *, frames: bool) -> None:
    """Give every reference to the source its true class and, where it is about pixels, its frame."""
    for element in [element for element in written if element.VR == "SQ"]:
        about_pixels = frames and element.keyword not in OF_FILES
        for place, item in enumerate(element.value):
            if text_of(item, "ReferencedSOPInstanceUID") == source.uid:
                item = element.value[place] = copy.deepcopy(item)  # highdicom puts one item into several sequences
                item.ReferencedSOPClassUID = text_of(source.header, "SOPClassUID")
                if source.frame and about_pixels:
                    item.ReferencedFrameNumber = source.frame
            _complete_references(item, source, frames=about_pixels)
