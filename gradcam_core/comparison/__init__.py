"""Two to four models on one picture: answers and heatmaps of the same classes, side by side and in numbers."""

from gradcam_core.comparison.comparing import compare as compare
from gradcam_core.comparison.drawing import overlay_difference as overlay_difference
from gradcam_core.comparison.notes import same_network as same_network
from gradcam_core.comparison.notes import unsuited_models as unsuited_models
from gradcam_core.comparison.partners import partners_of as partners_of
from gradcam_core.comparison.records import Comparison as Comparison
from gradcam_core.comparison.sentences import comparison_sentences as comparison_sentences
from gradcam_core.comparison.sentences import pair_sentence as pair_sentence
