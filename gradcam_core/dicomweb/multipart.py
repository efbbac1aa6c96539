"""Bodies of several parts (RFC 2046, section 5.1; RFC 2387): taken apart, and put together."""

import secrets
from collections.abc import Mapping, Sequence
from email.message import Message

from gradcam_core.errors import DicomwebError

LONGEST_BOUNDARY, LONGEST_HEADERS = 70, 8 << 10
BREAK, RELATED = b"\r\n", "multipart/related"
CUT_OFF = ("The DICOMweb server's answer was cut off, or has another form.", "Try again, or look at the server's log.")


def parts_of(content_type: str, body: bytes, most: int) -> tuple[bytes, ...]:
    """Return the contents of a body's parts, without their headers. Raises DicomwebError for more than `most`."""
    marker = b"--" + _boundary(content_type)
    delimiter, contents = BREAK + marker, list[bytes]()
    # The first marker has no line break before it where nothing precedes it.
    start = len(marker) if body.startswith(marker) else _find(body, delimiter, 0, len(body)) + len(delimiter)
    while not body.startswith(b"--", start):
        end = _find(body, delimiter, start, len(body))
        contents.append(_content(body, start, end))
        if len(contents) > most:
            raise DicomwebError(f"The series has more than {most:,} pictures.", "Fetch single pictures of it.")
        start = end + len(delimiter)
    return tuple(contents)


def _find(body: bytes, what: bytes, start: int, end: int) -> int:
    place = body.find(what, start, end)
    if place < 0:
        raise DicomwebError(*CUT_OFF)
    return place


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= LONGEST_BOUNDARY or not boundary.isascii():
        raise DicomwebError(*CUT_OFF)
    return boundary.encode()


def _content(body: bytes, start: int, end: int) -> bytes:
    """What follows the headers of a part. White space may stand before the line's end."""
    bound = min(end, start + LONGEST_HEADERS)
    line_end = _find(body, BREAK, start, bound)
    if body[start:line_end].strip(b" \t"):
        raise DicomwebError(*CUT_OFF)
    return body[_find(body, 2 * BREAK, line_end, bound) + 4 : end]


def joined(contents: Sequence[bytes], kind: str) -> tuple[str, bytes]:
    """Return the content type and the body of parts of one kind."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode()
    parts = [piece for content in contents for piece in (head, content, BREAK)]
    content_type = related({"type": kind, "boundary": boundary})
    return content_type, b"".join([*parts, f"--{boundary}--\r\n".encode()])


def related(parameters: Mapping[str, str]) -> str:
    """Return the media type of a body of related parts; a value is quoted where it is not a plain word."""
    pairs = [f'{name}="{value}"' if "/" in value else f"{name}={value}" for name, value in parameters.items()]
    return "; ".join((RELATED, *pairs))
