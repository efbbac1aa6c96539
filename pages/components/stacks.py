"""DICOM files of one series become one stack. Loads nothing where there are none."""

from collections.abc import Iterable


def in_stacks(files: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Join the files (name, content) of each series, also those in a ZIP."""
    given = list(files)
    if not any(content[128:132] == b"DICM" or content[:4] == b"PK\3\4" for _, content in given):
        return given
    from gradcam_core import stacks_of
    from pages.components.analysis.decoding import DECODER

    return stacks_of(given, DECODER.parts_of)
