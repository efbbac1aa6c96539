"""The windows of grey pictures: one for the display, and one for the model, each kept by picture. Loads no torch."""

from typing import TYPE_CHECKING, Any

import streamlit as st

if TYPE_CHECKING:
    from gradcam_core import ImageRecord


ALL = -1


def window_of(image: "ImageRecord") -> Any:
    """The window through which a picture is displayed; None: as the model sees it."""
    return _windows("windows", image.sha256).get(_frames(image))


def keep_window(image: "ImageRecord", window: Any) -> None:
    """Keep the window through which a picture is displayed."""
    _windows("windows", image.sha256)[_frames(image)] = window


def model_window(sha256: str, frame: int) -> tuple[float, float] | None:
    """The window (centre, width) in stored values through which the model sees a picture; None: the usual range."""
    given = _windows("model windows", sha256)
    window: tuple[float, float] | None = given.get(frame, given.get(ALL))
    return window


def give_window(image: "ImageRecord", window: tuple[float, float] | None) -> None:
    """Let the model see a picture through another window; the display follows it."""
    _windows("model windows", image.sha256)[_frames(image)] = window
    kept = window_of(image)
    inverted = kept is not None and kept["invert"]
    usual = window and {"level": window[0], "width": window[1], "invert": True}
    keep_window(image, usual if inverted else None)


def forget_given(sha256: str) -> bool:
    """Let the model see a picture as usual again; whether it saw it through a window of its own."""
    given = [window for window in _windows("model windows", sha256).values() if window is not None]
    _windows("model windows", sha256).clear()
    return bool(given)


def _frames(image: "ImageRecord") -> int:
    """Which frames share a window: all of a DICOM picture, whose values have one meaning; of others, each its own."""
    return ALL if image.format == "DICOM" else image.frame


def _windows(name: str, sha256: str) -> dict[int, Any]:
    windows: dict[int, Any] = st.session_state.setdefault(name, {}).setdefault(sha256.split(" ")[0], {})
    return windows
