"""How many pictures a pass takes follows from what the process's allocator does, asked of the allocator itself."""

import subprocess
import sys

import pytest

TUNE = """
import threading
from gradcam_core.devices import keeps_large_blocks, pictures_at_once, tune_allocator
import torch
def state():
    return keeps_large_blocks(), pictures_at_once(torch.device("cpu"))
def in_a_thread():
    answers = []
    thread = threading.Thread(target=lambda: answers.append(state()))
    thread.start()
    thread.join()
    return answers[0]
print(state(), in_a_thread(), tune_allocator(), state(), in_a_thread(), pictures_at_once(torch.device("meta")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_tuned_process_takes_more_pictures_at_a_time() -> None:
    answer = subprocess.run([sys.executable, "-c", TUNE], capture_output=True, text=True, timeout=120, check=True)
    assert answer.stdout.strip() == "(False, 2) (False, 2) True (True, 16) (True, 16) 32"


def test_what_one_process_tuned_is_no_fact_of_another() -> None:
    code = "from gradcam_core.devices import keeps_large_blocks; print(keeps_large_blocks())"
    start = "from gradcam_core.devices import tune_allocator; import subprocess, sys; tune_allocator(); "
    start += f"subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    answer = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, timeout=120, check=True)
    assert answer.stdout.strip() == "False"
