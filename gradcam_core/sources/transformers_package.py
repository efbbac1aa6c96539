"""Models of Hugging Face transformers that timm has no equal network for, run by that package if it is there.

Only classes of the package itself are built: code that lies in a model's folder is never run.
"""

import importlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import guarded
from gradcam_core.sources.family import ASSUMED, Architecture, assumed_preprocessing, for_channels

PACKAGE = "transformers"
INSTALL = f"Install it with `pip install {PACKAGE}` and load the folder again."
DAMAGED = "Save the model again with save_pretrained."
# Settings that lead to code or weights from elsewhere, or to another type of numbers.
ELSEWHERE = re.compile(
    r"_.*|auto_map|quantization_config|(torch_)?dtype|attn_implementation|\w*backbone\w*|transformers_version"
)
LARGEST_NUMBER, MOST_LAYERS, DEEPEST = 1_000_000, 1_000, 6
# The configuration may describe a network so many times as large as the file.
LARGER = 2


class Pooled(nn.Module):
    """A network without a classifier, as the features that it pools itself, or the average of its last maps."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features [N C] of pictures [N C H W]."""
        output = self.body(x)
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            pooled = output.last_hidden_state
            pooled = pooled.mean(dim=1) if pooled.dim() == 3 else pooled
        features: torch.Tensor = pooled.flatten(1) if pooled.shape[2:].numel() == 1 else pooled.mean(dim=(2, 3))
        return features


def package_architecture(config: Mapping[str, Any], preprocessing: Preprocessing | None) -> Architecture:
    """The recipe for a configuration of transformers, as its own network. Raises ModelError."""
    kind, stated = str(config.get("model_type"))[:40], str((config.get("architectures") or [""])[0])[:80]
    _check(config)
    auto = _package(kind)
    if kind == "timm_wrapper":
        raise ModelError("The configuration names no number of classes.", DAMAGED)
    headless = _lists(auto, "MODEL_MAPPING_NAMES", stated) and _takes_pictures(auto, stated)
    if not headless and not _lists(auto, "MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES", stated):
        message = f"The package {PACKAGE} has no classifier of pictures called {stated!r}."
        raise ModelError(message, "Choose a model whose name ends in ForImageClassification.")
    channels = config.get("num_channels", 3)

    def build(num_classes: int | None = None) -> nn.Module:
        with _quiet(auto):
            return _built(auto, stated, _configuration(auto, config, num_classes), headless)

    def translate(tensors: dict[str, torch.Tensor], network: nn.Module) -> Mapping[str, torch.Tensor]:
        turned = _todays_names(auto, stated, config, tensors)
        return {f"body.{name}": tensor for name, tensor in turned.items()} if headless else turned

    def describe(module: nn.Module, channels_read: int) -> tuple[Preprocessing, tuple[str, ...], str]:
        own = preprocessing or assumed_preprocessing(channels)
        return for_channels(own, channels), (), "" if preprocessing else ASSUMED

    options = frozenset() if headless else frozenset({"num_classes"})
    return Architecture(f"{PACKAGE}:{kind}", build, options, describe, ("pooler.",), translate, headless=headless)


def _package(kind: str) -> Any:
    try:
        return importlib.import_module(PACKAGE)
    # Its own import may fail in many ways, as with versions that do not fit each other.
    except Exception as error:
        message = f"A model of the kind {kind!r} needs the package {PACKAGE}, which cannot be imported."
        raise ModelError(message, INSTALL) from error


def _lists(auto: Any, table: str, stated: str) -> bool:
    """Whether a class of its own has this name and stands in one of its tables. It imports a class when it is named."""
    known = getattr(importlib.import_module(f"{PACKAGE}.models.auto.modeling_auto"), table)
    names = (name if isinstance(name, list | tuple) else (name,) for name in known.values())
    return any(stated in each for each in names) and hasattr(auto, stated)


def _takes_pictures(auto: Any, name: str) -> bool:
    return getattr(getattr(auto, name), "main_input_name", "") == "pixel_values"


def _check(value: Any, key: str = "", depth: int = 0) -> None:
    """Raise ModelError where a number in the configuration is far larger than any model's."""
    if isinstance(value, Mapping | list) and depth < DEEPEST:
        inner = value.items() if isinstance(value, Mapping) else ((key, each) for each in value)
        for name, each in inner:
            _check(each, str(name), depth + 1)
    elif isinstance(value, int | float):
        most = MOST_LAYERS if "layers" in key or "depth" in key else LARGEST_NUMBER
        if not -LARGEST_NUMBER <= value <= most:
            raise ModelError(f"The configuration's {key[:40]} cannot be {str(value)[:40]!r}.", DAMAGED)


def _configuration(auto: Any, config: Mapping[str, Any], num_classes: int | None) -> Any:
    own = _of_this_folder(config)
    if num_classes is not None:
        own = {key: value for key, value in own.items() if key not in ("id2label", "label2id")}
        own["num_labels"] = num_classes
    return auto.AutoConfig.for_model(own.pop("model_type"), **{**own, "return_dict": True})


def _of_this_folder(config: Any) -> Any:
    if isinstance(config, list):
        return [_of_this_folder(each) for each in config]
    if not isinstance(config, Mapping):
        return config
    return {key: _of_this_folder(value) for key, value in config.items() if not ELSEWHERE.fullmatch(str(key))}


def _built(auto: Any, name: str, configuration: Any, headless: bool = False) -> nn.Module:
    network: nn.Module = getattr(auto, name)(configuration)
    return (Pooled(network) if headless else network).eval()


def _todays_names(
    auto: Any, name: str, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Tensors under the names that the package's network has: it renames on saving, and on loading again."""
    with guarded(f"{PACKAGE} cannot build this model", DAMAGED), _quiet(auto):
        configuration = _configuration(auto, config, None)
        with torch.device("meta"):
            size = sum(x.numel() for x in _built(auto, name, configuration).state_dict().values())
        if size > LARGER * sum(x.numel() for x in tensors.values()) + LARGEST_NUMBER:
            raise ModelError("The configuration describes a far larger network than the weights.", DAMAGED)
        network, report = getattr(auto, name).from_pretrained(
            None, config=configuration, state_dict=dict(tensors), output_loading_info=True, dtype=torch.float32
        )
        known = {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
        return {key: tensor for key, tensor in network.state_dict().items() if key not in known}


@contextmanager
def _quiet(auto: Any) -> Iterator[None]:
    """Keep the package from writing to the terminal, and leave torch's random state as it was."""
    loggers, bars = auto.utils.logging, auto.utils.logging.is_progress_bar_enabled()
    before = loggers.get_verbosity()
    loggers.set_verbosity(logging.CRITICAL)
    loggers.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        loggers.set_verbosity(before)
        if bars:
            loggers.enable_progress_bar()
