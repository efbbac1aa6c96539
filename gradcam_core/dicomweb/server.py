"""Settings -> which DICOMweb server is used, and with which credentials."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from gradcam_core.errors import DicomwebError
from gradcam_core.files import read_bounded

URL, USER, SECRET = "LIGHTBOX_DICOMWEB", "LIGHTBOX_DICOMWEB_USER", "LIGHTBOX_DICOMWEB_SECRET"
SECRET_FILE, CA_FILE = "LIGHTBOX_DICOMWEB_SECRET_FILE", "LIGHTBOX_DICOMWEB_CA"
DICOMWEB_SETTINGS: Mapping[str, str] = {
    URL: "the address of the server's DICOMweb service",
    USER: "the user's name; without it, the secret is a bearer token",
    SECRET: "the user's password, or a bearer token",
    SECRET_FILE: "a file that contains it instead",
    CA_FILE: "a file (PEM) with the certificates that sign the server's; the system's by default",
}
LARGEST_SECRET = 16_384
_HOST = re.compile(r"[A-Za-z0-9._\-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class DicomwebServer:
    """A DICOMweb service. `path` has no slash at its end; `authorization` is the value of the header, or empty."""

    scheme: str
    host: str
    port: int
    path: str
    authorization: str = field(default="", repr=False)
    ca_file: str = ""

    @property
    def name(self) -> str:
        """The host, and the port where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _usual_port(self.scheme) else f"{host}:{self.port}"


def dicomweb_server(settings: Mapping[str, str]) -> DicomwebServer | None:
    """Read the server from settings, such as `os.environ`; None where none is set. Raises DicomwebError."""
    stated = settings.get(URL, "").strip()
    if not stated:
        return None
    scheme, host, port, path = _parts(stated)
    ca_file = settings.get(CA_FILE, "").strip()
    if ca_file and not Path(ca_file).is_file():
        raise DicomwebError(f"The file of {CA_FILE} does not exist.", "Name a PEM file with certificates.")
    return DicomwebServer(scheme, host, port, path, _authorization(settings), ca_file)


def _parts(stated: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path. The text is not repeated in errors: it may contain a password."""
    example = f"Set {URL} to an address such as https://archive.example.org/dicom-web."
    try:
        parts = urlsplit(stated)
        port = parts.port
    except ValueError:
        raise DicomwebError("The address of the DICOMweb server is not understood.", example) from None
    if parts.username is not None or parts.password is not None:
        remedy = f"Use {USER}, with {SECRET} or {SECRET_FILE}, and leave them out of {URL}."
        raise DicomwebError("The address of the DICOMweb server contains a name or password.", remedy)
    fits = parts.scheme in ("http", "https") and _HOST.fullmatch(parts.hostname or "")
    if not fits or parts.query or parts.fragment or port == 0:
        raise DicomwebError("The address of the DICOMweb server is not understood.", example)
    path = quote(parts.path.rstrip("/"), safe="/%~")
    return parts.scheme, str(parts.hostname), port or _usual_port(parts.scheme), path


def _usual_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _authorization(settings: Mapping[str, str]) -> str:
    user, secret = settings.get(USER, "").strip(), settings.get(SECRET, "").strip() or _secret_in_file(settings)
    if not user and not secret:
        return ""
    if not secret:
        raise DicomwebError(f"{USER} is set without a password.", f"Set {SECRET} or {SECRET_FILE}, too.")
    if user:
        if ":" in user or not (user + secret).isprintable():
            raise DicomwebError(
                "The name or password for the DICOMweb server has signs that it cannot have.", "Check it."
            )
        return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"
    if not _PRINTABLE.fullmatch(secret):
        remedy = f"Check it; for a password, set {USER}, too."
        raise DicomwebError("The token for the DICOMweb server has signs that it cannot have.", remedy)
    return f"Bearer {secret}"


def _secret_in_file(settings: Mapping[str, str]) -> str:
    stated = settings.get(SECRET_FILE, "").strip()
    if not stated:
        return ""
    try:
        return read_bounded(Path(stated), LARGEST_SECRET).decode().strip()
    except (OSError, ValueError):
        remedy = "Name a text file that the program may read."
        raise DicomwebError(f"The file of {SECRET_FILE} cannot be read.", remedy) from None
