"""CLIP-like models of the package open_clip: a network for pictures, and an encoder of texts to compare them with."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.progress import Progress
from gradcam_core.records import Preprocessing
from gradcam_core.sources.checkpoints import Checkpoint, guarded, read_checkpoint, require_weights
from gradcam_core.sources.family import ASSUMED_AS_HUB, Architecture, Network, did_you_mean, source, weight_notes
from gradcam_core.sources.file_models import network_of
from gradcam_core.sources.folders import WEIGHT_FILES as USUAL_FILES
from gradcam_core.sources.hub_files import hub_file, read_downloaded, url_file
from gradcam_core.sources.open_clip_folders import CONFIG, bounded, read_config, with_own_tokens
from gradcam_core.sources.own_networks import build
from gradcam_core.sources.text_encoders import split_clip

Config = Mapping[str, Any]
WEIGHT_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
RESAVE = "Save the model again with open_clip."
INSTALL = "Install it with: pip install open_clip_torch (or: pip install 'cam-lightbox[text]')."
# What files hold besides weights.
UNUSED = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.transformer.embeddings.position_ids")
CROP_MODES = {"shortest": "center", "squash": "squash", "longest": "border"}
PADDED = "Its pictures are padded with their mean colour here, where open_clip pads with black."
QUICK = (
    "Weights that OpenAI published, and others trained like them, belong to {}-quickgelu: it has the same tensors and "
    "computes other numbers."
)


def open_clip_architecture(name: str) -> Architecture:
    """The recipe behind NAME, NAME.TAG or `local-dir:FOLDER`, for weights of one's own. Raises ModelError."""
    package = _package()
    scheme, _, folder = name.partition(":")
    if scheme == "local-dir" and folder:
        return _of_folder(package, Path(folder).expanduser())
    config, tag = _known(package, name)
    notes = () if tag or f"{name}-quickgelu" not in package.list_models() else (QUICK.format(name),)
    return _recipe(package, name, config, tag, notes, "" if tag else ASSUMED_AS_HUB.format("open_clip"))


@source("open-clip", example="open-clip:ViT-B-32", architecture=open_clip_architecture)
def load_open_clip(name: str, *, pretrained: bool, progress: Progress) -> Network:
    """Load `NAME`, `NAME.TAG`, `hf-hub:ORGANISATION/NAME` or `local-dir:FOLDER` as open_clip defines it.

    Without a tag these are the weights that open_clip lists first. Raises ModelError.
    """
    package = _package()
    scheme, _, rest = name.partition(":")
    if rest and scheme in ("hf-hub", "local-dir"):
        folder = Path(rest).expanduser() if scheme == "local-dir" else _downloaded(rest, progress)
        recipe = _of_folder(package, folder)
        return _fitted(recipe, read_checkpoint(_weights(folder))) if pretrained else _untrained(recipe)
    config, tag = _known(package, name)
    if not pretrained:
        return _untrained(_recipe(package, name, config, tag))
    tag = tag or _first_tag(package, name)
    return _fitted(_recipe(package, name, config, tag), read_downloaded(_published(tag, progress)))


def _package() -> ModuleType:
    """The package open_clip, an optional extra. Raises ModelError where it is missing."""
    try:
        import open_clip
    except ImportError as error:
        raise ModelError("Models of pictures and texts need the package open_clip_torch.", INSTALL) from error
    package: ModuleType = open_clip
    return package


def _known(package: ModuleType, name: str) -> tuple[dict[str, Any], Config]:
    """open_clip's configuration of a name, and what it says of the weights of its tag. Raises ModelError."""
    stem, dot, tag = name.partition(".")
    config = package.get_model_config(stem)
    if config is None:
        meant = did_you_mean(stem, package.list_models(), "open-clip", "Try open-clip:ViT-B-32.")
        raise ModelError(f"open_clip has no model '{stem[:80]}'.", meant)
    with_own_tokens(config)
    stated = package.get_pretrained_cfg(stem, tag) if dot else {}
    if dot and not stated:
        tags = ", ".join(package.list_pretrained_tags_by_model(stem)) or "none"
        raise ModelError(f"open_clip has no weights '{tag[:80]}' for {stem}.", f"There are {tags}.")
    return config, stated


def _first_tag(package: ModuleType, name: str) -> Config:
    tags = package.list_pretrained_tags_by_model(name)
    if not tags:
        raise ModelError(
            f"open_clip publishes no weights for {name}.", "Choose another, or leave them out.", "pretrained"
        )
    stated: Config = package.get_pretrained_cfg(name, tags[0])
    return stated


def _published(tag: Config, progress: Progress) -> Path:
    """The file of published weights: from a cache, or downloaded. Raises ModelError, at once without a network."""
    repository, _, file = str(tag.get("hf_hub", "")).rpartition("/")
    return (
        hub_file(repository, (file,) if file else WEIGHT_FILES, progress)
        if repository
        else url_file(tag["url"], progress)
    )


def _downloaded(repository: str, progress: Progress) -> Path:
    folder = hub_file(repository, (CONFIG,), Progress()).parent
    hub_file(repository, WEIGHT_FILES, progress)
    return folder


def _weights(folder: Path) -> Path:
    names = (*WEIGHT_FILES, *USUAL_FILES)
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise ModelError("There are no weights in this folder.", f"It needs one of {', '.join(WEIGHT_FILES)}.")
    return path


def _of_folder(package: ModuleType, folder: Path) -> Architecture:
    """The recipe that a folder's configuration describes, no larger than its weights. Raises ModelError."""
    config, stated = read_config(folder)
    most = _weights(folder).stat().st_size
    recipe = _recipe(package, "folder", config, {"quick_gelu": config.get("quick_gelu", False), **stated})
    return bounded(recipe, most)


def _recipe(
    package: ModuleType,
    name: str,
    config: dict[str, Any],
    tag: Config,
    notes: tuple[str, ...] = (),
    assumption: str = "",
) -> Architecture:
    """How to build the network of a configuration; `tag` says how its weights were trained, empty where unknown."""
    own = {**config, "quick_gelu": tag.get("quick_gelu", False)} if tag else config
    preprocessing = _preprocessing(config["vision_cfg"].get("image_size", 224), tag)

    def describe(module: nn.Module, channels: int) -> tuple[Preprocessing, tuple[str, ...], str]:
        padded = (PADDED,) if preprocessing.crop_mode == "border" else ()
        return preprocessing, (*notes, *padded), assumption

    return Architecture(
        f"open-clip:{name}",
        _builder(package, own),
        frozenset(),
        describe,
        UNUSED,
        _todays_names,
        lambda clip: split_clip(clip, own["text_cfg"]),
    )


def _builder(package: ModuleType, config: Config) -> Callable[[], nn.Module]:
    parts = {key: value for key, value in config.items() if key != "custom_text"}
    custom = package.CustomTextCLIP if config.get("custom_text") else package.CLIP
    kind = package.CoCa if "multimodal_cfg" in config else custom

    def make() -> nn.Module:
        clip: nn.Module = kind(**parts)
        return clip

    return make


def _preprocessing(size: int | list[int], tag: Config) -> Preprocessing:
    """What open_clip's own evaluation transform does."""
    from open_clip.transform import PreprocessCfg

    settings = {**vars(PreprocessCfg()), **{key: value for key, value in tag.items() if value is not None}}
    height, width = size if isinstance(size, list | tuple) else (size, size)
    mode = CROP_MODES[settings["resize_mode"]]
    mean, std = (tuple(map(float, settings[key])) for key in ("mean", "std"))
    interpolation = settings["interpolation"] if settings["interpolation"] == "bilinear" else "bicubic"
    return Preprocessing((height, width), (height, width), mean, std, interpolation, crop_mode=mode)


def _todays_names(tensors: dict[str, Any], network: nn.Module) -> Mapping[str, Any]:
    """Turn other tools' names into open_clip's, as its own loading does."""
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    turned = convert_state_dict(network, tensors)
    if "positional_embedding" in turned and not hasattr(network, "positional_embedding"):
        turned = convert_to_custom_text_state_dict(turned)
    names: Mapping[str, Any] = turned
    return names


def _fitted(recipe: Architecture, stored: Checkpoint) -> Network:
    require_weights(stored)
    with guarded("The weights cannot be used", RESAVE):
        network = network_of(recipe, None, stored, {})
    return replace(network, notes=(*stored.notes, *network.notes))


def _untrained(recipe: Architecture) -> Network:
    module = build(recipe)
    preprocessing, notes, _ = recipe.describe(module, 3)
    assert recipe.split is not None
    network, text = recipe.split(module)
    notes = (*weight_notes(False, False), *notes)
    return Network(network, recipe.name, preprocessing, None, notes, task="embedding", text=text)
