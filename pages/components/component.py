"""Own browser components: their files, and the one value that their user changes in the browser. Loads no torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import streamlit as st

HERE = Path(__file__).parent
Value = TypeVar("Value")


def component(name: str, folder: Path, scripts: Sequence[str]) -> Callable[..., Any]:
    """Register the component in a folder: NAME.html, NAME.css and its scripts, on top of the shared ones."""
    own = [(folder / script).read_text("utf-8") for script in scripts]
    styles = [HERE / "component.css", folder / f"{name}.css"]
    mount: Callable[..., Any] = st.components.v2.component(
        f"cam_lightbox_{name}",
        html=(folder / f"{name}.html").read_text("utf-8"),
        css="\n".join(style.read_text("utf-8") for style in styles),
        js="\n".join([(HERE / "component.js").read_text("utf-8"), *own]),
    )
    return mount


@dataclass(frozen=True)
class Exchange(Generic[Value]):
    """The value that the page gives a component, and its user changes in the browser.

    What the user chose comes back to the page, and the page gives it again on the next run. Sending that would
    send the whole picture again, so what was sent first is sent until the page wants something else.
    """

    key: str
    name: str  # of the value that the browser sends
    given: Value
    overruled: Any  # what the browser had sent when the page wanted something else

    @classmethod
    def of(cls, key: str, name: str, wanted: Value, subject: str = "") -> "Exchange[Value]":
        """Decide what to send. `subject` is what the value belongs to, such as a picture's name."""
        sent_back = (st.session_state.get(key) or {}).get(name)
        kept = st.session_state.get(f"{key} given")
        as_returned = (wanted, subject) == st.session_state.get(f"{key} returned")
        if sent_back is None or kept is None or not as_returned:
            st.session_state[f"{key} given"] = kept = (wanted, sent_back)
        return cls(key, name, *kept)

    def result(self, sent_back: Any, read: Callable[[Any, Value], Value], subject: str = "") -> Value:
        """The value as its user left it; `read` takes what the browser sent only as far as it is valid."""
        value = self.given if sent_back == self.overruled else read(sent_back, self.given)
        st.session_state[f"{self.key} returned"] = (value, subject)
        return value


def ignore() -> None:
    """Do nothing: Streamlit returns only those values for which it has a callback."""
