"""Heatmaps of a training for TensorBoard and for Weights & Biases."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import simplejpeg

from gradcam_core.errors import GradcamError
from gradcam_core.training.records import Scene


class TensorBoardWriter:
    """Writes pictures and probabilities of the true class into a log folder, or to a SummaryWriter of one's own."""

    def __init__(self, log: str | Path | Any) -> None:
        if isinstance(log, str | Path):
            module = _package("torch.utils.tensorboard", "TensorBoard", "pip install tensorboard")
            log = module.SummaryWriter(str(log))
        self._log = log

    def __call__(self, epoch: int, scenes: Sequence[Scene]) -> None:
        """Write one epoch."""
        for place, scene in enumerate(scenes):
            name = f"heatmaps/{place + 1:02}"
            self._log.add_image(
                f"{name}/answer", simplejpeg.decode_jpeg(scene.answer_picture), epoch, dataformats="HWC"
            )
            if scene.true_picture:
                true = simplejpeg.decode_jpeg(scene.true_picture)
                self._log.add_image(f"{name}/true_class", true, epoch, dataformats="HWC")
            if scene.true_probability is not None:
                self._log.add_scalar(f"{name}/true_probability", scene.true_probability, epoch)
        self._log.flush()


class WandbWriter:
    """Logs pictures and probabilities of the true class to a run of Weights & Biases, which its user began."""

    def __init__(self, run: Any) -> None:
        self._wandb = _package("wandb", "Weights & Biases", "pip install wandb")
        self._run = run

    def __call__(self, epoch: int, scenes: Sequence[Scene]) -> None:
        """Log one epoch. Pictures have numbers, no file names."""
        values: dict[str, Any] = {"epoch": epoch}
        for place, scene in enumerate(scenes):
            name = f"heatmaps/{place + 1:02}"
            values[f"{name}/answer"] = self._image(scene.answer_picture, scene.answer)
            if scene.true_picture:
                values[f"{name}/true_class"] = self._image(scene.true_picture, scene.truth)
            if scene.true_probability is not None:
                values[f"{name}/true_probability"] = scene.true_probability
        self._run.log(values)

    def _image(self, content: bytes, caption: str) -> Any:
        return self._wandb.Image(simplejpeg.decode_jpeg(content), caption=caption)


def _package(module: str, name: str, remedy: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise GradcamError(f"{name} is not installed.", f"Install it: {remedy}.") from error
