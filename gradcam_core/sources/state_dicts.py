"""Match the names in a checkpoint with an architecture's own, and say in words what does not fit."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gradcam_core.errors import ModelError
from gradcam_core.sources.family import list_sources
from gradcam_core.text import one_line

Shape = tuple[int, ...]

# Names that wrappers put between the parts of a name: DataParallel and DDP, torch.compile, FSDP, checkpointing.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
# What profilers add, evaluation never reads, or every network computes again when it is built.
EXTRAS = ("num_batches_tracked", "total_ops", "total_params", "relative_position_index", "attn_mask")
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|teacher|momentum|shadow)([._]|$)", re.IGNORECASE)
SHOWN = 3
OTHER = "Give the architecture that the weights were trained with."
# Names that give a family away, what it is, and references to try: one of the names must begin a part of a tensor's.
STYLES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("rpn.", "roi_heads."), "a torchvision detection model", ""),
    (("model.22.", "model.23."), "a YOLO detection model", ""),
    (("query_embed.", "bbox_embed.", "class_embed."), "a detection transformer (DETR)", ""),
    (("decode_head.", "outc.", "up1.", "decoder.blocks."), "a segmentation model", ""),
    (("vit.encoder.", "vit.embeddings."), "a Hugging Face transformers model", ""),
    (("resnet.embedder.", "swin.embeddings."), "a Hugging Face transformers model", ""),
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


@dataclass(frozen=True, slots=True)
class NameMatch:
    """Which of a file's names stands for which of the architecture's.

    `names` leads from the architecture's names to the file's. `unexpected` stand among the matched
    ones but mean nothing to the architecture; `elsewhere` are the file's other tensors (loss,
    optimizer, other networks). `rivals` are prefixes under which the file holds as much once more.
    """

    prefix: str
    names: Mapping[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    elsewhere: tuple[str, ...]
    rivals: tuple[str, ...] = ()


def match_names(stored: Iterable[str], expected: Collection[str]) -> NameMatch:
    """Strip wrappers and prefixes wherever they stand, guided by the architecture's own names.

    Every name votes for the prefixes that would make it one of the expected names, so an
    architecture that itself begins with `model.` keeps that part. Of equal sets the one that is no
    moving average wins, then the shortest prefix.
    """
    wanted = set(expected)
    votes, readings = _best_reading(list(stored), wanted)
    needed = sum(not name.endswith(EXTRAS) for name in wanted)
    ranked = sorted(votes, key=lambda prefix: (-votes[prefix], bool(AVERAGED.search(prefix)), len(prefix), prefix))
    prefix = ranked[0] if ranked else ""
    names = _names_under(prefix, readings, wanted)
    taken = set(names.values())
    rest = [name for name in readings if name not in taken]
    return NameMatch(
        prefix=prefix,
        names=names,
        missing=tuple(name for name in expected if name not in names and not name.endswith(EXTRAS)),
        unexpected=tuple(x for x in rest if readings[x].startswith(prefix) and not x.endswith(EXTRAS)),
        elsewhere=tuple(name for name in rest if not readings[name].startswith(prefix)),
        rivals=tuple(other for other in ranked[1:] if votes[other] >= needed > 0),
    )


def _best_reading(stored: list[str], wanted: set[str]) -> tuple[Counter[str], dict[str, str]]:
    """Read the names with as few wrappers left out as give the most matches."""
    present = [wrapper for wrapper in WRAPPERS if any(wrapper in name.split(".") for name in stored)]
    best: tuple[Counter[str], dict[str, str]] = (Counter(), {name: name for name in stored})
    most = 0
    for count in range(len(present) + 1):
        for dropped in combinations(present, count):
            readings = {name: ".".join(part for part in name.split(".") if part not in dropped) for name in stored}
            votes = _vote(readings.values(), wanted)
            if votes and max(votes.values()) > most:
                best, most = (votes, readings), max(votes.values())
    return best


def _vote(names: Iterable[str], wanted: set[str]) -> Counter[str]:
    """Count for each prefix how many names are wanted ones behind it."""
    votes: Counter[str] = Counter()
    most = max((name.count(".") for name in wanted), default=0) + 1
    for name in names:
        start = len(name)
        for _ in range(most):
            start = name.rfind(".", 0, start)
            if name[start + 1 :] in wanted:
                votes[name[: start + 1]] += 1
            if start < 0:
                break
    return votes


def _names_under(prefix: str, readings: Mapping[str, str], wanted: set[str]) -> dict[str, str]:
    """Find the wanted names under a prefix, and what is missing under shorter ones: a `fc` beside a `backbone`."""
    names: dict[str, str] = {}
    parts = prefix.split(".")[:-1]
    for length in range(len(parts), -1, -1):
        start = "".join(f"{part}." for part in parts[:length])
        for name, reading in readings.items():
            if reading.startswith(start) and reading[len(start) :] in wanted:
                names.setdefault(reading[len(start) :], name)
    return names


def explain_misfit(
    architecture: str, match: NameMatch, stored: Mapping[str, Shape], expected: Mapping[str, Shape], head: Sequence[str]
) -> ModelError:
    """One readable error: counts and examples, then the likely cause and its remedy.

    `stored` holds the file's shapes under the architecture's names; `head` the names of the
    architecture's classifier.
    """
    misshapen = [name for name in stored if name in expected and stored[name] != expected[name]]
    parts = [
        _listed(f"of {len(expected)} tensors missing", match.missing),
        _listed("tensors not part of it", match.unexpected),
        _listed(
            "tensors of another shape", [f"{n} (file {_by(stored[n])}, network {_by(expected[n])})" for n in misshapen]
        ),
    ]
    message = f"The weights do not fit {architecture}: {'; '.join(part for part in parts if part)}."
    needed = [name for name in expected if not name.endswith("num_batches_tracked")]
    if len(match.missing) > len(needed) // 2:
        cause, remedy = _cause_where_most_is_missing(match)
    else:
        cause, remedy = _likely_cause(match, misshapen, head)
    return ModelError(f"{message} Probably {cause}.", remedy)


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(one_line(name) for name in names[:SHOWN])
    return f"{len(names)} {what} ({shown}{', ...' if len(names) > SHOWN else ''})"


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _cause_where_most_is_missing(match: NameMatch) -> tuple[str, str]:
    style = _style((*match.unexpected, *match.elsewhere, *match.names.values()))
    if style and match.unexpected:
        hint = f"Try {style[1]}." if style[1] else "Only classifiers can be explained here."
        return f"another architecture: the names look like {style[0]}", f"{OTHER} {hint}"
    if match.names and not match.unexpected:
        return "the file holds only a part of the network", "Save the whole model's state_dict()."
    return "another architecture", OTHER


def _likely_cause(match: NameMatch, misshapen: Sequence[str], head: Sequence[str]) -> tuple[str, str]:
    if match.missing and set(match.missing) <= set(head):
        if match.unexpected or match.elsewhere:
            remedy = "Give the architecture as a function that builds the network with that classifier."
            return "the classifier was replaced by one of your own, under other names", remedy
        return "a backbone without its classifier", "Load a file that was saved with its classifier."
    if match.missing and not match.unexpected:
        remedy = f"Save the whole model's state_dict(). {OTHER}"
        return "the file holds only a part of the network, or a smaller one of its family", remedy
    if match.missing:
        return "a variant of this architecture", OTHER
    if match.unexpected:
        return "the file holds a larger network, of which this architecture is only a part", OTHER
    if all("pos_embed" in name or "position" in name for name in misshapen):
        return "the network was trained on pictures of another size", "Give that size in the preprocessing."
    return "another width or variant of the same family", OTHER


def suggest_architecture(names: Iterable[str], metadata: Mapping[str, object]) -> str:
    """A hint at the architecture: what the checkpoint says itself, or what its names look like."""
    for place in (metadata, *(x for x in metadata.values() if isinstance(x, Mapping))):
        for key in ("arch", "architecture", "model_name", "backbone", "encoder_name"):
            value = place.get(key)
            if isinstance(value, str) and 0 < len(value) < 80:
                known = _known_reference(value)
                return f"The checkpoint says '{one_line(value)}'" + (f": try {known}." if known else ".")
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


def _style(names: Iterable[str]) -> tuple[str, str] | None:
    listed = list(names)
    for starts, title, example in STYLES:
        if any(f".{start}" in f".{name}" for name in listed for start in starts):
            return title, example
    return None
