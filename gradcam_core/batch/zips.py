"""A ZIP -> its pictures, which are read from within it: nothing is unpacked to the disk."""

import functools
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from gradcam_core.batch.records import Job
from gradcam_core.errors import GradcamError, PictureError

# The list of its members is read as a whole; a damaged or hostile one is larger.
LARGEST_LIST, MOST_MEMBERS = 128 * 2**20, 1_000_000
# The records at a ZIP's end: its comment, and what points to the list.
LONGEST_END = 65_535 + 22 + 20 + 56
ENCRYPTED = 0x1
REPACK = "Pack it again, or give the folder itself."


def members_of(path: Path) -> Iterator[Job]:
    """The files in a ZIP, also those that cannot be pictures. Raises GradcamError where it cannot be read."""
    status = path.stat()
    archive = _opened(str(path), status.st_size, status.st_mtime_ns)
    used, numbers = set[str](), Counter[str]()
    for place, info in enumerate(archive.infolist()):
        if info.is_dir():
            continue
        own = name = info.filename.replace("\\", "/").lstrip("/")
        while name in used:  # a ZIP may have two files of one name
            numbers[own] += 1
            name = f"{own} ({numbers[own] + 1})"
        used.add(name)
        # The checksum tells a changed file, and the time of a member has no zone.
        yield Job(name, str(path), info.file_size, _time_of(info) + info.CRC, member=place)


def read_member(job: Job, largest: int) -> bytes:
    """The bytes of a picture in a ZIP. Raises PictureError, also for more bytes than the ZIP says."""
    content = read_start(job, largest + 1, largest)
    if len(content) > largest:
        raise PictureError("The file is too large to be a picture.", "Save it with stronger compression.")
    return content


def read_start(job: Job, count: int, largest: int) -> bytes:
    """The first bytes of a picture in a ZIP, which may have `largest` at most. Raises PictureError."""
    path = Path(job.path)
    try:
        status = path.stat()
        archive = _opened(job.path, status.st_size, status.st_mtime_ns)
        info = archive.infolist()[job.member or 0]
        if info.flag_bits & ENCRYPTED:
            raise PictureError("This picture is locked with a password.", "Pack it again without one.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a bound
            raise NotImplementedError
        if info.file_size > largest:
            raise PictureError("The file is too large to be a picture.", "Save it with stronger compression.")
        with archive.open(info) as member:
            return member.read(count)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, IndexError) as error:
        raise PictureError("This picture cannot be unpacked: the ZIP is damaged here.", REPACK) from error
    except (NotImplementedError, RuntimeError) as error:
        raise PictureError("The ZIP is packed in a way that is not read.", REPACK) from error


@functools.lru_cache(maxsize=2)
def _opened(path: str, size: int, modified_ns: int) -> zipfile.ZipFile:
    """A ZIP that stays open in this process, as long as its file is the same."""
    try:
        if _list_size(Path(path), size) > LARGEST_LIST:
            raise GradcamError("The list of files in this ZIP is far too long.", REPACK)
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise GradcamError("This ZIP cannot be opened: it is damaged or not complete.", REPACK) from error
    if len(archive.filelist) > MOST_MEMBERS:
        archive.close()
        raise GradcamError(f"This ZIP has more than {MOST_MEMBERS:,} files.", "Give the folder itself.")
    return archive


def _list_size(path: Path, size: int) -> int:
    """The bytes of the list of members, as the records at the end of the file say."""
    with path.open("rb") as file:
        file.seek(max(0, size - LONGEST_END))
        tail = file.read()
    end, large_end = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    if end < 0:
        raise zipfile.BadZipFile
    length = int.from_bytes(tail[end + 12 : end + 16], "little")
    if length == 2**32 - 1 and large_end >= 0:
        length = int.from_bytes(tail[large_end + 40 : large_end + 48], "little")
    return length


def _time_of(info: zipfile.ZipInfo) -> int:
    try:
        return int(datetime(*info.date_time, tzinfo=UTC).timestamp()) * 10**9
    except (ValueError, OverflowError):
        return 0
