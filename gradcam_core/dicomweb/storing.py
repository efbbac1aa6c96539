"""Send DICOM objects to a server (PS3.18, section 10.5, STOW-RS), and say which of them it did not store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gradcam_core.dicomweb.identifiers import identifiers_of
from gradcam_core.dicomweb.multipart import joined
from gradcam_core.dicomweb.searching import JSON, KINDS, first_value, items_of, parse_json, values_of
from gradcam_core.dicomweb.server import DicomwebServer
from gradcam_core.dicomweb.transport import Answer, Request, check_status, send
from gradcam_core.errors import DicomwebError

LARGEST_ANSWER, STORE_S, LARGEST_SENT, MOST_SENT = 4 << 20, 300.0, 512 << 20, 2000
_STORED, _FAILED, _INSTANCE, _REASON = "00081199", "00081198", "00081155", "00081197"
NAMELESS = "it is no DICOM file with an identifier and a study, and was not sent"
NOT_SAID = "the server does not say whether it was stored"
# PS3.18, table I.2-2, and PS3.4, table GG.4-1, by the reason's number; those with an X by their first digits.
REASONS: Mapping[int, str] = {
    0x0110: "the server had a fault while it processed it",
    0x0111: "the server has it already",
    0x0117: "the server does not accept its identifier",
    0x0122: "the server does not store objects of this kind",
    0x0124: "this user may not store it",
    0x0131: "the server wants confirmed storage",
    0xA7: "the server has no room for it",
    0xA9: "the server says that it does not fit its kind",
    0xC: "the server cannot understand it",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """The names of the objects that the server stored; the name and the reason in words of those that it did not."""

    stored: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]


def store_objects(server: DicomwebServer, objects: Sequence[tuple[str, bytes]]) -> Stored:
    """Send DICOM files, each (name, content), in one request. Names are not sent. Raises DicomwebError.

    An object counts as stored only where the server says so. What names neither itself nor its study is not sent.
    """
    if not objects or len(objects) > MOST_SENT or sum(len(content) for _, content in objects) > LARGEST_SENT:
        most = f"{MOST_SENT:,} objects and {LARGEST_SENT >> 20} MiB"
        raise DicomwebError(f"From 1 to {most} are sent at once.", "Send them in several steps.")
    uids = [_instance(content) for _, content in objects]
    nameless = tuple((name, NAMELESS) for (name, _), uid in zip(objects, uids, strict=True) if not uid)
    named = {uid: name for (name, _), uid in zip(objects, uids, strict=True) if uid}
    if not named:
        return Stored((), nameless)
    contents = [content for (_, content), uid in zip(objects, uids, strict=True) if uid]
    content_type, body = joined(contents, "application/dicom")
    request = Request("POST", "/studies", JSON, LARGEST_ANSWER, STORE_S, body=body, content_type=content_type)
    answer = send(server, request)
    if answer.status != 409:  # none was stored; the answer says why
        check_status(answer)
    stored, failed = _outcome(_report(answer), named)
    return Stored(stored, failed + nameless)


def _instance(content: bytes) -> str:
    uids = identifiers_of(content)
    return uids.instance if uids and uids.study else ""


def _report(answer: Answer) -> Mapping[str, Any]:
    if answer.kind not in KINDS:
        return {}
    return next(iter(items_of(parse_json(answer.content))), {})


def _outcome(
    report: Mapping[str, Any], named: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The names of what was stored; the name and the reason of what was not."""
    reasons = {
        str(first_value(item, _INSTANCE)): _reason(first_value(item, _REASON))
        for item in items_of(values_of(report, _FAILED))
    }
    accepted = {str(first_value(item, _INSTANCE)) for item in items_of(values_of(report, _STORED))} - set(reasons)
    failed = tuple((name, reasons.get(uid, NOT_SAID)) for uid, name in named.items() if uid not in accepted)
    return tuple(name for uid, name in named.items() if uid in accepted), failed


def _reason(number: object) -> str:
    if not isinstance(number, int) or isinstance(number, bool):
        return "the server gives no reason"
    words = next((REASONS[key] for key in (number, number >> 8, number >> 12) if key in REASONS), "")
    return words or f"the server's reason is {number & 0xFFFF:04X}"
