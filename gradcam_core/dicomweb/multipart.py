"""Bodies of several parts (RFC 2046, section 5.1; RFC 2387): taken apart, and put together."""

import secrets
from collections.abc import Sequence
from email.message import Message

from gradcam_core.errors import DicomwebError

LONGEST_BOUNDARY, LONGEST_HEADERS = 70, 8 << 10
BREAK = b"\r\n"
CUT_OFF = ("The DICOMweb server's answer was cut off, or has another form.", "Try again, or look at the server's log.")


def parts_of(content_type: str, body: bytes, most: int) -> tuple[bytes, ...]:
    """Return the contents of a body's parts, without their headers. Raises DicomwebError for more than `most`."""
    delimiter = BREAK + b"--" + _boundary(content_type)
    # The first delimiter has no line break before it where nothing precedes it.
    pieces = (BREAK + body).split(delimiter, most + 2)[1:]
    if not pieces:
        raise DicomwebError(*CUT_OFF)
    *pieces, last = pieces
    if len(pieces) > most:
        raise DicomwebError(f"The series has more than {most:,} pictures.", "Fetch single pictures of it.")
    if not last.startswith(b"--"):
        raise DicomwebError(*CUT_OFF)
    return tuple(map(_content, pieces))


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not 0 < len(boundary) <= LONGEST_BOUNDARY or not boundary.isascii():
        raise DicomwebError(*CUT_OFF)
    return boundary.encode()


def _content(piece: bytes) -> bytes:
    """What follows the headers of a part. White space may stand before the line's end."""
    start = piece.find(BREAK)
    end = start if piece[start : start + 4] == 2 * BREAK else piece.find(2 * BREAK, start, LONGEST_HEADERS)
    if start < 0 or end < 0 or piece[:start].strip(b" \t"):
        raise DicomwebError(*CUT_OFF)
    return piece[end + 4 :]


def joined(contents: Sequence[bytes], kind: str) -> tuple[str, bytes]:
    """Return the content type and the body of parts of one kind."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode()
    parts = [piece for content in contents for piece in (head, content, BREAK)]
    return f'multipart/related; type="{kind}"; boundary={boundary}', b"".join([*parts, f"--{boundary}--\r\n".encode()])
