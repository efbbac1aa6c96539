"""The family of exporters: an explanation -> bytes to keep or share."""

from gradcam_core.exporters.encoding import npy as npy
from gradcam_core.exporters.encoding import png as png
from gradcam_core.exporters.encoding import to_json as to_json
from gradcam_core.exporters.folder import ResultFolders as ResultFolders
from gradcam_core.exporters.manifest import to_dict as to_dict
from gradcam_core.exporters.manifest import trust_to_dict as trust_to_dict
from gradcam_core.exporters.names import heatmap_names as heatmap_names
from gradcam_core.exporters.zip_archive import archive as archive
