"""The own pixels of a picture on their way to the browser: exact values, exact tiles, and to its session alone."""

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from gradcam_core import explain, read_image
from gradcam_core.records import ImageRecord, LoadedModel
from pages.components import filmstrip, pixels
from pages.components.analysis import cache
from pages.components.panels import heatmaps
from pages.components.pixels import OFFERS, ROUTE, Offer
from pages.components.pixels.tiles import TILE, tile_of, whole_of
from pages.components.pixels.values import GreyValues, read_values
from tests.pictures import encode, tiff

NOISE = np.random.default_rng(3).integers(0, 65536, (700, 1100)).astype(np.uint16)
COLOURS = np.random.default_rng(4).integers(0, 256, (700, 1100, 3)).astype(np.uint8)
PNG = encode(COLOURS, "PNG")


def stored(values: GreyValues) -> np.ndarray:
    return values.offset + values.step * values.levels.astype(float)


@pytest.mark.parametrize(
    ("samples", "options"),
    [
        (NOISE, {}),
        (NOISE // 16, {"photometric": "miniswhite"}),
        ((NOISE.astype(np.int32) - 32768).astype(np.int16), {}),
        ((NOISE % 256).astype(np.uint8), {}),
    ],
    ids=["16 bits", "low values are white", "with a sign", "8 bits"],
)
def test_the_stored_values_of_up_to_16_bits_are_exact(samples: np.ndarray, options: dict[str, Any]) -> None:
    content = tiff(samples, **options)
    values = read_values(read_image(content), content)
    assert np.array_equal(stored(values), samples)
    assert values.empty == -1


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_other_values_come_in_65536_steps_of_what_is_shown(kind: type) -> None:
    samples = (NOISE / 1000).astype(kind)
    content = tiff(samples)
    image = read_image(content)
    values = read_values(image, content)
    low, high = image.stored_range
    assert np.abs(stored(values) - np.clip(samples.astype(float), low, high)).max() <= (high - low) / 65535


def test_a_window_for_the_model_leaves_the_stored_values_as_they_are() -> None:
    for samples in (NOISE, (NOISE / 1000).astype(np.float32)):
        content = tiff(samples)
        whole = read_values(read_image(content), content)
        given = read_values(read_image(content, window=(20, 10)), content)
        assert np.array_equal(stored(whole), stored(given))


def test_what_has_no_value_has_a_level_of_its_own() -> None:
    samples = (NOISE // 4).astype(np.uint16)
    content = tiff(samples, extratags=[(42113, "s", 0, str(samples[3, 5]), True)])
    values = read_values(read_image(content), content)
    missing = samples == samples[3, 5]
    assert (values.levels[missing] == values.empty).all()
    assert np.array_equal(stored(values)[~missing], samples[~missing])


def test_tiles_are_the_files_own_pixels() -> None:
    picture = read_image(encode(COLOURS, "PNG"))
    rows = [np.hstack([tile_of(picture, 0, column, row) for column in range(3)]) for row in range(2)]
    assert np.array_equal(np.vstack(rows), COLOURS)
    assert tile_of(picture, 0, 3, 0) is None
    assert tile_of(picture, 0, 0, 2) is None
    halves = tile_of(picture, 1, 0, 0)
    assert halves.shape == (350, 512, 3)
    mean = COLOURS[:700, :1024].reshape(350, 2, 512, 2, 3).mean(axis=(1, 3))
    assert np.abs(halves - mean).max() <= 1


def test_all_of_a_grey_picture_fits_the_screen_in_its_own_depth() -> None:
    wide = np.tile(NOISE, (1, 3))
    whole = whole_of(GreyValues(wide, 0, 1))
    assert (whole.shape, whole.dtype) == ((340, 1600), np.uint16)
    assert whole.mean() == pytest.approx(wide.mean(), rel=0.01)


@pytest.fixture
def client() -> Any:
    content = tiff(NOISE)
    sha256 = hashlib.sha256(content).hexdigest()
    OFFERS["tokengrey"] = Offer("one", sha256, content, 0, None, (), True)
    OFFERS["tokencolour"] = Offer("two", "colours", PNG, 0, None, (), False)
    yield TestClient(Starlette(routes=[ROUTE]))
    OFFERS.clear()
    for key in (sha256, "colours"):
        cache.forget_picture(key)


def test_a_tile_is_served_with_what_its_bytes_mean(client: TestClient) -> None:
    answer = client.get("/pixels/tokengrey/0-2-1")
    about = json.loads(answer.headers["Samples"])
    tile = np.frombuffer(answer.content, "<u2").reshape(about["height"], about["width"])
    assert np.array_equal(tile, NOISE[TILE:, 2 * TILE :])
    colours = client.get("/pixels/tokencolour/0-0-0").content
    assert np.array_equal(np.frombuffer(colours, np.uint8).reshape(TILE, TILE, 3), COLOURS[:TILE, :TILE])
    whole = client.get("/pixels/tokengrey/whole")
    assert json.loads(whole.headers["Samples"]) == {
        "offset": float(NOISE.min()), "step": 1.0, "empty": -1, "height": 700, "width": 1100, "bytes": 2, "channels": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [
        "0-3-0",
        "0-0-2",
        "7-0-0",
        "99-0-0",
        "0-9999-0",
        "0--1-0",
        "-1-0-0",
        "0-0",
        "whole/x",
        "..%2fwhole",
        "0-0-0-0",
        "",
    ],
)
def test_parts_that_a_picture_does_not_have_are_refused(client: TestClient, part: str) -> None:
    assert client.get(f"/pixels/tokengrey/{part}").status_code == 404


@pytest.mark.parametrize("token", ["tokengre", "tokengreyx", "TOKENGREY", "*", "%00", "tokengrey%20"])
def test_other_tokens_are_refused(client: TestClient, token: str) -> None:
    assert client.get(f"/pixels/{token}/0-0-0").status_code == 404
    assert client.get("/pixels/tokencolour/whole").status_code == 404, "only grey pictures have values"


def test_a_session_that_ended_takes_its_pictures_with_it(client: TestClient) -> None:
    pixels.sweep({"two", "three"})
    assert client.get("/pixels/tokengrey/0-0-0").status_code == 404
    assert client.get("/pixels/tokencolour/0-0-0").status_code == 200


@pytest.mark.parametrize(("base", "own"), [("", ""), ("below/a/proxy", "/below/a/proxy"), ("/lightbox/", "/lightbox")])
def test_pixels_are_served_below_the_servers_own_base_path_only(
    base: str, own: str, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixels.st, "get_option", lambda name: {"server.baseUrlPath": base}[name])
    for prefix in ("", "/below/a/proxy", "/below/a", "/lightbox", "/lightbox/lightbox", "/below/a/proxy/", "/pixels"):
        expected = 200 if prefix == own else 404
        assert client.get(f"{prefix}/pixels/tokengrey/whole").status_code == expected, prefix


def _drop_in_every_way() -> None:
    """Offer a picture that cannot be read again, and drop it in each of the ways of the app."""
    import streamlit as st

    from gradcam_core import GradcamError, ImageRecord
    from pages.components import pixels, session
    from pages.components.story import audience
    from tests.test_pixels import COLOURS

    session.start_session()
    for name, drop in {
        "removed": session.forget_upload,
        "refused": lambda: session.refuse_picture(session.chosen_picture(), GradcamError("Broken.", "Mend it.")),
        "the audience's": lambda: audience._explained(session.bundled()[0]),
    }.items():
        key = session.keep_picture(session.Upload("a.png", name.encode()))
        session.choose_picture(key)
        st.session_state[audience.SENT] = key
        st.session_state.setdefault("regions", {})[key] = [{}]
        address = pixels.offer(ImageRecord(COLOURS.astype("float32"), key, "", "PNG"), False)
        assert address.rpartition("/")[2] in pixels.OFFERS
        drop()
        assert key not in st.session_state.uploads, name
        assert address.rpartition("/")[2] not in pixels.OFFERS, name
        assert key not in st.session_state.regions, name
    st.write("All were withdrawn.")


def test_a_picture_that_is_dropped_in_any_way_is_no_longer_served() -> None:
    run = AppTest.from_function(_drop_in_every_way, default_timeout=60).run()
    assert not run.exception
    assert run.markdown[0].value == "All were withdrawn."


@pytest.mark.parametrize("value", [["cat"], {"a": 1}, None, 5, "no such picture", 1e400, [["x"]]])
def test_a_browser_may_send_any_value_for_what_was_clicked(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filmstrip.st, "session_state", {filmstrip.KEY: {"picked": value}})
    monkeypatch.setattr(filmstrip.session, "pictures", lambda: {"cat": "Cat"})
    chosen: list[object] = []
    monkeypatch.setattr(filmstrip.session, "choose_picture", chosen.append)
    filmstrip._take()
    assert chosen == []


@pytest.mark.parametrize("value", [["0"], {"a": 1}, None, 5, "no such layer"])
def test_a_browser_may_send_any_value_for_the_layer_that_was_clicked(
    value: object, monkeypatch: pytest.MonkeyPatch, tiny: LoadedModel, cat_and_cup: ImageRecord
) -> None:
    explanation = explain(cat_and_cup, tiny, top_k=1, methods="grad_cam")
    monkeypatch.setattr(heatmaps, "show_panels", lambda *parts, **layout: {"selected": value})
    assert heatmaps.show_strip(explanation, tiny, key="strip")[1] == ""
