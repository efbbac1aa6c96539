"""Which layers can be explained, what they are called, and how their outputs become maps."""

from gradcam_core.layers.advice import advise as advise
from gradcam_core.layers.choice import choose_default as choose_default
from gradcam_core.layers.choice import layers_by_depth as layers_by_depth
from gradcam_core.layers.choice import list_layers as list_layers
from gradcam_core.layers.choice import wanted_layers as wanted_layers
from gradcam_core.layers.layouts import INPUT as INPUT
from gradcam_core.layers.layouts import NO_GRID as NO_GRID
from gradcam_core.layers.layouts import TOKENS as TOKENS
from gradcam_core.layers.layouts import TOKENS_FIRST as TOKENS_FIRST
from gradcam_core.layers.layouts import Refused as Refused
from gradcam_core.layers.layouts import describe_layer as describe_layer
from gradcam_core.layers.layouts import to_grid as to_grid
from gradcam_core.layers.layouts import to_tokens as to_tokens
from gradcam_core.layers.layouts import token_readings as token_readings
from gradcam_core.layers.names import resolve_layer as resolve_layer
