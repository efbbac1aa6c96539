"""The catalogue: models that were added once, remembered by reference and fingerprint in one readable file.

The file is JSON in the user's configuration folder. It holds no weights and nothing about pictures. Several programs
may write to it: each reads it again under a lock and replaces it whole. Nothing that it says makes code run.
"""

import json
from collections.abc import Callable
from pathlib import Path

from gradcam_core.catalogue.files import observe_file as observe_file
from gradcam_core.catalogue.files import place_of as place_of
from gradcam_core.catalogue.files import what_changed as what_changed
from gradcam_core.catalogue.form import REMEDY, checked_model, to_dict
from gradcam_core.catalogue.form import RememberedModel as RememberedModel
from gradcam_core.errors import CatalogueError
from gradcam_core.files import FileTooLargeError, read_bounded, write_whole

APP, NAME = "cam-lightbox", "models.json"
VERSION, LARGEST, MOST_MODELS = 1, 32_000_000, 1000
LOCK_SECONDS = 10


def catalogue_path() -> Path:
    """Where the catalogue is: in the user's configuration folder (XDG_CONFIG_HOME is respected)."""
    from platformdirs import user_config_path

    return user_config_path(APP, appauthor=False) / NAME


def read_catalogue() -> tuple[RememberedModel, ...]:
    """Read the remembered models, the oldest first; () where there is no catalogue. Raises CatalogueError."""
    try:
        content = read_bounded(catalogue_path(), LARGEST)
    except FileNotFoundError:
        return ()
    except FileTooLargeError as error:
        raise CatalogueError("The catalogue of models is far too large.", REMEDY) from error
    except OSError as error:
        raise CatalogueError("The catalogue of models cannot be read.", "Check the permission to read it.") from error
    try:
        stored = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise CatalogueError("The catalogue of models is not readable JSON.", REMEDY) from error
    if isinstance(stored, dict) and isinstance(version := stored.get("version"), int) and version > VERSION:
        raise CatalogueError("A newer version of this program wrote the catalogue of models.", "Use that version.")
    models = stored.get("models") if isinstance(stored, dict) else None
    if not isinstance(models, list) or len(models) > MOST_MODELS:
        raise CatalogueError("The catalogue of models does not have the form that this program writes.", REMEDY)
    return tuple(checked_model(value, place) for place, value in enumerate(models, 1))


def remember_model(model: RememberedModel) -> None:
    """Add a model to the catalogue, or replace the one of the same reference and architecture.

    Raises CatalogueError where the model cannot be remembered or the catalogue not be written.
    """
    checked = checked_model(to_dict(model), 0)

    def add(models: list[RememberedModel]) -> list[RememberedModel]:
        known = [other.identity for other in models]
        if checked.identity in known:
            models[known.index(checked.identity)] = checked
            return models
        if len(models) >= MOST_MODELS:
            raise CatalogueError(f"The catalogue already has {MOST_MODELS:,} models.", "Remove some of them first.")
        return [*models, checked]

    _change(add)


def forget_model(reference: str, architecture: str = "") -> bool:
    """Remove a model from the catalogue; return whether it was there. Files stay. Raises CatalogueError."""
    before = len(read_catalogue())
    if before == 0:
        return False
    after = _change(lambda models: [model for model in models if model.identity != (reference, architecture)])
    return after < before


def _change(change: Callable[[list[RememberedModel]], list[RememberedModel]]) -> int:
    """Read the catalogue again under a lock, change it and write it whole; return how many models it has now."""
    from filelock import FileLock, Timeout

    path = catalogue_path()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{NAME}.lock"), timeout=LOCK_SECONDS):
            models = change(list(read_catalogue()))
            content = {"version": VERSION, "models": [to_dict(model) for model in models]}
            written = (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
            if len(written) > LARGEST:
                raise CatalogueError("The catalogue would become too large.", "Remove models with many classes first.")
            write_whole(path.resolve(), written)  # through a link, to the file that it leads to
            return len(models)
    except Timeout as error:
        raise CatalogueError("Another program is writing the catalogue of models.", "Try once more.") from error
    except OSError as error:
        remedy = "Check the free space and the permission to write to your configuration folder."
        raise CatalogueError("The catalogue of models cannot be written.", remedy) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
