"""Checkpoint files: what is read, what is refused and in which words, and that nothing in them runs."""

import io
import json
import os
import pickle
import struct
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gradcam_core.errors import ModelError
from gradcam_core.sources import load_model
from gradcam_core.sources.checkpoints import named_tensors, read_checkpoint
from tests.checkpoints import SmallNet, load, rezip, weights

Writer = Callable[[Path, Path], None]


class RunsCommand:
    """What an attacker pickles: opening it unguarded would make the canary appear."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


class EvaluatesText(RunsCommand):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.canary)!r}, 'w').close()",)


class MadeUpTensor:
    """A few bytes that the restricted unpickler turns into a tensor of any size, filled with stray memory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.FloatTensor, (90_000, 6)


def command(path: Path, canary: Path) -> None:
    torch.save({"state_dict": weights(), "extra": RunsCommand(canary)}, path)


def command_in_the_old_format(path: Path, canary: Path) -> None:
    torch.save(RunsCommand(canary), path, _use_new_zipfile_serialization=False)


def command_in_a_plain_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(RunsCommand(canary), protocol=2))


def evaluated_text(path: Path, canary: Path) -> None:
    torch.save({"x": EvaluatesText(canary)}, path)


def command_in_text_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps(RunsCommand(canary), protocol=0))


def plain_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}, protocol=2))


def newer_pickle(path: Path, canary: Path) -> None:
    path.write_bytes(pickle.dumps({"a": [1, 2]}, protocol=5))


def exported_program(path: Path, canary: Path) -> None:
    torch.export.save(torch.export.export(SmallNet().eval(), (torch.zeros(1, 3, 8, 8),)), str(path))


def web_page(path: Path, canary: Path) -> None:
    path.write_text("\n<!DOCTYPE html>\n<html><body>Sign in</body></html>")


def lfs_pointer(path: Path, canary: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")


def empty(path: Path, canary: Path) -> None:
    path.touch()


def zeros(path: Path, canary: Path) -> None:
    path.write_bytes(bytes(100_000))


def noise(path: Path, canary: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5_000))


def notes(path: Path, canary: Path) -> None:
    path.write_text("epoch 3: 0.91\n")


def cut_off_zip(path: Path, canary: Path) -> None:
    torch.save(weights(), path)
    path.write_bytes(path.read_bytes()[:-400])


def cut_off_old_format(path: Path, canary: Path) -> None:
    torch.save(weights(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-200])


def cut_off_safetensors(path: Path, canary: Path) -> None:
    save_file(weights(), path)
    path.write_bytes(path.read_bytes()[:-40])


def safetensors_with_lying_length(path: Path, canary: Path) -> None:
    save_file(weights(), path)
    path.write_bytes(struct.pack("<Q", 2**61) + path.read_bytes()[8:])


def safetensors_with_lying_offsets(path: Path, canary: Path) -> None:
    header = json.dumps({"fc.weight": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 16]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))


def picture(path: Path, canary: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, "PNG")


def onnx(path: Path, canary: Path) -> None:
    path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xf4\x01\n" + bytes(range(256)))


def hdf5(path: Path, canary: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2_000))


def keras(path: Path, canary: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"\x89HDF")


def saved_model(path: Path, canary: Path) -> None:
    path.write_bytes(b"\x08\x01\x12\x9a\x05\n\x08serve\x12tensorflow" + bytes(300))


def numpy_archive(path: Path, canary: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    path.write_bytes(buffer.getvalue())


def other_zip(path: Path, canary: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pth", "x")


def tar_archive(path: Path, canary: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "weights.pth")


def folder(path: Path, canary: Path) -> None:
    path.mkdir()


def nothing(path: Path, canary: Path) -> None:
    assert not path.exists()


def pipe(path: Path, canary: Path) -> None:
    os.mkfifo(path)


def optimizer_only(path: Path, canary: Path) -> None:
    model = SmallNet()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.zeros(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict(), "epoch": 3}, path)


def no_tensors(path: Path, canary: Path) -> None:
    torch.save({"state_dict": {}, "epoch": 3}, path)


def one_tensor(path: Path, canary: Path) -> None:
    torch.save(torch.zeros(3), path)


def bomb(path: Path, canary: Path) -> None:
    torch.save({"fc.weight": torch.zeros(2_000_000)}, path.with_suffix(".plain"))
    rezip(path.with_suffix(".plain"), path, lambda name, data: data, zipfile.ZIP_DEFLATED)


def hidden_directory(path: Path, canary: Path) -> None:
    torch.save(weights(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"a second directory could hide here"


def compressed(path: Path, canary: Path) -> None:
    torch.save({"fc.weight": torch.randn(100)}, path.with_suffix(".plain"))
    rezip(path.with_suffix(".plain"), path, lambda name, data: data, zipfile.ZIP_DEFLATED)


def lying_storage(path: Path, canary: Path) -> None:
    torch.save({"fc.weight": torch.zeros(100_000)}, path.with_suffix(".plain"))
    rezip(path.with_suffix(".plain"), path, lambda name, data: data[:64] if name.endswith("data/0") else data)


def stretched_tensor(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.weight": torch.zeros(1).expand(90_000, 6), "fc.bias": torch.zeros(90_000)}, path)


def endless_classes(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.weight": torch.zeros(1).expand(10**12, 6)}, path)


def made_up_tensor(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.weight": MadeUpTensor(), "fc.bias": torch.zeros(90_000)}, path)


def sparse(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.weight": torch.eye(5, 6).to_sparse()}, path)


def quantised(path: Path, canary: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = torch.quantize_per_tensor(torch.randn(5, 6), 0.1, 0, torch.qint8)
        torch.save({**weights(), "fc.weight": whole}, path)


def packed_integers(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.weight": torch.ones(5, 6, dtype=torch.int8)}, path)


def without_values(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.weight": torch.empty(5, 6, device="meta")}, path)


def not_a_number(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.bias": torch.tensor([0, 1, float("nan"), 0, 0])}, path)


def infinite(path: Path, canary: Path) -> None:
    torch.save({**weights(), "fc.bias": torch.tensor([0, 1, float("inf"), 0, 0]).half()}, path)


REFUSED: tuple[tuple[Writer, str], ...] = (
    (command, r"asks to run code on this computer \((posix|nt).system\).*nothing was run.*source that you trust"),
    (command_in_the_old_format, r"asks to run code.*\((posix|nt).system\).*nothing was run"),
    (command_in_a_plain_pickle, r"asks to run code.*\((posix|nt).system\).*nothing was run"),
    (evaluated_text, r"asks to run code.*eval\).*nothing was run"),
    (command_in_text_pickle, r"text file, not a PyTorch checkpoint"),
    (plain_pickle, r"pickle that torch.save did not write"),
    (newer_pickle, r"pickle"),
    (exported_program, r"torch.export archive.*state_dict"),
    (web_page, r"web page \(HTML\).*download the file itself"),
    (lfs_pointer, r"Git LFS pointer.*git lfs pull"),
    (empty, r"empty \(0 bytes\).*once more"),
    (zeros, r"row of zeros.*once more"),
    (noise, r"file of an unknown kind, not a PyTorch checkpoint"),
    (notes, r"text file.*Choose a PyTorch checkpoint"),
    (cut_off_zip, r"cut off or damaged: its end is missing.*once more"),
    (cut_off_old_format, r"cut off or damaged.*once more"),
    (cut_off_safetensors, r"safetensors file is damaged.*once more"),
    (safetensors_with_lying_length, r"header claims 2,305,843,009,213,693,952 bytes.*once more"),
    (safetensors_with_lying_offsets, r"safetensors file is damaged: its header and its content"),
    (picture, r"This is a PNG picture, not a PyTorch checkpoint.*weights"),
    (onnx, r"ONNX model"),
    (hdf5, r"HDF5 file"),
    (keras, r"Keras model"),
    (saved_model, r"TensorFlow model"),
    (numpy_archive, r"NumPy archive \(.npz\)"),
    (other_zip, r"zip archive without PyTorch weights.*Unpack"),
    (tar_archive, r"packed archive \(tar\).*Unpack"),
    (folder, r"no weights in this folder.*model.safetensors"),
    (nothing, r"no file at this path"),
    (pipe, r"device or pipe"),
    (optimizer_only, r"only the state of an optimizer"),
    (no_tensors, r"no tensors at all"),
    (one_tensor, r"holds one tensor"),
    (bomb, r"would unpack to 8\.0 MB, its own size is 0\.0 MB"),
    (hidden_directory, r"list of contents is not as PyTorch writes it"),
    (compressed, r"compressed again"),
    (lying_storage, r"tensors claim 0\.1 MB or more, the file has 0\.0 MB"),
    (stretched_tensor, r"fc.weight is stretched"),
    (endless_classes, r"do not agree on a usable number of classes"),
    (made_up_tensor, r"makes tensors from nothing"),
    (sparse, r"are sparse"),
    (quantised, r"are quantised"),
    (packed_integers, r"fc.weight is of type int8, as quantised"),
    (without_values, r"fc.weight is empty: it has a shape but no values"),
    (not_a_number, r"fc.bias holds NaN or infinity"),
    (infinite, r"fc.bias holds NaN or infinity"),
)


@pytest.mark.parametrize(("write", "words"), REFUSED, ids=[write.__name__ for write, _ in REFUSED])
def test_a_broken_or_hostile_file_is_refused_in_its_own_words_and_runs_nothing(
    write: Writer, words: str, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    if write is pipe and sys.platform == "win32":
        pytest.skip("Windows has no named pipes")
    path, canary = tmp_path / "patient-name.pth", tmp_path / "canary"
    write(path, canary)
    recwarn.clear()
    with pytest.raises(ModelError, match=f"(?s){words}") as caught:
        load(path)
    assert caught.value.remedy
    assert "patient-name" not in str(caught.value)
    assert len(str(caught.value)) < 900
    assert not canary.exists()
    assert not recwarn.list


def test_the_canary_would_appear_if_a_payload_ran(tmp_path: Path) -> None:
    for writer in (command, command_in_the_old_format, evaluated_text):
        canary = tmp_path / writer.__name__
        writer(tmp_path / "payload.pth", canary)
        torch.load(tmp_path / "payload.pth", weights_only=False)
        assert canary.exists()


def test_an_environment_variable_cannot_switch_unsafe_loading_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    command(tmp_path / "payload.pth", tmp_path / "canary")
    with pytest.raises(ModelError, match="asks to run code"):
        load(tmp_path / "payload.pth")
    assert not (tmp_path / "canary").exists()


def test_a_path_with_nul_is_refused() -> None:
    with pytest.raises(ModelError, match="NUL"):
        load_model("file:weights\0.pth", architecture=SmallNet)
    with pytest.raises(ModelError, match="NUL"):
        read_checkpoint(Path("weights\0.pth"))


def test_a_file_without_permission_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(weights(), path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(ModelError, match="permission"):
        load(path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.bin", "weights.ckpt", "weights.safetensors", "weights"])
def test_the_content_decides_how_a_file_is_read_not_its_ending(name: str, tmp_path: Path) -> None:
    torch.save(weights(), tmp_path / f"a-{name}")
    save_file(weights(), tmp_path / f"b-{name}")
    torch.save(weights(), tmp_path / f"c-{name}", _use_new_zipfile_serialization=False)
    for start in "abc":
        assert set(read_checkpoint(tmp_path / f"{start}-{name}").content) == set(weights())


def test_a_safetensors_file_is_known_even_where_its_length_looks_like_another_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for length in (0x0280, 0x8B1F, 0x4D42):  # as a pickle, a gzip and a bitmap begin
        save_file({"x": torch.zeros(1)}, path)
        raw = path.read_bytes()
        header = raw[8:-4].rstrip()
        path.write_bytes(struct.pack("<Q", length) + header + b" " * (length - len(header)) + raw[-4:])
        assert set(read_checkpoint(path).content) == {"x"}


def test_tensors_in_nested_mappings_get_dotted_names() -> None:
    content = {"a": {"b": torch.zeros(1), "n": 3}, "c": torch.ones(2), 7: {"x": torch.zeros(1)}}
    assert set(named_tensors(content)) == {"a.b", "c"}


def test_a_mapping_nested_in_itself_many_times_is_searched_in_bounded_time() -> None:
    inner: Mapping[str, Any] = {"x": torch.zeros(1)}
    for _ in range(60):
        inner = {"a": inner, "b": inner}
    assert len(named_tensors(inner)) < 20_001
