"""What the layer advisor says of measured layers, and that the measurements are those of the bundled models."""

import tomllib

import numpy as np
import pytest

from demonstration.layers import localise, radiographs, rows_of, table_of
from gradcam_core import LoadedModel, advise, load_model
from gradcam_core.layers import measured, resolve_layer

NAMES = ["early", "noisy", "worse", "usual"]


def results(generator: np.random.Generator) -> np.ndarray:
    """Mass and hits [layers pictures 2]: 0.2 more than the usual layer, the same on average, 0.1 less, and its own."""
    usual = generator.uniform(0.2, 0.4, 40)
    masses = (usual + 0.2, usual + generator.normal(0, 0.2, 40), usual - 0.1, usual)
    return np.stack([np.stack([mass, np.ones(40)], axis=1) for mass in masses])


def test_an_interval_decides_what_is_clear() -> None:
    rows = {row["name"]: row for row in rows_of(NAMES, results(np.random.default_rng(0)))}
    assert rows["early"]["low"] == rows["early"]["high"] == 0.2
    assert rows["noisy"]["low"] < 0 < rows["noisy"]["high"]
    assert rows["worse"]["high"] == -0.1
    assert "low" not in rows["usual"]
    pair = results(np.random.default_rng(0))[[1, 3]]
    (alone, _), together = rows_of(["noisy", "usual"], pair), rows["noisy"]
    assert alone["high"] - alone["low"] < together["high"] - together["low"], "several layers need a wider interval"


@pytest.fixture(scope="module")
def clean() -> LoadedModel:
    return load_model("bundled:radiograph_clean", device="cpu")


def test_the_advisor_says_what_was_measured(clean: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]
    table = table_of("x", clean, "40 pictures", 40, rows_of(names, results(np.random.default_rng(0))))
    monkeypatch.setattr(measured, "_read", lambda: tomllib.loads(table))

    def last(name: str) -> str:
        return advise(clean, resolve_layer(clean, name))[-1].replace("\u202f", " ")

    assert last("layer4.0").startswith("On 40 pictures, 'layer1.0' localises clearly better: ")
    assert "here 31 % and 100 %." in last("layer4.0")
    assert last("layer1.0").endswith("at the recommended layer 31 % and 100 %. It localises clearly better.")
    assert last("layer2.0").endswith("Neither layer localises clearly better.")
    assert last("layer3.0").endswith("It localises clearly worse.")
    assert not any("edges and textures" in words for words in advise(clean, resolve_layer(clean, "layer1.0")))
    assert "localises" not in last("layer1.0.conv1"), "not measured"


def test_what_is_stored_belongs_to_the_bundled_models() -> None:
    for name, row in tomllib.loads(measured.MEASURED.read_text("utf-8"))["models"].items():
        model = load_model(f"bundled:{name}", device="cpu")
        assert (row["fingerprint"], row["usual"]) == (model.fingerprint, model.default_layer), "run `make layers`"
        assert {layer["name"] for layer in row["layers"]} <= {layer.name for layer in model.layers}
        assert measured.localisations(model)


def test_other_pictures_show_what_the_advisor_says_of_the_demonstration_model(clean: LoadedModel) -> None:
    names, values = localise(clean, [*radiographs(16)][8:])
    stored = measured.localisations(clean)
    assert stored["layer1.0"].low > 0
    masses = dict(zip(names, values[:, :, 0].mean(axis=1), strict=True))
    assert masses["layer1.0"] > 2 * masses["layer4.0"]
