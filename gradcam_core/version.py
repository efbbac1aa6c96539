"""The project's own version, as it stands in every record."""

import functools
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

__version__ = "0.4.0"


PACKAGES = (
    *("torch", "torchvision", "timm", "numpy", "pillow"),
    *("simplejpeg", "imagecodecs", "pi-heif", "pydicom", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls"),
)


@functools.cache
def versions() -> Mapping[str, str]:
    """Versions of the packages that shape the numbers. Read once: they do not change while the program runs."""
    installed = {"cam-lightbox": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            installed[package] = version(package)
    return MappingProxyType(installed)
