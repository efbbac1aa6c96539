"""Heatmaps of the same few pictures, epoch by epoch, beside a training that they do not disturb."""

from gradcam_core.training.boards import TensorBoardWriter as TensorBoardWriter
from gradcam_core.training.boards import WandbWriter as WandbWriter
from gradcam_core.training.film import film_document as film_document
from gradcam_core.training.film import read_film as read_film
from gradcam_core.training.records import Scene as Scene
from gradcam_core.training.records import Writer as Writer
from gradcam_core.training.watching import TrainingHeatmaps as TrainingHeatmaps
