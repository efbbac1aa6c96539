"""Many pictures: how often a model's top answer is the label and what it looks at, or how two models differ."""

from gradcam_core.evaluation.drift_records import Drift as Drift
from gradcam_core.evaluation.drift_records import DriftRow as DriftRow
from gradcam_core.evaluation.drift_words import drift_sentences as drift_sentences
from gradcam_core.evaluation.drifting import drift as drift
from gradcam_core.evaluation.evaluating import evaluate as evaluate
from gradcam_core.evaluation.matching import find_masks as find_masks
from gradcam_core.evaluation.records import Evaluation as Evaluation
from gradcam_core.evaluation.records import Row as Row
from gradcam_core.evaluation.records import TableRow as TableRow
from gradcam_core.evaluation.sentences import evaluation_sentences as evaluation_sentences
from gradcam_core.evaluation.table import drift_to_csv as drift_to_csv
from gradcam_core.evaluation.table import evaluation_to_csv as evaluation_to_csv
from gradcam_core.evaluation.table import is_old_text as is_old_text
from gradcam_core.evaluation.table import read_table as read_table
