"""The overlays of a batch as one ZIP, written while it is sent: neither the memory nor the disk holds it.

An address contains an unguessable token, which is valid while its session lives. Loads no torch at import.
"""

import asyncio
import io
import secrets
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from streamlit.runtime.scriptrunner import get_script_run_ctx

from gradcam_core import AuditEntry, AuditError, append_audit
from pages.components import audited
from pages.components.pixels import base

if TYPE_CHECKING:
    from pages.components.batch.task import BatchRun

PATH = "/overlays"


@dataclass(frozen=True)
class Offer:
    """A folder of overlays that a session may fetch, the names that its files get, and the entry of the audit log."""

    session: str
    folder: Path
    names: Mapping[str, str]
    export: AuditEntry | None = None


OFFERS: dict[str, Offer] = {}


def offer_overlays(run: "BatchRun", names: str) -> None:
    """Draw the button that saves all overlays."""
    context = get_script_run_ctx()
    if context is None:
        return
    named = {f"{id_}.jpg": f"{PurePath(job.name).stem}-{id_[:8]}.jpg" for id_, job in run.jobs.items()}
    hashed = {name: name for name in named}
    names_in_zip = named if names == "keep" else hashed
    export = audited.export_of("Overlays, ZIP")
    wanted = Offer(context.session_id, run.place / "overlays", names_in_zip, export)
    token = next((token for token, offer in list(OFFERS.items()) if offer == wanted), "") or secrets.token_urlsafe(24)
    OFFERS[token] = wanted
    st.link_button("Overlays, ZIP", f"{base()}{PATH}/{token}/overlays.zip", icon=":material/download:")


def sweep(sessions: Collection[str]) -> None:
    """Stop serving the overlays of all sessions but these."""
    for token in [token for token, offer in list(OFFERS.items()) if offer.session not in sessions]:
        OFFERS.pop(token, None)


async def _serve(request: Request) -> Response:
    offer = OFFERS.get(request.path_params["token"])
    elsewhere = f"/{request.path_params['base']}" != f"{base()}/"
    if elsewhere or offer is None or not offer.folder.is_dir():
        return PlainTextResponse("Not served.", 404)
    if offer.export is not None:
        try:
            await asyncio.to_thread(append_audit, audited.folder(), [offer.export])
        except AuditError as error:
            return PlainTextResponse(str(error), 503)
    headers = {"Content-Disposition": 'attachment; filename="overlays.zip"', "Cache-Control": "no-store"}
    # Said to be encoded already: pictures cannot be compressed further.
    return StreamingResponse(
        _zipped(offer), headers=headers | {"Content-Encoding": "identity"}, media_type="application/zip"
    )


class _Sent(io.RawIOBase):
    """What was written since it was last taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(part)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _zipped(offer: Offer) -> Iterator[bytes]:
    """The ZIP, a picture at a time."""
    sent = _Sent()
    with zipfile.ZipFile(sent, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(offer.folder.glob("*.jpg")):
            if path.name in offer.names:
                archive.write(path, offer.names[path.name])
                yield sent.taken()
    yield sent.taken()


ROUTE = Route(f"/{{base:path}}{PATH[1:]}/{{token}}/overlays.zip", _serve)  # the base is known later
