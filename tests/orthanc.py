"""A real DICOMweb server for the tests: Orthanc, of the Debian packages orthanc and orthanc-dicomweb."""

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser import free_port

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "lightbox", "s3cret:ü"
START_WITHIN_S = 60


@pytest.fixture(scope="module")
def orthanc() -> Iterator[dict[str, str]]:
    """The settings of a running Orthanc of the test file's own, which asks for a password."""
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None or not PLUGIN.exists():
        pytest.skip("No Orthanc: the Debian packages orthanc and orthanc-dicomweb are not installed.")
    with tempfile.TemporaryDirectory(prefix="orthanc-") as folder, running(program, Path(folder)) as url:
        yield {"LIGHTBOX_DICOMWEB": url, "LIGHTBOX_DICOMWEB_USER": USER, "LIGHTBOX_DICOMWEB_SECRET": PASSWORD}


@contextmanager
def running(program: str, folder: Path) -> Iterator[str]:
    """Run Orthanc with its files in a folder until the block ends; give the address of its DICOMweb service."""
    port = free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings), "utf-8")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        _wait(server, port)
        yield f"http://127.0.0.1:{port}/dicom-web"
    finally:
        server.kill()  # to end well takes it two seconds
        server.wait(20)


def _wait(server: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/dicom-web/studies", timeout=2)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                return
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail("Orthanc did not start.")
