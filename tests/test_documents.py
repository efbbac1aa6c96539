"""What the documents say is true: their examples run, their tables equal the code."""

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest

from gradcam_core import list_measurements, list_methods, read_sample
from gradcam_core.cli import build_parser, main
from gradcam_core.commands.flags import to_method
from gradcam_core.readers.formats import READERS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


COMMAND_LINES = re.findall(r"^python -m gradcam_core (.+)$", README, re.MULTILINE)
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize(
    ("number", "printed"), [(0, "grad_cam_plus_plus"), (1, "Is the model reading a corner or border?")]
)
def test_the_python_examples_run(
    number: int, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.png").write_bytes(read_sample("cat"))
    (tmp_path / "example.py").write_text(EXAMPLES[number], "utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("example.py")
    assert printed in capsys.readouterr().out
    assert number or (tmp_path / "overlay.png").stat().st_size > 10_000


def test_the_example_of_heatmaps_during_training_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs/training.md").read_text("utf-8")
    (tmp_path / "example.py").write_text(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], "utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("example.py")
    assert "film.html" in capsys.readouterr().out
    assert (tmp_path / "heatmaps" / "film.html").stat().st_size > 50_000


def test_there_is_no_example_that_is_not_run() -> None:
    assert len(EXAMPLES) == 2


def test_every_command_line_is_one_that_the_terminal_takes() -> None:
    assert len(COMMAND_LINES) >= 9
    for line in COMMAND_LINES:
        given = build_parser().parse_args(shlex.split(line))
        methods = getattr(given, "method", None) or []
        for method in [methods] if isinstance(methods, str) else methods:
            to_method(method)


@pytest.mark.parametrize("flag", ["--method grad_cam --top-k 3", "--against"])
def test_the_command_lines_for_the_bundled_model_run(
    flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.png").write_bytes(read_sample("cat"))
    monkeypatch.chdir(tmp_path)
    (line,) = (line for line in COMMAND_LINES if flag in line)
    assert main(shlex.split(line)) == 0
    assert list((tmp_path / "out" / "cat").glob("*.png"))


def test_the_tables_of_methods_and_measurements_equal_the_registries() -> None:
    rows = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| `(\w+)` \| (.+?) \| (.+?) \|$", README, re.MULTILINE)
    known = [(m.title, m.url, m.name, m.paper, ", ".join(m.needs)) for m in (*list_methods(), *list_measurements())]
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
    assert {re.split(r"[>=]", line)[0] for line in app - package} == {"streamlit", "plotly", "highdicom"}


def test_the_version_is_the_same_everywhere() -> None:
    from gradcam_core import __version__

    package = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert package == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("file", ["README.md", "pages/components/frame/sidebar.py"])
def test_every_picture_format_is_named(file: str) -> None:
    # The sidebar cannot ask the readers: they load torch.
    text = (ROOT / file).read_text("utf-8")
    assert READERS
    assert not [kind for kind in READERS if not re.search(rf"\b{kind}\b", text)]
