"""Several files added at once: those that cannot be read are told before one looks for them. Loads no torch."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from gradcam_core import GradcamError, counted

MOST_S, MOST_TOLD, MOST_PIXELS = 2.0, 3, 50_000_000


class File(Protocol):
    """A file that was added."""

    @property
    def content(self) -> bytes:
        """Its bytes."""


AnyFile = TypeVar("AnyFile", bound=File)


def read_ahead(files: Sequence[AnyFile], refuse: Callable[[GradcamError], None]) -> list[AnyFile]:
    """Keep those of several files that can be read; `refuse` is told what is wrong with the others.

    A single file is read by its page. Files that cannot be tried within two seconds are kept.
    """
    from pages.components.analysis.decoding import DECODER

    end, kept, errors = time.monotonic() + MOST_S, list[AnyFile](), list[GradcamError]()
    for number, file in enumerate(files, 1):
        try:
            if len(files) > 1 and time.monotonic() < end:
                DECODER.decode(file.content, 0, MOST_PIXELS)
            kept.append(file)
        except MemoryError:  # others may be in the way now
            kept.append(file)
        except GradcamError as error:
            errors.append(GradcamError(f"File {number} of {len(files)}. {error.message}", error.remedy))
    if (untold := len(errors) - MOST_TOLD) > 0:
        words = f"{counted(untold, 'more file')} of {len(files)} cannot be read."
        errors[MOST_TOLD:] = [GradcamError(words, "Add each by itself to see why.")]
    for error in errors:
        refuse(error)
    return kept
