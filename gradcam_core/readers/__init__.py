"""Picture files -> ImageRecord. The reader is chosen by what the file contains, never by its name."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from gradcam_core.errors import PictureError
from gradcam_core.kinds import HEAD_BYTES, not_a_picture, recognise
from gradcam_core.picture import Area, PictureIdentity
from gradcam_core.readers.blanking import blank, check_areas, corner_areas
from gradcam_core.readers.depth import Shown, range_of_channels, show
from gradcam_core.readers.dicom.series import parts_of, stacks_of
from gradcam_core.readers.formats import READERS
from gradcam_core.readers.stored import StoredPicture, damaged, profile_note
from gradcam_core.records import ImageRecord

__all__ = ["check_areas", "corner_areas", "parts_of", "read_image", "stacks_of"]

_MIB = 1 << 20
# How much larger than other files a stack may be: 600 slices of a CT have 315 MB.
STACKS = 2

Stored = Shaped[np.ndarray, "..."]
Decode = Callable[[bytes, int, int], StoredPicture]


def decode(data: bytes, frame: int, max_pixels: int) -> StoredPicture:
    """Decode by the reader of the file's kind; whatever a decoder raises becomes a PictureError."""
    kind = recognise(data)
    if kind.name not in READERS:
        raise not_a_picture(kind)
    try:
        picture = READERS[kind.name](data, frame, max_pixels)
    except (PictureError, MemoryError):
        raise
    except Exception as error:  # decoders raise dozens of kinds of exceptions over damaged files, and document none
        raise damaged(kind.name, "it cannot be decoded") from error
    return replace(picture, notes=picture.notes + profile_note(picture.profile), profile=b"")


def read_image(
    source: bytes | bytearray | memoryview | str | Path,
    *,
    name: str = "",
    frame: int = 0,
    window: tuple[float | int, float | int] | None = None,
    blanked: Sequence[Area] = (),
    max_pixels: int = 50_000_000,
    max_bytes: int = 256 * _MIB,
    decode: Decode = decode,
    sha256: str = "",
) -> ImageRecord:
    """Read one picture, upright, as float32 [H W 3] in 0..1.

    `name` is the path's file name unless given. `frame` counts pages and frames from 0. `window` is
    (centre, width) in stored values, for grey pictures. Areas that are `blanked` (see ImageRecord) are black, whatever
    the window. Kind, bytes and pixels are checked before decoding. `decode` may do that elsewhere. `sha256` is that of
    the bytes, where the caller knows it already. What cannot be read raises PictureError; its text never contains the
    name.
    """
    window, blanked = _check_request(frame, window), check_areas(blanked)
    start = time.perf_counter()
    data = _read_source(source, max_bytes)
    picture, shown = _decode_and_show(partial(decode, data, frame, max_pixels), window, blanked)
    name = name or (Path(source).name if isinstance(source, str | Path) else "")
    identity = PictureIdentity(sha256 or hashlib.sha256(data).hexdigest(), frame, window, blanked)
    return replace(_record(picture, shown, identity, name), seconds=time.perf_counter() - start)


def _record(picture: StoredPicture, shown: Shown, identity: PictureIdentity, name: str) -> ImageRecord:
    return ImageRecord(
        pixels=_frozen(shown.pixels),
        name=name,
        format=picture.format,
        bits=shown.bits,
        stored_range=shown.stored_range,
        usual_range=shown.usual_range,
        frames=picture.frames,
        laid_on_white=shown.laid_on_white,
        notes=picture.notes + shown.notes,
        channels=None if picture.channels is None else _frozen(picture.channels),
        channel_range=(0.0, 1.0) if picture.channels is None else range_of_channels(picture),
        spacing=picture.spacing,
        greys=picture.greys,
        value_range=shown.value_range,
        **identity._asdict(),
    )


def _frozen(stored: Stored) -> Stored:
    stored = np.ascontiguousarray(stored)
    stored.setflags(write=False)
    return stored


def _read_source(source: object, max_bytes: int) -> bytes:
    """The bytes of a path or of what holds bytes, after a look at the first ones and at their number."""
    if isinstance(source, str | Path):
        return _read_file(Path(source), max_bytes)
    if not isinstance(source, bytes | bytearray | memoryview):
        raise PictureError(f"A {type(source).__name__} cannot be read.", "Give a path, or a picture file's bytes.")
    _check_content(bytes(source[:HEAD_BYTES]), memoryview(source).nbytes, max_bytes)
    return bytes(source)


# By EXIF orientation: the steps through the stored rows and columns; from 5 on, the two change places as well.
_STEPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (-1, 1), 7: (-1, -1), 8: (1, -1)}


def _upright(picture: StoredPicture) -> StoredPicture:
    """Turn the stored rows upright, without copying them."""
    if picture.orientation not in _STEPS:
        return picture

    def turn(stored: Stored) -> Stored:
        rows, columns = _STEPS[picture.orientation]
        turned = stored[::rows, ::columns]
        return turned.swapaxes(0, 1) if picture.orientation >= 5 else turned

    note = f"Turned upright as the file says (EXIF orientation {picture.orientation})."
    alpha = None if picture.alpha is None else turn(picture.alpha)
    channels = None if picture.channels is None else turn(picture.channels)
    notes = (*picture.notes, note)
    return replace(picture, samples=turn(picture.samples), alpha=alpha, channels=channels, notes=notes)


def _check_request(frame: object, window: object) -> tuple[float, float] | None:
    """Check the frame's number, and read a window as two floats. Raises PictureError for anything else."""
    if isinstance(frame, bool) or not isinstance(frame, int):
        raise PictureError(f"Frame {frame!r} was asked for.", "Give a whole number, counted from 0.")
    if window is None:
        return None
    try:
        centre, width = (float(number) for number in window)  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        raise PictureError(f"{window!r} is not a window.", "Give its centre and its width in stored values.") from None
    return centre, width


def _read_file(path: Path, max_bytes: int) -> bytes:
    """Read a file after a look at its first bytes and its size. The operating system's error would contain the name."""
    try:
        if path.is_dir():
            raise PictureError("This is a folder, not a picture.", "Choose one picture file in it.")
        if not path.exists():
            raise PictureError("There is no file at this path.", "Check the path, and that the drive is connected.")
        if not path.is_file():
            raise PictureError("This is a device or a pipe, not a picture file.", "Choose a picture file.")
        with path.open("rb") as file:
            most = _check_content(file.read(HEAD_BYTES), path.stat().st_size, max_bytes)
            file.seek(0)
            return file.read(most + 1)
    except (OSError, ValueError):
        raise PictureError(
            "The file cannot be read.", "Check that you may read it and that no other program has it open."
        ) from None


def _check_content(head: bytes, size: int, max_bytes: int) -> int:
    """Refuse what is no picture, or too large; return how large it may be: of a stack, one slice is read at a time."""
    kind = recognise(head)
    if kind.name not in READERS:
        raise not_a_picture(kind)
    if kind.name == "DICOM series":
        max_bytes *= STACKS
    if size > max_bytes:
        raise PictureError(
            f"The file is too large: {size / _MIB:,.1f} MiB, and at most {max_bytes / _MIB:,.1f} MiB are read.",
            "Save it with stronger compression or fewer pixels, or only the page that matters.",
        )
    return max_bytes


def _decode_and_show(
    decode: Callable[[], StoredPicture], window: tuple[float, float] | None, blanked: Sequence[Area]
) -> tuple[StoredPicture, Shown]:
    try:
        picture = blank(_upright(decode()), blanked)
        return picture, show(picture, window)
    except MemoryError as error:
        raise PictureError(
            "There is not enough memory to decode this picture.", "Make the picture smaller, or close other programs."
        ) from error
