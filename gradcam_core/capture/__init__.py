"""Network -> evidence. The only folder with hooks and autograd.

`capture` is the step that `explain` takes; `probe` and `install_taps` prepare a network for it at load.
"""

from gradcam_core.capture.evidence import capture as capture
from gradcam_core.capture.guided import naming_activations as naming_activations
from gradcam_core.capture.outputs import class_scores as class_scores
from gradcam_core.capture.outputs import target_scores as target_scores
from gradcam_core.capture.probing import Averages as Averages
from gradcam_core.capture.probing import Call as Call
from gradcam_core.capture.probing import Probe as Probe
from gradcam_core.capture.probing import is_bounded as is_bounded
from gradcam_core.capture.probing import probe as probe
from gradcam_core.capture.probing import within_0_and_1 as within_0_and_1
from gradcam_core.capture.random_head import can_randomise_head as can_randomise_head
from gradcam_core.capture.random_head import with_random_head as with_random_head
from gradcam_core.capture.scores import scorer as scorer
from gradcam_core.capture.taps import install_taps as install_taps
