"""`dicomweb`: search a DICOMweb server, fetch pictures from it, send objects to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import gradcam_core as core
from gradcam_core.commands import Flags, Given, command
from gradcam_core.commands.terminal import SOME_FAILED, WORKED, say, warn
from gradcam_core.errors import DicomwebError
from gradcam_core.files import read_bounded, write_whole

URL = "LIGHTBOX_DICOMWEB"
LARGEST_FILE = 256 << 20


def dicomweb_flags(flags: Flags) -> None:
    """Add the flags of `dicomweb`."""
    flags.add_argument("action", choices=tuple(ACTIONS), help="what to do")
    words = "search: STUDY, to list its series; fetch: STUDY [SERIES [INSTANCE]]; store: files and folders"
    flags.add_argument("what", nargs="*", metavar="WHAT", help=words)
    flags.add_argument("--server", metavar="URL", help=f"address of the DICOMweb service (default: {URL})")
    flags.add_argument("--patient-id", default="", metavar="ID", help="search: the patient's number")
    flags.add_argument("--patient", default="", metavar="NAME", help="search: words of the patient's name")
    flags.add_argument("--date", default="", metavar="DAY", help="search: YYYYMMDD, or YYYYMMDD-YYYYMMDD")
    flags.add_argument("--modality", default="", metavar="NAME", help="search: CT, DX, MG, ...")
    flags.add_argument("--accession", default="", metavar="NUMBER", help="search: the accession number")
    flags.add_argument("--description", default="", metavar="TEXT", help="search: words of the study's description")
    flags.add_argument("--out", type=Path, metavar="DIR", help="fetch: folder for the files")


def _search(server: core.DicomwebServer, given: Given) -> int:
    """Print the studies found, or the series of one. Patients are not printed."""
    if given.what:
        (study,) = _at_most(given.what, 1)
        for series in core.list_series(server, study):
            words = (series.modality, series.body_part, series.description, _pictures(series.pictures))
            say("\t".join((series.uid, *words)))
        return WORKED
    names = ("patient_id", "patient", "date", "modality", "accession", "description")
    studies, more = core.search_studies(server, **{name: getattr(given, name) for name in names})
    for each in studies:
        say("\t".join((each.uid, each.date, each.modalities, each.description, _pictures(each.pictures))))
    if more:
        warn(f"note: There are more than {len(studies)} studies. Search for less.")
    return WORKED


def _fetch(server: core.DicomwebServer, given: Given) -> int:
    """Write the files of a study, a series or an instance, named by their checksums."""
    if given.out is None or not given.what:
        raise DicomwebError("It is not clear what to fetch, or where to.", "Write fetch STUDY SERIES --out DIR.")
    study, series, instance = (*_at_most(given.what, 3), "", "")[:3]
    wanted = [series] if series else [each.uid for each in core.list_series(server, study)]
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        for uid in wanted:
            for content in core.fetch_series(server, study, uid, instance):
                path = given.out / f"{hashlib.sha256(content).hexdigest()[:16]}.dcm"
                write_whole(path, content)
                say(str(path))
    except OSError as error:
        raise DicomwebError("The files cannot be written.", "Choose another place for --out.") from error
    return WORKED if wanted else SOME_FAILED


def _store(server: core.DicomwebServer, given: Given) -> int:
    """Send DICOM files, and those in folders and the folders below; each is sent by itself."""
    paths = [path for text in given.what for path in _dicom_files(Path(text))]
    if not paths:
        raise DicomwebError("There are no DICOM files to send.", "Write store FILE, or store DIR.")
    failed = 0
    for path in paths:
        try:
            stored = core.store_objects(server, [(path.name, read_bounded(path, LARGEST_FILE))])
        except OSError:
            stored = core.Stored((), ((path.name, "the file cannot be read, or is larger than 256 MiB"),))
        for _, reason in stored.failed:
            warn(f"failed: {path}: {reason}")
        failed += len(stored.failed)
    say(f"Stored: {len(paths) - failed} of {len(paths)}")
    return SOME_FAILED if failed else WORKED


ACTIONS: Mapping[str, Callable[[core.DicomwebServer, Given], int]] = {
    "search": _search,
    "fetch": _fetch,
    "store": _store,
}


@command(dicomweb_flags)
def dicomweb(given: Given) -> int:
    """Search a DICOMweb server, fetch pictures from it, and send it what `explain --dicom` wrote.

    The server and its credentials are those of the settings LIGHTBOX_DICOMWEB... (docs/clinic.md).
    """
    settings = {**os.environ, URL: given.server} if given.server else os.environ
    server = core.dicomweb_server(settings)
    if server is None:
        raise DicomwebError("No DICOMweb server is named.", f"Set {URL}, or give --server URL.")
    return ACTIONS[given.action](server, given)


def _at_most(words: list[str], most: int) -> list[str]:
    if len(words) > most:
        raise DicomwebError("There are too many words after the action.", "See dicomweb --help.")
    return words


def _pictures(count: int | None) -> str:
    return "" if count is None else core.counted(count, "picture")


def _dicom_files(place: Path) -> list[Path]:
    """The file itself; of a folder and those below, the files that are DICOM."""
    if not place.is_dir():
        return [place]
    return [path for path in sorted(place.rglob("*")) if path.is_file() and _is_dicom(path)]


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return core.is_dicom(file.read(4096))
    except OSError:
        return False
