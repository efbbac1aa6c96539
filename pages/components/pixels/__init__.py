"""The own pixels of a session's pictures, served to its browser alone. Loads no torch at import.

The viewer gets a small preview at once, and what it zooms into from here. An address contains an unguessable token,
which is valid for one picture while its session lives and has the picture. Browsers keep nothing of it.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.components import session

if TYPE_CHECKING:
    from gradcam_core import ImageRecord

PATH = "/pixels"
PART = re.compile(r"whole|frame-(?P<frame>[0-9]{1,5})|(?P<level>[0-6])-(?P<column>[0-9]{1,3})-(?P<row>[0-9]{1,3})")
MOST_OFFERED = 16  # pictures of one session


@dataclass(frozen=True)
class Offer:
    """A picture whose pixels a session may fetch. With `grey`, these are its stored values."""

    session: str
    sha256: str
    content: bytes
    frame: int
    window: tuple[float, float] | None
    blanked: tuple[tuple[float, float, float, float], ...]
    grey: bool


OFFERS: dict[str, Offer] = {}
DECODING = Semaphore(2)  # large pictures take gigabytes while they are decoded


def offer(image: "ImageRecord", grey: bool) -> str:
    """The address of a picture's pixels for this session; "" where the session has no such file."""
    content = session.content_of(image.sha256)
    context = get_script_run_ctx()
    if content is None or context is None:
        return ""
    wanted = Offer(context.session_id, image.sha256, content, image.frame, image.window, image.blanked, grey)
    tokens: list[str] = st.session_state.setdefault("pixel tokens", [])
    token = next((token for token in tokens if OFFERS.get(token) == wanted), "")
    if not token:
        token = secrets.token_urlsafe(24)
        OFFERS[token] = wanted
        tokens.append(token)
    for old in tokens[:-MOST_OFFERED]:
        OFFERS.pop(old, None)
    del tokens[:-MOST_OFFERED]
    return f"{base()}{PATH}/{token}"


def base() -> str:
    """What the server's addresses begin with: "" or "/some/path"."""
    base = str(st.get_option("server.baseUrlPath")).strip("/")
    return f"/{base}" if base else ""


def withdraw(sha256: str) -> None:
    """Stop serving a picture that its session removed."""
    for token in st.session_state.get("pixel tokens", []):
        if token in OFFERS and OFFERS[token].sha256 == sha256:
            del OFFERS[token]


def sweep(sessions: Collection[str]) -> None:
    """Stop serving the pictures of all sessions but these."""
    for token in [token for token, offer in list(OFFERS.items()) if offer.session not in sessions]:
        OFFERS.pop(token, None)


async def _serve(request: Request) -> Response:
    """Answer a request for a part of a picture."""
    offer = OFFERS.get(request.path_params["token"])
    part = PART.fullmatch(request.path_params["part"])
    elsewhere = f"/{request.path_params['base']}" != f"{base()}/"
    if elsewhere or offer is None or part is None or (part[0] == "whole" and not offer.grey):
        return PlainTextResponse("Not served.", 404)
    content, headers = await asyncio.to_thread(_cut, offer, part)
    if content is None:
        return PlainTextResponse("Not served.", 404)
    return Response(content, media_type="application/octet-stream", headers=headers)


def _cut(offer: Offer, part: re.Match[str]) -> tuple[bytes | None, dict[str, str]]:
    """The samples, row by row, little endian; what they mean is in the header `Samples`."""
    from gradcam_core import GradcamError
    from pages.components.analysis import cache
    from pages.components.pixels.tiles import tile_of, whole_of

    if part["frame"]:
        return _frame(offer, int(part["frame"]))
    about: dict[str, Any] = {}
    try:
        # Tiles of what is decoded already need not wait for others' pictures.
        decoded = cache.picture_key(offer.sha256, offer.frame, offer.window, offer.blanked) in cache.PICTURES
        read = not offer.grey or cache.picture_key(offer.sha256, offer.frame, blanked=offer.blanked) in cache.VALUES
        with nullcontext() if decoded and read else DECODING:
            image = cache.picture(offer.sha256, offer.content, offer.frame, offer.window, offer.blanked)
            picture = cache.values(image, offer.content) if offer.grey else image
    except GradcamError:  # it was read before, so only memory can be short
        return None, {}
    if part[0] == "whole":
        samples = whole_of(picture)
        about = {"offset": picture.offset, "step": picture.step, "empty": picture.empty}
    else:
        samples = tile_of(picture, *(int(part[name]) for name in ("level", "column", "row")))
    if samples is None:
        return None, {}
    return _answer(samples, about)


def _frame(offer: Offer, frame: int) -> tuple[bytes | None, dict[str, str]]:
    """All of another frame of the same file, reduced."""
    from gradcam_core import GradcamError
    from pages.components.analysis import cache
    from pages.components.pixels.tiles import colours_of_frame, levels_of_frame
    from pages.components.pixels.values import read_frame

    try:
        image = cache.picture(offer.sha256, offer.content, offer.frame, offer.window, offer.blanked)
        if not 0 <= frame < image.frames:
            return None, {}
        with DECODING:
            if not offer.grey:
                return _answer(colours_of_frame(image, offer.content, frame), {})
            values = read_frame(image, offer.content, frame)
    except GradcamError:  # this frame is damaged, or memory is short
        return None, {}
    about = {"offset": values.offset, "step": values.step, "empty": values.empty}
    return _answer(levels_of_frame(values), about)


def _answer(samples: Any, about: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Samples for the browser, with what they mean."""
    about |= {"height": samples.shape[0], "width": samples.shape[1], "bytes": samples.dtype.itemsize}
    about["channels"] = samples.shape[2] if samples.ndim == 3 else 1
    # Said to be encoded already, so that the server does not spend a tenth of a second on compressing each tile.
    headers = {"Samples": json.dumps(about), "Content-Encoding": "identity", "Cache-Control": "no-store"}
    return samples.astype(samples.dtype.newbyteorder("<")).tobytes(), headers


ROUTE = Route(f"/{{base:path}}{PATH[1:]}/{{token}}/{{part}}", _serve)  # the base is known later
