"""A batch on Ray: every picture exactly once, also where a machine is lost or a picture ends its process.

Skipped where the package ray is missing: `make test-ray` installs it.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import gradcam_core as core
from gradcam_core.batch.working import Heatmaps
from gradcam_core.cli import main
from gradcam_core.runners.processes import ENDED
from gradcam_core.runners.ray_data import in_ray
from tests.test_batch import MODEL, RECIPE, draw_pictures, rows_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.skipif("not __import__('importlib.util').util.find_spec('ray')", reason="the package ray is missing"),
]
ROOT = Path(__file__).parents[1]


class Deadly(str):
    """A path that ends the process of a worker in which it is read, and no other process."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return deadly, (str(self),)


def deadly(path: str) -> Deadly:
    if sys.argv[0] == "-c":  # how such a process is begun
        os._exit(3)
    return Deadly(path)


@pytest.fixture
def two_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster on this machine whose first node has one core; a test adds the second."""
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "ray").mkdir()
        settings = {"RAY_TMPDIR": folder, "RAY_AUTH_MODE": "disabled", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        for name, value in {**settings, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT)}.items():
            monkeypatch.setenv(name, value)
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def test_a_machine_that_is_lost_in_mid_run_loses_no_picture(two_machines: Any, tmp_path: Path) -> None:
    import ray

    other = two_machines.add_node(num_cpus=1)
    draw_pictures(tmp_path / "pictures", 400, side=480)
    jobs = core.find_pictures(tmp_path / "pictures")
    lost: list[float] = []

    def lose(standing: core.Standing) -> None:
        if standing.done >= 100 and not lost:
            lost.append(ray.available_resources().get("CPU", 0))
            two_machines.remove_node(other)

    path = tmp_path / core.journal_name()
    standing = core.run_batch(jobs, RECIPE, path, cluster=two_machines.address, on_standing=lose)
    assert lost == [0], "both machines were at work"
    assert (standing.done, standing.failed) == (400, 0)
    journal = core.Journal(path)
    assert [result.name for result in journal.results()] == [job.name for job in jobs]
    journal.close()


def test_a_picture_that_ends_its_process_is_a_row_and_not_the_end(two_machines: Any, tmp_path: Path) -> None:
    draw_pictures(tmp_path, 20)
    jobs = list(core.find_pictures(tmp_path))
    jobs[7] = replace(jobs[7], path=Deadly(jobs[7].path))
    groups = list(in_ray([jobs[:10], jobs[10:]], Heatmaps(RECIPE), two_machines.address))
    results = [result for group in groups for result in group]
    assert sorted(result.name for result in results) == [job.name for job in jobs]
    assert {result.name: result.problem for result in results if result.problem} == {jobs[7].name: ENDED}


def test_what_suits_no_picture_ends_the_batch_in_words(two_machines: Any, tmp_path: Path) -> None:
    draw_pictures(tmp_path, 2)
    with pytest.raises(core.GradcamError, match="weights have changed"):
        list(
            in_ray([core.find_pictures(tmp_path)], Heatmaps(replace(RECIPE, fingerprint="other")), two_machines.address)
        )


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray", "ray://127.0.0.1:99999"])
def test_a_cluster_that_does_not_answer_is_a_sentence_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    draw_pictures(tmp_path / "pictures", 1)
    command = ["batch", str(tmp_path / "pictures"), "--model", MODEL, "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*command, "--cluster", address]) == 2
    assert "no Ray cluster at the address" in capsys.readouterr().err


def listeners() -> set[str]:
    """Addresses on which the processes of this machine listen, as the kernel writes them."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    return {fields[1] for fields in lines if fields[3] == "0A"}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel lists no addresses here")
def test_a_local_cluster_listens_on_loopback_alone_and_leaves_nothing(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "pictures", 40)
    command = [sys.executable, "-m", "gradcam_core", "batch", str(tmp_path / "pictures"), "--model", MODEL]
    command += ["--out", str(tmp_path / "out"), "--cluster", "local", "--workers", "2", "--quiet"]
    home, folders = tmp_path / "home", set(Path("/tmp").glob("ray*"))
    home.mkdir()
    before, opened = listeners(), set[str]()
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, "HOME": str(home)}) as running:
        while running.poll() is None:
            opened |= listeners() - before
            time.sleep(0.1)
    assert running.returncode == 0
    assert len(rows_of(tmp_path / "out" / "results.csv")) == 40
    loopback = re.compile(r"(0100007F|0{16}FFFF00000100007F|0{24}01000000):")
    assert opened
    assert [address for address in opened if not loopback.match(address)] == []
    assert set(Path("/tmp").glob("ray*")) == folders
    assert not (home / ".ray").exists()
