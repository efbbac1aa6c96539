"""Checkpoints made to keep a computer busy, to confuse it or to run code: refused in time that follows their size."""

import collections
import io
import pickle
import struct
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch._weights_only_unpickler import _get_allowed_globals

from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from gradcam_core.sources.checkpoints import read_checkpoint
from gradcam_core.sources.names import match_names
from gradcam_core.sources.pickle_scan import is_weights, scan_pickle
from tests.checkpoints import SmallNet, load, rezip, weights

PROTO, STOP = b"\x80\x02", b"."
# On a busy machine, with every call's types checked as in all tests; each of these took from 13 seconds to hours.
CPU_SECONDS = 20.0


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def whole(number: int) -> bytes:
    return pickle.dumps(number, 2)[2:-1]


def named(path: str) -> bytes:
    module, _, name = path.rpartition(".")
    return f"c{module}\n{name}\n".encode()


def with_list(path: Path, content: bytes) -> None:
    """A checkpoint whose list of contents is this pickle."""
    torch.save({"x": torch.zeros(1)}, path.with_suffix(".plain"))
    rezip(path.with_suffix(".plain"), path, lambda name, data: content if name.endswith("data.pkl") else data)


def slow_codec() -> bytes:
    letters = "".join(map(chr, range(0x4E00, 0x4E00 + 40_000 - 20_000))) * 2
    return PROTO + named("_codecs.encode") + text(letters) + text("punycode") + b"\x86R" + STOP


def slow_codec_by_another_call() -> bytes:
    inner = named("_codecs.encode") + named("torch.Tensor") + text("é" * 40_000) + text("punycode") + b"\x86N"
    return PROTO + named("torch._tensor._rebuild_from_type_v2") + b"(" + inner + b"tR" + STOP


def endless_steps() -> bytes:
    return PROTO + b"}" + b"q\x00" * 1_100_000 + STOP


def colliding_numbers() -> bytes:
    keys = b"".join(whole(place * (2**61 - 1) << 61) + b"N" for place in range(1, 60_000))
    return PROTO + b"}(" + keys + b"u" + STOP


def colliding_pairs() -> bytes:
    keys = b"".join(whole(place) + whole(place) + b"\x86N" for place in range(60_000))
    return PROTO + b"}(" + keys + b"u" + STOP


def colliding_members_of_a_set() -> bytes:
    members = b"".join(whole(place * (2**61 - 1) << 61) for place in range(1, 60_000))
    return PROTO + named("builtins.set") + b"](" + members + b"e\x85R" + STOP


def key_that_takes_for_ever_to_hash() -> bytes:
    doubled = b"".join(b"q" + bytes([place]) + b"h" + bytes([place]) + b"\x86" for place in range(60))
    return PROTO + b"})" + doubled + b"Ns" + STOP


def storage_described_for_ever() -> bytes:
    doubled = b"".join(b"q" + bytes([place]) + b"h" + bytes([place]) + b"\x86" for place in range(60))
    return PROTO + b")" + doubled + b"\x85Q" + STOP


def long_list_used_again_and_again() -> bytes:
    again = named("builtins.set") + b"h\x00\x85R0"
    return PROTO + b"](" + b"K\x01" * 100_000 + b"eq\x00" + again[:-1] * 20_000 + STOP


def endless_name() -> bytes:
    names = b"".join(text("a." * 60_000 + str(place)) + b"h\x00" for place in range(100))
    return tensor_under(names)


def endless_names() -> bytes:
    return tensor_under(b"".join(text(f"n{place}") + b"h\x00" for place in range(120_000)))


STORED = b"(" + text("storage") + named("torch.FloatStorage") + text("0") + text("cpu") + b"K\x01tQ"
REBUILT = (
    named("torch._utils._rebuild_tensor_v2") + b"(" + STORED + b"K\x00K\x01\x85K\x01\x85\x89"
    + named("collections.OrderedDict") + b")RtR"
)  # fmt: skip


def tensor_under(names: bytes) -> bytes:
    """One tensor (its place in the memo is 0) under many names."""
    return PROTO + b"}(" + text("first") + REBUILT + b"q\x00" + names + b"u" + STOP


HOSTILE: tuple[tuple[Callable[[], bytes], str], ...] = (
    (slow_codec, "bytes written in an unusual way"),
    (slow_codec_by_another_call, "rebuilt in an unusual way"),
    (endless_steps, "more steps than any model's"),
    (colliding_numbers, "more than twenty digits"),
    (colliding_pairs, "neither names nor numbers"),
    (colliding_members_of_a_set, "more than twenty digits"),
    (key_that_takes_for_ever_to_hash, "neither names nor numbers"),
    (storage_described_for_ever, "described in an unknown way"),
    (long_list_used_again_and_again, "long values far too often"),
    (endless_name, "name of a tensor in the file is far too long"),
    (endless_names, "far more tensors"),
)


@pytest.mark.parametrize(("content", "words"), HOSTILE, ids=[content.__name__ for content, _ in HOSTILE])
def test_a_file_that_would_keep_the_unpickler_busy_is_refused_in_time(
    content: Callable[[], bytes], words: str, tmp_path: Path
) -> None:
    with_list(tmp_path / "x.pth", content())
    start = time.process_time()
    with pytest.raises(ModelError, match=words):
        load(tmp_path / "x.pth")
    assert time.process_time() - start < CPU_SECONDS


@pytest.mark.parametrize("content", [x for x, words in HOSTILE if "tensor" not in words], ids=lambda x: x.__name__)
def test_such_a_file_is_refused_before_the_unpickler_sees_it(
    content: Callable[[], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*given: Any, **named: Any) -> None:
        raise AssertionError("the unpickler was called")

    with_list(tmp_path / "x.pth", content())
    monkeypatch.setattr(torch, "load", opened)
    with pytest.raises(ModelError, match="not opened"):
        load(tmp_path / "x.pth")


def test_the_one_tensor_under_many_names_is_a_sound_file(tmp_path: Path) -> None:
    """So that the two tests above refuse the names, and nothing else."""
    with_list(tmp_path / "x.pth", tensor_under(text("second") + b"h\x00"))
    assert set(read_checkpoint(tmp_path / "x.pth").content) == {"first", "second"}


def test_a_zip_of_millions_of_entries_is_refused_before_they_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", *[0] * 8, 0, 0, 0, 3, *[0] * 6) + b"abc"
    count = 300_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count % 65536, count % 65536, count * len(entry), 4, 0)
    path = tmp_path / "x.pth"
    path.write_bytes(b"PK\x03\x04" + entry * count + end)

    def listed(*given: Any, **named: Any) -> None:
        raise AssertionError("the entries were listed")

    monkeypatch.setattr(zipfile, "ZipFile", listed)
    with pytest.raises(ModelError, match="list of contents is larger than any model's"):
        load(path)


def test_two_lists_of_contents_are_refused(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth", "a") as archive:
        archive.writestr("x/DATA.PKL", pickle.dumps({}, 2))
    with pytest.raises(ModelError, match="not as PyTorch writes it"):
        load(tmp_path / "x.pth")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_one_flipped_bit_is_noticed_by_the_files_own_checksums(share: float, tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"fc.weight": torch.randn(5, 6_000)}, path)
    content = bytearray(path.read_bytes())
    content[int(share * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged: its content differs from the checksums"):
        read_checkpoint(path)


def test_a_file_saved_without_checksums_loads(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(weights(), tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert set(read_checkpoint(tmp_path / "x.pth").content) == set(weights())


def with_attribute_items() -> bytes:
    return PROTO + named("collections.OrderedDict") + b")R}" + text("items") + b"K\x03sb" + STOP


def with_attribute_detach() -> bytes:
    tensor = REBUILT + b"\x89" + named("collections.OrderedDict") + b")R}" + text("detach") + b"K\x03s"
    parameter = named("torch._utils._rebuild_parameter_with_state") + b"(" + tensor + b"tR"
    return PROTO + b"}" + text("x") + parameter + b"s" + STOP


@pytest.mark.parametrize("content", [with_attribute_items, with_attribute_detach])
def test_objects_whose_methods_were_overwritten_are_refused_in_words(
    content: Callable[[], bytes], tmp_path: Path
) -> None:
    with_list(tmp_path / "x.pth", content())
    with pytest.raises(ModelError, match="damaged"):
        load(tmp_path / "x.pth")


def test_names_with_a_cell_that_csv_would_refuse_are_only_names(tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / "x.pth")
    (tmp_path / "labels.txt").write_text('a,b\n"' + "x" * 200_000 + '",1\n')
    assert load(tmp_path / "x.pth").labels[0] == "class 0"


@pytest.mark.parametrize(
    "path",
    [
        *("subprocess.Popen", "torch.hub.load", "torch.jit.load", "shutil.rmtree", "io.open", "builtins.exec"),
        *("numpy.load", "numpy.testing._private.utils.runstring", "torch.save", "pickle.loads", "joblib.load"),
    ],
)
def test_a_call_that_acts_on_the_computer_is_called_code(path: str, tmp_path: Path) -> None:
    content = PROTO + b"}" + text("x") + named(path) + text("canary") + b"\x85Rs" + STOP
    with_list(tmp_path / "x.pth", content)
    with pytest.raises(ModelError, match=r"asks to run code on this computer .*nothing was run") as caught:
        load(tmp_path / "x.pth")
    assert path in caught.value.message
    assert "Do not open it" in caught.value.remedy


def test_python_2s_name_of_a_module_is_told_as_todays(tmp_path: Path) -> None:
    with_list(tmp_path / "x.pth", PROTO + named("commands.Popen") + text("x") + b"\x85R" + STOP)
    with pytest.raises(ModelError, match=r"run code on this computer \(subprocess.Popen\)"):
        load(tmp_path / "x.pth")


def test_a_remedy_never_advises_to_open_a_file_of_unknown_origin(tmp_path: Path) -> None:
    with_list(tmp_path / "x.pth", slow_codec())
    with pytest.raises(ModelError) as caught:
        load(tmp_path / "x.pth")
    assert caught.value.remedy.startswith("If you made this file, or know and trust who did:")


def test_a_file_that_takes_long_does_not_keep_other_loads_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(weights(), tmp_path / "x.pth")
    own, entered, leave = torch.load, threading.Event(), threading.Event()

    def slow(stream: Any, *given: Any, **options: Any) -> Any:
        if getattr(stream, "name", "").endswith("x.pth"):
            entered.set()
            assert leave.wait(60)
        return own(stream, *given, **options)  # nosec: the options are those of the caller

    monkeypatch.setattr(torch, "load", slow)
    thread = threading.Thread(target=load, args=(tmp_path / "x.pth",), daemon=True)
    thread.start()
    try:
        assert entered.wait(20)
        assert load_model("bundled:efficientnet_lite0", device="cpu").labels
        assert thread.is_alive()
    finally:
        leave.set()
        thread.join(60)


def test_names_are_matched_in_time_that_follows_their_length() -> None:
    found = ["module." * 60 + f"layer{place}.weight" for place in range(20_000)]
    start = time.process_time()
    match = match_names(found, [f"layer{place}.weight" for place in range(20_000)])
    assert len(match.names) == 20_000
    assert time.process_time() - start < CPU_SECONDS


@pytest.mark.parametrize("name", sorted(_get_allowed_globals()))
def test_what_torch_takes_for_weights_is_never_called_code(name: str) -> None:
    """torch's own list may grow: what is new on it must be sorted here into weights and what is of no use."""
    module, _, member = name.rpartition(".")
    content = io.BytesIO(PROTO + f"c{module}\n{member}\n.".encode())
    if is_weights(name):
        assert not scan_pickle(content, 0).foreign
    else:
        with pytest.raises(ModelError, match="Tensors in the file are"):
            scan_pickle(content, 0)


def test_a_state_dict_pickled_by_python_2_loads(tmp_path: Path) -> None:
    """As torchvision's oldest published weights are: an OrderedDict from a list of pairs, with names as bytes."""
    pair = b"](U\x01a" + REBUILT + b"e"
    with_list(tmp_path / "x.pth", PROTO + named("collections.OrderedDict") + b"](" + pair + b"e\x85R" + STOP)
    assert list(read_checkpoint(tmp_path / "x.pth").content) == ["a"]


def test_what_training_keeps_beside_the_weights_loads(tmp_path: Path) -> None:
    network = SmallNet()
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "milestones": collections.Counter([10, 20, 20]),
        "seen": {1, 2, 3},
        "seed": 2**63 + 1,
        "generator": 2**127,
        "bytes": b"\x00\xff",
        "random": torch.get_rng_state(),
        "types": {torch.float16: 1, (0, 1): 2},
        "parameter": nn.Parameter(torch.zeros(2)),
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "number": 1j,
    }
    for old in (False, True):
        torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
        read = read_checkpoint(tmp_path / "x.pth").content
        assert {key: read[key] for key in ("milestones", "seen", "seed", "generator", "bytes", "types", "size")} == {
            key: content[key] for key in ("milestones", "seen", "seed", "generator", "bytes", "types", "size")
        }
        assert load(tmp_path / "x.pth").architecture == "SmallNet"


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="Linux only")
def test_a_file_that_cannot_be_read_is_refused_in_words() -> None:
    with pytest.raises(ModelError):
        load(Path("/proc/self/mem"))
