"""What stands in deploy/: manifests fit their schemas, and what they run computes the parts of a folder."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import gradcam_core as core
from tests.test_batch import MODEL, draw_pictures, rows_of

DEPLOY = Path(__file__).parents[1] / "deploy"
# The oldest Kubernetes with backoffLimitPerIndex as a stable field, and the newest with a schema.
KUBERNETES = ("1.33", "1.37")
# Options of sbatch, of those in Slurm's manual that an array can use.
SBATCH = (
    *("account", "array", "chdir", "comment", "constraint", "cpus-per-gpu", "cpus-per-task", "dependency", "error"),
    *("exclude", "exclusive", "export", "gpus", "gpus-per-task", "gres", "hold", "input", "job-name", "licenses"),
    *("mail-type", "mail-user", "mem", "mem-per-cpu", "mem-per-gpu", "nice", "no-requeue", "nodelist", "nodes"),
    *("ntasks", "ntasks-per-node", "open-mode", "output", "partition", "qos", "requeue", "reservation", "signal"),
    *("time", "time-min", "tmp", "wckey"),
)


def jobs() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((DEPLOY / "kubernetes-job.yaml").read_text()))


def container(job: dict[str, Any]) -> dict[str, Any]:
    (only,) = job["spec"]["template"]["spec"]["containers"]
    return dict(only)


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_fit_the_schema_of_kubernetes(version: str) -> None:
    for job in jobs():
        kubernetes_validate.validate(job, version, strict=True)
    batch = jobs()[0]
    batch["spec"]["podFailurePolicy"]["rules"][0]["onExitCode"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(batch, version, strict=True)


def test_the_parts_are_as_many_as_the_completions_and_42_is_not_tried_again() -> None:
    batch, merge = jobs()
    settings = {setting["name"]: setting["value"] for setting in container(batch)["env"]}
    assert batch["spec"]["completionMode"] == "Indexed"
    assert batch["spec"]["completions"] == int(settings["SHARDS"])
    rule = batch["spec"]["podFailurePolicy"]["rules"][0]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailIndex", [42])
    assert rule["onExitCodes"]["containerName"] == container(batch)["name"]
    assert merge["spec"]["suspend"] is True


@pytest.mark.parametrize("job", jobs(), ids=["batch", "merge"])
def test_pods_may_do_nothing_but_their_work(job: dict[str, Any]) -> None:
    pod, only = job["spec"]["template"]["spec"], container(job)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert only["securityContext"]["readOnlyRootFilesystem"] is True
    assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert only["resources"]["limits"]["memory"]
    assert {mount["name"] for mount in only["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """Settings of one part, with a `python` and an `scontrol` that writes down what it is asked for."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/requeued"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    places = {"PICTURES": str(tmp_path / "pictures"), "RESULTS": str(tmp_path / "out"), "MODEL": MODEL, "SHARDS": "2"}
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(DEPLOY.parent), "PYTHON": "python", **places, **more}


def run(command: list[str], tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment(tmp_path, **more)
    )


def pictures_with_a_broken_one(tmp_path: Path) -> list[str]:
    draw_pictures(tmp_path / "pictures", 5)
    (tmp_path / "pictures" / "cut.jpg").write_bytes(b"\xff\xd8")
    return [job.name for job in core.find_pictures(tmp_path / "pictures")]


def test_what_the_pods_run_computes_a_part_and_joins_what_is_there(tmp_path: Path) -> None:
    pictures_with_a_broken_one(tmp_path)
    batch, merge = (container(job) for job in jobs())
    part = run([*batch["command"], *batch["args"]], tmp_path, JOB_COMPLETION_INDEX="1")
    assert part.returncode == 0, part.stderr
    joined = run([*merge["command"], *merge["args"]], tmp_path)
    assert "Shard 1 of 2 is missing" in joined.stderr
    own = [job for job in core.find_pictures(tmp_path / "pictures") if core.in_shard(job, (2, 2))]
    rows = rows_of(tmp_path / "out" / "results.csv")
    assert len(rows) == len(own) > 0
    assert not {row["name"] for row in rows} & {job.name for job in own}, "names are hashed"


def test_the_slurm_script_is_bash_with_options_that_exist() -> None:
    script = DEPLOY / "slurm-array.sh"
    subprocess.run(["bash", "-n", script], check=True)
    options = re.findall(r"^#SBATCH --([a-z-]+)", script.read_text(), re.MULTILINE)
    assert len(options) == len(re.findall(r"^#SBATCH", script.read_text(), re.MULTILINE)) > 5
    assert set(options) <= set(SBATCH)


def test_the_slurm_script_computes_its_part_and_what_is_missing_is_said(tmp_path: Path) -> None:
    names = pictures_with_a_broken_one(tmp_path)
    script = ["bash", str(DEPLOY / "slurm-array.sh")]
    merge = ["python", "-m", "gradcam_core", "batch", "--merge", "--model", MODEL, "--out", str(tmp_path / "out")]
    first = run(script, tmp_path, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="1")
    assert first.returncode == 0, first.stderr
    partly = run(merge, tmp_path)
    assert partly.returncode == 1
    assert "Shard 2 of 2 is missing" in partly.stderr
    run(script, tmp_path, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="2")
    run(merge, tmp_path)
    assert [row["name"] for row in rows_of(tmp_path / "out" / "results.csv")] == names
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(
    ("settings", "code", "requeued"),
    [
        ({"MODEL": "bundled:unknown"}, 42, ""),
        ({"PYTHON": "false"}, 1, "requeue 7_1\n"),
        ({"PYTHON": "false", "SLURM_RESTART_COUNT": "2"}, 1, ""),
    ],
    ids=["no use", "ended", "ended three times"],
)
def test_slurm_repeats_what_may_go_well_the_next_time(
    tmp_path: Path, settings: dict[str, str], code: int, requeued: str
) -> None:
    draw_pictures(tmp_path / "pictures", 1)
    script = ["bash", str(DEPLOY / "slurm-array.sh")]
    ended = run(script, tmp_path, SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID="1", **settings)
    assert ended.returncode == code
    record = tmp_path / "requeued"
    assert (record.read_text() if record.exists() else "") == requeued
