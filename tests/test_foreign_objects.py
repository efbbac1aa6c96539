"""Checkpoints with Python objects in them: weights and plain values are taken, and nothing in the file is run."""

import argparse
import collections
import datetime
import enum
import functools
import random
import threading
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core.errors import ModelError
from gradcam_core.sources.checkpoints import read_checkpoint
from gradcam_core.sources.pickle_scan import PickleContents
from gradcam_core.sources.stand_ins import stand_ins
from tests.checkpoints import NAMES, SmallNet, load, same_outputs, saved, small
from tests.test_hostile_checkpoints import PROTO, REBUILT, STOP, named, text, with_list

RAN: list[str] = []


class Colour(enum.Enum):
    RED = 1


@dataclass
class Settings:
    rate: float = 0.1


class Deep(dict[str, Any]):
    """A dictionary of a class of one's own, as configurations often are."""


class Loud:
    """Each way in which unpickling would run code of this class."""

    def __reduce__(self) -> tuple[Any, ...]:
        return run, ("reduced",), {"state": 1}


class Quiet:
    def __setstate__(self, state: Any) -> None:
        run("state")

    def __getstate__(self) -> dict[str, int]:
        return {"a": 1}


def run(what: str) -> Any:
    RAN.append(what)
    return Loud()


class Listed(list[int]):
    def append(self, value: int) -> None:
        run("appended")

    def extend(self, values: Any) -> None:
        run("extended")


BESIDE: dict[str, Any] = {
    "settings": argparse.Namespace(lr=0.1, path=Path("x")),
    "simple": types.SimpleNamespace(a=1),
    "number": np.float64(0.9),
    "whole": np.int64(3),
    "array": np.arange(3.0),
    "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "path": Path("x/y"),
    "date": datetime.datetime(2024, 1, 1),
    "random": random.Random(0).getstate(),
    "numpy random": np.random.default_rng(0).bit_generator.state,
    "numpy random of old": np.random.RandomState(0).get_state(),
    "text": np.str_("a"),
    "enumeration": Colour.RED,
    "dataclass": Settings(),
    "loss": nn.CrossEntropyLoss(weight=torch.ones(3)),
    "default dictionary": collections.defaultdict(int, {"a": 1}),
    "queue": collections.deque([1, 2]),
    "own dictionary": Deep(a=1),
    "partial": functools.partial(nn.LayerNorm, eps=1e-6),
    "function": collections.namedtuple,
    "frozen": frozenset([1]),
    "key": {Colour.RED: 1},
    "schedule": torch.optim.lr_scheduler.StepLR(torch.optim.SGD(small().parameters(), 0.1), 1),
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "old format"])
@pytest.mark.parametrize("value", [x for x in BESIDE.values()], ids=BESIDE)
def test_weights_load_whatever_stands_beside_them(value: Any, old: bool, tmp_path: Path) -> None:
    net = small()
    path = tmp_path / "x.pth"
    torch.save({"state_dict": net.state_dict(), "beside": value}, path, _use_new_zipfile_serialization=not old)
    assert same_outputs(load(path).module, net)


def test_plain_values_are_taken_out_of_objects(tmp_path: Path) -> None:
    content = {key: BESIDE[key] for key in ("number", "whole", "array", "columns", "text", "queue", "own dictionary")}
    content |= {"settings": argparse.Namespace(lr=0.1), "objects": np.array(["a", "bc"], dtype=object)}
    content |= {"names": np.array(["a", "bc"]), "default": collections.defaultdict(list, {"a": [1]})}
    read = read_checkpoint(saved(tmp_path / "x.pth", {**content, "weight": torch.zeros(1)})).content
    assert {key: value for key, value in read.items() if key != "weight"} == {
        **{"number": 0.9, "whole": 3, "array": [0.0, 1.0, 2.0], "columns": [[0, 1, 2], [3, 4, 5]], "text": "a"},
        **{"queue": [1, 2], "own dictionary": {"a": 1}, "settings": {"lr": 0.1}, "objects": ["a", "bc"]},
        **{"names": ["a", "bc"], "default": {"a": [1]}},
    }


def test_names_of_classes_kept_as_a_numpy_array_are_used(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"model": small().state_dict(), "classes": np.array(NAMES)})
    assert load(path).labels == NAMES


@pytest.mark.parametrize("old", [False, True], ids=["zip", "old format"])
@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel, lambda net: {"model": net, "epoch": 3}])
def test_a_whole_pickled_model_gives_its_weights_and_a_note_says_so(wrap: Any, old: bool, tmp_path: Path) -> None:
    net = small()
    torch.save(wrap(net), tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    model = load(tmp_path / "x.pth")
    assert same_outputs(model.module, net)
    assert any("whole pickled model" in note and "not run" in note for note in model.notes)


@pytest.mark.parametrize("script", [torch.jit.script, lambda net: torch.jit.trace(net, torch.zeros(1, 3, 8, 8))])
def test_a_torchscript_archive_gives_its_weights_and_a_note_says_so(script: Any, tmp_path: Path) -> None:
    net = small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script(net).save(str(tmp_path / "x.pt"))
    model = load(tmp_path / "x.pt")
    assert same_outputs(model.module, net)
    assert any("TorchScript archive" in note for note in model.notes)


def test_buffers_that_a_state_dict_leaves_out_are_left_out(tmp_path: Path) -> None:
    net = small()
    net.register_buffer("passing", torch.zeros(1), persistent=False)
    assert set(read_checkpoint(saved(tmp_path / "x.pth", net)).tensors) == set(net.state_dict())


def test_the_tensors_of_a_whole_model_stand_in_the_order_of_its_state_dict(tmp_path: Path) -> None:
    assert list(read_checkpoint(saved(tmp_path / "x.pth", small())).tensors) == list(small().state_dict())


def test_nothing_of_foreign_classes_is_run(tmp_path: Path) -> None:
    listed = Listed()
    list.append(listed, 3)
    content = {"state_dict": small().state_dict(), "loud": Loud(), "quiet": Quiet(), "listed": listed}
    path = saved(tmp_path / "x.pth", content)
    RAN.clear()
    model = load(path)
    assert not RAN
    assert any("without running any code" in note for note in model.notes)
    torch.load(path, weights_only=False)
    assert {"reduced", "state", "extended"} & set(RAN)  # unguarded, it would have run


def test_a_torch_function_is_not_called(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    content = PROTO + b"}" + text("x") + named("torch.from_file") + text(str(canary)) + b"\x88K\x04\x87Rs" + STOP
    with_list(tmp_path / "x.pth", content)
    with pytest.raises(ModelError, match="no tensors at all"):
        load(tmp_path / "x.pth")
    assert not canary.exists()


def test_an_object_that_holds_itself_ends(tmp_path: Path) -> None:
    inner = argparse.Namespace()
    inner.itself, inner.list = inner, [inner]
    read = read_checkpoint(saved(tmp_path / "x.pth", {"a": inner, "w": torch.zeros(1)})).content
    assert read["a"] == {"itself": None, "list": [None]}


def test_objects_nested_in_themselves_many_times_are_read_in_time(tmp_path: Path) -> None:
    inner: Any = argparse.Namespace(x=torch.zeros(1))
    for _ in range(60):
        inner = argparse.Namespace(a=inner, b=inner)
    assert len(read_checkpoint(saved(tmp_path / "x.pth", {"a": inner})).tensors) < 20_001


def test_objects_in_objects_far_too_deep_end_as_nothing(tmp_path: Path) -> None:
    inner: Any = [1]
    for _ in range(150):
        inner = argparse.Namespace(a=inner)
    read = read_checkpoint(saved(tmp_path / "x.pth", {"a": inner, "w": torch.zeros(1)}))
    assert set(read.tensors) == {"w"}


def test_thousands_of_foreign_names_are_refused(tmp_path: Path) -> None:
    with_list(tmp_path / "x.pth", PROTO + b"](" + b"".join(named(f"package.C{n}") for n in range(2_000)) + b"e" + STOP)
    with pytest.raises(ModelError, match="names far more classes"):
        load(tmp_path / "x.pth")


def test_a_type_of_tensors_is_no_way_to_make_tensors_from_nothing(tmp_path: Path) -> None:
    rebuilt = named("torch._tensor._rebuild_from_type_v2") + b"(" + named("torch._utils._rebuild_tensor_v2")
    arguments = REBUILT[len(named("torch._utils._rebuild_tensor_v2")) : -1]
    kind = named("package.OwnTensor")
    sound = PROTO + b"}" + text("x") + rebuilt + kind + arguments + b"NtRs"
    with_list(tmp_path / "x.pth", sound + STOP)
    assert type(read_checkpoint(tmp_path / "x.pth").tensors["x"]) is torch.Tensor
    with_list(tmp_path / "x.pth", sound + text("y") + kind + b"J\x00\x00\x00\x7f\x85Rs" + STOP)
    with pytest.raises(ModelError, match="makes tensors from nothing"):
        load(tmp_path / "x.pth")


def test_two_files_with_the_same_foreign_names_are_read_at_once(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"state_dict": small().state_dict(), "args": argparse.Namespace(lr=0.1)})
    read: list[Any] = []
    threads = [threading.Thread(target=lambda: read.append(read_checkpoint(path).content["args"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [{"lr": 0.1}] * 8


def test_no_stand_in_stays_allowed(tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    with stand_ins(PickleContents(foreign={"package.Thing"})):
        assert len(torch.serialization.get_safe_globals()) == len(before) + 1
    read_checkpoint(saved(tmp_path / "x.pth", SmallNet()))
    assert torch.serialization.get_safe_globals() == before


def test_a_whole_models_eps_is_taken(tmp_path: Path) -> None:
    net = small()
    net.stem[1].eps = 0.1
    model = load(saved(tmp_path / "x.pth", {"model": net}))
    assert same_outputs(model.module, net)
    assert any("1 layers have another eps" in note for note in model.notes)


@pytest.mark.parametrize(("change", "words"), [(nn.SiLU(), "2 is SiLU, this architecture's ReLU"), (None, "stride")])
def test_a_whole_model_that_works_in_another_way_is_refused(change: Any, words: str, tmp_path: Path) -> None:
    net = small()
    if change:
        net.stem[2] = change
    else:
        net.stem[0].stride = (2, 2)
    with pytest.raises(ModelError, match=words):
        load(saved(tmp_path / "x.pth", net))
