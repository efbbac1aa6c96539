"""Checkpoints as other tools write them: by their own code where it is installed, else in the form that they have."""

import argparse
import collections
import copy
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from tests.checkpoints import Tensors, load, same_outputs, saved, small

NET = small()
STATE = NET.state_dict()
OPTIMIZER = torch.optim.SGD(NET.parameters(), 0.1, momentum=0.9)
SCHEDULE = torch.optim.lr_scheduler.StepLR(OPTIMIZER, 1)
CLASSES = list("abcde")


def under(prefix: str, plus: float = 0.0) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": x + plus for name, x in STATE.items()}


def body_and_head(body: str, head: str) -> dict[str, torch.Tensor]:
    names = {name: name.replace("fc.", head, 1) if name.startswith("fc.") else body + name for name in STATE}
    return {names[name]: x for name, x in STATE.items()}


class HistoryBuffer:
    """As mmengine keeps its losses."""

    def __init__(self) -> None:
        self._log_history, self._count_history = np.array([1.0, 0.5]), np.array([1, 1])
        self._statistics_methods = {"mean": np.mean}


def wrapped() -> nn.Module:
    net = copy.deepcopy(NET)
    net.stem = checkpoint_wrapper(net.stem)
    return net


LIGHTNING: dict[str, Any] = {
    **{
        "epoch": 1,
        "global_step": 2,
        "pytorch-lightning_version": "2.5.0",
        "optimizer_states": [OPTIMIZER.state_dict()],
    },
    **{
        "lr_schedulers": [SCHEDULE.state_dict()],
        "hparams_name": "kwargs",
        "hyper_parameters": {"class_names": CLASSES},
    },
    "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1, "completed": 1}}}},
    "state_dict": {**under("model."), "criterion.weight": torch.ones(5), "train_accuracy.tp": torch.zeros(5)},
    "callbacks": {
        "ModelCheckpoint{'monitor': 'val_loss'}": {"best_model_score": torch.tensor(0.9), "best_k_models": {}}
    },
}
DEEPSPEED = {
    **{"module": STATE, "ds_config": {}, "buffer_names": ["stem.1.running_mean"], "optimizer": None},
    "param_shapes": [collections.OrderedDict((name, x.shape) for name, x in NET.named_parameters())],
    **{"ds_version": "0.16", "sparse_tensor_module_names": set(), "frozen_param_shapes": None},
}
TORCHVISION = {
    **{"model": STATE, "optimizer": OPTIMIZER.state_dict(), "lr_scheduler": SCHEDULE.state_dict(), "epoch": 3},
    **{"args": argparse.Namespace(data_path="x", lr=0.1), "scaler": {"scale": 65536.0, "_growth_tracker": 0}},
    "model_ema": torch.optim.swa_utils.AveragedModel(NET).state_dict(),
}
MMENGINE = {
    "meta": {"epoch": 3, "cfg": "model = dict()", "dataset_meta": {"classes": CLASSES}},
    "state_dict": body_and_head("backbone.", "head.fc."),
    "message_hub": {"log_scalars": {"train/loss": HistoryBuffer()}, "runtime_info": {"iter": 3}},
    "optimizer": OPTIMIZER.state_dict(),
}
ULTRALYTICS = {"model": copy.deepcopy(NET), "ema": None, "updates": None, "train_args": {"imgsz": 224}, "date": "x"}
VISSL = {
    "classy_state_dict": {
        "base_model": {"model": {"trunk": body_and_head("_feature_blocks.", ""), "heads": {}}},
        "optimizer": {},
    }
}
VISSL["classy_state_dict"]["base_model"]["model"] = {
    "trunk": {f"_feature_blocks.{name}": x for name, x in STATE.items() if not name.startswith("fc.")},
    "heads": {name.replace("fc.", "0.clf.0."): x for name, x in STATE.items() if name.startswith("fc.")},
}
FILES: dict[str, Any] = {
    "averaged model": torch.optim.swa_utils.AveragedModel(NET).state_dict(),
    "timm's average": timm.utils.ModelEmaV3(NET).state_dict(),
    "activation checkpointing": wrapped().state_dict(),
    "activation checkpointing, not unwrapped": {
        name.replace("stem.", "stem._checkpoint_wrapped_module."): x for name, x in STATE.items()
    },
    "FSDP": under("_fsdp_wrapped_module."),
    "compiled and parallel": under("module._orig_mod."),
    "compiled, whole": torch.compile(NET),
    "SyncBatchNorm": nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(NET)).state_dict(),
    "Lightning": LIGHTNING,
    "Lightning with an average": {
        "state_dict": under("model."),
        "callbacks": {"EMA": {"ema_state_dict": under("model.", 1)}},
    },
    "Fabric": {"model": STATE, "optimizer": OPTIMIZER.state_dict(), "iteration": 3},
    "fastai": {"model": STATE, "opt": {"state": [], "hypers": []}},
    "DeepSpeed": DEEPSPEED,
    "torchvision's script": TORCHVISION,
    "mmengine": MMENGINE,
    "mmcls": {"meta": {"CLASSES": tuple(CLASSES)}, "state_dict": STATE},
    "Composer": {
        "state": {"model": under("module."), "timestamp": {"epoch": 1}},
        "rng": [{"python": (3, (1, 2), None)}],
    },
    "Catalyst": {"model_state_dict": STATE, "epoch_metrics": {"valid": {"loss": np.float32(0.1)}}},
    "BasicSR": {"params": STATE, "params_ema": under("", 1)},
    "folds": {"fold0": STATE, "fold1": under("", 1)},
    "Ultralytics": ULTRALYTICS,
    "VISSL": VISSL,
    "a head of its own name": body_and_head("backbone.", "my_output."),
    "a body and a linear step": body_and_head("0.", "1."),
    "a tuple with the epoch": (STATE, 3),
    "a list of states": [STATE, OPTIMIZER.state_dict()],
    "a list of whole objects": [NET, OPTIMIZER],
    "pairs": list(STATE.items()),
    "NumPy's arrays": {"model": {name: x.numpy() for name, x in STATE.items()}},
    "NumPy's arrays in columns": {name: np.asfortranarray(x.numpy()) for name, x in STATE.items()},
    "gradients kept": {name: nn.Parameter(x) if x.is_floating_point() else x for name, x in STATE.items()},
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "old format"])
@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_tools_checkpoint_loads_with_the_outputs_of_what_was_saved(content: Any, old: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    model = load(path)
    assert same_outputs(model.module, NET)
    if content in (LIGHTNING, MMENGINE):
        assert model.labels == tuple(CLASSES)


@pytest.mark.parametrize("averaged", [False, True])
def test_timms_own_training_checkpoint_loads(averaged: bool, tmp_path: Path) -> None:
    ema = timm.utils.ModelEmaV3(NET) if averaged else None
    arguments = argparse.Namespace(model="small", lr=0.1)
    saver = timm.utils.CheckpointSaver(
        NET, OPTIMIZER, args=arguments, model_ema=ema, checkpoint_dir=str(tmp_path), recovery_dir=str(tmp_path)
    )
    saver.save_checkpoint(0, metric=np.float64(0.9))
    model = load(tmp_path / "model_best.pth.tar")
    assert same_outputs(model.module, NET)
    assert any("several sets of weights" in note for note in model.notes) == averaged


def distributed(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is one process
        dcp.save(dict(STATE), checkpoint_id=folder / "x", no_dist=True)
    return folder / "x"


def exported(folder: Path) -> Path:
    program = torch.export.export(copy.deepcopy(NET), (torch.zeros(1, 3, 16, 16),))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, folder / "x.pt2")
    return folder / "x.pt2"


def shard_of_distributed(folder: Path) -> Path:
    return next(distributed(folder).glob("*.distcp"))


def narrow(folder: Path) -> Path:
    return saved(folder / "x.pth", {name: x.to(torch.float8_e4m3fn) for name, x in STATE.items() if x.dim() > 1})


def quantised(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        state = {name: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8) for name, x in STATE.items() if x.dim() > 1}
    return saved(folder / "x.pth", {**STATE, **state})


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (distributed, "distributed checkpoint"),
        (shard_of_distributed, "distributed checkpoint"),
        (exported, r"torch\.export archive"),
        (narrow, "do not fit|float8"),
        (quantised, "quantised"),
        (lambda folder: saved(folder / "x.pth", list(STATE.values())), "holds a list"),
        (lambda folder: saved(folder / "x.pth", {"lora.A.weight": torch.zeros(4, 4)}), "do not fit"),
    ],
)
def test_what_no_weights_can_be_taken_from_is_named(write: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=words):
        load(write(tmp_path))


def as_efficientnet_pytorch(state: Tensors) -> dict[str, torch.Tensor]:
    """The same tensors in the same order under that package's names."""
    rules = (
        *(
            (r"^conv_stem\.", "_conv_stem."),
            (r"^bn1\.", "_bn0."),
            (r"^conv_head\.", "_conv_head."),
            (r"^bn2\.", "_bn1."),
        ),
        (r"^classifier\.", "_fc."),
    )
    names: dict[str, str] = {}
    blocks = list(
        dict.fromkeys(name.split(".")[1:3] and ".".join(name.split(".")[:3]) for name in state if "blocks." in name)
    )
    for name in state:
        new = name
        for old, own in rules:
            new = re.sub(old, own, new)
        if new.startswith("blocks."):
            block, rest = ".".join(new.split(".")[:3]), ".".join(new.split(".")[3:])
            new = f"_blocks.{blocks.index(block)}._{rest}"
        names[new] = name
    return {new: state[name] for new, name in names.items()}


def test_efficientnet_pytorchs_file_fits_timms_network_of_the_same_name(tmp_path: Path) -> None:
    net = timm.create_model("tf_efficientnet_lite0", num_classes=3).eval()
    path = saved(tmp_path / "x.pth", as_efficientnet_pytorch(net.state_dict()))
    model = load_model(f"file:{path}", architecture="timm:tf_efficientnet_lite0", device="cpu")
    assert same_outputs(model.module, net)
    assert any("by their order" in note for note in model.notes)
