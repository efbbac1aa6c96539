"""The callback for Lightning: `from gradcam_core.training.lightning import LightningHeatmaps`."""

from typing import Any

from torch import nn

from gradcam_core.errors import GradcamError
from gradcam_core.training.watching import TrainingHeatmaps

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise GradcamError("Lightning is not installed.", "Install it: pip install lightning.") from error


class LightningHeatmaps(Callback):  # type: ignore[misc, unused-ignore]
    """Calls `heatmaps` with the network at the end of each training epoch.

    `network` names the part of the LightningModule that turns pictures into class scores. The epoch's number is that of
    Lightning, from 0.
    """

    def __init__(self, heatmaps: TrainingHeatmaps, network: str = "model") -> None:
        super().__init__()
        self._heatmaps, self._network = heatmaps, network

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a wrong name before the training begins. Raises GradcamError."""
        self._part(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Explain what this epoch has learned."""
        if trainer.is_global_zero:
            self._heatmaps(self._part(pl_module), trainer.current_epoch)

    def _part(self, module: Any) -> nn.Module:
        part = getattr(module, self._network, None)
        if not isinstance(part, nn.Module):
            raise GradcamError(
                "The LightningModule has no network of this name.",
                "Name the part that turns pictures into class scores, such as model or net.",
            )
        return part
