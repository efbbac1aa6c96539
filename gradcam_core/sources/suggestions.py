"""Suggest a checkpoint's architecture, by comparing its tensors' names and shapes with those of known networks.

`architectures.npz` lists the tensors of torchvision's and timm's networks as hashes. The few networks that are
nearest to a file are then built on the meta device, without weights, and compared tensor by tensor.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from gradcam_core.errors import ModelError
from gradcam_core.kinds import SAVE_WEIGHTS
from gradcam_core.sources.checkpoints import Checkpoint, guarded, read_checkpoint, require_weights
from gradcam_core.sources.family import list_sources
from gradcam_core.sources.headless import fit_network_or_body
from gradcam_core.sources.names import EXTRAS, WRAPPERS, Shape, large_prefixes
from gradcam_core.sources.onnx_files import ONNX, is_onnx
from gradcam_core.sources.own_networks import build_shapes, find_architecture
from gradcam_core.sources.state_dicts import Fit, probable_cause, shapes_of
from gradcam_core.sources.translations import fit_to
from gradcam_core.text import listed, one_line

INDEX = Path(__file__).with_name("architectures.npz")
# A number of classes that is no other dimension of any network, so that it marks the head's tensors.
MARKING_CLASSES = 4999
MOST_TENSORS, MOST_PARTS, SMALLEST_PART = 20_000, 8, 10
MOST_COMPARED, MOST_SUGGESTED, LEAST_ALIKE = 4, 6, 0.3
FARTHEST = 2  # times as many tensors differ as from the nearest network
# Names that mean nothing without the layer before them.
COMMON = ("weight", "bias", "running_mean", "running_var")
SAYS = ("arch", "architecture", "model_name", "backbone", "encoder_name")
NOT_CLASSIFIERS = "Only classifiers, and torchvision's detectors and segmenters, can be explained from a file."
CLIP = "Give open_clip's network, such as open-clip:ViT-B-32."
DETECTOR = "Give torchvision's network, such as torchvision:fasterrcnn_resnet50_fpn."
FOLDER = "Give the folder that save_pretrained wrote, with its config.json: file:FOLDER, without an architecture."
SAME_ORDER = "Give timm's network of the same name, such as timm:tf_efficientnet_b0: its tensors have the same order."
# Networks of other tools, with what to do: one of the names begins a part of a tensor's name.
OTHERS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("rpn.", "roi_heads."), "a torchvision detection model", DETECTOR),
    (("model.22.", "model.23."), "a YOLO detection model", NOT_CLASSIFIERS),
    (("query_embed.", "bbox_embed.", "class_embed."), "a detection transformer (DETR)", NOT_CLASSIFIERS),
    (("decode_head.", "outc.", "up1.", "decoder.blocks."), "a segmentation model", NOT_CLASSIFIERS),
    (("vit.encoder.", "vit.embeddings.", "vit.layers."), "a Hugging Face transformers model", FOLDER),
    (("resnet.embedder.", "swin.embeddings.", "convnext.embeddings."), "a Hugging Face transformers model", FOLDER),
    (("deit.embeddings.", "dinov2.embeddings."), "a Hugging Face transformers model", FOLDER),
    (("visual.", "text_model.", "token_embedding."), "a CLIP model (pictures and texts)", CLIP),
    (("_conv_stem.", "_blocks."), "the package efficientnet_pytorch", SAME_ORDER),
)
# Families of classifiers, for variants that no known network is near to, with references to try.
FAMILIES: tuple[tuple[tuple[str, ...], str, str], ...] = (
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
class Suggestion:
    """An architecture for a checkpoint: how many of its tensors fit, and the names of those that do not.

    `classes` are read off the head; None where it has none. `reason` says why the weights cannot be loaded into it
    as they are; "" where all tensors fit.
    """

    reference: str
    fitting: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]
    classes: int | None
    reason: str = ""

    @property
    def complete(self) -> bool:
        """Whether every tensor fits and none is missing."""
        return not self.reason

    @property
    def differing(self) -> int:
        """How many tensors are missing, are not part of it or have another shape."""
        return len(self.missing) + len(self.unexpected) + len(self.misshapen)

    @property
    def words(self) -> str:
        """Such as "torchvision:mobilenet_v2 with 7 classes (all 314 tensors fit)"."""
        if self.reference == ONNX:
            return f"{ONNX} (the file holds a network of its own)"
        size = f" with {self.classes:,} class{'' if self.classes == 1 else 'es'}" if self.classes else ""
        size = " without its classifier" if self.complete and self.classes is None else size
        if self.complete:
            return f"{self.reference}{size} (all {self.fitting} tensors fit)"
        parts = {"missing": self.missing, "not part of it": self.unexpected, "of another shape": self.misshapen}
        differing = [f"{len(names)} {what}" for what, names in parts.items() if names]
        return f"{self.reference}{size} ({self.fitting} tensors fit, {listed(differing)})"


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Known networks: lines of references whose tensors are the same, and what stands in each of them.

    The features of line i are those from `starts[i]` to `starts[i + 1]`.
    """

    references: tuple[tuple[str, ...], ...]
    features: np.ndarray
    starts: np.ndarray


def suggest_architectures(path: str | Path) -> tuple[Suggestion, ...]:
    """Compare a checkpoint with known networks; return the best first, () where none is near.

    Where one fits entirely, only those that fit as well follow. Nothing in the file is run. Raises ModelError.
    """
    if is_onnx(path := Path(path).expanduser()):
        return (Suggestion(ONNX, 0, (), (), (), None),)
    checkpoint = read_checkpoint(path)
    require_weights(checkpoint)
    with guarded("The file's content cannot be used", f"Save the weights alone: {SAVE_WEIGHTS}."):
        return suggest(checkpoint)


def suggest(checkpoint: Checkpoint) -> tuple[Suggestion, ...]:
    """Compare a checkpoint that was read, as `suggest_architectures` does. What it says itself goes first."""
    shapes, said = shapes_of(checkpoint.tensors), _known_references(_says(checkpoint))
    groups = list(_nearest(shapes))
    if said and not any(reference in group for group in groups for reference in said):
        groups.insert(0, said)
    ordered = [tuple(sorted(group, key=lambda x: (x not in said, _order(x)))) for group in groups]
    suggestions = _compared(ordered, shapes)
    if suggestions and not suggestions[0].complete:
        nearest = suggestions[0].reference
        fit = fit_to(find_architecture(nearest), checkpoint.tensors).fit  # under names of old, perhaps
        suggestions = (_suggestion(nearest, fit),) if fit.complete else suggestions
    return suggestions


def advise(checkpoint: Checkpoint, suggestions: Sequence[Suggestion]) -> str:
    """Say which architecture a checkpoint probably has; "" where nothing is known."""
    best, *others = suggestions or (None,)
    if best and best.complete:
        rest = f" {listed([other.reference for other in others])} would fit as well." if others else ""
        return f"It looks like {best.words}.{rest}"
    says = _says(checkpoint)
    said = f"The checkpoint says '{one_line(says)}'." if says else ""
    what, hint = _other(checkpoint.tensors) or ("", "")
    if not what and best and best.differing < best.fitting:
        return f"{said} The nearest known network is {best.words}.".strip()
    what, hint = (what, hint) if what else _family(checkpoint.tensors)
    return f"{said} Its tensors look like {what}. {hint}".strip() if what else said


def lookalike(names: Iterable[str], known: str) -> tuple[str, str]:
    """What a file's tensors look like, and what to do with it; "" and "" where nothing is known.

    `known` is the reference of the known network that all of them fit, if there is one.
    """
    if other := _other(names):
        return other
    return (known, f"Try {known}.") if known else _family(names)


def known_network(tensors: Mapping[str, torch.Tensor]) -> str:
    """The reference of the known network that all tensors fit by their names; "" where there is none."""
    shapes = shapes_of(tensors)
    best = next(iter(_compared(_nearest(shapes), shapes)), None)
    return best.reference if best and best.complete else ""


def _other(names: Iterable[str]) -> tuple[str, str] | None:
    fitting = ((title, remedy) for starts, title, remedy in OTHERS if _begins_a_part(names, starts))
    return next(fitting, None)


def _family(names: Iterable[str]) -> tuple[str, str]:
    fitting = ((title, f"Try {examples}.") for starts, title, examples in FAMILIES if _begins_a_part(names, starts))
    return next(fitting, ("", ""))


def _begins_a_part(names: Iterable[str], starts: Sequence[str]) -> bool:
    return any(f".{start}" in f".{name}" for name in names for start in starts)


def _says(checkpoint: Checkpoint) -> str:
    """The name of the architecture that a checkpoint gives itself; "" where it gives none."""
    content = {**checkpoint.metadata, **checkpoint.content}
    for place in (content, *(x for x in content.values() if isinstance(x, Mapping))):
        for key in SAYS:
            value = place.get(key)
            if isinstance(value, str) and 0 < len(value) < 80:
                return value
    return ""


def _known_references(name: str) -> tuple[str, ...]:
    """The references of architectures of this name, torchvision's before timm's."""
    stem = name.partition(".")[0]
    references = [f"{source.name}:{stem}" for source in list_sources().values() if source.architecture and stem]
    return tuple(sorted(filter(_is_known, references), key=_order))


def _is_known(reference: str) -> bool:
    try:
        find_architecture(reference)
    except ModelError:
        return False
    return True


def _order(reference: str) -> tuple[bool, int, str]:
    """Of architectures with the same tensors, torchvision's and short names go first."""
    return not reference.startswith("torchvision:"), len(reference), reference


def _compared(groups: Iterable[tuple[str, ...]], shapes: Mapping[str, Shape]) -> tuple[Suggestion, ...]:
    """Compare the file with one network of each group; the others of the group have the same tensors."""
    suggestions: list[Suggestion] = []
    for group in groups:
        known = [reference for reference in group if _is_known(reference)]
        try:
            fit = fit_network_or_body(find_architecture(known[0]), shapes) if known else None
        except ModelError:
            continue
        if fit and fit.complete:
            return tuple(_suggestion(reference, fit) for reference in known[:MOST_SUGGESTED])
        if fit:
            suggestions.append(_suggestion(known[0], fit))
    suggestions.sort(key=lambda suggestion: suggestion.differing)
    return tuple(x for x in suggestions if x.differing <= FARTHEST * suggestions[0].differing)


def _suggestion(reference: str, fit: Fit) -> Suggestion:
    reason = "" if fit.complete else "Probably {}. {}".format(*probable_cause(fit, ("", "")))
    match, wrong = fit.match, fit.misshapen
    fitting = len(fit.stored) - len(wrong)
    classes = fit.sizes["num_classes"] if any(name in fit.stored for name in fit.head) else None
    return Suggestion(reference, fitting, match.missing, match.unexpected, wrong, classes, reason)


def _nearest(shapes: Mapping[str, Shape]) -> tuple[tuple[str, ...], ...]:
    """The known networks that share most features with the file, or with a part of it, best first."""
    if not shapes or len(shapes) > MOST_TENSORS:
        return ()
    index = _index()
    sizes = np.diff(index.starts)
    alike = np.zeros(len(sizes))
    for part in _parts(shapes):
        features = _features(part)
        common = np.add.reduceat(np.isin(index.features, features), index.starts[:-1], dtype=np.int64)
        alike = np.maximum(alike, common / (sizes + len(features) - common))
    best = np.argsort(-alike, kind="stable")[:MOST_COMPARED]
    return tuple(index.references[place] for place in best if alike[place] >= LEAST_ALIKE)


def _parts(shapes: Mapping[str, Shape]) -> list[Mapping[str, Shape]]:
    """All tensors, and those under each prefix that holds many: a file may hold two networks, or one and more."""
    large = large_prefixes(shapes, SMALLEST_PART)[:MOST_PARTS]
    return [shapes, *({n: shape for n, shape in shapes.items() if n.startswith(prefix)} for prefix in large)]


def _features(shapes: Mapping[str, Shape]) -> np.ndarray:
    """Hashes of how often each shape stands under each name, whatever comes before the name."""
    counts: Counter[tuple[str, Shape]] = Counter()
    for name, shape in shapes.items():
        if not name.endswith(EXTRAS) and MARKING_CLASSES not in shape:
            pieces = [piece for piece in name.split(".") if piece not in WRAPPERS]
            counts[".".join(pieces[-2 if pieces[-1] in COMMON else -1 :]), shape] += 1
    texts = (f"{name} {shape} {count}".encode() for (name, shape), count in counts.items())
    digests = b"".join(hashlib.blake2b(text, digest_size=4).digest() for text in texts)
    return np.unique(np.frombuffer(digests, "<u4"))


@cache
def _index() -> Index:
    with np.load(INDEX, allow_pickle=False) as stored:
        lines = str(stored["references"]).split("\n")
        return Index(tuple(tuple(line.split()) for line in lines), stored["features"], stored["starts"])


def write_index(references: Iterable[str], path: Path) -> None:
    """Build each network on the meta device and write the index. For all of torchvision and timm: some minutes."""
    groups: dict[frozenset[tuple[str, Shape]], list[str]] = {}
    for reference in references:
        shapes = shapes_of(build_shapes(find_architecture(reference), num_classes=MARKING_CLASSES))
        groups.setdefault(frozenset(shapes.items()), []).append(reference)
    rows = [(" ".join(group), _features(dict(key))) for key, group in groups.items()]
    starts = np.cumsum([0, *(len(features) for _, features in rows)])
    features = np.concatenate([features for _, features in rows])
    np.savez_compressed(path, references="\n".join(line for line, _ in rows), features=features, starts=starts)
