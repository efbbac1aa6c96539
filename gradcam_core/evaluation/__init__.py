"""One model over many pictures: how often it answers as labelled, how sure it is, and what it looks at.

A heatmap of one picture is an anecdote; what many have in common finds a marker before a patient does.
"""

from gradcam_core.evaluation.matching import find_masks as find_masks
from gradcam_core.evaluation.over_pictures import evaluate as evaluate
from gradcam_core.evaluation.reading import read_table as read_table
from gradcam_core.evaluation.records import Evaluation as Evaluation
from gradcam_core.evaluation.records import Row as Row
from gradcam_core.evaluation.records import TableRow as TableRow
from gradcam_core.evaluation.wording import evaluation_sentences as evaluation_sentences
from gradcam_core.evaluation.writing import evaluation_to_csv as evaluation_to_csv
