"""CAM Lightbox: see what an image model looked at, and whether to believe it.

    image = read_image("cat.jpg")
    model = load_model("bundled:efficientnet_lite0")
    explanation = explain(image, model)

The names below are public, in reading order.
"""

from gradcam_core.records import Explanation as Explanation
from gradcam_core.records import Heatmap as Heatmap
from gradcam_core.records import ImageRecord as ImageRecord
from gradcam_core.records import LayerInfo as LayerInfo
from gradcam_core.records import LoadedModel as LoadedModel
from gradcam_core.records import Preprocessing as Preprocessing
from gradcam_core.records import Progress as Progress

from gradcam_core.errors import GradcamError as GradcamError
from gradcam_core.targets import contrast as contrast
from gradcam_core.readers import read_image as read_image
from gradcam_core.samples import list_samples as list_samples
from gradcam_core.samples import read_sample as read_sample
from gradcam_core.preprocess import override as override_preprocessing
from gradcam_core.devices import describe_device as describe_device
from gradcam_core.devices import list_devices as list_devices
from gradcam_core.devices import release_memory as release_memory
from gradcam_core.devices import tune_allocator as tune_allocator
from gradcam_core.sources import list_bundled as list_bundled
from gradcam_core.sources import load_model as load_model
from gradcam_core.layers import layers_by_depth as layers_by_depth
from gradcam_core.layers import list_layers as list_layers
from gradcam_core.methods import equal_by_algebra as equal_by_algebra
from gradcam_core.methods import list_methods as list_methods
from gradcam_core.methods import reads_layer as reads_layer
from gradcam_core.methods import why_not as why_not
from gradcam_core.explain import explain as explain
from gradcam_core.metrics import agreement as agreement
from gradcam_core.render import COLOUR_MAPS as COLOUR_MAPS
from gradcam_core.render import colour_heatmap as colour_heatmap
from gradcam_core.render import colour_table as colour_table
from gradcam_core.render import overlay as overlay
from gradcam_core.exporters import archive as archive
from gradcam_core.exporters import heatmap_names as heatmap_names
from gradcam_core.exporters import npy as npy
from gradcam_core.exporters import png as png
from gradcam_core.exporters import to_dict as to_dict
from gradcam_core.exporters import to_json as to_json
from gradcam_core.version import __version__ as __version__
