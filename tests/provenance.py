"""Files of small networks as the tools of others write them, by the tools' own code where they are installed.

The forms of tools that are not installed (Lightning, fastai, MMPretrain, MONAI, torchxrayvision) follow their sources.
"""

import copy
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import timm
import torch
import torchvision
from safetensors.torch import save_model
from timm.models import save_for_hf
from timm.utils import CheckpointSaver, ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

NAMES = ("daisy", "rose", "tulip")
# A file or folder, and the network that was saved.
Written = tuple[Path, nn.Module]


def network(seed: int = 0, channels: int = 3) -> nn.Module:
    """timm's smallest ResNet, whose statistics have moved as after training."""
    torch.manual_seed(seed)
    net = timm.create_model("test_resnet", num_classes=len(NAMES), in_chans=channels)
    return moved(net, channels)


def moved(net: nn.Module, channels: int = 3) -> nn.Module:
    """Let statistics and counters move."""
    with torch.no_grad():
        net.train()(torch.rand(4, channels, 64, 64))
    return net.eval()


def optimiser(net: nn.Module) -> torch.optim.Optimizer:
    """An optimiser that has taken a step, and so keeps tensors of its own."""
    taken = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    net(torch.rand(2, 3, 64, 64)).sum().backward()
    taken.step()
    net.zero_grad()
    return taken


def state_dict(folder: Path) -> Written:
    net = network()
    torch.save(net.state_dict(), folder / "weights.pt")
    return folder / "weights.pt", net


def timm_training(folder: Path) -> Written:
    """timm's train.py, by its CheckpointSaver: plain and averaged weights, the optimiser, the arguments."""
    net, averaged = network(), ModelEmaV3(network(1))
    args = SimpleNamespace(model="test_resnet", lr=0.1, num_classes=3)
    CheckpointSaver(net, optimiser(net), args, averaged, checkpoint_dir=str(folder)).save_checkpoint(3, 0.5)
    return folder / "checkpoint-3.pth.tar", net


def torchvision_training(folder: Path) -> Written:
    """torchvision's references/classification/train.py."""
    net = network()
    averaged = AveragedModel(network(1), multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    checkpoint = {
        "model": net.state_dict(),
        "optimizer": optimiser(net).state_dict(),
        "lr_scheduler": {"last_epoch": 3},
        "epoch": 3,
        "args": SimpleNamespace(lr=0.1, model="resnet18"),
        "model_ema": averaged.state_dict(),
    }
    torch.save(checkpoint, folder / "model_3.pth")
    return folder / "model_3.pth", net


def whole_model(folder: Path) -> Written:
    net = network()
    torch.save(net, folder / "model.pkl")
    return folder / "model.pkl", net


def data_parallel(folder: Path) -> Written:
    net = network()
    checkpoint = {"state_dict": nn.DataParallel(net).state_dict(), "best_acc1": torch.tensor(71.5), "arch": "resnet"}
    torch.save(checkpoint, folder / "model_best.pth.tar")
    return folder / "model_best.pth.tar", net


def distributed_and_averaged(folder: Path) -> Written:
    """Averaged by torch around a network in DataParallel, as distributed training keeps it."""
    net = network()
    torch.save(AveragedModel(nn.DataParallel(net)).state_dict(), folder / "averaged.pth")
    return folder / "averaged.pth", net


def lightning(folder: Path) -> Written:
    net = network()
    checkpoint = {
        "epoch": 3,
        "global_step": 400,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict((f"model.{name}", tensor) for name, tensor in net.state_dict().items()),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.7)}},
        "optimizer_states": [optimiser(net).state_dict()],
        "hyper_parameters": {"lr": 0.1, "class_names": list(NAMES)},
    }
    torch.save(checkpoint, folder / "epoch=3.ckpt")
    return folder / "epoch=3.ckpt", net


def safetensors(folder: Path) -> Written:
    net = network()
    save_model(net, str(folder / "mine.safetensors"), metadata={"format": "pt"})
    return folder / "mine.safetensors", net


def fastai(folder: Path) -> Written:
    """fastai's Learner.save with the optimiser."""
    net = network()
    torch.save({"model": net.state_dict(), "opt": optimiser(net).state_dict()}, folder / "stage-1.pth")
    return folder / "stage-1.pth", net


def mmpretrain(folder: Path) -> Written:
    """A runner's checkpoint: body and head have prefixes, the classes stand in `meta`."""
    net = network()
    heads = {name: f"head.{name}" for name in net.state_dict() if name.startswith("fc.")}
    state = {heads.get(name, f"backbone.{name}"): tensor for name, tensor in net.state_dict().items()}
    meta = {"epoch": 3, "CLASSES": NAMES, "mmengine_version": "0.10"}
    torch.save({"meta": meta, "state_dict": state, "optimizer": optimiser(net).state_dict()}, folder / "epoch_3.pth")
    return folder / "epoch_3.pth", net


def monai(folder: Path) -> Written:
    """MONAI's DenseNet121 of one channel: torchvision's tensors in the same order, under names of its own."""
    net = grey_densenet(len(NAMES))
    renamed = {
        re.sub(r"classifier\.", "class_layers.out.", re.sub(r"(denselayer\d+)\.", r"\1.layers.", name)): tensor
        for name, tensor in net.state_dict().items()
    }
    torch.save(renamed, folder / "best_metric_model.pth")
    return folder / "best_metric_model.pth", net


def torchxrayvision(folder: Path) -> Written:
    """A DenseNet of torchxrayvision with its thresholds, and findings that occur together."""
    net = grey_densenet(18)
    state = OrderedDict(net.state_dict(), op_threshs=torch.full((18,), float("nan")))
    torch.save(state, folder / "nih.pt")
    return folder / "nih.pt", net


def grey_densenet(classes: int) -> nn.Module:
    torch.manual_seed(0)
    net = torchvision.models.densenet121(num_classes=classes)
    net.features.conv0 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return moved(net, 1)


def timm_folder(folder: Path) -> Written:
    """timm's save_for_hf, with names of classes."""
    net = network()
    net.pretrained_cfg = {**net.pretrained_cfg, "num_classes": 3, "label_names": list(NAMES)}
    save_for_hf(net, str(folder / "timm"), model_config={"label_names": list(NAMES)}, safe_serialization=True)
    return folder / "timm", net


def transformers_folder(folder: Path) -> Written:
    """A folder of Hugging Face transformers, by save_pretrained."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_sizes": [64, 64, 96, 128], "depths": [1, 2, 1, 1], "embedding_size": 64}
    net = ResNetForImageClassification(
        ResNetConfig(
            **sizes, layer_type="basic", id2label=dict(enumerate(NAMES)), label2id={x: i for i, x in enumerate(NAMES)}
        )
    )
    net = moved(net)
    net.save_pretrained(folder / "transformers")
    return folder / "transformers", Logits(net)


class Logits(nn.Module):
    """A network of transformers whose output is its scores alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).logits


FILES: tuple[Callable[[Path], Written], ...] = (
    state_dict,
    timm_training,
    torchvision_training,
    whole_model,
    data_parallel,
    distributed_and_averaged,
    lightning,
    safetensors,
    fastai,
    mmpretrain,
    monai,
    torchxrayvision,
)
FOLDERS: tuple[Callable[[Path], Written], ...] = (timm_folder, transformers_folder)
# Whose files name the classes themselves.
NAMED = {lightning, mmpretrain, timm_folder, transformers_folder}
# Whose files hold averaged weights as well.
AVERAGED = {timm_training, torchvision_training}
