"""What the documents say is so: their examples run, their tables equal the code."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest

from gradcam_core import list_methods, read_sample

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "cat.png").write_bytes(read_sample("cat"))
    (tmp_path / "example.py").write_text(code, "utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("example.py")
    assert "grad_cam_plus_plus" in capsys.readouterr().out
    assert (tmp_path / "overlay.png").stat().st_size > 10_000


def test_the_table_of_methods_equals_the_registry() -> None:
    rows = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| `(\w+)` \| (.+?) \| (.+?) \|$", README, re.MULTILINE)
    known = [(m.title, m.url, m.name, m.paper, ", ".join(m.needs)) for m in list_methods()]
    assert rows == known


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_app_and_the_package_ask_for_the_same_versions() -> None:
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    app = {line.split("#")[0].strip() for line in lines} - {""}
    package = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"])
    assert package <= app
    assert {re.split(r"[>=]", line)[0] for line in app - package} == {"streamlit", "plotly"}


def test_the_version_is_the_same_everywhere() -> None:
    from gradcam_core import __version__

    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert package == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
