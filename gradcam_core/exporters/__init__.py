"""The family of exporters: an explanation -> bytes to keep or share."""

from gradcam_core.exporters.caption import caption_lines as caption_lines
from gradcam_core.exporters.caption import display_words as display_words
from gradcam_core.exporters.caption import meaning_of_one as meaning_of_one
from gradcam_core.exporters.caption import with_caption as with_caption
from gradcam_core.exporters.comparison import comparison_archive as comparison_archive
from gradcam_core.exporters.comparison import comparison_to_dict as comparison_to_dict
from gradcam_core.exporters.comparison import write_comparison as write_comparison
from gradcam_core.exporters.comparison_pictures import Drawing as Drawing
from gradcam_core.exporters.comparison_pictures import difference_picture as difference_picture
from gradcam_core.exporters.drift import drift_to_dict as drift_to_dict
from gradcam_core.exporters.encoding import npy as npy
from gradcam_core.exporters.encoding import png as png
from gradcam_core.exporters.encoding import to_json as to_json
from gradcam_core.exporters.evaluation import evaluation_to_dict as evaluation_to_dict
from gradcam_core.exporters.extras import Extras as Extras
from gradcam_core.exporters.extras import shared_peak as shared_peak
from gradcam_core.exporters.folder import ResultFolders as ResultFolders
from gradcam_core.exporters.gallery import GalleryRow as GalleryRow
from gradcam_core.exporters.gallery import write_gallery as write_gallery
from gradcam_core.exporters.manifest import to_dict as to_dict
from gradcam_core.exporters.manifest import trust_to_dict as trust_to_dict
from gradcam_core.exporters.names import heatmap_names as heatmap_names
from gradcam_core.exporters.report import report_html as report_html
from gradcam_core.exporters.report import report_pdf as report_pdf
from gradcam_core.exporters.sheets import contact_sheet as contact_sheet
from gradcam_core.exporters.zip_archive import archive as archive
