"""One model over many pictures: how often its top answer matches the label, how sure it is, and what it looks at."""

from gradcam_core.evaluation.evaluating import evaluate as evaluate
from gradcam_core.evaluation.matching import find_masks as find_masks
from gradcam_core.evaluation.records import Evaluation as Evaluation
from gradcam_core.evaluation.records import Row as Row
from gradcam_core.evaluation.records import TableRow as TableRow
from gradcam_core.evaluation.sentences import evaluation_sentences as evaluation_sentences
from gradcam_core.evaluation.table import evaluation_to_csv as evaluation_to_csv
from gradcam_core.evaluation.table import read_table as read_table
