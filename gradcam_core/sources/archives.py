"""A checkpoint's zip: checked to be as PyTorch stores one, before anything in it is read."""

import re
import struct
import zipfile
from io import BytesIO
from typing import BinaryIO

from gradcam_core.errors import ModelError
from gradcam_core.kinds import AGAIN, FROM_PYTORCH
from gradcam_core.sources.pickle_scan import LARGEST_PICKLE, RESAVE

# zipfile makes an object of each entry, so the list is measured before it is read: 8 MB are some 80,000 entries.
LARGEST_LIST = 8_000_000
CONTENTS, PROGRAM = "data.pkl", "constants.pkl"
DATA = re.compile(r"[^/]+/(data\.pkl|data/\d+|version|byteorder)")
END, END_64, LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
END_BYTES, LOCATOR_BYTES, END_64_BYTES = 22, 20, 56
LONGEST_COMMENT = 65_557
# What a zip without PyTorch's list of contents is, by the end of a name in it.
OTHER_ZIPS = {
    ("archive_format", "model.json"): ("a torch.export archive (.pt2): a program, not only weights", RESAVE),
    (".npy",): ("a NumPy archive (.npz), not a PyTorch checkpoint", FROM_PYTORCH),
    (".weights.h5",): ("a Keras model, not a PyTorch checkpoint", FROM_PYTORCH),
}
UNKNOWN_ZIP = ("a zip archive without PyTorch weights in it", "Unpack it; choose the checkpoint inside.")


def checked_list(stream: BinaryIO, size: int) -> BytesIO:
    """Read the pickle that names the tensors in a zip that is stored as PyTorch stores it, whole and undamaged.

    A TorchScript archive is one of weights with a program beside them.

    The zip's own list must stand at the very end, without a comment, so that every reader finds the same.
    """
    if _list_bytes(stream, size) > LARGEST_LIST:
        raise ModelError("The file's list of contents is larger than any model's.", RESAVE)
    archive = zipfile.ZipFile(stream)
    entries = archive.infolist()
    lists = [entry for entry in entries if entry.filename.lower().endswith(CONTENTS)]
    if len(lists) > 1:
        raise ModelError("The file's list of contents is not as PyTorch writes it.", RESAVE)
    _refuse_other_zip([entry.filename for entry in entries])
    declared = sum(entry.file_size for entry in entries)
    if declared > 1.05 * size + 65_536:
        raise ModelError(
            f"The file would unpack to {declared / 1e6:,.1f} MB, its own size is {size / 1e6:,.1f} MB; "
            "PyTorch never compresses weights, so it was not opened.",
            RESAVE,
        )
    packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
    if any(DATA.fullmatch(name) for name in packed) or (packed and not _is_program(archive)):
        raise ModelError("The file was compressed again; PyTorch's own checkpoints are not.", RESAVE)
    if lists[0].file_size > LARGEST_PICKLE:
        raise ModelError("The file's list of tensors is larger than any model's.", RESAVE)
    # torch can be told to write no checksums (set_crc32_options): all are 0 then, and nothing can be compared.
    if any(entry.CRC for entry in entries) and archive.testzip() is not None:
        raise ModelError("The file is damaged: its content differs from the checksums in it.", AGAIN)
    del lists[0].CRC  # it was compared, or there is none
    return BytesIO(archive.read(lists[0]))


def _list_bytes(stream: BinaryIO, size: int) -> int:
    """How long the list of contents is, as the zip's last record says. Raises ModelError where that is missing."""
    ends = END_64_BYTES + LOCATOR_BYTES + END_BYTES
    stream.seek(max(0, size - ends))
    records = stream.read().rjust(ends, b"\0")
    record, locator, end = records[:END_64_BYTES], records[END_64_BYTES:-END_BYTES], records[-END_BYTES:]
    if not end.startswith(END) or end[-2:] != b"\0\0":
        stream.seek(max(0, size - LONGEST_COMMENT))
        if END in stream.read():
            raise ModelError("The file's list of contents is not as PyTorch writes it.", RESAVE)
        raise ModelError("The file is cut off or damaged: its end is missing.", AGAIN)
    if not locator.startswith(LOCATOR):
        return int(struct.unpack("<L", end[12:16])[0])
    return int(struct.unpack("<Q", record[40:48])[0]) if record.startswith(END_64) else LARGEST_LIST + 1


def is_program(stream: BinaryIO) -> bool:
    """Whether a checked zip is a TorchScript archive."""
    return _is_program(zipfile.ZipFile(stream))


def _is_program(archive: zipfile.ZipFile) -> bool:
    return any(name.endswith(f"/{PROGRAM}") for name in archive.namelist())


def without_program(stream: BinaryIO) -> BytesIO:
    """Copy the weights of a TorchScript archive into one of weights alone, in memory."""
    copied = BytesIO()
    with zipfile.ZipFile(stream) as archive, zipfile.ZipFile(copied, "w") as weights:
        for name in filter(DATA.fullmatch, archive.namelist()):
            weights.writestr(name, archive.read(name))
    copied.seek(0)
    return copied


def _refuse_other_zip(names: list[str]) -> None:
    if not any(name.endswith(CONTENTS) for name in names):
        kinds = (kind for ends, kind in OTHER_ZIPS.items() if any(name.endswith(ends) for name in names))
        what, remedy = next(kinds, UNKNOWN_ZIP)
        raise ModelError(f"This is {what}.", remedy)
