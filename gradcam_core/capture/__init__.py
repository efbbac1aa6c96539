"""Network -> evidence. The only folder with hooks and autograd.

`capture` is the step that explain.py takes; `probe` and `install_taps` prepare a network for it at load.
"""

from gradcam_core.capture.evidence import capture as capture
from gradcam_core.capture.guided import activation_kinds as activation_kinds
from gradcam_core.capture.outputs import class_scores as class_scores
from gradcam_core.capture.outputs import target_scores as target_scores
from gradcam_core.capture.probe import Averages as Averages
from gradcam_core.capture.probe import Call as Call
from gradcam_core.capture.probe import probe as probe
from gradcam_core.capture.redraw import can_redraw_head as can_redraw_head
from gradcam_core.capture.redraw import with_redrawn_head as with_redrawn_head
from gradcam_core.capture.scores import scorer as scorer
from gradcam_core.capture.taps import install_taps as install_taps
