"""Models of the hubs: caches, downloads, folders, and no network."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from safetensors.torch import save_file

from gradcam_core.errors import ModelError
from gradcam_core.progress import Progress
from gradcam_core.sources import hub_files, list_cached, load_model
from gradcam_core.sources.labels import imagenet_labels
from tests.checkpoints import NAMES, SmallNet, Tensors, same_outputs, small
from tests.test_folders import VIT, described, logits, trained


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches of both hubs, of our own."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every address that anything tries to connect to, or to look up."""
    seen: list[Any] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def record_connect(self: socket.socket, address: Any) -> None:
        seen.append(address)
        connect(self, address)

    def record_look_up(*arguments: Any, **options: Any) -> Any:
        seen.append(arguments[:2])
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket.socket, "connect", record_connect)
    monkeypatch.setattr(socket, "getaddrinfo", record_look_up)
    return seen


def seed_hub(cache: Path, repository: str, files: Mapping[str, Callable[[Path], None]]) -> Path:
    """Lay files into a Hugging Face cache as its client does."""
    commit = "a" * 40
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    for name, write in files.items():
        write(snapshot / name)
    return snapshot


def seed_torch(home: Path, url: str, state: Tensors) -> Path:
    path = home / "hub" / "checkpoints" / url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def test_weights_in_the_hub_cache_load_without_any_look_up(caches: Path, connections: list[Any]) -> None:
    net = timm.create_model("resnet10t")
    seed_hub(
        caches / "hub",
        "timm/resnet10t.c3_in1k",
        {"model.safetensors": lambda path: save_file(net.state_dict(), path)},
    )
    model = load_model("timm:resnet10t", device="cpu")
    assert same_outputs(model.module, net)
    assert model.labels == imagenet_labels()
    assert not model.notes
    assert not connections
    assert "state_dict" not in model.module.pretrained_cfg
    assert list_cached() == ("timm:resnet10t.c3_in1k",)


def test_a_new_classifier_on_cached_weights_is_said_to_be_random(caches: Path) -> None:
    net = timm.create_model("resnet10t")
    seed_hub(
        caches / "hub",
        "timm/resnet10t.c3_in1k",
        {"pytorch_model.bin": lambda path: torch.save(net.state_dict(), path)},
    )
    model = load_model("timm:resnet10t", num_classes=3, in_chans=1, device="cpu")
    assert torch.equal(model.module.layer1[0].conv1.weight, net.layer1[0].conv1.weight)
    assert model.labels == ("class 0", "class 1", "class 2")
    assert any("classifier is new" in note for note in model.notes)


def test_weights_in_torchs_cache_load_without_any_look_up(caches: Path, connections: list[Any]) -> None:
    net = torchvision.models.mobilenet_v3_small()
    url = torchvision.models.MobileNet_V3_Small_Weights.DEFAULT.url
    seed_torch(caches / "torch", url, net.state_dict())
    model = load_model("torchvision:mobilenet_v3_small", device="cpu")
    assert same_outputs(model.module, net)
    assert model.labels == imagenet_labels()
    assert not connections
    assert list_cached() == ("torchvision:mobilenet_v3_small.IMAGENET1K_V1",)
    grey = load_model("torchvision:mobilenet_v3_small", num_classes=2, in_chans=1, device="cpu")
    summed = net.features[0][0].weight.sum(1, keepdim=True)
    assert torch.allclose(grey.module.features[0][0].weight, summed, atol=1e-6)
    assert any("classifier is new" in note for note in grey.notes)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "densenet121", "mnasnet0_5"])
def test_published_weights_in_torchvisions_older_layouts_load(name: str, caches: Path) -> None:
    options = {"init_weights": False, "transform_input": True} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, **options)
    state = net.state_dict()
    if name == "densenet121":
        state = {key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): x for key, x in state.items()}
    seed_torch(caches / "torch", torchvision.models.get_model_weights(name).DEFAULT.url, state)
    model = load_model(f"torchvision:{name}", device="cpu", preprocessing={"size": 96})
    assert same_outputs(model.module, net, size=96)


def test_a_damaged_file_in_a_cache_is_named_with_the_way_out(caches: Path) -> None:
    url = torchvision.models.MobileNet_V3_Small_Weights.DEFAULT.url
    path = seed_torch(caches / "torch", url, {})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ModelError, match=r"damaged.*Delete .*mobilenet_v3_small-047dcff4\.pth"):
        load_model("torchvision:mobilenet_v3_small")


NO_NETWORK = """
import json, socket, sys, time, timm, torch, torchvision
connect, seen = socket.socket.connect, []
def record(self, address):
    seen.append(str(address))
    return connect(self, address)
socket.socket.connect = record
from gradcam_core.errors import ModelError
from gradcam_core.progress import Progress
from gradcam_core.sources import load_model
results = []
for reference in sys.argv[1:]:
    before, start = len(seen), time.monotonic()
    try:
        load_model(reference, device="cpu")
        text = ""
    except ModelError as error:
        text = str(error)
    results.append([reference, text, time.monotonic() - start, seen[before:]])
print(json.dumps(results))
"""


@pytest.mark.parametrize("offline", ["", "1"])
def test_with_no_network_cached_weights_load_and_others_fail_fast_in_words(offline: str, tmp_path: Path) -> None:
    """In a fresh process, since the hub's client reads HF_HUB_OFFLINE when it is imported."""
    net = timm.create_model("resnet10t")
    seed_hub(tmp_path / "hub", "timm/resnet10t.c3_in1k", {"model.safetensors": partial(save_file, net.state_dict())})
    seed_torch(
        tmp_path / "torch",
        torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url,
        torchvision.models.squeezenet1_1().state_dict(),
    )
    # An address that nothing answers at (RFC 5737), so that the test means the same with and without a network.
    unreachable = "http://192.0.2.1:9"
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"HF_HUB_CACHE": str(tmp_path / "hub"), "TORCH_HOME": str(tmp_path / "torch")}
    environment |= {"http_proxy": unreachable, "https_proxy": unreachable, "HF_ENDPOINT": "https://huggingface.co"}
    environment |= {"HF_HUB_OFFLINE": offline} if offline else {}
    environment.pop("HF_HUB_OFFLINE" if not offline else "", None)
    references = ["timm:resnet10t", "torchvision:squeezenet1_1", "timm:mobilenetv2_100", "torchvision:resnet18"]
    root = Path(__file__).parents[1]
    answer = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, *references, "timm:hf-hub:someone/something"],
        env=environment, cwd=root, capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    results = json.loads(answer.stdout)
    for reference, text, seconds, connections in results[:2]:
        assert not text, f"{reference}: {text}"
        assert not connections
        assert seconds < 20
    for _, text, seconds, _ in results[2:]:
        assert seconds < 20  # half a second to three when the machine is idle; unguarded, the hub's client takes 47
        assert "not on this computer" in text
        assert "bundled:efficientnet_lite0" in text
        assert "timm:resnet10t.c3_in1k, torchvision:squeezenet1_1.IMAGENET1K_V1" in text
    if offline:
        assert "HF_HUB_OFFLINE" in results[2][1]
        assert not results[2][3]


@pytest.mark.parametrize("reference", ["timm:mobilenetv2_100", "torchvision:resnet18"])
def test_a_network_that_swallows_everything_is_given_up_after_seconds(
    reference: str, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that drops packets, or with a name server that never answers."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def swallow(*arguments: Any, **options: Any) -> None:
        time.sleep(15)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", swallow)
    start = time.monotonic()
    with pytest.raises(ModelError, match=r"cannot be reached.*bundled:"):
        load_model(reference)
    assert time.monotonic() - start < 10


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, bytes]]]:
    """A hub on this machine: its address, and the files it gives out by the end of their address."""
    files: dict[str, bytes] = {}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(False)

        def do_GET(self) -> None:
            self._answer(True)

        def _answer(self, whole: bool) -> None:
            content = files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("X-Repo-Commit", "b" * 40)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
            else:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("Content-Length", str(len(content) + 100 * self.path.endswith("short.pth")))
            self.end_headers()
            if whole and content is not None:
                self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{listener.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    yield address, files
    listener.shutdown()
    listener.server_close()


def bytes_of(write: Callable[[Path], Any], folder: Path) -> bytes:
    write(folder / "scratch")
    return (folder / "scratch").read_bytes()


def test_weights_are_downloaded_from_the_hub_with_progress_and_kept(
    caches: Path, server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    net = timm.create_model("resnet10t")
    content = bytes_of(lambda path: torch.save(net.state_dict(), path), tmp_path)
    server[1]["/timm/resnet10t.c3_in1k/resolve/main/pytorch_model.bin"] = content
    heard: list[tuple[float, str]] = []
    model = load_model(
        "timm:resnet10t", device="cpu", on_progress=lambda share, words, drafts: heard.append((share, words))
    )
    assert same_outputs(model.module, net)
    assert any("Downloading" in words and "MB" in words for _, words in heard)
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)
    server[1].clear()
    assert same_outputs(load_model("timm:resnet10t", device="cpu").module, net)


@pytest.mark.parametrize("reference", ["timm:resnet10t", "torchvision:squeezenet1_1"])
def test_an_exception_in_the_callback_cancels_a_download_as_itself(
    reference: str, caches: Path, server: tuple[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cancelled(Exception):
        pass

    def cancel(share: float, words: str, drafts: object) -> None:
        if "Downloading" in words:
            raise Cancelled

    weights = torchvision.models.SqueezeNet1_1_Weights
    server[1]["/timm/resnet10t.c3_in1k/resolve/main/model.safetensors"] = bytes(3_000_000)
    server[1]["/net.pth"] = bytes(3_000_000)
    monkeypatch.setattr(weights.DEFAULT.value, "url", f"{server[0]}/net.pth")
    with pytest.raises(Cancelled):
        load_model(reference, device="cpu", on_progress=cancel)


def test_a_hub_model_brings_its_classes_and_names(
    caches: Path, server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    net = timm.create_model("resnet10t", num_classes=5)
    timm.models.save_for_hf(net, tmp_path / "own", model_config={"label_names": list(NAMES)}, safe_serialization=True)
    for name in ("config.json", "model.safetensors"):
        server[1][f"/someone/flowers/resolve/main/{name}"] = (tmp_path / "own" / name).read_bytes()
    model = load_model("timm:hf-hub:someone/flowers", device="cpu")
    assert model.labels == NAMES
    assert same_outputs(model.module, net)
    with pytest.raises(ModelError, match=r"none of model.safetensors"):
        load_model("timm:hf-hub:someone/nothing")


def as_transformers_saves_it(folder: Path) -> tuple[torch.nn.Module, dict[str, Callable[[Path], None]]]:
    """A small model, and how each of its files is written; its weights are in two files with an index."""
    net = trained("ViT", {**VIT, "intermediate_size": 24})
    net.save_pretrained(folder, max_shard_size="8KB")  # type: ignore[operator]
    described(folder, 32)
    assert (folder / "model.safetensors.index.json").exists()
    return net, {path.name: partial(_copied, path) for path in folder.iterdir()}


def _copied(source: Path, target: Path) -> None:
    shutil.copy(source, target)


@pytest.mark.parametrize("end", ["", "@" + "a" * 40])
def test_a_sharded_model_in_the_hub_cache_loads_without_any_look_up(
    end: str, caches: Path, connections: list[Any]
) -> None:
    (caches / "saved").mkdir()
    net, files = as_transformers_saves_it(caches / "saved")
    seed_hub(caches / "hub", "someone/flowers", files)
    model = load_model(f"file:hf-hub:someone/flowers{end}", device="cpu")
    x, expected = logits(net, 32)
    with torch.no_grad():
        assert torch.allclose(model.module(x), expected, atol=1e-4)
    assert model.labels == ("daisy", "rose", "tulip")
    assert model.preprocessing.mean == (0.5, 0.4, 0.3)
    assert list_cached() == ("file:hf-hub:someone/flowers",)
    assert not connections


def test_weights_of_the_hub_without_a_configuration_load_into_a_given_architecture(
    caches: Path, connections: list[Any]
) -> None:
    net = small()
    seed_hub(caches / "hub", "someone/small", {"pytorch_model.bin": partial(torch.save, net.state_dict())})
    options: Any = {"architecture": SmallNet, "device": "cpu", "preprocessing": {"size": 32}}
    assert same_outputs(load_model("file:hf-hub:someone/small", **options).module, net)
    with pytest.raises(ModelError, match=r"no readable config\.json"):
        load_model("timm:hf-hub:someone/small")
    assert not connections


@pytest.mark.parametrize("reference", ["file:hf-hub:someone/nothing", "file:hf-hub:nothing"])
def test_a_model_of_the_hub_that_is_not_here_fails_fast_in_words(
    reference: str, caches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(
        ModelError, match=r"not on this computer, and 127.0.0.1 cannot be reached|is no model of the hub"
    ):
        load_model(reference)
    assert time.monotonic() - start < 5


def test_a_download_by_address_checks_its_checksum_and_leaves_no_rest(
    server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = server
    content = b"x" * 3_000_000
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    heard: list[float] = []
    files[f"/{name}"] = content
    path = hub_files.download(f"{address}/{name}", tmp_path / "new" / name, lambda share, words="": heard.append(share))
    assert path.read_bytes() == content
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    files["/net-00000000.pth"] = content
    with pytest.raises(ModelError, match="checksum"):
        hub_files.download(f"{address}/net-00000000.pth", tmp_path / "net-00000000.pth", Progress())
    files["/short.pth"] = content
    for missing in ("absent.pth", "short.pth"):
        with pytest.raises(ModelError, match="download failed"):
            hub_files.download(f"{address}/{missing}", tmp_path / missing, Progress())
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {name}


def test_a_folder_of_timm_brings_classes_names_and_preprocessing(tmp_path: Path) -> None:
    net = timm.create_model("resnet10t", num_classes=5, in_chans=1)
    timm.models.save_for_hf(net, tmp_path / "own", model_config={"label_names": list(NAMES)}, safe_serialization=True)
    model = load_model(f"timm:local-dir:{tmp_path / 'own'}", device="cpu")
    assert model.labels == NAMES
    assert model.architecture == "resnet10t"
    assert model.preprocessing.channels == 1
    assert same_outputs(model.module, net, channels=1)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ("no json", "no readable config.json"),
        ("[]", "no (model )?configuration"),
        ("{}", "names no timm architecture"),
        ('{"architecture": "resnet18x"}', "timm has no model 'resnet18x'"),
        ('{"architecture": "resnet10t", "pretrained_cfg": 3}', "no (model )?configuration"),
        ('{"architecture": "resnet10t"}', "no weights in this folder"),
        ('{"architecture": "resnet10t", "model_args": {"nonsense": 1}, "pretrained_cfg": {}}', "no weights"),
        ("[" * 100_000, "no readable config.json"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_in_words(config: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelError, match=words):
        load_model(f"timm:local-dir:{tmp_path}")


def test_a_folder_whose_weights_do_not_fit_is_refused_in_words(tmp_path: Path) -> None:
    timm.models.save_for_hf(timm.create_model("resnet10t", num_classes=5), tmp_path, safe_serialization=True)
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="timm could not build"):
        load_model(f"timm:local-dir:{tmp_path}")


def test_a_file_without_weights_does_not_lead_timm_to_the_network(tmp_path: Path, connections: list[Any]) -> None:
    """Where it gets no tensors, timm would download those of the hub that config.json names, past every check."""
    timm.models.save_for_hf(timm.create_model("resnet10t", num_classes=5), tmp_path, safe_serialization=True)
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    config = json.loads((tmp_path / "config.json").read_text())
    config["pretrained_cfg"]["hf_hub_id"] = "timm/resnet10t.c3_in1k"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="holds no tensors at all"):
        load_model(f"timm:local-dir:{tmp_path}")
    assert not connections
