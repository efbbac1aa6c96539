"""Check a zip's own list of contents and its checksums before anything unpacks it."""

import struct
import zipfile
from io import BytesIO
from typing import BinaryIO

from gradcam_core.errors import ModelError
from gradcam_core.kinds import AGAIN, FROM_PYTORCH
from gradcam_core.sources.pickle_scan import RESAVE

# zipfile makes an object of each entry, so the list is measured before it is read: 8 MB are some 80,000 entries.
LARGEST_LIST = 8_000_000
LARGEST_PICKLE = 64_000_000
CHUNK_BYTES = 1 << 20
CONTENTS = "data.pkl"
END, END_64, LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
END_BYTES, LOCATOR_BYTES, END_64_BYTES = 22, 20, 56
LONGEST_COMMENT = 65_557


def check_zip(stream: BinaryIO) -> None:
    """Raise ModelError unless a zip is stored as PyTorch stores it, whole, and equals its checksums.

    The list of contents must stand at the very end, without a comment, so that every reader finds the same.
    """
    size = stream.seek(0, 2)
    if _list_bytes(stream, size) > LARGEST_LIST:
        raise ModelError("The file's list of contents is larger than any model's.", RESAVE)
    try:
        archive = zipfile.ZipFile(stream)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError, EOFError) as error:
        raise ModelError("The file is cut off or damaged: its end is missing.", AGAIN) from error
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if sum(name.lower().endswith(CONTENTS) for name in names) > 1:
        raise ModelError("The file's list of contents is not as PyTorch writes it.", RESAVE)
    _refuse_other_zip(names)
    declared = sum(entry.file_size for entry in entries)
    if declared > 1.05 * size + 65_536:
        raise ModelError(
            f"The file would unpack to {declared / 1e6:,.1f} MB, its own size is {size / 1e6:,.1f} MB; "
            "PyTorch never compresses weights, so it was not opened.",
            RESAVE,
        )
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ModelError("The file was compressed again; PyTorch's own checkpoints are not.", RESAVE)
    if any(entry.filename.endswith(CONTENTS) and entry.file_size > LARGEST_PICKLE for entry in entries):
        raise ModelError("The file's list of tensors is larger than any model's.", RESAVE)
    _compare_checksums(archive, entries)


def list_of_contents(stream: BinaryIO) -> BytesIO:
    """Read the pickle that names the tensors, in a zip that was checked."""
    archive = zipfile.ZipFile(stream)
    entry = next(entry for entry in archive.infolist() if entry.filename.lower().endswith(CONTENTS))
    del entry.CRC  # it was compared, or there is none
    with archive.open(entry) as file:
        return BytesIO(file.read())


def _list_bytes(stream: BinaryIO, size: int) -> int:
    """How long the list of contents is, as the zip's last record says. Raises ModelError where that is missing."""
    start = max(0, size - END_BYTES - LOCATOR_BYTES - END_64_BYTES)
    stream.seek(start)
    record, locator, end = _last(stream.read(), END_64_BYTES, LOCATOR_BYTES, END_BYTES)
    if not end.startswith(END) or end[-2:] != b"\0\0":
        stream.seek(max(0, size - LONGEST_COMMENT))
        if END in stream.read():
            raise ModelError("The file's list of contents is not as PyTorch writes it.", RESAVE)
        raise ModelError("The file is cut off or damaged: its end is missing.", AGAIN)
    if not locator.startswith(LOCATOR):
        return int(struct.unpack("<L", end[12:16])[0])
    return int(struct.unpack("<Q", record[40:48])[0]) if record.startswith(END_64) else LARGEST_LIST + 1


def _last(content: bytes, *lengths: int) -> list[bytes]:
    """Cut records of these lengths off the end."""
    ends = [len(content) - sum(lengths[place + 1 :]) for place in range(len(lengths))]
    return [content[max(0, end - length) : max(0, end)] for end, length in zip(ends, lengths, strict=True)]


def _refuse_other_zip(names: list[str]) -> None:
    root = next((name[: -len(CONTENTS)] for name in names if name.endswith(CONTENTS)), None)
    if root is not None and f"{root}constants.pkl" in names:
        raise ModelError("This is a TorchScript archive: a program, not only weights. It was not opened.", RESAVE)
    if root is not None:
        return
    if any("archive_format" in name or name.endswith("model.json") for name in names):
        raise ModelError("This is a torch.export archive (.pt2): a program, not only weights.", RESAVE)
    if any(name.endswith(".npy") for name in names):
        raise ModelError("This is a NumPy archive (.npz), not a PyTorch checkpoint.", FROM_PYTORCH)
    if any(name.endswith(".weights.h5") for name in names):
        raise ModelError("This is a Keras model, not a PyTorch checkpoint.", FROM_PYTORCH)
    raise ModelError("This is a zip archive without PyTorch weights in it.", "Unpack it; choose the checkpoint inside.")


def _compare_checksums(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> None:
    """Read every entry once. Raises ModelError where one differs from its checksum.

    torch can be told to write none (set_crc32_options): all are 0 then, and nothing can be compared.
    """
    if not any(entry.CRC for entry in entries):
        return
    try:
        for entry in entries:
            with archive.open(entry) as file:
                while file.read(CHUNK_BYTES):
                    continue
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelError("The file is damaged: its content differs from the checksums in it.", AGAIN) from error
