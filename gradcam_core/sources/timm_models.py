"""Models of timm: by name, from the Hugging Face hub, or from a folder in the hub's layout."""

import json
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from math import floor
from pathlib import Path
from typing import Any

from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.progress import Progress
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import Checkpoint, first_line, read_checkpoint
from gradcam_core.sources.family import source
from gradcam_core.sources.hub_files import cached_hub_file, cached_url_file, hub_file, read_downloaded, url_file
from gradcam_core.sources.labels import imagenet_labels, labels_from, says_multi_label
from gradcam_core.sources.loaded_network import (
    NEW_HEAD,
    RANDOM_WEIGHTS,
    Architecture,
    Network,
    channel_notes,
    for_channels,
)

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
LIKE_TIMM = (
    "The file does not say how its pictures were prepared; as timm does for this architecture was assumed. "
    "Give size, mean and std as in training if they differ."
)
NO_CLASSIFIER = "This model has no classifier: its outputs are features, not classes."
LARGEST_CONFIG = 16_000_000
FOLDER_FILES = (*WEIGHT_FILES, "pytorch_model.pth", "model.pth")


def timm_architecture(name: str) -> Architecture:
    """The recipe behind a name, for weights of one's own."""
    config = _registered(name)

    def build(**options: Any) -> nn.Module:
        return _create(name, {}, options.get("num_classes"), options.get("in_chans"), options.get("size"))

    def describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...]]:
        return timm_preprocessing(module, channels), ()

    sized = {"size"} if config.fixed_input_size else set()
    options = frozenset({"num_classes", "in_chans"} | sized)
    return Architecture(name.partition(".")[0], build, options, describe, LIKE_TIMM, ("AuxLogits.",))


@source("timm", example="timm:mobilenetv2_100", architecture=timm_architecture)
def load_timm(
    name: str,
    *,
    pretrained: bool,
    num_classes: int | None,
    in_chans: int | None,
    size: tuple[int, int] | None,
    progress: Progress,
) -> Network:
    """Load `NAME`, `NAME.TAG`, `hf-hub:ORGANISATION/NAME` or `local-dir:FOLDER` as timm defines it."""
    scheme, _, rest = name.partition(":")
    if rest and scheme in ("hf-hub", "hf_hub"):
        folder = _hub_folder(rest, progress)
        return _load_folder(folder, pretrained, num_classes, in_chans, size, rest.startswith("timm/"))
    if rest and scheme == "local-dir":
        return _load_folder(Path(rest).expanduser(), pretrained, num_classes, in_chans, size)
    config = _registered(name)
    overlay = {"state_dict": _published_weights(name, config, progress).content} if pretrained else {}
    module = _create(name, overlay, num_classes, in_chans, size if config.fixed_input_size else None)
    return _describe(module, name.partition(".")[0], pretrained, num_classes, in_chans, published_by_timm=True)


def timm_preprocessing(module: nn.Module, channels: int | None = None) -> Preprocessing:
    """What timm's own evaluation transform does for this network."""
    from timm.data import resolve_model_data_config  # type: ignore[attr-defined,unused-ignore]

    config = resolve_model_data_config(module)  # type: ignore[no-untyped-call,unused-ignore]
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
        close = get_close_matches(stem, timm.list_models(), n=3)
        meant = f"Did you mean {' or '.join(f'timm:{x}' for x in close)}?" if close else "Try timm:mobilenetv2_100."
        raise ModelError(f"timm has no model '{stem[:80]}'.", meant)
    known = timm.list_models(f"{stem}.*", pretrained=True)
    if tag and name not in known:
        raise ModelError(f"timm has no weights '{tag[:80]}' for {stem}.", f"There are {', '.join(known) or 'none'}.")
    return timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()


def _published_weights(name: str, config: Any, progress: Progress) -> Checkpoint:
    """The weights behind a name: from either cache without a look-up, else downloaded."""
    names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHT_FILES
    url = config.url if isinstance(config.url, str) and not config.url.endswith(".npz") else None
    path = cached_hub_file(config.hf_hub_id, names) if config.hf_hub_id else None
    path = path or (cached_url_file(url) if url else None)
    if path is None and config.hf_hub_id:
        path = hub_file(config.hf_hub_id, names, progress)
    elif path is None and url:
        path = url_file(url, progress)
    if path is None:
        raise ModelError(f"timm publishes no weights for {name}.", "Choose another, or leave them out.", "pretrained")
    return read_downloaded(path)


def _hub_folder(name: str, progress: Progress) -> Path:
    """Fetch configuration and weights of a hub model; both then lie in one folder of the cache."""
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1:
        raise ModelError(f"'{name[:80]}' is no model of the hub.", "Write timm:hf-hub:ORGANISATION/NAME.")
    config = hub_file(repository, ("config.json",), Progress(), revision or None)
    hub_file(repository, WEIGHT_FILES, progress, revision or None)
    return config.parent


def _load_folder(
    folder: Path,
    pretrained: bool,
    num_classes: int | None,
    in_chans: int | None,
    size: tuple[int, int] | None,
    published_by_timm: bool = False,
) -> Network:
    """Load a folder with config.json and weights, as timm's save_for_hf writes it."""
    config = _folder_config(folder)
    weights = next((folder / file for file in FOLDER_FILES if (folder / file).is_file()), None)
    if pretrained and weights is None:
        raise ModelError("There are no weights in this folder.", f"It needs one of {', '.join(FOLDER_FILES)}.")
    overlay: dict[str, Any] = {"source": None, "file": None}
    if pretrained and weights:
        overlay["state_dict"] = _unwrapped(read_checkpoint(weights).content)
    fixed = config.get("pretrained_cfg", config).get("fixed_input_size", False)
    module = _create(f"local-dir:{folder}", overlay, num_classes, in_chans, size if fixed else None)
    name = str(config["architecture"])
    network = _describe(module, name, pretrained, num_classes, in_chans, published_by_timm)
    return replace(network, multi_label=bool(says_multi_label(config)))


def _folder_config(folder: Path) -> Mapping[str, Any]:
    try:
        with (folder / "config.json").open(encoding="utf-8") as file:
            config = json.loads(file.read(LARGEST_CONFIG))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            "There is no readable config.json in this folder.",
            "timm:local-dir: takes a folder written by timm's save_for_hf: config.json and model.safetensors.",
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("pretrained_cfg", {}), dict):
        raise ModelError("The folder's config.json is no model configuration.", "Write it with timm's save_for_hf.")
    if "architecture" not in config:
        raise ModelError("The folder's config.json names no timm architecture.", "Write it with timm's save_for_hf.")
    _registered(str(config["architecture"]))
    return config


def _unwrapped(content: Mapping[str, Any]) -> Mapping[str, Any]:
    from timm.models import clean_state_dict

    inner = next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), Mapping)), content)
    cleaned: Mapping[str, Any] = clean_state_dict(dict(inner))
    return cleaned


def _create(
    name: str, overlay: Mapping[str, Any], num_classes: int | None, in_chans: int | None, size: tuple[int, int] | None
) -> nn.Module:
    """Build with timm, which loads the overlay's state dict into it; its own complaints are put into words."""
    import timm

    try:
        module: nn.Module = timm.create_model(
            name,
            pretrained="state_dict" in overlay,
            pretrained_cfg_overlay=dict(overlay),
            num_classes=num_classes,
            in_chans=in_chans,
            img_size=size,
        )
    # What fails here fails inside timm, over a configuration or weights that came from outside: it may be anything.
    except Exception as error:
        raise ModelError(
            f"timm could not build this model: {first_line(error)}.", "Check its name, options and files."
        ) from error
    # timm keeps its configuration on the network, and with it a second copy of all weights. Its own way to read a
    # file ({"file": path}) would leave out our checks of it.
    module.pretrained_cfg = {key: x for key, x in module.pretrained_cfg.items() if key != "state_dict"}  # type: ignore[assignment,union-attr,operator]
    module.default_cfg = module.pretrained_cfg
    return module


def _describe(
    module: nn.Module,
    name: str,
    pretrained: bool,
    num_classes: int | None,
    in_chans: int | None,
    published_by_timm: bool = False,
) -> Network:
    """Add labels, preprocessing and notes to what timm built.

    Of timm's own trained weights, those for 1000 classes have ImageNet's.
    """
    config = module.pretrained_cfg
    assert isinstance(config, Mapping)
    new_head = num_classes is not None and num_classes != config.get("num_classes")
    preprocessing = timm_preprocessing(module, in_chans)
    notes = [] if pretrained else [RANDOM_WEIGHTS]
    if pretrained and new_head:
        notes.append(NEW_HEAD)
    if getattr(module, "num_classes", None) == 0:
        notes.append(NO_CLASSIFIER)
    labels = labels_from(config.get("label_names")) if pretrained and not new_head else None
    if labels is not None and len(labels) != config.get("num_classes"):
        labels = None
    if labels is None and published_by_timm and pretrained and not new_head and config.get("num_classes") == 1000:
        labels = imagenet_labels()
    notes.extend(channel_notes(preprocessing.channels))
    return Network(module, name, preprocessing, labels, tuple(notes), multi_label=False)
