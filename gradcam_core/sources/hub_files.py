"""Find a hub's weight file on this computer or download it; without a network, say so at once."""

import hashlib
import re
import socket
import threading
import uuid
from collections.abc import Iterable, Sequence
from http.client import HTTPException
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, getproxies, proxy_bypass, urlopen

from gradcam_core.errors import ModelError
from gradcam_core.progress import Progress
from gradcam_core.sources.bundled import list_bundled
from gradcam_core.sources.checkpoints import Checkpoint, read_checkpoint

CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
READ_SECONDS = 15.0
CHUNK_BYTES = 1 << 20


def cached_hub_file(repository: str, names: Sequence[str], revision: str | None = None) -> Path | None:
    """The first of these files that the Hugging Face cache holds, found without any network look-up."""
    from huggingface_hub import try_to_load_from_cache

    try:
        paths = [try_to_load_from_cache(repository, name, revision=revision) for name in names]
    except ValueError as error:
        raise ModelError(f"'{repository[:80]}' cannot be a model of the hub.", "Write ORGANISATION/NAME.") from error
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def hub_file(repository: str, names: Sequence[str], progress: Progress, revision: str | None = None) -> Path:
    """The first of these files in a Hugging Face repository: from the cache, or downloaded into it."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    cached = cached_hub_file(repository, names, revision)
    if cached:
        return cached
    endpoint = constants.ENDPOINT
    if constants.HF_HUB_OFFLINE:
        raise offline_error("HF_HUB_OFFLINE is set")
    require_network(endpoint)
    cancelled: list[Exception] = []
    for name in names:
        try:
            # One short question first: the download itself would retry for most of a minute.
            url = hf_hub_url(repository, name, revision=revision, endpoint=endpoint)
            get_hf_file_metadata(url, timeout=ANSWER_SECONDS)
            bar = _progress_bar(progress, cancelled)
            return Path(hf_hub_download(repository, name, revision=revision, endpoint=endpoint, tqdm_class=bar))
        except EntryNotFoundError:
            continue
        except HfHubHTTPError as error:
            status = getattr(error.response, "status_code", "no answer")
            remedy = "Check the name; a private or gated model needs `hf auth login` first."
            raise ModelError(f"The hub refused '{repository}' ({status}).", remedy) from error
        # The hub's client passes on whatever its network library raises, which differs between releases.
        except Exception as error:
            if error in cancelled or isinstance(error, TypeError | AttributeError | NameError):
                raise
            raise offline_error(f"the download failed ({type(error).__name__})") from error
    raise ModelError(f"'{repository}' has none of {', '.join(names)} on the hub.", "Check the name of the model.")


def _progress_bar(progress: Progress, cancelled: list[Exception]) -> type:
    """A tqdm that draws nothing and passes its position on; keeps the exception by which a caller cancels."""
    from tqdm.auto import tqdm  # type: ignore[import-untyped,unused-ignore]

    class Bar(tqdm):  # type: ignore[misc,unused-ignore]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "file": StringIO(), "disable": False})

        def update(self, n: Any = 1) -> Any:
            shown = super().update(n)
            try:
                if self.total:
                    progress(min(1.0, self.n / self.total), words=_megabytes(self.n, self.total))
            except Exception as error:
                cancelled.append(error)
                raise
            return shown

    return Bar


def read_downloaded(path: Path) -> Checkpoint:
    """Read a file from a hub's cache; where it is damaged, say how to fetch it again."""
    try:
        return read_checkpoint(path)
    except ModelError as error:
        raise ModelError(
            f"The downloaded weights in the cache are damaged. {error.message}",
            f"Delete {path.resolve()} to download it once more.",
        ) from error


def cached_url_file(url: str) -> Path | None:
    """The file that torch's cache holds for this address, if any."""
    path = _place_in_cache(url)
    return path if path.is_file() else None


def url_file(url: str, progress: Progress) -> Path:
    """A weight file by its address: from torch's cache, or downloaded into it."""
    return cached_url_file(url) or download(url, _place_in_cache(url), progress)


def _place_in_cache(url: str) -> Path:
    """Where torch and torchvision keep what they downloaded from this address."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name


def download(url: str, target: Path, progress: Progress) -> Path:
    """Stream a file to its place. It appears there only when whole and of the right checksum.

    As on torch's hub, a name such as `resnet18-f37072fd.pth` carries the start of its sha256.
    """
    require_network(url)
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = _stream(url, partial, progress)
        expected = re.search(r"-([a-f0-9]{8,})\.", target.name)
        if expected and not digest.startswith(expected.group(1)):
            raise ModelError("The downloaded weights are damaged: their checksum is another.", "Try once more.")
        partial.replace(target)
        return target
    except (URLError, TimeoutError, ConnectionError, HTTPException) as error:
        raise offline_error(f"the download failed ({getattr(error, 'reason', type(error).__name__)})") from error
    except OSError as error:
        raise ModelError(
            f"The download could not be kept: {error.strerror or type(error).__name__}.",
            "Check the free space and the permission to write to the folder of torch's cache (TORCH_HOME).",
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _stream(url: str, partial: Path, progress: Progress) -> str:
    """Write the file chunk by chunk; return its sha256."""
    digest, done = hashlib.sha256(), 0
    with urlopen(Request(url, headers={"User-Agent": "torch.hub"}), timeout=READ_SECONDS) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        with partial.open("wb") as file:
            while chunk := answer.read(CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress(min(1.0, done / total) if total else 0.0, words=_megabytes(done, total))
    if total and done != total:
        raise URLError("the connection ended early")
    return digest.hexdigest()


def _megabytes(done: int | float, total: int | float) -> str:
    whole = f" of {total / 1e6:.1f}" if total else ""
    return f"Downloading weights: {done / 1e6:.1f}{whole} MB"


def require_network(url: str) -> None:
    """Raise ModelError within about two seconds where the address, or its proxy, cannot be reached."""
    host, port = _first_hop(url)
    reached: list[bool] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=CONNECT_SECONDS).close()
            reached.append(True)
        except OSError:
            reached.append(False)

    # In a thread, since looking up a name has no time limit of its own.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(CONNECT_SECONDS + 0.5)
    if reached != [True]:
        raise offline_error(f"{urlsplit(url).hostname} cannot be reached")


def _first_hop(url: str) -> tuple[str, int]:
    """Host and port that a request for this address goes to first."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def offline_error(reason: str) -> ModelError:
    """Say what is missing and everything that works without a network."""
    bundled, cached = ", ".join(f"bundled:{model.name}" for model in list_bundled()), list_cached()
    more = f" and {len(cached) - 8} more" if len(cached) > 8 else ""
    downloaded = (
        f"already downloaded: {', '.join(cached[:8])}{more}" if cached else "nothing else has been downloaded yet"
    )
    return ModelError(
        f"The weights of this model are not on this computer, and {reason}.",
        f"Without a network these work: {bundled}; {downloaded}. "
        "Or connect once, or bring a checkpoint over and load it as file:PATH with its architecture.",
    )


def list_cached() -> tuple[str, ...]:
    """References of the models whose weights lie in this computer's hub caches."""
    return (*_cached_of_hub(), *_cached_torchvision())


def _cached_of_hub() -> Iterable[str]:
    """timm's by their names; others that say what they are, as folders."""
    from huggingface_hub import constants

    endings = (".safetensors", ".bin", ".pth")
    for folder in sorted(
        Path(constants.HF_HUB_CACHE).glob("models--*--*"), key=lambda x: ("--timm--" not in x.name, x)
    ):
        # A link into the cache may lead to a file that was deleted.
        files = {path.name: path for path in folder.glob("snapshots/*/*") if path.exists()}
        _, organisation, name = folder.name.split("--", 2)
        if not any(path.suffix in endings for path in files.values()):
            continue
        if organisation == "timm":
            yield f"timm:{name}"
        elif "config.json" in files:
            yield f"file:hf-hub:{organisation}/{name}"


def _cached_torchvision() -> Iterable[str]:
    from torchvision import models

    for name in (name for kind in (models, models.detection, models.segmentation) for name in models.list_models(kind)):
        for weights in models.get_model_weights(name):
            if cached_url_file(weights.url):
                yield f"torchvision:{name}.{weights.name}"
