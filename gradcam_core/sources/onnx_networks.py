"""An ONNX model as a network that runs forward only: ONNX Runtime shows neither its layers nor gradients."""

import ast
from collections.abc import Mapping
from pathlib import Path
from threading import Timer
from typing import Any

import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.records import Preprocessing
from gradcam_core.sources.family import Network, Size, assumed_preprocessing
from gradcam_core.sources.heads import stated_task
from gradcam_core.sources.labels import find_labels
from gradcam_core.sources.onnx_files import OnnxFile, in_words, open_onnx

CLOSED = "this model runs in ONNX Runtime, which shows neither layers nor gradients"
TYPES = {"tensor(float)": torch.float32, "tensor(float16)": torch.float16, "tensor(double)": torch.float64}
MOST_SECONDS = 300.0
MOST_CHANNELS, SMALLEST, LARGEST, LONGEST_TEXT = 64, 8, 4096, 1_000_000
ASSUMED = (
    "How its pictures are prepared was assumed: {} x {}, ImageNet's mean and std. "
    "Give size, mean and std as in training if they differ."
)
OTHER = "Export one that takes pictures [N, channels, height, width]."


class Input(nn.Module):
    """The pictures as they are, as a place to read them at."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same pictures."""
        return x


class OnnxNetwork(nn.Module):
    """A session as a module; `channels_last` and `batch` are what its input asks for. A copy shares the session."""

    def __init__(self, file: OnnxFile, channels_last: bool, batch: int | None) -> None:
        super().__init__()
        self.input = Input()
        self.register_buffer("sha256", torch.tensor(list(file.sha256), dtype=torch.uint8))
        self.session, self.channels_last, self.batch = file.session, channels_last, batch
        (given,) = file.session.get_inputs()
        self.name, self.kind = given.name, TYPES[given.type]

    def __deepcopy__(self, memo: Any) -> "OnnxNetwork":
        return self

    def forward(self, x: torch.Tensor) -> Any:
        """What the model gives for pictures [N C H W]: one tensor, or several by name."""
        values = self.input(x).detach().to("cpu", self.kind)
        values = values.movedim(1, -1) if self.channels_last else values
        parts = [self._run(part) for part in torch.split(values, self.batch or max(1, len(values)))]
        names = [output.name for output in self.session.get_outputs()]
        whole = {
            name: torch.cat([part[place] for part in parts]).to(x.device)
            for place, name in enumerate(names)
            if all(isinstance(part[place], torch.Tensor) and part[place].dim() for part in parts)
        }
        return next(iter(whole.values())) if len(whole) == 1 else whole

    def _run(self, part: torch.Tensor) -> list[Any]:
        """Run the session once; a batch that is too small for it is filled up with its last picture."""
        count = len(part)
        if self.batch and count < self.batch:
            part = torch.cat([part, part[-1:].expand(self.batch - count, *part.shape[1:])])
        return [_tensor(output, count) for output in _outputs(self.session, {self.name: part.contiguous().numpy()})]


def _outputs(session: Any, given: Mapping[str, Any]) -> list[Any]:
    """Run a session, at most until the first step that ends after MOST_SECONDS. Raises ModelError."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    clock = Timer(MOST_SECONDS, setattr, (options, "terminate", True))
    clock.daemon = True
    clock.start()
    # ONNX Runtime's exceptions have no class in common.
    try:
        outputs: list[Any] = session.run(None, given, options)
    except Exception as error:
        late = f"it took more than {MOST_SECONDS:g} seconds" if options.terminate else in_words(error)
        remedy = "Check its input size and the memory, or use a smaller model."
        raise ModelError(f"The ONNX model does not run on this picture: {late}.", remedy) from error
    finally:
        clock.cancel()
    return outputs


def _tensor(output: Any, count: int) -> Any:
    """An output of numbers as a tensor, in single precision at least; anything else as it is."""
    if not hasattr(output, "dtype") or output.dtype.kind not in "fiub":
        return output
    values = torch.from_numpy(output)
    values = values[:count] if values.dim() else values
    return values.float() if values.is_floating_point() else values


def load_onnx(path: Path, size: Size | None, labels_given: bool) -> Network:
    """Load an ONNX file. Raises ModelError for one that is no network for pictures."""
    file = open_onnx(path)
    inputs = file.session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(f"The ONNX model takes {len(inputs)} inputs, a picture is one.", OTHER)
    if inputs[0].type not in TYPES or len(inputs[0].shape) != 4:
        raise ModelError(f"The ONNX model takes {inputs[0].type} {inputs[0].shape}, not pictures.", OTHER)
    channels, own, channels_last, batch = _layout(inputs[0].shape)
    if own and size not in (None, own):
        message = f"The ONNX model takes pictures of {own[0]} x {own[1]} only."
        raise ModelError(message, "Leave the size out, or export it with free sizes.")
    module = OnnxNetwork(file, channels_last, batch)
    preprocessing = _preprocessing(channels, own or size)
    metadata = {key: _parsed(value) for key, value in file.metadata.items()}
    labels, notes = _labels(module, path, metadata, preprocessing, labels_given)
    height, width = preprocessing.size
    return Network(
        module,
        "ONNX",
        preprocessing,
        labels,
        notes,
        ASSUMED.format(height, width),
        stated_task(metadata),
        closed=CLOSED,
    )


def _layout(shape: list[Any]) -> tuple[int, Size | None, bool, int | None]:
    """Channels, height and width where they are fixed, whether channels come last, and the batch where it is fixed."""
    first, *rest = [length if isinstance(length, int) and length > 0 else None for length in shape]
    channels_last = rest[0] not in (1, 3) and rest[2] in (1, 3)
    channels, *sides = (rest[2], rest[0], rest[1]) if channels_last else rest
    if channels is None or channels > MOST_CHANNELS:
        raise ModelError("The ONNX model does not say how many channels it takes.", OTHER)
    if any(side is not None and not SMALLEST <= side <= LARGEST for side in sides) or (first or 1) > MOST_CHANNELS:
        raise ModelError(f"The ONNX model takes {shape}, not pictures.", OTHER)
    size = None if None in sides else (sides[0], sides[1])
    return channels, size, channels_last, first  # type: ignore[return-value]


def _preprocessing(channels: int, size: Size | None) -> Preprocessing:
    usual = assumed_preprocessing(channels)
    if size is None or size == usual.size:
        return usual
    share = usual.resize[0] / usual.size[0]
    resize = (round(size[0] * share), round(size[1] * share))
    return Preprocessing(size, resize, usual.mean, usual.std, usual.interpolation, channels=channels)


def _parsed(value: str) -> Any:
    """Metadata in the form of Python's or JSON's lists and mappings, as Ultralytics writes them; else the text."""
    if value.lstrip()[:1] not in ("[", "{") or len(value) > LONGEST_TEXT:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value


def _labels(
    module: OnnxNetwork, path: Path, metadata: Mapping[str, Any], preprocessing: Preprocessing, given: bool
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Names of classes in the file or beside it, where its outputs are as many."""
    (output, *others) = module.session.get_outputs()
    classes = output.shape[1] if len(output.shape) == 2 and not others else None
    if given or not isinstance(classes, int):
        return None, ()
    return find_labels(path, (metadata,), classes)
