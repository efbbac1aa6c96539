"""What stands around the pages: headers, limits, and work that no visitor should wait for. Loads no torch at import."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

from pages.components import pixels
from pages.components.analysis import files
from pages.components.analysis.decoding import DECODER
from pages.components.batch import archive

SWEEP_S = 10
WARM_UP_AFTER_S = 1.0
MOST_UPLOADED = 3 * 2**30
# Streamlit's own styles are inline, its components are scripts from memory; pictures come as data.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' data: blob:; worker-src 'self' blob:; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Middleware: security headers on every answer, and refusals of what no visitor of this app needs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self.app(scope, _without_clear_cache(receive), send)
        elif scope["type"] == "http":
            answer = _refusal(scope) or self.app
            await answer(scope, receive, _with_headers(scope, send))
        else:
            await self.app(scope, receive, send)


def _with_headers(scope: Scope, send: Send) -> Send:
    private = "/media/" in scope["path"] or f"{pixels.PATH}/" in scope["path"]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            if private:
                headers["Cache-Control"] = "no-store"
        await send(message)

    return send_with_headers


def _without_clear_cache(receive: Receive) -> Receive:
    """Drop the message with which any browser could clear the caches of all sessions."""

    async def receive_others() -> Message:
        while True:
            message = await receive()
            if not _clears_caches(message.get("bytes") or b""):
                return message

    return receive_others


def _clears_caches(content: bytes) -> bool:
    message = BackMsg()
    with suppress(Exception):  # Streamlit itself refuses what cannot be read
        message.ParseFromString(content)
    return message.WhichOneof("type") == "clear_cache"


def _refusal(scope: Scope) -> ASGIApp | None:
    """An answer in words where a request is refused: a foreign host name, the metrics, too many uploads."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if not is_host_allowed(headers.get("host")):
        words = "This host name is not allowed. Name it when starting: --server.allowedHosts=NAME (see README)."
        return PlainTextResponse(words, 400)
    if scope["path"].endswith("/_stcore/metrics"):
        return PlainTextResponse("Not served.", 404)
    if scope["method"] == "PUT" and "/_stcore/upload_file/" in scope["path"]:
        session_id = scope["path"].split("/_stcore/upload_file/")[1].split("/")[0]
        length = headers.get("content-length", "")
        if not length.isdigit() or _uploaded(session_id) + int(length) > MOST_UPLOADED:
            return PlainTextResponse("This session has uploaded too much. Remove some files first.", 413)
    return None


def _uploaded(session_id: str) -> int:
    """Bytes of a session's uploaded files in memory."""
    held: dict[str, Any] = runtime.get_instance().uploaded_file_mgr.file_storage.get(session_id, {})
    return sum(len(file.data) for file in list(held.values()))


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """While the server runs: load the libraries and the first model, and remove what closed tabs leave."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read when a hub's library is imported
    files.remove_leftovers()
    # Collecting garbage while libraries load takes a quarter of that time, and none of it is garbage.
    gc.disable()
    threading.Thread(target=_warm_up, daemon=True).start()
    sweeping = asyncio.create_task(_sweep_for_ever())
    yield
    sweeping.cancel()
    if work := sys.modules.get("pages.components.analysis.work"):
        work.cancel_all()
    DECODER.end()


def _warm_up() -> None:
    """Load the libraries and the first model, once a server; its first visitor's page goes first."""
    try:
        threading.Event().wait(WARM_UP_AFTER_S)
        DECODER.start()
        _load()
    finally:
        gc.enable()


def _load() -> None:
    from gradcam_core import list_devices
    from pages.components import session
    from pages.components.analysis import cache

    cache.model(session.bundled()[0], list_devices()[0])
    from pages.components import checks
    from pages.components.panels import details

    assert checks, details  # imported for the pages: Explain needs them next


async def _sweep_for_ever() -> None:
    while True:
        await asyncio.sleep(SWEEP_S)
        _sweep()


def _sweep() -> None:
    """Remove what ended sessions leave: their files in memory, their results, their checkpoints.

    Streamlit ends a closed tab's session some time after `server.disconnectedSessionTTL`, when another one happens
    to end, and serves its files until then.
    """
    instance = runtime.get_instance()
    ended = instance._session_mgr._session_storage._cache.expire()
    for _, stored in ended:
        stored.session.shutdown()
    sessions = {info.session.id for info in instance._session_mgr.list_sessions()}
    pixels.sweep(sessions)
    archive.sweep(sessions)
    instance.media_file_mgr.remove_orphaned_files()
    files.sweep()
    cache = sys.modules.get("pages.components.analysis.cache")
    if hasattr(cache, "sweep"):  # not while it is being imported
        cache.sweep()
    if ended:
        gc.collect()  # sessions and their files are parts of cycles
