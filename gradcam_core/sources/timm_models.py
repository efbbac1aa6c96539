"""Models of timm: by name, from the Hugging Face hub, or from a folder in the hub's layout."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import floor
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.kinds import SAVE_WEIGHTS
from gradcam_core.progress import Progress
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import guarded
from gradcam_core.sources.family import (
    ASSUMED_AS_HUB,
    Architecture,
    Network,
    Size,
    did_you_mean,
    for_channels,
    source,
    weight_notes,
)
from gradcam_core.sources.folders import CONFIG, INDEXES, WEIGHT_FILES, read_json, read_weights, shards_of
from gradcam_core.sources.heads import stated_task
from gradcam_core.sources.hub_files import cached_hub_file, cached_url_file, hub_file, read_downloaded, url_file
from gradcam_core.sources.labels import imagenet_labels, labels_from
from gradcam_core.tasks import Task

NO_CLASSIFIER = "This model has no classifier: its outputs are features, not classes."
WRITE_FOLDER = "Write it with timm's save_for_hf."


class _Stored(NamedTuple):
    """What is to be built: timm's name for it, its architecture, its weights if wanted, and what is known of it."""

    name: str
    architecture: str
    weights: Mapping[str, Any] | None
    one_size: bool
    task: Task | None
    by_timm: bool


def timm_architecture(name: str) -> Architecture:
    """The recipe behind a name, for weights of one's own."""
    config = _registered(name)

    def build(*, size: Size | None = None, **options: Any) -> nn.Module:
        return _create(name, None, img_size=size, **options)

    def describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...], str]:
        return timm_preprocessing(module, channels), (), ASSUMED_AS_HUB.format("timm")

    options = {"num_classes", "in_chans"} | ({"size"} if config.fixed_input_size else set())
    return Architecture(f"timm:{name}", build, frozenset(options), describe, ("AuxLogits.",), _todays_names)


def _todays_names(tensors: dict[str, torch.Tensor], network: nn.Module) -> Mapping[str, torch.Tensor]:
    """Turn the names of a network's authors into timm's, by the filter that timm loads published weights with."""
    own = sys.modules[type(network).__module__]
    turn = getattr(own, "checkpoint_filter_fn", None) or getattr(own, "_filter_fn", None)
    return turn(tensors, network) if turn else tensors


@source("timm", example="timm:mobilenetv2_100", architecture=timm_architecture)
def load_timm(
    name: str, *, pretrained: bool, num_classes: int | None, in_chans: int | None, size: Size | None, progress: Progress
) -> Network:
    """Load `NAME`, `NAME.TAG`, `hf-hub:ORGANISATION/NAME` or `local-dir:FOLDER` as timm defines it."""
    scheme, _, rest = name.partition(":")
    if rest and scheme in ("hf-hub", "hf_hub"):
        stored = _in_folder(hub_folder(rest, progress), pretrained, by_timm=rest.startswith("timm/"))
    elif rest and scheme == "local-dir":
        stored = _in_folder(Path(rest).expanduser(), pretrained, by_timm=False)
    else:
        config = _registered(name)
        weights = _published_weights(name, config, progress) if pretrained else None
        stored = _Stored(name, name.partition(".")[0], weights, config.fixed_input_size, "single_label", by_timm=True)
    image_size = size if stored.one_size else None
    module = _create(stored.name, stored.weights, num_classes=num_classes, in_chans=in_chans, img_size=image_size)
    preprocessing = timm_preprocessing(module, in_chans)
    labels, notes = _describe_classes(module, stored, num_classes)
    own: Any = module.pretrained_cfg
    trained = stored.weights is not None and num_classes in (None, own.get("num_classes"))
    task = stored.task if trained else None
    return Network(module, stored.architecture, preprocessing, labels, notes, task=task)


def timm_preprocessing(module: nn.Module, channels: int | None = None) -> Preprocessing:
    """What timm's own evaluation transform does for this network."""
    from timm.data import resolve_model_data_config  # type: ignore[attr-defined,unused-ignore]

    return _preprocessing(resolve_model_data_config(module), channels)  # type: ignore[no-untyped-call,unused-ignore]


def configured_preprocessing(config: Mapping[str, Any], channels: int | None = None) -> Preprocessing:
    """What timm's own evaluation transform does for a network's stored configuration. Raises ModelError."""
    from timm.data import resolve_data_config  # type: ignore[attr-defined,unused-ignore]

    with guarded("The folder's configuration cannot be used", WRITE_FOLDER):
        resolved = resolve_data_config(pretrained_cfg=dict(config))  # type: ignore[no-untyped-call,unused-ignore]
        return _preprocessing(resolved, channels)


def _preprocessing(config: Mapping[str, Any], channels: int | None) -> Preprocessing:
    stored, height, width = config["input_size"]
    share = config["crop_pct"]
    own = Preprocessing(
        size=(height, width),
        resize=(floor(height / share), floor(width / share)),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=config["interpolation"],
        crop_mode=config["crop_mode"],
        channels=len(config["mean"]),
        crop_pct=share,
    )
    return for_channels(own, channels or stored)


def _registered(name: str) -> Any:
    """timm's entry for a name. Raises ModelError with what it may have been meant to be."""
    import timm

    stem, _, tag = name.partition(".")
    if not timm.is_model(stem):
        meant = did_you_mean(stem, timm.list_models(), "timm", "Try timm:mobilenetv2_100.")
        raise ModelError(f"timm has no model '{stem[:80]}'.", meant)
    known = timm.list_models(f"{stem}.*", pretrained=True)
    if tag and name not in known:
        raise ModelError(f"timm has no weights '{tag[:80]}' for {stem}.", f"There are {', '.join(known) or 'none'}.")
    return timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()


def _published_weights(name: str, config: Any, progress: Progress) -> Mapping[str, Any]:
    """The weights behind a name: from either cache without a look-up, else downloaded."""
    hub, names = config.hf_hub_id, (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES[:2]
    url = config.url if isinstance(config.url, str) and not config.url.endswith(".npz") else ""
    if not hub and not url:
        raise ModelError(f"timm publishes no weights for {name}.", "Choose another, or leave them out.", "pretrained")
    path = cached_hub_file(hub, names) if hub else None
    path = path or (cached_url_file(url) if url else None)
    path = path or (hub_file(hub, names, progress) if hub else url_file(url, progress))
    return read_downloaded(path).content


def hub_folder(name: str, progress: Progress, also: Sequence[str] = (CONFIG,)) -> Path:
    """Fetch the weights of a hub model, in one file or several, and what it has of other files, into the cache.

    Where the weights were downloaded before, nothing is looked up.
    """
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1:
        raise ModelError(f"'{name[:80]}' is no model of the hub.", "Write hf-hub:ORGANISATION/NAME.")
    names, revision_or_none = (*WEIGHT_FILES[:2], *INDEXES), revision or None
    cached = cached_hub_file(repository, names, revision_or_none)
    weights = cached or hub_file(repository, names, progress, revision_or_none)
    for shard in shards_of(weights) if weights.name in INDEXES else ():
        hub_file(repository, (shard,), progress, revision_or_none)
    for other in () if cached else also:
        with suppress(ModelError):
            hub_file(repository, (other,), Progress(), revision_or_none)
    return weights.parent


def _in_folder(folder: Path, pretrained: bool, *, by_timm: bool) -> _Stored:
    """What a folder with config.json and weights holds, as timm's save_for_hf writes it."""
    from timm.models import clean_state_dict

    config = _folder_config(folder)
    weights: Mapping[str, Any] | None = None
    if pretrained:
        content = read_weights(folder).content
        wrapped = (content[key] for key in ("state_dict", "model") if isinstance(content.get(key), Mapping))
        weights = clean_state_dict(dict(next(wrapped, content)))
    one_size = config.get("pretrained_cfg", config).get("fixed_input_size", False)
    task = stated_task(config) or ("single_label" if by_timm else None)
    return _Stored(f"local-dir:{folder}", str(config["architecture"]), weights, one_size, task, by_timm)


def _folder_config(folder: Path) -> Mapping[str, Any]:
    config = read_json(folder / CONFIG)
    if not isinstance(config.get("pretrained_cfg", {}), dict):
        raise ModelError("The folder's config.json is no model configuration.", WRITE_FOLDER)
    if "architecture" not in config:
        remedy = "Load it as file:FOLDER." if "model_type" in config else WRITE_FOLDER
        raise ModelError("The folder's config.json names no timm architecture.", remedy)
    _registered(str(config["architecture"]))
    return config


def _create(name: str, weights: Mapping[str, Any] | None, **options: Any) -> nn.Module:
    """Build with timm, which loads the weights into it; its own complaints are put into words."""
    import timm

    if weights is not None and not weights:  # timm would look for others in the network
        raise ModelError("The file holds no tensors at all, so no weights.", f"Save the model: {SAVE_WEIGHTS}.")
    # Without a source and file of its own, what timm reads in a folder does not lead past our checks of the weights.
    overlay = {"source": None, "file": None, **({} if weights is None else {"state_dict": weights})}
    with guarded("timm could not build this model", "Check its name, options and files."):
        pretrained = weights is not None
        module: nn.Module = timm.create_model(name, pretrained, pretrained_cfg_overlay=overlay, **options)
    # timm keeps its configuration on the network, and with it a second copy of all weights.
    module.pretrained_cfg = {key: x for key, x in module.pretrained_cfg.items() if key != "state_dict"}  # type: ignore[assignment,union-attr,operator]
    module.default_cfg = module.pretrained_cfg
    return module


def _describe_classes(
    module: nn.Module, stored: _Stored, num_classes: int | None
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The names of the classes, and notes. Of timm's own trained weights, those for 1000 classes have ImageNet's."""
    config: Any = module.pretrained_cfg
    classes = config.get("num_classes")
    new_head = num_classes not in (None, classes)
    notes = weight_notes(stored.weights is not None, new_head)
    if stored.weights is None or new_head:
        return None, notes
    labels = labels_from(config.get("label_names"))
    if labels is not None and len(labels) == classes:
        return labels, notes
    return imagenet_labels() if stored.by_timm and classes == 1000 else None, notes
