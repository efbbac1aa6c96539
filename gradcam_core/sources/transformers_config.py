"""What a configuration of Hugging Face transformers says, checked: sizes, kinds of steps, settings."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from gradcam_core.errors import ModelError

Config = Mapping[str, Any]
ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh", "gelu_fast"), partial(nn.GELU, approximate="tanh")),
    **dict.fromkeys(("silu", "swish"), nn.SiLU),
    "relu": nn.ReLU,
}
LARGEST = 65_536


class NoEqual(ModelError):
    """What a configuration describes is no network of timm's."""


def whole(config: Config, key: str, otherwise: int | None = None) -> int:
    """A size. Raises ModelError for what cannot be one."""
    return checked(config.get(key, otherwise), key)


def checked(value: Any, key: str) -> int:
    """The value, if it is a size. Raises ModelError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST:
        raise ModelError(f"The configuration's {key} cannot be {str(value)[:40]!r}.", "Save the model again.")
    return value


def several(config: Config, key: str) -> tuple[int, ...]:
    """Sizes, one per stage. Raises ModelError."""
    values = config.get(key)
    if not isinstance(values, list) or not 0 < len(values) <= 16:
        raise ModelError(f"The configuration's {key} cannot be {str(values)[:40]!r}.", "Save the model again.")
    return tuple(checked(value, key) for value in values)


def activation(config: Config) -> Callable[[], nn.Module]:
    """The nonlinear step. Raises NoEqual for one that is not known here."""
    name = config.get("hidden_act", "gelu")
    if name not in ACTIVATIONS:
        raise NoEqual(f"The activation {str(name)[:40]!r} is not known here.", "")
    return ACTIVATIONS[name]


def refuse(config: Config, **usual: Any) -> None:
    """Raise NoEqual where a setting is not the usual one, which is all that timm's network does."""
    for key, value in usual.items():
        if config.get(key, value) != value:
            message = f"The model's {key} is {str(config[key])[:40]}, which timm's network of this kind cannot do."
            raise NoEqual(message, "")


def norm_eps(config: Config, otherwise: float) -> float:
    """The eps of the normalisations. Raises ModelError."""
    value = config.get("layer_norm_eps", otherwise)
    if not isinstance(value, float | int) or not 0 <= value < 1:
        raise ModelError(f"The configuration's layer_norm_eps cannot be {str(value)[:40]!r}.", "Save the model again.")
    return float(value)
