"""Say in words how a checkpoint differs from the architecture, what probably happened, and what to do."""

from collections.abc import Iterable, Mapping, Sequence

from gradcam_core.errors import ModelError
from gradcam_core.sources.family import list_sources
from gradcam_core.sources.state_dicts import NameMatch, Shape, shorten

SHOWN = 3
# Names that give a family away: one of each tuple's parts must begin some tensor's name.
STYLES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("rpn.", "roi_heads."), "a torchvision detection model", ""),
    (("model.22.", "model.23."), "a YOLO detection model", ""),
    (("query_embed.", "bbox_embed.", "class_embed."), "a detection transformer (DETR)", ""),
    (("decode_head.", "outc.", "up1.", "decoder.blocks."), "a segmentation model", ""),
    (
        ("vit.encoder.", "vit.embeddings.", "resnet.embedder.", "swin.embeddings."),
        "a Hugging Face transformers model",
        "",
    ),
    (("visual.", "text_model.", "token_embedding."), "a CLIP model (pictures and words)", ""),
    (("_conv_stem.", "_blocks."), "the package efficientnet_pytorch", ""),
    (("conv_stem.",), "timm's EfficientNet and MobileNet family", "timm:mobilenetv2_100 or timm:efficientnet_b0"),
    (("features.0.0.",), "torchvision's MobileNet, EfficientNet and ConvNeXt family", "torchvision:mobilenet_v2"),
    (("features.denseblock1.",), "DenseNet", "torchvision:densenet121"),
    (("layer1.0.",), "a ResNet", "torchvision:resnet18, torchvision:resnet50 or timm:resnet50"),
    (("encoder.layers.encoder_layer_0.",), "torchvision's vision transformer", "torchvision:vit_b_16"),
    (("patch_embed.",), "timm's vision transformers", "timm:vit_small_patch16_224"),
    (("stages.0.", "stem.0."), "timm's ConvNeXt or a similar staged network", "timm:convnext_tiny"),
    (("features.0.",), "torchvision's VGG or AlexNet, or a network of your own", "torchvision:vgg16"),
)


def explain_misfit(
    architecture: str,
    match: NameMatch,
    stored: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    head: Sequence[str],
) -> ModelError:
    """One readable error: counts and examples, then the likely cause and its remedy.

    `stored` holds the file's shapes under the architecture's names; `head` the names of the
    architecture's classifier.
    """
    misshapen = [name for name in stored if name in expected and stored[name] != expected[name]]
    parts = [
        _listed("missing", match.missing, len(expected)),
        _listed("not part of it", match.unexpected),
        _listed("of another shape", [f"{n} (file {_by(stored[n])}, network {_by(expected[n])})" for n in misshapen]),
    ]
    message = f"The weights do not fit {architecture}: {'; '.join(part for part in parts if part)}."
    cause, remedy = _likely(match, misshapen, expected, head)
    return ModelError(f"{message} {cause}", remedy)


def suggest_architecture(names: Iterable[str], metadata: Mapping[str, object]) -> str:
    """A hint at the architecture: what the checkpoint says itself, or what its names look like."""
    for place in (metadata, *(x for x in metadata.values() if isinstance(x, Mapping))):
        for key in ("arch", "architecture", "model_name", "backbone", "encoder_name"):
            value = place.get(key)
            if isinstance(value, str) and 0 < len(value) < 80:
                known = _known_reference(value)
                return f"The checkpoint says '{shorten(value)}'" + (f": try {known}." if known else ".")
    style = _style(names)
    return f"Its names look like {style[0]}" + (f": try {style[1]}." if style[1] else ".") if style else ""


def _known_reference(name: str) -> str:
    """The reference of an architecture of this name, torchvision's before timm's; "" where no source has one."""
    stem = name.partition(".")[0]
    for source in reversed(list(list_sources().values())):
        try:
            if source.architecture:
                source.architecture(stem)
                return f"{source.name}:{stem}"
        except ModelError:
            continue
    return ""


def _likely(
    match: NameMatch, misshapen: Sequence[str], expected: Mapping[str, Shape], head: Sequence[str]
) -> tuple[str, str]:
    needed = [name for name in expected if not name.endswith("num_batches_tracked")]
    other = "Give the architecture that the weights were trained with."
    if len(match.missing) > len(needed) // 2:
        style = _style((*match.unexpected, *match.elsewhere, *match.names.values()))
        if style and match.unexpected:
            hint = f"Try {style[1]}." if style[1] else "Only classifiers can be explained here."
            return f"Probably another architecture: the names look like {style[0]}.", f"{other} {hint}"
        if match.names and not match.unexpected:
            return "Probably the file holds only a part of the network.", "Save the whole model's state_dict()."
        return "Probably another architecture.", other
    if match.missing and set(match.missing) <= set(head):
        if match.unexpected or match.elsewhere:
            return (
                "Probably the classifier was replaced by one of your own, under other names.",
                "Give the architecture as a function that builds the network with that classifier.",
            )
        return "Probably a backbone without its classifier.", "Load a file that was saved with its classifier."
    if match.missing and not match.unexpected:
        return (
            "Probably the file holds only a part of the network, or a smaller one of its family.",
            f"Save the whole model's state_dict(). {other}",
        )
    if misshapen and not match.missing and not match.unexpected:
        if all("pos_embed" in name or "position" in name for name in misshapen):
            return (
                "Probably the network was trained on pictures of another size.",
                "Give that size in the preprocessing.",
            )
        return "Probably another width or variant of the same family.", other
    if match.unexpected and not match.missing:
        return "Probably the file holds a larger network, of which this architecture is only a part.", other
    return "Probably a variant of this architecture.", other


def _style(names: Iterable[str]) -> tuple[str, str] | None:
    listed = list(names)
    for starts, title, example in STYLES:
        if any(f".{start}" in f".{name}" for name in listed for start in starts):
            return title, example
    return None


def _listed(what: str, names: Sequence[str], total: int | None = None) -> str:
    if not names:
        return ""
    count = f"{len(names)} of {total}" if total else f"{len(names)}"
    shown = ", ".join(shorten(name) for name in names[:SHOWN])
    return f"{count} tensors {what} ({shown}{', ...' if len(names) > SHOWN else ''})"


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"
