"""A visitor of the app, whose clicks are counted.

A click is one deliberate action of the mouse or the keyboard: a click, a drag, a key, a dropped file. Choosing files in
the system's dialogue counts three. Letters typed to find a name in a list are not counted; opening the list and taking
the name are.
"""

import dataclasses
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.test_app import settled, unfold
from tests.test_front_door import follow, pick
from tests.test_intake import give

FILE = dict[str, Any]
PICTURES = ".viewer .panel canvas"
CHOOSING_A_FILE = 3


@dataclasses.dataclass
class Visitor:
    """A person at the page, whose clicks are counted."""

    page: Any
    clicks: int = 0

    def is_there(self) -> None:
        """Begin to count: the way to this place is no part of the goal."""
        self.clicks = 0

    def click(self, *target: Any, **options: Any) -> None:
        """Click on something by its role and name, or on a locator."""
        place = target[0] if len(target) == 1 else self.page.get_by_role(target[0], name=target[1], **options).first
        place.click(timeout=60_000)
        self.clicks += 1

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.clicks += 1

    def follow(self, name: str) -> None:
        """Follow a link of the sidebar."""
        follow(self.page, name)
        self.clicks += 1

    def unfold(self) -> None:
        """Open the line with the method, the layers and the classes."""
        unfold(self.page)
        self.clicks += 1

    def pick(self, label: str, text: str) -> None:
        """Open a list, type a part of a name, take it."""
        pick(self.page, label, text)
        self.clicks += 2

    def choose_files(self, place: str, *files: FILE) -> None:
        """Choose files in the system's dialogue."""
        self.page.locator(f"{place} input[type=file]").set_input_files(list(files))
        self.clicks += CHOOSING_A_FILE

    def bring(self, content: bytes, name: str = "mine.png") -> None:
        """Choose a picture on Start, and wait for its heatmaps."""
        self.choose_files(".st-key-takes-drops", file(name, content))
        self.page.wait_for_url("**/Explain", timeout=60_000)
        self.sees(self.page.locator(PICTURES).nth(3))

    def drop(self, place: str, files: Sequence[tuple[str, bytes]]) -> None:
        """Drop files on an element of the page."""
        give(self.page, "drop", files, place)
        self.clicks += 1

    def drag(self, place: Any, start: tuple[float, float], end: tuple[float, float], button: str = "left") -> None:
        """Drag over an element, between two places that are given as shares of it."""
        place.scroll_into_view_if_needed()
        box, mouse = place.bounding_box(), self.page.mouse
        (left, top), (right, bottom) = (
            (box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)
        )
        mouse.move(left, top)
        mouse.down(button=button)
        mouse.move(right, bottom, steps=5)
        mouse.up(button=button)
        self.clicks += 1

    def sees(self, what: Any) -> None:
        """Wait until words, or an element, can be seen."""
        place = self.page.get_by_text(re.compile(what)).first if isinstance(what, str) else what
        place.wait_for(timeout=90_000)

    def saves(self, name: str) -> bytes:
        """Click on a download; return the file."""
        settled(self.page)  # a button of the run before may be gone when it is clicked
        with self.page.expect_download(timeout=60_000) as waiting:
            self.click("button", name)
        return Path(waiting.value.path()).read_bytes()

    def until(self, read: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
        """Look again and again until what is read is as it should be."""
        deadline = time.monotonic() + 60
        while not holds(value := read()):
            assert time.monotonic() < deadline, value
            self.page.wait_for_timeout(100)
        return value


def file(name: str, content: bytes) -> FILE:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}
