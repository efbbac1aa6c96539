"""Pictures decoded in processes of their own: equal to `read_image`, and no file can do more than end its process."""

import ast
import io
import mmap
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from platform import libc_ver

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from gradcam_core import (
    Decoder,
    ImageRecord,
    Journal,
    LoadedModel,
    Recipe,
    drift,
    evaluate,
    find_pictures,
    journal_name,
    load_model,
    run_batch,
    stacks_of,
)
from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from gradcam_core.runners.channel import _KEPT, Channel
from gradcam_core.runners.decoding_process import answer
from tests.browser import ROOT
from tests.dicom_sources import changed
from tests.hostile_pictures import flat_png
from tests.pictures import CAT, RAMP, SEE_THROUGH, encode, tiff
from tests.test_dicom_series import slice_at
from tests.test_readers_hostile import SEEDS, mutate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")

PNG = encode(CAT, "PNG")
STOPPED = "its decoder stopped"
# Files of other kinds than those that are mutated.
OTHERS = {
    "see-through": encode(SEE_THROUGH, "PNG"),
    "turned": encode(CAT, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
    "channels": tiff(np.dstack([RAMP] * 5), planarconfig="contig", photometric="minisblack"),
    "dicom": Path(str(get_testdata_file("CT_small.dcm"))).read_bytes(),
    "cut": PNG[:-40],
    "text": b"no picture",
    "nothing": b"",
}


@contextmanager
def running(processes: int = 1, **options: float) -> Iterator[Decoder]:
    decoder = Decoder(processes, **options)
    try:
        yield decoder
    finally:
        decoder.end()


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with running(2) as decoder:
        decoder.start()
        yield decoder


@pytest.fixture(scope="module")
def slow_file() -> bytes:
    """A picture that takes seconds to decode."""
    return flat_png(16, 2, 3)


def outcome(read: object, *arguments: object, **options: object) -> ImageRecord | PictureError:
    try:
        return read(*arguments, **options)
    except PictureError as error:
        return error


def pids(decoder: Decoder) -> list[int]:
    return [process._process.pid for process in decoder._all if process._process is not None]


def cpu_seconds(pid: int) -> float:
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end_while_it_reads(decoder: Decoder, file: bytes, with_signal: int) -> ImageRecord | PictureError:
    """Read a slow file, and send a signal to its process once that has worked on it for a while."""
    assert decoder.read_image(PNG).width == CAT.shape[1]
    (pid,) = pids(decoder)
    before = cpu_seconds(pid)
    with ThreadPoolExecutor(1) as pool:
        reading: Future[ImageRecord | PictureError] = pool.submit(outcome, decoder.read_image, file)
        wait_until(lambda: cpu_seconds(pid) > before + 0.15)
        os.kill(pid, with_signal)
        return reading.result(30)


def assert_equal(left: object, right: object) -> None:
    assert type(left) is type(right)
    if isinstance(left, PictureError):
        assert str(left) == str(right)
        return
    for name in [field.name for field in fields(left) if field.name != "seconds"]:
        own, other = getattr(left, name), getattr(right, name)
        if isinstance(own, np.ndarray):
            assert np.array_equal(own, other), name
            assert (own.dtype, own.flags.writeable) == (other.dtype, other.flags.writeable), name
        elif hasattr(own, "__dataclass_fields__"):
            assert_equal(own, other)
        else:
            assert own == other, name


@pytest.mark.parametrize("shared_memory", [True, False], ids=["memory", "pipe"])
def test_every_kind_of_file_gives_what_read_image_gives(shared_memory: bool) -> None:
    with running(shared_memory=shared_memory) as decoder:
        for name, file in (SEEDS | OTHERS).items():
            options = {"name": "a.png", "window": (1000, 500) if name in ("deep tiff", "dicom") else None}
            assert_equal(outcome(decoder.read_image, file, **options), outcome(read_image, file, **options))
        assert_equal(
            outcome(decoder.read_image, memoryview(SEEDS["apng"]), frame=1), read_image(SEEDS["apng"], frame=1)
        )
        for options in ({"frame": 5}, {"max_pixels": 100}, {"max_bytes": 100}, {"window": "x"}):
            assert_equal(outcome(decoder.read_image, PNG, **options), outcome(read_image, PNG, **options))


def test_no_torch_is_loaded_in_the_process(decoder: Decoder) -> None:
    decoder.read_image(PNG)
    for pid in pids(decoder):
        assert "torch" not in Path(f"/proc/{pid}/maps").read_text()


def test_a_file_that_ends_its_decoder_twice_is_not_read_again(slow_file: bytes) -> None:
    with running() as decoder:
        assert STOPPED in str(end_while_it_reads(decoder, slow_file, signal.SIGSEGV))
        assert STOPPED in str(end_while_it_reads(decoder, slow_file, signal.SIGKILL))
        assert decoder.read_image(PNG).width == CAT.shape[1]
        began = time.monotonic()
        refused = outcome(decoder.read_image, slow_file)
        assert "stopped the decoder twice" in str(refused)
        assert refused.remedy
        assert time.monotonic() - began < 1


def test_a_file_that_ends_its_decoder_costs_no_other_session_anything(decoder: Decoder, slow_file: bytes) -> None:
    decoder.read_image(PNG)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(outcome, decoder.read_image, slow_file)
        wait_until(lambda: decoder._idle.qsize() == 1)
        busy = next(process for process in decoder._all if process not in decoder._idle.queue)
        assert decoder.read_image(PNG).width == CAT.shape[1]
        assert not slow.done()
        wait_until(lambda: cpu_seconds(busy._process.pid) > 0.5)
        os.kill(busy._process.pid, signal.SIGABRT)
        assert STOPPED in str(slow.result(30))
        assert decoder.read_image(PNG).width == CAT.shape[1]


def test_a_picture_that_never_reached_its_process_is_read_by_the_next_one() -> None:
    with running() as decoder, ThreadPoolExecutor(1) as pool:
        decoder.read_image(PNG)
        (pid,) = pids(decoder)
        os.kill(pid, signal.SIGSTOP)
        reading = pool.submit(decoder.read_image, PNG)
        wait_until(lambda: decoder._idle.empty())
        time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        assert reading.result(30).width == CAT.shape[1]
        os.kill(pids(decoder)[0], signal.SIGKILL)  # while it is idle
        assert decoder.read_image(PNG).width == CAT.shape[1]
        assert not decoder._ended


def test_a_picture_may_take_so_long(slow_file: bytes) -> None:
    with running(seconds=0.3) as decoder:
        decoder.read_image(PNG)
        began = time.monotonic()
        assert "within 0.3 seconds" in str(outcome(decoder.read_image, slow_file))
        assert time.monotonic() - began < 3
        assert decoder.read_image(PNG).width == CAT.shape[1]


TOO_SLOW = "within 0.3 seconds"


@pytest.fixture(scope="module")
def hurried() -> Iterator[Decoder]:
    """A decoder whose process is ended over a slow file."""
    with running(seconds=0.3) as decoder:
        decoder.start()
        yield decoder


@pytest.fixture(scope="module")
def clean() -> LoadedModel:
    return load_model("bundled:radiograph_clean", device="cpu")


def test_in_a_folder_the_file_that_ends_its_decoder_fails_alone(
    hurried: Decoder, slow_file: bytes, clean: LoadedModel, tmp_path: Path
) -> None:
    pictures = [("slow.png", lambda: slow_file), ("cat.png", lambda: PNG)]
    masks = {"cat_mask.png": lambda: slow_file}
    evaluation = evaluate(pictures, (), masks, clean, decode=hurried.decode)
    cat, slow = sorted(evaluation.rows, key=lambda row: row.name)
    assert TOO_SLOW in slow.problem
    assert TOO_SLOW in cat.note
    assert cat.answer
    moved = drift(pictures, clean, clean, decode=hurried.decode)
    assert [TOO_SLOW in row.problem for row in moved.rows] == [False, True]
    for name, read in pictures:
        (tmp_path / name).write_bytes(read())
    recipe, place = Recipe("bundled:radiograph_clean", {"device": "cpu"}), tmp_path / journal_name()
    assert run_batch(find_pictures(tmp_path), recipe, place, decode=hurried.decode).failed == 1
    assert TOO_SLOW in next(result.problem for result in Journal(place).results() if result.status == "failed")


def zipped(*contents: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in enumerate(contents):
            archive.writestr(str(place), content)
    return stream.getvalue()


@pytest.mark.parametrize("shared_memory", [True, False], ids=["memory", "pipe"])
def test_stacks_are_the_same_and_a_file_that_ends_its_decoder_stays_as_it_is(shared_memory: bool) -> None:
    slices = [slice_at(place, depth=-place) for place in range(4)]
    files = [("one.zip", zipped(*slices[:3], b"readme")), ("four.dcm", slices[3]), ("cat.png", PNG), ("cut", PNG[:9])]
    with running(shared_memory=shared_memory) as decoder:
        assert [name for name, _ in stacks_of(files)] == ["one.zip (1) and 3 more", "cat.png", "cut"]
        assert stacks_of(files, decoder.parts_of) == stacks_of(files)
    slow = ("slow.zip", zipped(*[b""] * 10_000))
    with running(shared_memory=shared_memory, seconds=0.03) as decoder:
        decoder.start()
        assert stacks_of([slow, *files[2:]], decoder.parts_of) == [slow, *files[2:]]
        assert TOO_SLOW.replace("0.3", "0.03") in str(outcome(decoder.parts_of, slow[1]))


def test_pages_decode_nothing_in_the_server() -> None:
    """What reads the bytes of a user on a page gets the decoder; pictures that come with the app need none."""
    wanted = dict.fromkeys(("evaluate", "drift", "run_batch", "read_truth"), "DECODER.decode")
    wanted["stacks_of"] = "DECODER.parts_of"
    own = {"pages/components/story/__init__.py", "pages/components/filmstrip/__init__.py"}
    calls = 0
    for path in sorted([*(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]):
        if str(path.relative_to(ROOT)) in own:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module.split(".")[0] not in ("PIL", "pydicom", "tifffile", "imagecodecs"), path
                assert node.module != "gradcam_core" or "read_image" not in {name.name for name in node.names}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in wanted:
                given = [ast.unparse(part) for part in (*node.args, *(keyword.value for keyword in node.keywords))]
                assert wanted[node.func.id] in given, f"{path} {node.lineno}"
                calls += 1
    assert calls >= 6


def test_a_process_may_take_so_much_memory(slow_file: bytes) -> None:
    with running(megabytes=200) as decoder:
        assert "not enough memory" in str(outcome(decoder.read_image, slow_file))
        assert decoder.read_image(PNG).width == CAT.shape[1]


def test_what_a_decoder_raises_beside_exceptions_is_an_error_in_words() -> None:
    class PanicError(BaseException):
        pass

    def panic() -> None:
        raise PanicError("PATIENT")

    reply = answer(panic, 15)
    assert reply.kind == "error"
    assert "decoder failed" in str(reply.content)
    fault = answer(lambda: {}["PATIENT"], 15)
    assert fault.kind == "fault"
    assert "KeyError" in fault.content
    assert "test_decoding" in fault.content


class RunsCode:
    def __init__(self, what: object) -> None:
        self.what = what

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return self.what, ("PATIENT",)


@pytest.mark.parametrize("what", [os.system, eval, np.load, Path, Decoder])
def test_a_process_cannot_make_the_program_run_code(what: object) -> None:
    here, there = multiprocessing.Pipe()
    here.send_bytes(pickle.dumps((pickle.dumps(RunsCode(what)), [])))
    with pytest.raises(pickle.UnpicklingError):
        Channel(there, None).receive()
    here.send_bytes(pickle.dumps(RunsCode(what)))
    with pytest.raises(pickle.UnpicklingError):
        Channel(there, None).receive()


def test_where_no_process_can_be_started_the_program_itself_reads(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for program in ("/no/such/program", "/bin/false"):
        with monkeypatch.context() as patched, running() as decoder:
            patched.setattr(sys, "executable", program)
            assert_equal(decoder.read_image(PNG), read_image(PNG))
    assert caplog.text.count("No process can be started") == 2


def test_threads_get_their_own_pictures(decoder: Decoder) -> None:
    files = {side: encode(CAT[:side, :side], "PNG") for side in range(20, 60)}
    with ThreadPoolExecutor(8) as pool:
        records = pool.map(decoder.read_image, files.values())
        for side, record in zip(files, records, strict=True):
            assert_equal(record, read_image(files[side]))


def test_large_pictures_do_not_stay_in_the_shared_memory(decoder: Decoder) -> None:
    record = decoder.read_image(encode(np.zeros((5000, 5000, 3), np.uint8), "PNG", compress_level=1))
    files = [process._channel.memory.file for process in decoder._all if process._process is not None]
    assert record.pixels.nbytes / 4 > _KEPT
    assert max(os.fstat(file).st_size for file in files) > _KEPT
    assert max(os.fstat(file).st_blocks * 512 for file in files) <= _KEPT


def page_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="other allocators are not told what to keep")
def test_a_process_keeps_the_memory_in_which_it_decodes() -> None:
    rows, columns, faults = 3000, 2500, []

    def enlarge(dataset: Dataset) -> None:
        dataset.Rows, dataset.Columns = rows, columns
        dataset.PixelData = bytes(2 * rows * columns)

    file = changed(enlarge)
    with running() as decoder:
        for place in range(6):
            decoder.read_image(file + bytes(place))
            faults.append(page_faults(pids(decoder)[0]))
    assert faults[-1] - faults[-3] < 2 * rows * columns / mmap.PAGESIZE / 4


def test_a_process_has_the_file_whose_frames_are_read_and_forgets_it_after_a_while() -> None:
    animation = SEEDS["apng"] + bytes(5_000_000)
    with running() as decoder:
        for frame in (0, 1, 0):
            assert_equal(decoder.read_image(animation, frame=frame), read_image(animation, frame=frame))
        altered = bytearray(animation)
        first = decoder.read_image(altered)
        altered[:] = PNG
        assert_equal(decoder.read_image(altered), read_image(PNG))
        assert not np.array_equal(first.pixels, decoder.read_image(PNG).pixels)
        (before,) = pids(decoder)
        decoder.renew(600)
        assert pids(decoder) == [before]
        decoder.renew(0)
        assert pids(decoder) != [before]
        assert decoder._all[0]._data is None
        assert_equal(decoder.read_image(PNG), read_image(PNG))


KILLED = """
import sys, time
from gradcam_core.runners.decoding import Decoder
decoder = Decoder(1)
try:
    decoder.read_image(sys.stdin.buffer.read())
except Exception:
    pass
print(decoder._all[0]._process.pid, flush=True)
time.sleep(60)
"""


def test_nothing_stays_behind_when_the_server_is_killed() -> None:
    before = set(Path("/dev/shm").iterdir())
    server = subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    server.stdin.write(PNG[:-40])
    server.stdin.close()
    pid = int(server.stdout.readline())
    os.kill(pid, 0)
    server.kill()
    server.wait()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or ") Z " in Path(f"/proc/{pid}/stat").read_text())
    assert set(Path("/dev/shm").iterdir()) <= before
    server.stdout.close()


def read_mutated(decoder: Decoder, number: int) -> None:
    chance = random.Random(number)
    files = SEEDS | {"dicom": OTHERS["dicom"]}
    for _ in range(number):
        file = mutate(chance.choice(list(files.values())), chance)
        began = time.monotonic()
        result = outcome(decoder.read_image, file, max_pixels=1_000_000)
        assert time.monotonic() - began < 20
        assert isinstance(result, ImageRecord) or (result.message and result.remedy)


def test_mutated_files_are_answered(decoder: Decoder) -> None:
    read_mutated(decoder, 40)


@pytest.mark.slow
def test_two_thousand_mutated_files_are_answered(decoder: Decoder) -> None:
    read_mutated(decoder, 2000)
