"""Folders of pictures that the server's owner opened. A visitor chooses from a list, and types no path."""

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from gradcam_core import GradcamError, Job, find_pictures, may_be_picture, read_picture, read_table
from pages.components.models.places import allowed_folders

SETTING = "LIGHTBOX_PICTURE_FOLDERS"
TABLES = (".csv", ".tsv")
DEEPEST, MOST_OFFERED, MOST_VISITED, MOST_PICTURES = 4, 300, 50_000, 20_000
GONE = GradcamError("This folder cannot be opened any more.", "Choose another one.")
TOO_MANY = GradcamError(
    f"This folder has more than {MOST_PICTURES} pictures.",
    "Choose a folder below it, or use a terminal: python -m gradcam_core batch FOLDER --model REF --out DIR.",
)


@dataclass(frozen=True)
class Place:
    """A folder that can be opened: its path, the root that its links may not leave, and how many pictures it has."""

    title: str
    path: Path
    root: Path
    pictures: int


@st.cache_data(max_entries=4, ttl=20, show_spinner=False)
def offered_places(setting: str = "") -> list[Place]:
    """The folders with pictures in and below what the owner opened. `setting` is what the environment says."""
    places = [place for root in allowed_folders(SETTING) for place in _below(root)]
    return sorted(places, key=lambda place: place.title)[:MOST_OFFERED]


def _below(root: Path) -> list[Place]:
    """A root and the folders in it, down to a depth and up to a number of files, each with its own count."""
    counts: dict[Path, int] = {}
    visited = 0
    for place, folders, files in os.walk(root):  # which follows no links
        here = Path(place)
        parents = here.relative_to(root).parts
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for depth in range(min(len(parents), DEEPEST) + 1):
            folder = root.joinpath(*parents[:depth])
            counts[folder] = counts.get(folder, 0) + sum(map(may_be_picture, files))
        visited += len(files) + 1
        if visited > MOST_VISITED:
            break
    titles = {folder: "/".join((root.name, *folder.relative_to(root).parts)) for folder in counts}
    return [Place(titles[folder], folder, root, count) for folder, count in counts.items() if count]


def files_of(place: Place) -> list[Job]:
    """The pictures of a place, and its table of labels if there is one that can be read. Raises GradcamError."""
    if not place.path.resolve().is_relative_to(place.root.resolve()):
        raise GONE
    jobs = find_pictures(place.path, within=place.root)
    if len(jobs) > MOST_PICTURES:
        raise TOO_MANY
    return [*jobs, *_table(place)]


def members_of(packed: Job) -> list[Job]:
    """The pictures in a ZIP. Raises GradcamError."""
    jobs = find_pictures(Path(packed.path))
    if len(jobs) > MOST_PICTURES:
        raise TOO_MANY
    return list(jobs)


def _table(place: Place) -> list[Job]:
    """The first table directly in the folder that has names and labels."""
    root = place.root.resolve()
    for path in sorted(path for path in place.path.iterdir() if path.suffix.lower() in TABLES):
        if path.is_file() and path.resolve().is_relative_to(root):
            status = path.stat()
            job = Job(path.name, str(path), status.st_size, status.st_mtime_ns)
            try:
                read_table(read_picture(job))
            except GradcamError:  # another kind of table
                continue
            return [job]
    return []
