"""The table of docs/heads.md against the code: every cell is computed with a tiny network."""

import re

import pytest

from tests.every_head import ROWS, TABLE, answer, models, table

CELL = re.compile(r"no \((\d+)\)")


@pytest.mark.parametrize("row", ROWS)
def test_what_works_for_which_head_is_as_documented(row: str) -> None:
    document = TABLE.read_text("utf-8")
    sentences = dict(re.findall(r"^(\d+)\. (.+)$", document, re.MULTILINE))
    (line,) = (line for line in document.splitlines() if line.startswith(f"| {row} |"))
    for task, cell in zip(models(), line.split(" | ")[1:], strict=True):
        refused = CELL.search(cell)
        assert answer(row, task) == (sentences[refused[1]] if refused else ""), task


def test_the_document_is_what_its_command_writes() -> None:
    assert table() == TABLE.read_text("utf-8")
