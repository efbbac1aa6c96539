"""Network -> evidence. The only folder with hooks and autograd.

`capture` is the step that explanation.py takes; `probe` and `install_taps` prepare a network for it at load.
"""

from gradcam_core.capture.attention import Attention as Attention
from gradcam_core.capture.attention import attention_blocks as attention_blocks
from gradcam_core.capture.backward import Reached as Reached
from gradcam_core.capture.backward import leads_to as leads_to
from gradcam_core.capture.backward import moves_scores as moves_scores
from gradcam_core.capture.backward import reach as reach
from gradcam_core.capture.centres import centres_of as centres_of
from gradcam_core.capture.evidence import capture as capture
from gradcam_core.capture.guided import activation_kinds as activation_kinds
from gradcam_core.capture.guided import noting_steps as noting_steps
from gradcam_core.capture.own_hooks import change_outputs as change_outputs
from gradcam_core.capture.own_hooks import record_from_input as record_from_input
from gradcam_core.capture.own_hooks import remove_hooks as remove_hooks
from gradcam_core.capture.probing import Averages as Averages
from gradcam_core.capture.probing import Call as Call
from gradcam_core.capture.probing import probe as probe
from gradcam_core.capture.probing import same_output as same_output
from gradcam_core.capture.probing import trace_of as trace_of
from gradcam_core.capture.returns import narrow_outputs as narrow_outputs
from gradcam_core.capture.scores import BATCH_REFUSALS as BATCH_REFUSALS
from gradcam_core.capture.scores import are_objects as are_objects
from gradcam_core.capture.scores import class_scores as class_scores
from gradcam_core.capture.scores import scorer as scorer
from gradcam_core.capture.scores import target_scores as target_scores
from gradcam_core.capture.shadow import can_randomise_head as can_randomise_head
from gradcam_core.capture.shadow import random_weights as random_weights
from gradcam_core.capture.shadow import with_randomised_head as with_randomised_head
from gradcam_core.capture.taps import install_taps as install_taps
