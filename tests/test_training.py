"""Heatmaps beside a training: it is not disturbed, the maps are those of `explain`, the pages are safe."""

import base64
import contextlib
import copy
import json
import logging
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradcam_core import GradcamError, ImageRecord, explain, list_samples, load_model, read_image, read_sample
from gradcam_core.training import Scene, TensorBoardWriter, TrainingHeatmaps, WandbWriter, film_document, read_film
from gradcam_core.training.film import MOST_EPOCHS
from gradcam_core.training.state import undisturbed

SETTINGS = {"labels": ["<script>alert(1)</script>", "b", "c"], "preprocessing": {"size": (32, 32), "resize": (32, 32)}}
PICTURES = [read_image(read_sample(sample.name)) for sample in list_samples()[:2]]


class Kept:
    """A writer that keeps what it gets."""

    def __init__(self) -> None:
        self.epochs: dict[int, list[Scene]] = {}

    def __call__(self, epoch: int, scenes: Any) -> None:
        self.epochs[epoch] = list(scenes)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Conv2d(8, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)),
    )


def heatmaps(*writers: Any, **given: Any) -> TrainingHeatmaps:
    return TrainingHeatmaps(PICTURES, **{"truths": [0, "c"], "writers": writers, **SETTINGS, **given})


def train(model: nn.Module, watch: Callable[[nn.Module, int], None] | None, amp: bool = False) -> list[torch.Tensor]:
    """Train for three epochs; the weights, buffers and the optimiser's state afterwards."""
    torch.manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters())
    for epoch in range(3):
        model.train()
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                loss = nn.functional.cross_entropy(model(torch.rand(4, 3, 32, 32)), torch.randint(3, (4,)))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        if watch:
            watch(model, epoch)
    states = [value for state in optimiser.state.values() for value in state.values()]
    return [*model.state_dict().values(), *states, torch.rand(3)]


@pytest.mark.parametrize("amp", [False, True])
def test_the_training_is_the_same_bit_for_bit(amp: bool) -> None:
    kept = Kept()
    plain, watched = train(network(), None, amp), train(network(), heatmaps(kept), amp)
    assert all(torch.equal(first, second) for first, second in zip(plain, watched, strict=True))
    assert sorted(kept.epochs) == [0, 1, 2]
    assert all(len(scenes) == 2 for scenes in kept.epochs.values())


def test_within_autocast_and_no_grad_the_maps_are_the_usual_ones() -> None:
    usual, within, model = Kept(), Kept(), network()
    heatmaps(usual)(model, 0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        heatmaps(within)(model, 0)
    for first, second in zip(usual.epochs[0], within.epochs[0], strict=True):
        np.testing.assert_array_equal(first.answer_map, second.answer_map)


def test_nothing_of_the_network_is_touched() -> None:
    model, callback = network(), heatmaps(Kept())
    model[0].weight.requires_grad_(False)
    model[1].eval()
    model[4].register_forward_hook(lambda *_: None)
    model(torch.rand(2, 3, 32, 32)).sum().backward()
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)

    def state() -> tuple[Any, ...]:
        modes = [part.training for part in model.modules()]
        hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules()]
        wanted = [(id(parameter), parameter.requires_grad) for parameter in model.parameters()]
        gradients = [
            parameter.grad if parameter.grad is None else id(parameter.grad) for parameter in model.parameters()
        ]
        numbers = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        return modes, hooks, wanted, gradients, numbers, torch.is_grad_enabled()

    values = [tensor.clone() for tensor in (*model.state_dict().values(), model[4].weight.grad)]
    before = state()
    for epoch in range(2):
        callback(model, epoch)
        assert state() == before
    after = (*model.state_dict().values(), model[4].weight.grad)
    assert all(torch.equal(first, second) for first, second in zip(values, after, strict=True))


def test_hooks_of_the_network_do_not_hear_of_the_copy() -> None:
    model, heard = network(), list[str]()
    model[0].register_forward_hook(lambda *_: heard.append("forward"))
    model[4].register_forward_pre_hook(lambda *_: heard.append("before"))
    model[4].register_full_backward_hook(lambda *_: heard.append("backward"))
    kept = Kept()
    callback = heatmaps(kept)
    for epoch in range(2):
        callback(model, epoch)
    assert sorted(kept.epochs) == [0, 1]
    assert not heard
    model(torch.rand(1, 3, 32, 32)).sum().backward()
    assert sorted(set(heard)) == ["backward", "before", "forward"]


class Scaled(nn.Module):
    """A network with normalised weights, and a buffer that is in no checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = network()
        self.steps[4] = nn.utils.parametrizations.weight_norm(self.steps[4])
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.steps(images) * self.scale


def test_buffers_that_are_in_no_checkpoint_follow_too() -> None:
    model, kept, fresh = Scaled(), Kept(), Kept()
    callback = heatmaps(kept)
    callback(model, 0)
    with torch.no_grad():
        model.scale.mul_(20)
        model.steps[4].parametrizations.weight.original1.mul_(1.5)
    callback(model, 1)
    heatmaps(fresh)(model, 1)
    for first, second in zip(kept.epochs[1], fresh.epochs[1], strict=True):
        assert first.answer_probability == pytest.approx(second.answer_probability, abs=1e-6)
        np.testing.assert_allclose(first.answer_map, second.answer_map, atol=1e-5)
    assert kept.epochs[0][0].answer_probability != pytest.approx(kept.epochs[1][0].answer_probability, abs=1e-3)


def changed(model: nn.Module) -> None:
    with torch.no_grad():
        for number, tensor in enumerate(model.parameters()):
            tensor.mul_(1.3).add_(0.05 * (number % 3))
        model[1].running_mean.add_(0.1)


def test_the_maps_are_those_of_explain_on_the_present_weights() -> None:
    model, kept = network(), Kept()
    callback = heatmaps(kept)
    for epoch in range(3):
        callback(model, epoch)
        loaded = load_model(copy.deepcopy(model), **SETTINGS)
        for image, truth, scene in zip(PICTURES, (0, 2), kept.epochs[epoch], strict=True):
            own = explain(image, loaded, methods="grad_cam", top_k=1)
            true = explain(image, loaded, methods="grad_cam", targets=truth).heatmaps[0]
            np.testing.assert_allclose(scene.answer_map, own.heatmaps[0].raw, atol=1e-5)
            np.testing.assert_allclose(scene.true_map, true.raw, atol=1e-5)
            assert (scene.answer, scene.truth) == (own.predictions[0].label, loaded.labels[truth])
            assert scene.answer_probability == pytest.approx(own.predictions[0].probability, abs=1e-6)
            assert scene.true_probability == pytest.approx(true.target.probability, abs=1e-6)
        changed(model)


class Wrapped(nn.Module):
    """A network of which one part is compiled."""

    def __init__(self) -> None:
        super().__init__()
        plain = network()
        self.first = torch.compile(plain[:4], backend="eager")
        self.rest = plain[4:]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.rest(self.first(images))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: torch.compile(network(), backend="eager"),
        lambda: nn.DataParallel(network()),
        Wrapped,
    ],
)
def test_wrapped_and_compiled_networks_are_watched_as_they_change(
    wrap: Callable[[], nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    kept, usual = Kept(), Kept()
    plain, watched = train(network(), heatmaps(usual)), train(wrap(), heatmaps(kept))
    assert not [record for record in caplog.records if record.name.startswith("gradcam_core")]
    for epoch in range(3):
        for first, second in zip(usual.epochs[epoch], kept.epochs[epoch], strict=True):
            np.testing.assert_allclose(first.answer_map, second.answer_map, atol=1e-4)
    assert all(torch.allclose(first, second, atol=1e-5) for first, second in zip(plain, watched, strict=True))


def of_rank(rank: int, port: int, folder: str, watch: bool) -> None:
    """One process of two that train together."""
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    kept = Kept()
    model = nn.parallel.DistributedDataParallel(network())
    weights = train(model, heatmaps(kept) if watch else None)
    torch.save([tensor.detach() for tensor in weights], Path(folder, f"{rank}-{watch}.pt"))
    Path(folder, f"{rank}-{watch}.txt").write_text(str(len(kept.epochs)))
    torch.distributed.destroy_process_group()


def test_two_processes_train_alike_and_the_first_alone_explains(tmp_path: Path) -> None:
    from tests.browser import free_port

    for watch in (False, True):
        torch.multiprocessing.spawn(of_rank, (free_port(), str(tmp_path), watch), nprocs=2)
    for rank in (0, 1):
        plain, watched = (torch.load(tmp_path / f"{rank}-{watch}.pt", weights_only=True) for watch in (False, True))
        assert all(torch.equal(first, second) for first, second in zip(plain, watched, strict=True))
    assert [(tmp_path / f"{rank}-True.txt").read_text() for rank in (0, 1)] == ["3", "0"]


def test_every_few_epochs_and_without_truths() -> None:
    kept, model = Kept(), network()
    callback = heatmaps(kept, truths=None, every=5)
    for epoch in range(12):
        callback(model, epoch)
    assert sorted(kept.epochs) == [0, 5, 10]
    assert {(scene.truth, scene.true_map, scene.true_picture) for scene in kept.epochs[5]} == {("", None, b"")}
    for wrong in ({"every": 0}, {"truths": [1]}):
        with pytest.raises(GradcamError, match="cannot be computed"):
            heatmaps(**wrong)


def test_each_failure_is_logged_once_and_ends_no_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "Miller").write_text("")

    def broken(epoch: int, scenes: Any) -> None:
        raise ValueError("Miller")

    callback, kept = heatmaps(broken, kept := Kept(), out=tmp_path / "Miller"), kept
    for epoch in range(3):
        callback(network(), epoch)
    assert len(caplog.records) == 2
    assert "Miller" not in caplog.text
    assert len(kept.epochs) == 3
    callback(nn.Linear(2, 2), 3)
    callback(nn.Linear(2, 2), 4)
    assert "other layers than at the first call" in caplog.records[-1].message
    assert len(caplog.records) == 3


def test_an_error_within_leaves_the_random_states() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with contextlib.suppress(ZeroDivisionError), undisturbed():
        torch.rand(3)
        raise ZeroDivisionError
    assert torch.equal(before, torch.get_rng_state())


def test_the_film_has_this_training_and_what_it_went_on_from(tmp_path: Path) -> None:
    first, second, third = (heatmaps(out=tmp_path) for _ in range(3))
    model = network()
    for epoch in range(3):
        first(model, epoch)
    second(model, 2)  # goes on after a checkpoint
    assert [epoch["epoch"] for epoch in read_film((tmp_path / "film.html").read_bytes())] == [0, 1, 2]
    (tmp_path / "epoch-notes.json").write_text("")
    third(model, 0)  # begins again
    assert sorted(path.name for path in tmp_path.glob("epoch-*")) == ["epoch-00000.json", "epoch-notes.json"]
    assert [epoch["epoch"] for epoch in read_film((tmp_path / "film.html").read_bytes())] == [0]
    record = json.loads((tmp_path / "epoch-00000.json").read_text())
    assert np.array(record["scenes"][0]["true_map"]).ndim == 2


def test_a_long_training_has_a_film_of_bounded_length(tmp_path: Path) -> None:
    callback = heatmaps(out=tmp_path)
    scenes = callback._scenes(network())
    (writer,) = callback._writers
    for epoch in (*range(0, 10_000, 97), 100_000):
        writer(epoch, scenes)
    epochs = [epoch["epoch"] for epoch in read_film((tmp_path / "film.html").read_bytes())]
    assert len(epochs) == MOST_EPOCHS
    assert (epochs[0], epochs[-1], epochs) == (0, 100_000, sorted(epochs))


def film_of(**fields: Any) -> bytes:
    jpeg = base64.b64encode(b"\xff\xd8").decode()
    texts = {"picture": "a", "answer": "b", "truth": "c", "answer_jpeg": jpeg, "true_jpeg": jpeg}
    scene = {**texts, "answer_probability": 0.5, "true_probability": None}
    return film_document([{"epoch": 1, "scenes": [{**scene, **fields}]}]).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        film_of()[:2000],
        film_of(answer_probability=7),
        film_of(answer_jpeg="<b>"),
        film_of(true_jpeg=base64.b64encode(b"<svg>").decode()),
        film_of(picture=3),
        film_document([]).encode(),
        film_document([{"epoch": "1", "scenes": []}]).encode(),
        film_document([{"epoch": 1, "scenes": [7]}]).encode(),
    ],
)
def test_what_is_no_film_is_refused(content: bytes) -> None:
    with pytest.raises(GradcamError, match="no film strip"):
        read_film(content)
    assert read_film(film_of())[0]["scenes"][0]["answer"] == "b"


def test_the_film_opens_without_a_server(tmp_path: Path, chromium: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    hostile = ImageRecord(PICTURES[0].pixels, PICTURES[0].sha256, "</script><script>alert(1)</script>", "PNG")
    callback = TrainingHeatmaps([hostile, PICTURES[1]], truths=[0, 1], out=tmp_path, **SETTINGS)
    model, requests = network(), list[str]()
    for epoch in range(3):
        callback(model, epoch)
        changed(model)
    page = chromium.new_page()
    try:
        page.on("request", lambda request: requests.append(request.url))
        page.on("dialog", lambda dialog: pytest.fail("A script of a label ran."))
        page.goto((tmp_path / "film.html").as_uri())
        assert page.locator("tbody tr").count() == 2
        assert page.locator("thead th").all_inner_texts() == ["Picture", "Epoch 0", "Epoch 1", "Epoch 2"]
        assert "</script>" in page.locator("tbody th").first.inner_text()
        epochs = read_film((tmp_path / "film.html").read_bytes())
        for what, name in (("true", "truth"), ("answer", "answer")):
            page.check(f"input[value={what}]")
            shown = page.locator("tbody tr").nth(1).locator("img").evaluate_all("images => images.map(({alt}) => alt)")
            assert shown == [f"Heatmap of {epoch['scenes'][1][name]}" for epoch in epochs]
        assert all(page.locator("td img").evaluate_all("images => images.map((image) => image.naturalWidth > 50)"))
        assert not Axe().run(page).response["violations"]
        assert not [url for url in requests if not url.startswith(("file:", "data:"))]
    finally:
        page.close()


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


def test_missing_packages_are_sentences(without: Callable[[str], None], tmp_path: Path) -> None:
    without("torch.utils.tensorboard")
    without("wandb")
    without("lightning.pytorch")
    with pytest.raises(GradcamError, match="TensorBoard is not installed"):
        TensorBoardWriter(tmp_path)
    with pytest.raises(GradcamError, match="Weights & Biases is not installed"):
        WandbWriter(None)
    sys.modules.pop("gradcam_core.training.lightning", None)
    with pytest.raises(GradcamError, match="Lightning is not installed"):
        __import__("gradcam_core.training.lightning")


def test_tensorboard_has_pictures_and_probabilities(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed (extra: training)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    callback = heatmaps(TensorBoardWriter(tmp_path))
    for epoch in range(2):
        callback(network(), epoch)
    log = EventAccumulator(str(tmp_path)).Reload()
    assert len(log.Images("heatmaps/01/answer")) == len(log.Images("heatmaps/02/true_class")) == 2
    assert [event.step for event in log.Scalars("heatmaps/01/true_probability")] == [0, 1]


def test_weights_and_biases_works_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="wandb is not installed (extra: training)")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(mode="offline", dir=str(tmp_path), project="heatmaps")
    try:
        heatmaps(WandbWriter(run))(network(), 0)
        assert 0 <= run.summary["heatmaps/01/true_probability"] <= 1
    finally:
        run.finish()
    assert len(list(tmp_path.rglob("*.png"))) == 4


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")  # of Lightning, about torch and loaders
def test_lightning_trains_alike_with_the_callback(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed (extra: training)")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    from lightning.pytorch import LightningModule, Trainer

    from gradcam_core.training.lightning import LightningHeatmaps

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: list[torch.Tensor], place: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    def weights(*callbacks: Any) -> list[torch.Tensor]:
        torch.manual_seed(2)
        data = torch.utils.data.TensorDataset(torch.rand(12, 3, 32, 32), torch.randint(3, (12,)))
        quiet = {
            name: False for name in ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        }
        trainer = Trainer(max_epochs=3, accelerator="cpu", callbacks=list(callbacks), **quiet)
        module = Module()
        trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=4, shuffle=True))
        return list(module.net.state_dict().values())

    kept = Kept()
    plain, watched = weights(), weights(LightningHeatmaps(heatmaps(kept), "net"))
    assert all(torch.equal(first, second) for first, second in zip(plain, watched, strict=True))
    assert sorted(kept.epochs) == [0, 1, 2]
    with pytest.raises(GradcamError, match="no network of this name"):
        weights(LightningHeatmaps(heatmaps(kept)))
