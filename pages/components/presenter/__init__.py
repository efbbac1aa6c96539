"""The presenter's view: one screen a step, stepped through by keys, for a room full of people. Loads no torch.

While a talk is presented, its stage covers the page, which stays as it is below: nothing on it is reset. Keys work
wherever the focus is, except while a field is typed into. The root font size follows the window, so everything on
the stage that is measured in `rem` does, too: the stage is at least 80 rem wide and 45 rem high.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from gradcam_core import DISCLAIMER
from pages.components.component import component
from pages.components.session import choose, value_of

HERE = Path(__file__).parent

_mount = component("keys", HERE, ("keys.js",))


@dataclass(frozen=True)
class Talk:
    """A row of screens. `step_key` and `view_key` name the kept values: the step, and whether it is presented."""

    titles: tuple[str, ...]
    step_key: str
    view_key: str

    @property
    def step(self) -> int:
        """The current step, from 1."""
        return min(max(int(value_of(self.step_key, 1)), 1), len(self.titles))

    @property
    def presented(self) -> bool:
        """Whether the presenter's view is open."""
        return bool(value_of(self.view_key, False))

    def move(self, by: int) -> None:
        """Go forward or back."""
        choose(self.step_key, min(max(self.step + by, 1), len(self.titles)))

    def enter(self) -> None:
        """Open the presenter's view at the first step."""
        choose(self.step_key, 1)
        choose(self.view_key, True)

    def listen(self, *, on_page: bool = False) -> None:
        """Listen to keys, and show the bar below the stage. With `on_page`, left and right work on the page, too."""
        data = {
            "step": self.step,
            "titles": list(self.titles),
            "presented": self.presented,
            "on_page": on_page,
            "words": DISCLAIMER,
            "turn": st.session_state.get(f"{self._key} turn", 0),
        }
        _mount(key=self._key, data=data, on_move_change=self._take_move, on_leave_change=self._leave)

    @contextmanager
    def stage(self) -> Iterator[None]:
        """Cover the page with the current step's screen; what is drawn inside is shown on it."""
        with st.container(key="stage"):
            # Not a style alone: that would stay on the page after a fragment's run without it.
            st.html(f"<style>{(HERE / 'stage.css').read_text('utf-8')}</style><span></span>")
            st.title(self.titles[self.step - 1], anchor=False)
            with st.container(key="screen"):
                yield

    @property
    def _key(self) -> str:
        return f"keys-{self.step_key.replace(' ', '-')}"

    def _take_move(self) -> None:
        """Take the step that the browser wants. It names the step itself, since moves may arrive as one."""
        move = (st.session_state.get(self._key) or {}).get("move")
        if not isinstance(move, Mapping) or not all(isinstance(move.get(name), int) for name in ("to", "turn")):
            return
        st.session_state[f"{self._key} turn"] = move["turn"]
        choose(self.step_key, min(max(move["to"], 1), len(self.titles)))

    def _leave(self) -> None:
        choose(self.view_key, False)
