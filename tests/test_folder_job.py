"""A folder's evaluation in the browser: it goes on over other pages, can be stopped, and goes on from there."""

import re
from typing import Any

from tests.test_app import address, page, settled
from tests.test_front_door import follow, start

__all__ = ["address", "page"]


def reached(page: Any) -> int:
    """The number of the picture that is being evaluated."""
    words = page.get_by_text(re.compile(r"Picture \d+ of 45")).first
    words.wait_for(timeout=60_000)
    match = re.search(r"Picture (\d+) of 45", words.inner_text())
    assert match
    return int(match[1])


def test_a_job_goes_on_over_pages_is_stopped_and_goes_on_from_there(page: Any, address: str) -> None:
    start(page, address)
    follow(page, "Folder")
    page.get_by_role("button", name="Every nodule").click()
    page.get_by_role("button", name="Evaluate 45 pictures").click()
    before = reached(page)
    page.locator(".st-key-navigation").get_by_role("link", name="Models", exact=True).click()
    page.get_by_text("Add a model").wait_for(timeout=60_000)
    settled(page)
    page.wait_for_timeout(3000)
    page.locator(".st-key-navigation").get_by_role("link", name="Folder", exact=True).click()
    assert reached(page) > before, "it did not go on while another page was shown"
    page.get_by_role("button", name="Stop").click()
    stopped = page.get_by_text(re.compile(r"Stopped after \d+ of 45 pictures"))
    stopped.wait_for(timeout=60_000)
    match = re.search(r"after (\d+) of", stopped.inner_text())
    assert match
    settled(page)
    page.get_by_role("button", name=f"Go on with the other {45 - int(match[1])}").click()
    assert reached(page) >= int(match[1])
    page.get_by_role("button", name="Stop").click()
    stopped.wait_for(timeout=60_000)
