"""Where models may come from: folders that the server's owner named, and names of hubs. Loads no torch.

What a visitor types is looked up only if it is a plain name, or a path inside these folders. A path outside gets the
same answer whether there is something or not.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from gradcam_core import GradcamError

SETTING = "LIGHTBOX_MODEL_FOLDERS"
PREFIXES = ("timm:local-dir:", "local-dir:", "file:")
# A name and nothing else: no path, no address, no Python name.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")
HUB_NAME = re.compile(rf"{NAME.pattern}/{NAME.pattern}(@{NAME.pattern})?")
PATH, HUB = "path", "hf-hub"
WEIGHTS_END = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".tar", ".pkl", ".onnx")
FOLDERS_HAVE = ("config.json", "open_clip_config.json")
READ_BESIDE = (*WEIGHTS_END, ".json", ".txt", ".data")
LONGEST_PATH, DEEPEST, MOST_OFFERED, MOST_VISITED = 4096, 4, 300, 20_000
NO_FOLDERS = (
    "This server opens no paths.",
    f"Drop the file instead; or let its owner start the app with {SETTING}=/folder/with/models, or add the model in a "
    "terminal: python -m gradcam_core models add PATH.",
)
OUTSIDE = (
    "This path is not inside the folders that this server opens.",
    f"Choose from the list, or let the server’s owner add the folder to {SETTING}.",
)
NO_NAME = (
    "This is not the name of a model.",
    "A name has letters, digits, dots, hyphens and underscores; on the Hugging Face hub it is ORGANISATION/NAME.",
)


def allowed_folders(setting: str = SETTING) -> tuple[Path, ...]:
    """The folders that the server's owner named in the environment; none by default, not even the home."""
    stated = [Path(text.strip()).expanduser() for text in os.environ.get(setting, "").split(os.pathsep) if text.strip()]
    return tuple(folder for folder in stated if folder.is_absolute() and folder.is_dir())


def way_of(way: str, text: str, sources: Iterable[str]) -> tuple[str, str]:
    """The way that a reference names itself, whichever was chosen, and what follows its colon."""
    text = text.strip().replace("hf_hub:", f"{HUB}:")
    text = text.removeprefix("timm:") if text.startswith(f"timm:{HUB}:") else text
    if text.startswith(PREFIXES):
        return PATH, text
    scheme, colon, rest = text.partition(":")
    return (scheme, rest) if colon and scheme in {*sources, HUB} else (way, text)


def name_reference(source: str, name: str) -> str:
    """The reference of a model by its name. Raises GradcamError for what cannot be a name."""
    if not (HUB_NAME if source == HUB else NAME).fullmatch(name):
        raise GradcamError(*NO_NAME)
    return f"file:{HUB}:{name}" if source == HUB else f"{source}:{name}"


def allowed_path(text: str) -> Path:
    """The real path behind what was typed, if it and its links stay inside the allowed folders. Raises GradcamError."""
    folders = allowed_folders()
    if not folders:
        raise GradcamError(*NO_FOLDERS)
    text = text.strip().strip("\"'")
    text = text.removeprefix(next((prefix for prefix in PREFIXES if text.startswith(prefix)), ""))
    if not text or len(text) > LONGEST_PATH or not text.isprintable():
        raise GradcamError(*OUTSIDE)
    stated = [Path(os.path.normpath(folder / text)) for folder in folders]  # an absolute path stays what it is
    inside = [path for path in stated if any(map(path.is_relative_to, (*folders, *_real(folders))))]
    real = [path for path in map(_resolved, inside) if path is not None and _is_inside(path, folders)]
    if not real:
        raise GradcamError(*OUTSIDE)
    path = next(filter(Path.exists, real), None)
    if path is None:
        raise GradcamError("There is nothing at this path.", "Check its spelling, or choose from the list.")
    if not all(_is_inside(link, folders) for link in _links_beside(path)):
        raise GradcamError(*OUTSIDE)
    return path


def offered_paths() -> list[str]:
    """What the allowed folders hold that can be a model: files by their ending, and folders with a configuration."""
    folders = allowed_folders()
    offered: list[str] = []
    for folder in folders:
        for path in _models_in(folder):
            offered.append(str(path.relative_to(folder)) if len(folders) == 1 else str(path))
            if len(offered) >= MOST_OFFERED:
                return sorted(offered)
    return sorted(offered)


def _models_in(folder: Path) -> Iterator[Path]:
    """Paths of files and folders, without hidden ones, up to a depth and a number of files."""
    visited = 0
    for place, folders, files in os.walk(folder):
        here = Path(place)
        deep = len(here.relative_to(folder).parts) >= DEEPEST
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        visited += len(files) + 1
        if visited > MOST_VISITED:
            return
        if any(name in files for name in FOLDERS_HAVE):
            yield here
        yield from (here / name for name in sorted(files) if name.lower().endswith(WEIGHTS_END) and name[0] != ".")


def _real(folders: tuple[Path, ...]) -> list[Path]:
    return [folder.resolve() for folder in folders]


def _is_inside(path: Path | None, folders: tuple[Path, ...]) -> bool:
    return path is not None and any(map(path.is_relative_to, _real(folders)))


def _resolved(path: Path) -> Path | None:
    """Where a path leads; None where that cannot be said, as with links in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):
        return None


def _links_beside(path: Path) -> list[Path | None]:
    """Where the links among the files lead that are read with a model: its configuration, names, parts of weights."""
    try:
        with os.scandir(path if path.is_dir() else path.parent) as content:
            links = [Path(file.path) for file in content if file.is_symlink() and file.name.endswith(READ_BESIDE)]
    except OSError:
        return []
    return [_resolved(link) for link in links]
