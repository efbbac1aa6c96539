"""A heatmap -> Secondary Capture: the picture that every viewer shows, with its words burned in."""

from highdicom.sc import SCImage
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from gradcam_core.checks.panel import Trust
from gradcam_core.exporters.caption import Captioned, caption_lines, meaning_of_one, with_caption
from gradcam_core.exporters.dicom.study import Export, add_side, long_text, orientation_of
from gradcam_core.placement import place_words
from gradcam_core.records import Heatmap
from gradcam_core.render import overlay
from gradcam_core.text import BANNER, number


def secondary_capture(
    export: Export, heatmap: Heatmap, trust: Trust | None, place: tuple[str, int, int], title: str
) -> Dataset:
    """Write one heatmap over the picture in RGB, with colour bar, class, probability, cell size and banner below it.

    `place` is its series' UID and number, and its own number there.
    """
    uid, series, instance = place
    written = SCImage.from_ref_dataset(
        ref_dataset=export.image,
        pixel_array=captioned(export, heatmap, trust),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),  # highdicom demands one; the true one follows
        series_description=long_text(title),
        **export.equipment(series, instance) | {"series_instance_uid": uid},
    )
    written.PatientOrientation = orientation_of(export.source)
    written.ConversionType = "WSD"
    # The words do not name a patient; the picture below them may.
    written.BurnedInAnnotation = "YES"
    written.ImageComments = BANNER
    written.DerivationDescription = "Heatmap of an image model over the source image"
    if export.source is not None:
        written.SourceImageSequence = [_reference(export.image)]
    add_side(written, export.source)
    return written


def captioned(export: Export, heatmap: Heatmap, trust: Trust | None) -> Captioned:
    """Draw the heatmap over the picture, with its words below."""
    explanation = export.explanation
    named, *rest = caption_lines(explanation, heatmap)
    checked = (f"Checks: {trust.outcome}",) if trust else ()
    lines = (BANNER, *explanation.unsuited, named, cell_words(export, heatmap), *checked, *rest)
    return with_caption(
        overlay(explanation.image, heatmap), lines, signed=heatmap.signed, meaning=meaning_of_one(heatmap)
    )


def cell_words(export: Export, heatmap: Heatmap) -> str:
    """Say how much of the picture one cell of the map covers, in pixels and where possible in mm."""
    height, width = heatmap.placement.cell_size((heatmap.raw.shape[0], heatmap.raw.shape[1]))
    words = f"One cell of the map covers {width:.0f} × {height:.0f} px"
    source, image = export.source, export.explanation.image
    if source is not None and source.spacing is not None:
        down = height * source.spacing[0] * source.shape[0] / image.height
        across = width * source.spacing[1] * source.shape[1] / image.width
        where = " on the detector" if source.at_detector else ""
        words = f"{words}, {number(across, '.3g')} × {number(down, '.3g')} mm{where}"
    return f"{'; '.join(filter(None, (words, place_words(heatmap.placement, brief=True))))}."


def _reference(image: Dataset) -> Dataset:
    """Refer to the source as what the picture was computed from."""
    item, purpose = Dataset(), Dataset()
    code = codes.DCM.SourceImageForImageProcessingOperation
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item
