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
from gradcam_core.samples import read_truths as read_truths
from gradcam_core.samples.drawn_folder import drawn_folder as drawn_folder
from gradcam_core.preprocess import override as override_preprocessing
from gradcam_core.preprocess import shown_input as shown_input
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
from gradcam_core.metrics import Check as Check
from gradcam_core.metrics import Thresholds as Thresholds
from gradcam_core.metrics import Trust as Trust
from gradcam_core.readers.truth import draw_truth as draw_truth
from gradcam_core.readers.truth import read_truth as read_truth
from gradcam_core.metrics import Measurement as Measurement
from gradcam_core.metrics import agreement as agreement
from gradcam_core.metrics import list_measurements as list_measurements
from gradcam_core.metrics import measure as measure
from gradcam_core.metrics import derive_thresholds as derive_thresholds
from gradcam_core.metrics import read_thresholds as read_thresholds
from gradcam_core.metrics import trust as trust
from gradcam_core.render import COLOUR_MAPS as COLOUR_MAPS
from gradcam_core.render import colour_heatmap as colour_heatmap
from gradcam_core.render import colour_table as colour_table
from gradcam_core.render import overlay as overlay
from gradcam_core.render import picture as picture_pixels
from gradcam_core.evaluation import Evaluation as Evaluation
from gradcam_core.evaluation import evaluate as evaluate
from gradcam_core.evaluation import find_masks as find_masks
from gradcam_core.evaluation import read_table as read_table
from gradcam_core.evaluation import sentences as evaluation_sentences
from gradcam_core.evaluation import to_csv as evaluation_to_csv
from gradcam_core.exporters import archive as archive
from gradcam_core.exporters import heatmap_names as heatmap_names
from gradcam_core.exporters import npy as npy
from gradcam_core.exporters import png as png
from gradcam_core.exporters import to_dict as to_dict
from gradcam_core.exporters import to_json as to_json
from gradcam_core.exporters import trust_to_dict as trust_to_dict
from gradcam_core.version import __version__ as __version__
