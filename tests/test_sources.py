"""load_model: every kind of reference, fitting weights to architectures, labels, caches and no network."""

import copy
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import warnings
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
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from gradcam_core.errors import GradcamError, ModelError
from gradcam_core.sources import hub_files, list_bundled, list_cached, load_model
from gradcam_core.sources.labels import imagenet_labels, read_labels
from gradcam_core.sources.state_dicts import match_names
from gradcam_core.sources.timm_models import timm_preprocessing
from tests.test_checkpoints import SmallNet

NAMES = ("daisy", "rose", "tulip", "daisy", "Löwenzahn")
Tensors = Mapping[str, torch.Tensor]


def small(classes: int = 5, channels: int = 3) -> SmallNet:
    """A SmallNet whose statistics and counters have moved, as after training."""
    net = SmallNet(classes, channels)
    net(torch.rand(4, channels, 16, 16))
    return net.eval()


def load(path: Path, architecture: Any = SmallNet, **options: Any) -> Any:
    options = {"device": "cpu", "preprocessing": {"size": 32}, **options}
    return load_model(f"file:{path}", architecture=architecture, **options)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def same_outputs(first: nn.Module, second: nn.Module, channels: int = 3, size: int = 64) -> bool:
    x = torch.rand(2, channels, size, size)
    with torch.no_grad():
        return torch.allclose(first.eval()(x), second.eval()(x), atol=1e-5)


def test_the_bundled_model_recognises_a_real_picture_offline() -> None:
    import numpy as np
    import skimage.data

    from gradcam_core.preprocess import prepare
    from tests.networks import record

    heard: list[tuple[float, str]] = []
    model = load_model("bundled:efficientnet_lite0", device="cpu", on_progress=lambda *report: heard.append(report))
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)
    assert (heard[0][0], heard[-1][0]) == (0.0, 1.0)
    assert all(words for _, words in heard)
    x, _ = prepare(record(np.ascontiguousarray(skimage.data.coffee())), model.preprocessing)
    probabilities = model.module(torch.from_numpy(x)[None]).softmax(1)[0]
    assert model.labels[int(probabilities.argmax())] == "espresso"
    assert probabilities.max() > 0.9
    assert model.architecture == "tf_efficientnet_lite0"
    assert not model.notes
    assert list_bundled()[0].name == "efficientnet_lite0", "the default stands first"


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("resnet18", "incomplete.*bundled:.*timm:.*torchvision:.*file:"),
        ("", "incomplete"),
        ("timm:", "incomplete"),
        ("file:", "incomplete"),
        ("tim:resnet18", "'tim:' is no source.*Did you mean timm:"),
        ("https://example.org/x.pth", "is no source"),
        ("bundled:efficientnet_lite", "Did you mean bundled:efficientnet_lite0"),
        ("timm:mobilnetv2_100", "timm has no model.*timm:mobilenetv2_100"),
        ("timm:resnet18.unknown_in1k", "no weights 'unknown_in1k'.*resnet18.a1_in1k"),
        ("torchvision:resnet5", "torchvision has no classification model.*torchvision:resnet50"),
        ("torchvision:resnet50.V9", "no weights 'V9'.*IMAGENET1K_V2"),
        ("torchvision:fasterrcnn_resnet50_fpn", "no classification model"),
        ("timm:local-dir:/nowhere/at/all", "no readable config.json"),
        ("timm:hf-hub:no-organisation", "ORGANISATION/NAME"),
        ("timm:hf-hub:a/..", "cannot be a model of the hub"),
    ],
)
def test_a_reference_that_cannot_work_says_what_would(reference: str, words: str) -> None:
    with pytest.raises(ModelError, match=f"(?s){words}"):
        load_model(reference)


@pytest.mark.parametrize(
    ("reference", "options", "words"),
    [
        ("bundled:efficientnet_lite0", {"num_classes": 5}, "complete"),
        ("bundled:efficientnet_lite0", {"architecture": "timm:resnet18"}, "belongs to file:"),
        ("timm:resnet10t", {"num_classes": -1}, "num_classes cannot be -1"),
        ("timm:resnet10t", {"in_chans": True}, "in_chans cannot be True"),
        ("torchvision:resnet18", {"num_classes": 0}, "num_classes cannot be 0"),
        ("torchvision:vit_b_32", {"preprocessing": {"size": 64}}, "224 x 224 only.*timm"),
        ("bundled:efficientnet_lite0", {"pretrained": False}, "belongs to timm: and torchvision:"),
        (SmallNet(), {"labels": ["a"]}, "1 labels do not fit"),
        (SmallNet(), {"num_classes": 5}, "complete"),
        (SmallNet(), {"preprocessing": {"colour": 1}}, "no 'colour'.*size"),
        (SmallNet(), {"preprocessing": {"std": 0}}, "std"),
        (SmallNet(), {"preprocessing": {"size": [1, 2, 3]}}, "size"),
    ],
)
def test_an_option_that_cannot_work_is_refused_in_words(reference: Any, options: Any, words: str) -> None:
    with pytest.raises(GradcamError, match=f"(?s){words}"):
        load_model(reference, device="cpu", **options)


def test_without_weights_a_network_says_that_it_is_random_and_bears_no_imagenet_names() -> None:
    for reference in ("timm:resnet10t", "torchvision:mobilenet_v3_small"):
        model = load_model(reference, pretrained=False, device="cpu")
        assert any("random" in note for note in model.notes)
        assert model.labels[:2] == ("class 0", "class 1")
        assert len(model.labels) == 1000


@pytest.mark.parametrize("reference", ["timm:resnet10t", "torchvision:mobilenet_v3_small"])
def test_classes_and_channels_can_be_chosen(reference: str) -> None:
    model = load_model(reference, pretrained=False, num_classes=3, in_chans=1, device="cpu")
    assert len(model.labels) == 3
    assert model.preprocessing.channels == len(model.preprocessing.mean) == 1
    assert model.preprocessing.mean[0] == pytest.approx((0.485 + 0.456 + 0.406) / 3)


def test_a_network_without_classifier_says_so() -> None:
    model = load_model("timm:resnet10t", pretrained=False, num_classes=0, device="cpu")
    assert any("no classifier" in note for note in model.notes)


def test_a_network_of_four_channels_loads_and_says_so() -> None:
    model = load_model("timm:resnet10t", pretrained=False, in_chans=4, device="cpu")
    assert any("4 channels" in note for note in model.notes)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_networks_with_side_heads_work(name: str) -> None:
    model = load_model(f"torchvision:{name}", pretrained=False, num_classes=4, device="cpu")
    assert model.module(torch.rand(1, 3, 96, 96)).shape == (1, 4)


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "regnety_004", "dm_nfnet_f0", "eca_nfnet_l0"])
def test_preprocessing_is_that_of_timms_own_transform(name: str) -> None:
    with torch.device("meta"):
        module = timm.create_model(name)
    config = resolve_model_data_config(module)
    resize, cut = create_transform(**config).transforms[:2]
    own = timm_preprocessing(module)
    full = resize.size if isinstance(resize.size, (list, tuple)) else (resize.size, resize.size)
    assert own.resize == tuple(full)
    assert own.size == tuple(cut.size)
    assert (own.interpolation, own.crop_mode) == (config["interpolation"], config["crop_mode"])
    assert (own.mean, own.std) == (tuple(config["mean"]), tuple(config["std"]))


def test_preprocessing_is_that_of_torchvisions_own_transform() -> None:
    for name in ("mobilenet_v3_small", "squeezenet1_0"):
        transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
        own = load_model(f"torchvision:{name}", pretrained=False, device="cpu").preprocessing
        assert own.size == (transform.crop_size[0],) * 2
        assert own.resize == (transform.resize_size[0],) * 2
        assert own.interpolation == transform.interpolation.value
        assert [*own.mean, *own.std] == [*transform.mean, *transform.std]


def test_a_chosen_size_reaches_networks_that_are_built_for_one_size() -> None:
    for reference in ("timm:vit_tiny_patch16_224", "torchvision:vit_b_32"):
        model = load_model(reference, pretrained=False, num_classes=2, device="cpu", preprocessing={"size": 64})
        assert model.preprocessing.size == (64, 64)
        assert model.module(torch.rand(1, 3, 64, 64)).shape == (1, 2)


def test_imagenet_names_are_1000_and_distinct() -> None:
    assert len(set(imagenet_labels())) == len(imagenet_labels()) == 1000


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
    model = load_model("timm:resnet10t", device="cpu", on_progress=lambda share, words: heard.append((share, words)))
    assert same_outputs(model.module, net)
    assert any("Downloading" in words and "MB" in words for _, words in heard)
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)
    server[1].clear()
    assert same_outputs(load_model("timm:resnet10t", device="cpu").module, net)


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
    with pytest.raises(ModelError, match=r"none of config.json"):
        load_model("timm:hf-hub:someone/nothing")


def test_a_download_by_address_checks_its_checksum_and_leaves_no_rest(
    server: tuple[str, dict[str, bytes]], tmp_path: Path
) -> None:
    address, files = server
    content = b"x" * 3_000_000
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    heard: list[float] = []
    files[f"/{name}"] = content
    path = hub_files.download(f"{address}/{name}", tmp_path / "new" / name, lambda share, words: heard.append(share))
    assert path.read_bytes() == content
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    files["/net-00000000.pth"] = content
    with pytest.raises(ModelError, match="checksum"):
        hub_files.download(f"{address}/net-00000000.pth", tmp_path / "net-00000000.pth", lambda share, words: None)
    files["/short.pth"] = content
    for missing in ("absent.pth", "short.pth"):
        with pytest.raises(ModelError, match="download failed"):
            hub_files.download(f"{address}/{missing}", tmp_path / missing, lambda share, words: None)
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
        ("[]", "no model configuration"),
        ("{}", "names no timm architecture"),
        ('{"architecture": "resnet18x"}', "timm has no model 'resnet18x'"),
        ('{"architecture": "resnet10t", "pretrained_cfg": 3}', "no model configuration"),
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


@pytest.mark.parametrize(
    ("name", "build", "size"),
    [
        ("timm:mobilenetv2_100", partial(timm.create_model, "mobilenetv2_100"), 64),
        ("timm:mobilenetv2_035", partial(timm.create_model, "mobilenetv2_035"), 64),
        ("timm:vit_tiny_patch16_224", partial(timm.create_model, "vit_tiny_patch16_224"), 224),
        ("torchvision:mobilenet_v2", torchvision.models.mobilenet_v2, 64),
        ("torchvision:resnet18", torchvision.models.resnet18, 64),
        ("torchvision:squeezenet1_1", torchvision.models.squeezenet1_1, 64),
    ],
)
def test_a_checkpoint_of_ones_own_loads_by_its_architecture_alone(
    name: str, build: Callable[..., nn.Module], size: int, tmp_path: Path
) -> None:
    net = build(num_classes=19)
    path = saved(tmp_path / "x.pth", {"state_dict": nn.DataParallel(net).state_dict(), "epoch": 3})
    model = load_model(f"file:{path}", architecture=name, device="cpu")
    assert len(model.labels) == 19
    assert model.architecture == name
    assert same_outputs(model.module, net, size=size)


def compiled(state: Tensors) -> Tensors:
    return {key.replace("stem.", "stem._orig_mod."): x for key, x in state.items()}


WRAPPED: dict[str, Callable[[Tensors], Any]] = {
    "plain": lambda s: s,
    "module": lambda s: {f"module.{k}": x for k, x in s.items()},
    "model": lambda s: {f"model.{k}": x for k, x in s.items()},
    "compiled": lambda s: {f"_orig_mod.{k}": x for k, x in s.items()},
    "compiled inside": lambda s: compiled(s),
    "compiled around parallel": lambda s: {f"_orig_mod.module.{k}": x for k, x in s.items()},
    "parallel around compiled": lambda s: {f"module._orig_mod.{k}": x for k, x in s.items()},
    "parallel in the middle": lambda s: {f"model.module.{k}": x for k, x in s.items()},
    "parallel parts": lambda s: {k.replace("stem.", "stem.module."): x for k, x in s.items()},
    "network": lambda s: {f"network.{k}": x for k, x in s.items()},
    "an unusual name": lambda s: {f"net.image_branch.{k}": x for k, x in s.items()},
    "state_dict": lambda s: {"state_dict": s, "epoch": 1},
    "model key": lambda s: {"model": s, "optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}, "param_groups": []}},
    "net key": lambda s: {"net": s, "acc": 0.9},
    "nested keys": lambda s: {"checkpoint": {"model_state_dict": {f"module.{k}": x for k, x in s.items()}}},
    "only averaged": lambda s: {"state_dict_ema": s, "epoch": 2},
    "averaging wrapper": lambda s: {"n_averaged": torch.tensor(3), **{f"module.{k}": x for k, x in s.items()}},
    "Lightning": lambda s: {
        "state_dict": {**{f"model.{k}": x for k, x in s.items()}, "loss.weight": torch.ones(5)},
        "pytorch-lightning_version": "2.0",
        "hyper_parameters": {"lr": 0.1},
    },
    "backbone beside head": lambda s: {f"{'' if k.startswith('fc') else 'backbone.'}{k}": x for k, x in s.items()},
    "without counters": lambda s: {k: x for k, x in s.items() if "num_batches" not in k},
    "with a profiler's counters": lambda s: {**s, "total_ops": torch.zeros(1), "fc.total_params": torch.zeros(1)},
    "parameters": lambda s: {k: nn.Parameter(x, requires_grad=False) for k, x in s.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_and_prefixes_are_stripped_wherever_they_stand(wrap: Callable[[Tensors], Any], tmp_path: Path) -> None:
    net = small()
    model = load(saved(tmp_path / "x.pth", wrap(net.state_dict())))
    assert same_outputs(model.module, net)


class Inner(nn.Module):
    """An architecture whose own names begin with what is usually a wrapper's."""

    def __init__(self, num_classes: int = 4) -> None:
        super().__init__()
        self.model = SmallNet(num_classes)
        self.module = nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(self.module(x))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "model.module.", "module.model.", "net.x."])
def test_an_architecture_that_itself_has_a_model_or_module_is_not_mistaken(prefix: str, tmp_path: Path) -> None:
    net = Inner().eval()
    path = saved(tmp_path / "x.pth", {f"{prefix}{k}": x for k, x in net.state_dict().items()})
    assert same_outputs(load(path, Inner).module, net)


def test_plain_weights_are_preferred_to_averaged_ones_and_a_note_says_so(tmp_path: Path) -> None:
    plain, averaged = small(), small()
    for order in (("state_dict", "state_dict_ema"), ("model_ema", "model")):
        content = {key: (averaged if "ema" in key else plain).state_dict() for key in order}
        model = load(saved(tmp_path / "x.pth", content))
        assert same_outputs(model.module, plain)
        assert any("several sets of weights" in note and "ema" in note for note in model.notes)


def test_other_tensors_in_the_file_are_left_out_with_a_note(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", WRAPPED["Lightning"](small().state_dict()))
    assert any("1 other tensors" in note and "loss.weight" in note for note in load(path).notes)


def test_the_number_of_channels_is_read_off_the_first_convolution(tmp_path: Path) -> None:
    net = small(channels=1)
    model = load(saved(tmp_path / "x.pth", net.state_dict()))
    assert model.preprocessing.channels == 1
    assert same_outputs(model.module, net, channels=1)
    for name, build in (("timm:resnet10t", partial(timm.create_model, "resnet10t", in_chans=1)),):
        net = build(num_classes=3)
        model = load_model(f"file:{saved(tmp_path / 'y.pth', net.state_dict())}", architecture=name, device="cpu")
        assert same_outputs(model.module, net, channels=1)
    net = torchvision.models.mobilenet_v2(num_classes=3)
    net.features[0][0] = nn.Conv2d(1, 32, 3, 2, 1, bias=False)
    path = saved(tmp_path / "z.pth", net.state_dict())
    model = load_model(f"file:{path}", architecture="torchvision:mobilenet_v2", device="cpu")
    assert same_outputs(model.module, net, channels=1)


def test_half_precision_weights_are_converted_with_a_note(tmp_path: Path) -> None:
    net = small()
    for kind in (torch.float16, torch.bfloat16):
        narrow = copy.deepcopy(net).to(kind)
        model = load(saved(tmp_path / "x.pth", narrow.state_dict()))
        assert next(model.module.parameters()).dtype == torch.float32
        assert same_outputs(model.module, narrow.float())
        assert any(str(kind).removeprefix("torch.") in note for note in model.notes)


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    before = torch.get_rng_state()
    load(path)
    assert torch.equal(torch.get_rng_state(), before)


def without(state: Tensors, *starts: str) -> Tensors:
    return {key: x for key, x in state.items() if not key.startswith(starts)}


def resnet(classes: int = 6) -> nn.Module:
    return torchvision.models.resnet18(num_classes=classes)


@pytest.mark.parametrize(
    ("content", "architecture", "words"),
    [
        (
            lambda: timm.create_model("mobilenetv2_035").state_dict(),
            "torchvision:mobilenet_v2",
            r"262 of 314 tensors missing \(features.0.0.weight, .*another architecture.*timm's EfficientNet",
        ),
        (
            lambda: torchvision.models.mobilenet_v2().state_dict(),
            "timm:mobilenetv2_100",
            r"missing \(conv_stem.weight.*not part of it \(features.0.0.weight.*torchvision's MobileNet",
        ),
        (
            lambda: timm.create_model("mobilenetv2_035").state_dict(),
            "timm:mobilenetv2_050",
            r"of another shape \(.*\(file \d+ x \d+ x 1 x 1, network .*another width",
        ),
        (lambda: without(resnet().state_dict(), "fc."), "torchvision:resnet18", r"backbone without its classifier"),
        (lambda: resnet().state_dict(), "torchvision:resnet34", r"80 of 218 tensors missing .*part of the network"),
        (
            lambda: torchvision.models.resnet34().state_dict(),
            "torchvision:resnet18",
            r"80 tensors not part of it .*larger network",
        ),
        (
            lambda: without(resnet().state_dict(), "layer3", "layer4"),
            "torchvision:resnet18",
            r"only a part of the network",
        ),
        (
            lambda: {**without(resnet().state_dict(), "fc."), "fc.1.weight": torch.ones(6, 512)},
            "torchvision:resnet18",
            r"classifier was replaced by one of your own",
        ),
        (
            lambda: (
                {f"backbone.body.{k}": x for k, x in resnet().state_dict().items()}
                | {"rpn.head.conv.weight": torch.zeros(1), "roi_heads.box.weight": torch.zeros(1)}
            ),
            "timm:mobilenetv2_100",
            r"torchvision detection model.*Only classifiers",
        ),
        (
            lambda: timm.create_model("vit_tiny_patch16_224", img_size=96).state_dict(),
            "timm:vit_tiny_patch16_224",
            r"pos_embed .*pictures of another size.*preprocessing=\{'size'",
        ),
        (lambda: {"x": torch.zeros(3)}, "timm:resnet10t", r"another architecture"),
        (
            lambda: {**resnet().state_dict(), "fc.bias": torch.zeros(7)},
            "torchvision:resnet18",
            r"do not agree on a usable number of classes: 6, 7",
        ),
    ],
)
def test_weights_that_do_not_fit_give_one_readable_report(
    content: Callable[[], Tensors], architecture: str, words: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / "x.pth", content())
    with pytest.raises(ModelError, match=f"(?s){words}") as caught:
        load_model(f"file:{path}", architecture=architecture)
    assert len(str(caught.value)) < 1200
    assert caught.value.remedy


def test_a_vision_transformer_of_another_size_loads_when_the_size_is_given(tmp_path: Path) -> None:
    net = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=3)
    path = saved(tmp_path / "x.pth", net.state_dict())
    architecture = "timm:vit_tiny_patch16_224"
    model = load_model(f"file:{path}", architecture=architecture, preprocessing={"size": 96}, device="cpu")
    assert same_outputs(model.module, net, size=96)


def test_without_an_architecture_the_error_suggests_one(tmp_path: Path) -> None:
    net = timm.create_model("resnet10t")
    for content, words in (
        (
            {"arch": "resnet18", "state_dict": net.state_dict()},
            "says 'resnet18': try architecture='torchvision:resnet18'",
        ),
        ({"config": {"model_name": "mobilenetv2_100"}, **net.state_dict()}, "try architecture='timm:mobilenetv2_100'"),
        (net.state_dict(), "look like a ResNet"),
        ({"zzz.weight": torch.zeros(1)}, "architecture is missing"),
    ):
        with pytest.raises(ModelError, match=words):
            load(saved(tmp_path / "x.pth", content), None)


def test_a_wish_for_other_classes_than_the_file_has_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    assert len(load(path, num_classes=5, in_chans=3).labels) == 5
    with pytest.raises(ModelError, match="5 classes, not 7"):
        load(path, num_classes=7)
    with pytest.raises(ModelError, match="takes no num_classes"):
        load(path, lambda: SmallNet(5), num_classes=5)


def test_a_side_head_that_only_training_uses_may_be_in_the_file(tmp_path: Path) -> None:
    net = torchvision.models.inception_v3(num_classes=4, init_weights=False, aux_logits=True, transform_input=True)
    path = saved(tmp_path / "x.pth", nn.DataParallel(net).state_dict())
    model = load_model(f"file:{path}", architecture="torchvision:inception_v3", device="cpu")
    assert same_outputs(model.module, net, size=96)
    assert any("rescales its input" in note for note in model.notes)


def test_how_pictures_are_prepared_is_a_noted_assumption_unless_it_is_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", timm.create_model("resnet10t", num_classes=4).state_dict())
    for preprocessing, said in ((None, True), ({"size": 96}, False)):
        model = load_model(f"file:{path}", architecture="timm:resnet10t", device="cpu", preprocessing=preprocessing)
        assert any("was assumed" in note for note in model.notes) is said


def test_a_function_as_architecture_may_name_its_options_as_is_usual_or_take_none(tmp_path: Path) -> None:
    net = small(5, 1)
    path = saved(tmp_path / "x.pth", net.state_dict())

    def usual(n_classes: int, in_channels: int = 3) -> nn.Module:
        return SmallNet(n_classes, in_channels)

    def anything(**options: Any) -> nn.Module:
        return SmallNet(in_chans=1, **options)

    for build in (usual, anything, partial(SmallNet, in_chans=1), lambda: SmallNet(5, 1)):
        assert same_outputs(load(path, build).module, net, channels=1)


def test_a_function_that_hands_out_an_existing_model_leaves_that_model_alone(tmp_path: Path) -> None:
    mine, theirs = small(), small()
    before = copy.deepcopy(mine.state_dict())
    model = load(saved(tmp_path / "x.pth", theirs.state_dict()), lambda: mine)
    assert all(torch.equal(before[name], x) for name, x in mine.state_dict().items())
    assert same_outputs(model.module, theirs)


def test_a_factory_is_imported_by_its_dotted_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    model = load(path, "python:tests.test_checkpoints:SmallNet")
    assert model.architecture == "python:tests.test_checkpoints:SmallNet"
    (tmp_path / "own_broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    for architecture, words in (
        ("python:no_such_module_here:make", "cannot be imported"),
        ("python:own_broken_module:make", "cannot be imported: division by zero"),
        ("python:tests.test_checkpoints:absent", "no 'absent'"),
        ("python:tests.test_checkpoints", "incomplete"),
        ("python:tests.test_sources:NAMES", "no function"),
        ("python:builtins:dict", "returned a dict, not a network"),
        ("resnet18", "names no architecture"),
        ("keras:resnet18", "names no architecture"),
        ("timm:resnet1x", "timm has no model"),
        (small(), "no function"),
        (lambda: 1 / 0, "could not be built: ZeroDivisionError"),
    ):
        with pytest.raises(ModelError, match=words):
            load(path, architecture)


@pytest.mark.parametrize(
    "carried",
    [
        {"class_names": list(NAMES)},
        {"classes": NAMES},
        {"labels": list(NAMES)},
        {"idx_to_class": dict(enumerate(NAMES))},
        {"idx_to_class": {str(index): name for index, name in enumerate(NAMES)}},
        {"hyper_parameters": {"class_names": list(NAMES)}},
        {"meta": {"CLASSES": NAMES}},
    ],
)
def test_names_of_classes_in_the_checkpoint_are_used_as_written(carried: dict[str, Any], tmp_path: Path) -> None:
    model = load(saved(tmp_path / "x.pth", {"state_dict": small().state_dict(), **carried}))
    assert model.labels == NAMES


def test_names_by_index_are_read_in_either_direction(tmp_path: Path) -> None:
    distinct = ("b", "a", "e", "d", "c")
    by_name = {name: index for index, name in enumerate(distinct)}
    path = saved(tmp_path / "x.pth", {"state_dict": small().state_dict(), "class_to_idx": by_name})
    assert load(path).labels == distinct
    path = tmp_path / "x.safetensors"
    save_file(small().state_dict(), path, metadata={"class_to_idx": json.dumps(by_name)})
    assert load(path).labels == distinct


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_indices.json", json.dumps({str(i): name for i, name in enumerate(NAMES)})),
        ("class_indices.json", json.dumps(list(NAMES))),
        ("class_indices.json", json.dumps({str(i): [f"n0{i}", name] for i, name in enumerate(NAMES)})),
        ("labels.txt", "\n".join(NAMES) + "\n\n"),
        ("classes.txt", "﻿" + "\r\n".join(NAMES)),
        ("class_names.txt", "\n".join(f"{i} {name}" for i, name in enumerate(NAMES))),
        ("x.txt", "index,name\n" + "\n".join(f"{i},{name}" for i, name in enumerate(NAMES))),
        ("x.json", json.dumps({"class_names": NAMES})),
    ],
)
def test_names_of_classes_in_a_file_beside_the_weights_are_found(name: str, text: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small().state_dict())
    (tmp_path / name).write_text(text, encoding="utf-8")
    model = load(path)
    assert model.labels == NAMES
    assert any("beside the weights" in note for note in model.notes)
    assert not any(name in note for note in model.notes), "a file's name may be a person's"


def test_found_names_that_do_not_match_are_left_out_with_a_note_but_given_ones_are_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", {"state_dict": small().state_dict(), "classes": ["a", "b"]})
    model = load(path)
    assert model.labels[0] == "class 0"
    assert any("2 names of classes" in note and "5 classes" in note for note in model.notes)
    with pytest.raises(ModelError, match="2 labels do not fit a model with 5 classes"):
        load(path, labels=["a", "b"])
    assert load(path, labels=list(NAMES)).labels == NAMES
    (tmp_path / "own.txt").write_text("\n".join(NAMES), encoding="utf-8")
    assert load(path, labels=tmp_path / "own.txt").labels == NAMES
    assert load(path, labels=str(tmp_path / "own.txt")).labels == NAMES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"\xff\xfa\x00\x01binary", "not text"),
        (b"", "no labels"),
        (b"\n\n \n", "no labels"),
        (b"a\n\nb", "Label 2"),
        (b"a\nb\x00c", "Label 2"),
        (b"x" * 400, "Label 1"),
        (b"x\n" * 100_001, "100001 labels"),
        (b"x" * 9_000_000, "far too large"),
        (b"[NaN, 1]", "no list of names"),
        (b"[[[[]]]]", "no list of names"),
        (b"[" * 500_000, "no list of names"),
        (b'{"0": "a", "2": "b"}', "no list of names"),
        (b'{"0": "a", "00": "b"}', "no list of names"),
        (b'{"a": 0, "b": 0}', "no list of names"),
        (b'{"a": -1, "b": 0}', "no list of names"),
        (b'{"a": null}', "no list of names"),
        (b"{broken", "no list of names"),
    ],
)
def test_a_hostile_label_file_is_refused_when_given_and_noted_when_found(
    text: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_bytes(text)
    start = time.monotonic()
    with pytest.raises(ModelError, match=words):
        read_labels(tmp_path / "labels.txt")
    model = load(saved(tmp_path / "x.pth", small().state_dict()))
    assert model.labels[0] == "class 0"
    assert any("lies beside the weights" in note for note in model.notes)
    assert time.monotonic() - start < 5


def test_a_label_file_that_is_not_there_is_refused() -> None:
    for path in ("/nowhere/labels.txt", "nul\0.txt"):
        with pytest.raises(ModelError, match=r"no label file|cannot be opened"):
            read_labels(Path(path))


def test_a_model_in_memory_is_copied_and_stays_as_it_is() -> None:
    net = small()
    net.train()
    net.fc.weight.grad = torch.ones_like(net.fc.weight)
    before = copy.deepcopy(net.state_dict())
    model = load_model(net, labels=list(NAMES), device="cpu")
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())
    assert torch.equal(net.fc.weight.grad, torch.ones_like(net.fc.weight))
    assert all(torch.equal(before[name], x) for name, x in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    assert model.module is not net
    assert (model.architecture, model.labels) == ("SmallNet", NAMES)
    assert any("assumed" in note for note in model.notes)
    assert same_outputs(model.module, net)


def test_a_model_in_memory_is_taken_out_of_its_wrappers() -> None:
    net = small()
    for wrapped in (nn.DataParallel(net), torch.compile(net), nn.DataParallel(nn.DataParallel(net))):
        model = load_model(wrapped, device="cpu", preprocessing={"size": 32})
        assert type(model.module) is SmallNet
        assert model.default_layer in dict(net.named_modules())


def test_a_timm_model_in_memory_keeps_timms_preprocessing() -> None:
    net = timm.create_model("resnet10t", num_classes=3)
    model = load_model(net, device="cpu")
    assert model.preprocessing.size == (176, 176)
    assert not model.notes
    grey = load_model(timm.create_model("resnet10t", num_classes=3, in_chans=1), device="cpu")
    assert grey.preprocessing.channels == 1


def test_a_model_in_half_precision_is_computed_in_float32_with_a_note() -> None:
    net = small().half()
    model = load_model(net, device="cpu", preprocessing={"size": 32})
    assert net.fc.weight.dtype == torch.float16
    assert model.module.fc.weight.dtype == torch.float32
    assert any("float32" in note for note in model.notes)


def test_a_model_that_cannot_be_copied_or_run_is_refused_in_words() -> None:
    holding = small()
    holding.last = holding(torch.rand(1, 3, 8, 8))  # type: ignore[assignment]
    locked = small()
    locked.lock = threading.Lock()  # type: ignore[assignment]
    with torch.device("meta"):
        hollow = SmallNet()
    lazy = nn.Sequential(nn.LazyConv2d(3, 1), nn.Flatten(), nn.LazyLinear(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.trace(small(), torch.zeros(1, 3, 8, 8))
    for net, words in (
        (holding, "cannot be copied"),
        (locked, "cannot be copied"),
        (hollow, "no weights"),
        (lazy, "lazy"),
        (scripted, "TorchScript"),
    ):
        with pytest.raises(ModelError, match=words):
            load_model(net, device="cpu")


def test_names_outside_the_matched_prefix_and_unknown_ones_inside_are_told_apart() -> None:
    match = match_names(["a.x", "a.y", "a.z", "b.q"], ["x", "y", "w"])
    assert match.prefix == "a."
    assert dict(match.names) == {"x": "a.x", "y": "a.y"}
    assert (match.missing, match.unexpected, match.elsewhere) == (("w",), ("a.z",), ("b.q",))


def test_preprocessing_can_be_replaced_in_parts() -> None:
    options = {"size": 160, "mean": 0.5, "std": 0.5, "fit": "squash"}
    model = load_model("timm:resnet10t", pretrained=False, device="cpu", preprocessing=options)
    own = model.preprocessing
    assert (own.size, own.mean, own.std, own.fit) == ((160, 160), (0.5,) * 3, (0.5,) * 3, "squash")
    assert own.resize[0] / 160 == pytest.approx(201 / 176, abs=0.01)


def test_class_folders_named_by_numbers_keep_their_own_order(tmp_path: Path) -> None:
    folders = sorted(str(number) for number in range(12))  # 0, 1, 10, 11, 2, ...: as torchvision's ImageFolder does
    weights = {"state_dict": small(classes=12).state_dict(), "class_to_idx": {x: i for i, x in enumerate(folders)}}
    assert load(saved(tmp_path / "x.pth", weights)).labels == tuple(folders)


def test_given_labels_may_be_a_mapping_but_no_set(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small(classes=3).state_dict())
    assert load(path, labels={"b": 1, "a": 0, "c": 2}).labels == ("a", "b", "c")
    assert load(path, labels={0: "a", 1: "b", 2: "c"}).labels == ("a", "b", "c")
    for wrong in ({"a", "b", "c"}, 5, (x for x in "abc")):
        with pytest.raises(ModelError, match="not a list of names"):
            load(path, labels=wrong)


def test_names_beside_the_weights_are_not_spoken_of_where_names_are_given(tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pth", small(classes=3).state_dict())
    (tmp_path / "labels.txt").write_text("x\ny\nz\n", encoding="utf-8")
    model = load(path, labels=["a", "b", "c"])
    assert model.labels == ("a", "b", "c")
    assert not any("names" in note for note in model.notes)


@pytest.mark.parametrize("wrong", [None, 3, Path("x.pth")])
def test_what_is_no_reference_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(ModelError, match="no reference to a model"):
        load_model(wrong)


@pytest.mark.parametrize("wrong", ["squash", 5, [("size", 64)]])
def test_what_is_no_preprocessing_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(ModelError, match="no preprocessing"):
        load_model(small(), preprocessing=wrong)
