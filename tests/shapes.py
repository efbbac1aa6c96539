"""The check that conftest.py puts on every function of gradcam_core: shapes, and nothing else.

Arguments of a wrong kind must reach the code itself, which answers them with a GradcamError.
"""

from collections.abc import Callable
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let beartype check the annotations that speak of an array's shape."""
    spoken = {name: hint for name, hint in function.__annotations__.items() if _speaks_of_shape(hint)}
    if not spoken:
        return function
    written, function.__annotations__ = function.__annotations__, spoken
    checked = beartype(function)
    function.__annotations__ = written  # options' ranges are read off them
    return checked


def _speaks_of_shape(hint: Any) -> bool:
    is_array = isinstance(hint, type) and issubclass(hint, AbstractArray)
    return is_array or any(map(_speaks_of_shape, get_args(hint)))
