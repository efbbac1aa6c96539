"""One request to a DICOMweb server, with bounds of bytes and seconds on its answer.

Nothing is logged, since addresses may name patients. Proxies of the environment are not used, redirects not followed.
"""

import http.client
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from threading import Event, Timer
from urllib.parse import quote, urlencode

from gradcam_core.dicomweb.server import CA_FILE, SECRET, URL, USER, DicomwebServer
from gradcam_core.errors import DicomwebError
from gradcam_core.version import __version__

# What an address may contain as it is. Orthanc's plugin 1.7 does not decode what is escaped.
AS_THEY_ARE = "*?:@!$'(),;/"
CONNECT_S, CHUNK = 10.0, 1 << 20
NOT_DICOMWEB = ("There is no DICOMweb service at the server's address.", f"Check the path in {URL}.")


@dataclass(frozen=True, slots=True)
class Request:
    """What to send to the path below the service's own. The answer may have `most` bytes and take `seconds`."""

    method: str
    path: str
    accept: str
    most: int
    seconds: float
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What the server sent. `kind` is the media type in small letters, without its parameters."""

    status: int
    kind: str
    content_type: str
    content: bytes


def send(server: DicomwebServer, request: Request) -> Answer:
    """Send a request and read the answer whole. Raises DicomwebError for each kind of failure, in words."""
    connection, expired = _connection(server), Event()
    watchdog: Timer | None = None
    try:
        connection.connect()
        link = connection.sock
        watchdog = Timer(request.seconds, _cut, (link, expired))
        watchdog.daemon = True
        watchdog.start()
        answer = _exchange(connection, server, request)
        if expired.is_set():
            raise TimeoutError
        return answer
    except (OSError, http.client.HTTPException) as error:
        raise _in_words(TimeoutError() if expired.is_set() else error) from None
    finally:
        if watchdog is not None:
            watchdog.cancel()
        connection.close()


def check_status(answer: Answer, missing: tuple[str, str] = NOT_DICOMWEB) -> Answer:
    """Return the answer if it is one of success. Raises DicomwebError; `missing` says what 404 means."""
    status = answer.status
    if status in (401, 403):
        remedy = f"Check {USER} and {SECRET}, and what that user may do on the server."
        raise DicomwebError(f"The DICOMweb server refused the program's credentials ({status}).", remedy)
    if status == 404:
        raise DicomwebError(*missing)
    if 300 <= status < 400:
        remedy = f"Redirects are not followed: set {URL} to the address where the service is."
        raise DicomwebError(f"The DICOMweb server leads to another address ({status}).", remedy)
    if status == 413:
        raise DicomwebError("This is more than the DICOMweb server accepts at once (413).", "Raise its limit.")
    if status >= 500:
        remedy = "Try again later, or look at the server's log."
        raise DicomwebError(f"The DICOMweb server has a fault ({status}).", remedy)
    if not 200 <= status < 300:
        remedy = f"Check that {URL} leads to a DICOMweb service that offers this."
        raise DicomwebError(f"The DICOMweb server refused the request ({status}).", remedy)
    return answer


def _connection(server: DicomwebServer) -> http.client.HTTPConnection:
    if server.scheme == "http":
        return http.client.HTTPConnection(server.host, server.port, timeout=CONNECT_S)
    try:
        context = ssl.create_default_context(cafile=server.ca_file or None)
    except OSError:  # an SSLError is one
        raise DicomwebError(f"The certificates of {CA_FILE} cannot be read.", "Name a PEM file.") from None
    return http.client.HTTPSConnection(server.host, server.port, timeout=CONNECT_S, context=context)


def _cut(link: socket.socket, expired: Event) -> None:
    """End an exchange that takes too long, wherever it waits. A timeout of the socket holds for each byte alone."""
    expired.set()
    with suppress(OSError):
        socket.socket.shutdown(link, socket.SHUT_RDWR)  # not TLS's own, which another thread uses now


def _exchange(connection: http.client.HTTPConnection, server: DicomwebServer, request: Request) -> Answer:
    connection.sock.settimeout(request.seconds)
    query = f"?{urlencode(request.query, safe=AS_THEY_ARE, quote_via=quote)}" if request.query else ""
    headers = {"Accept": request.accept, "Accept-Encoding": "identity", "User-Agent": f"cam-lightbox/{__version__}"}
    headers |= {"Authorization": server.authorization} if server.authorization else {}
    headers |= {"Content-Type": request.content_type} if request.content_type else {}
    path = f"{server.path}{request.path}{query}"
    with suppress(BrokenPipeError, ConnectionResetError):  # a server may refuse before it has read everything
        connection.request(request.method, path, request.body or None, headers)
    response = connection.getresponse()
    content_type = response.getheader("Content-Type") or ""
    kind = content_type.partition(";")[0].strip().lower()
    return Answer(response.status, kind, content_type, _content(response, request.most))


def _content(response: http.client.HTTPResponse, most: int) -> bytes:
    coded = (response.getheader("Content-Encoding") or "identity").strip().lower()
    if coded != "identity":
        remedy = "Switch compression off for this service in the server or its proxy."
        raise DicomwebError("The DICOMweb server sent a compressed answer that was not asked for.", remedy)
    chunks, size = list[bytes](), 0
    while size <= most and (response.length or 0) <= most and (chunk := response.read(CHUNK)):
        chunks.append(chunk)
        size += len(chunk)
    if size > most or (response.length or 0) > most:
        remedy = (
            "Search for less, or fetch single pictures: python -m gradcam_core dicomweb fetch STUDY SERIES INSTANCE."
        )
        raise DicomwebError(f"The DICOMweb server's answer is larger than {most / 1e6:,.0f} MB.", remedy)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(chunks)


_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, str], ...] = (
    (
        ssl.SSLCertVerificationError,
        "The DICOMweb server's certificate is not trusted.",
        f"Set {CA_FILE} to a file with the certificate that signs it, and {URL} to the name that is in it.",
    ),
    (ssl.SSLError, "There is no secure connection to the DICOMweb server.", f"Check http or https in {URL}."),
    (TimeoutError, "The DICOMweb server did not answer in time.", "Try again, or ask for less."),
    (
        (ConnectionRefusedError, socket.gaierror),
        "The DICOMweb server cannot be reached.",
        f"Check that it runs, and {URL}.",
    ),
    (
        http.client.IncompleteRead,
        "The DICOMweb server's answer was cut off.",
        "Try again, or look at the server's log.",
    ),
    (http.client.HTTPException, "The server does not speak HTTP as expected.", f"Check {URL}."),
    (OSError, "The connection to the DICOMweb server failed.", "Try again, or look at the server's log."),
)


def _in_words(error: Exception) -> DicomwebError:
    message, remedy = next((message, remedy) for kind, message, remedy in _FAILURES if isinstance(error, kind))
    return DicomwebError(message, remedy)
