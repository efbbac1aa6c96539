"""The family of picture formats: each is one function (bytes, frame, max_pixels) -> StoredPicture marked @reader."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pkgutil import iter_modules

from gradcam_core.readers.stored import StoredPicture

_MODULES = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
READERS: Mapping[str, Callable[[bytes, int, int], StoredPicture]] = {
    function.reads: function for module in _MODULES for function in vars(module).values() if hasattr(function, "reads")
}
