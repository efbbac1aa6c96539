"""Words and numbers for people."""

import math

import pytest

from gradcam_core.text import counted, is_plain, listed, number, one_line, percent, signed


@pytest.mark.parametrize(
    ("share", "digits", "words"),
    [
        (0.5, 1, "50.0 %"),
        (0.984, 0, "98 %"),
        (0.0, 1, "0.0 %"),
        (0.0004, 1, "< 0.1 %"),
        (0.0006, 1, "0.1 %"),
        (0.004, 0, "< 1 %"),
        (-0.0001, 0, "0 %"),
        (-0.05, 1, "−5.0 %"),
        (1, 0, "100 %"),
        (None, 1, "–"),
        (math.nan, 0, "–"),
    ],
)
def test_percentages(share: float | None, digits: int, words: str) -> None:
    assert percent(share, digits).replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("value", "form", "words"),
    [
        (-1024.0, "g", "−1024"),
        (-0.001, ".2f", "0.00"),
        (-0.0, "g", "0"),
        (1.5e-7, ".3g", "1.5e−07"),
        (-1234567.0, ",.0f", "−1,234,567"),
        (-math.inf, "g", "−inf"),
    ],
)
def test_numbers_have_a_real_minus_and_none_for_nothing(value: float, form: str, words: str) -> None:
    assert number(value, form) == words


def test_counts_and_lists() -> None:
    assert (counted(1, "picture"), counted(0, "picture"), counted(2000, "row")) == (
        "1 picture",
        "0 pictures",
        "2,000 rows",
    )
    assert [listed(list("abc"[:n])) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_text_from_outside_becomes_one_printable_line() -> None:
    assert one_line("a\n\x1b[31mb\u202ec\t d") == "a [31mb c d"
    assert len(one_line("long " * 100)) == 80


def test_text_that_steers_a_terminal_or_a_direction_is_not_plain() -> None:
    assert is_plain("Röntgen 猫 (2)")
    assert not any(is_plain(text) for text in ("a\x1b[31m", "a\nb", "a\u202eb", "\udc80"))


@pytest.mark.parametrize(("value", "written"), [(-0.394, "−0.39"), (-0.004, "0.00"), (0.5, "0.50"), (1, "1.00")])
def test_numbers_of_either_sign_have_a_real_minus(value: float, written: str) -> None:
    assert signed(value) == written
