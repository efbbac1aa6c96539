"""The glossary's retired words stay out of the product: its pages, code and documents."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
WRITTEN = sorted(
    file
    for folder in ("gradcam_core", "pages", "demonstration", "benchmarks", "docs", "deploy")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in (".py", ".pyi", ".js", ".html", ".css", ".md", ".toml") and "results" not in file.parts
)
DOCUMENTS = [ROOT / name for name in ("app.py", "README.md", "CONTRIBUTING.md", "Makefile")]
FILES = [file for file in (*DOCUMENTS, *WRITTEN) if file != GLOSSARY and file.name != "benchmarks.md"]
CODE = [file for file in FILES if file.suffix == ".py"]


def retired_phrases() -> list[str]:
    """The last column of the table, and the list of words not used anywhere."""
    text = GLOSSARY.read_text("utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    column = [phrase for row in rows[1:] for phrase in row[2].split(",")]
    listed = re.search(r"## Words not used anywhere\n.*?:(.*?)\n## ", text, re.DOTALL)
    assert listed
    return [" ".join(phrase.split()) for phrase in (*column, *listed[1].rstrip(". \n").split(",")) if phrase.strip()]


def retired_names() -> set[str]:
    listed = re.search(r"## Names not used.*?: (.*)\.", GLOSSARY.read_text("utf-8"), re.DOTALL)
    assert listed
    return {name.strip() for name in listed[1].split(",")}


def assigned(file: Path) -> set[str]:
    """Names of variables, arguments and loop variables that a file gives."""
    tree = ast.parse(file.read_text("utf-8"))
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}


def test_the_glossary_lists_what_is_retired() -> None:
    assert {"anew", "held against", "first answer"} <= set(retired_phrases())
    assert {"found", "made"} <= retired_names()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_retired_word_is_used(file: Path) -> None:
    text = " ".join(file.read_text("utf-8").split()).lower()
    used = [phrase for phrase in retired_phrases() if re.search(rf"\b{re.escape(phrase)}\b", text)]
    assert not used


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_variable_has_a_name_that_says_nothing(file: Path) -> None:
    assert not assigned(file) & retired_names()
