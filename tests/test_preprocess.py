"""The model's input: equal to the hubs' own evaluation transforms, and placed where it says."""

import math
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.data import create_transform
from torchvision import transforms

from gradcam_core.errors import ModelError, PictureError
from gradcam_core.explanation import explain
from gradcam_core.preprocess import CROP_MODES, LARGEST_RESIZED, override_preprocessing, prepare
from gradcam_core.readers import read_image
from gradcam_core.records import ImageRecord, Preprocessing
from gradcam_core.sources import load_model
from tests import networks
from tests.checkpoints import SmallNet
from tests.test_readers_faults import tiff_of

MEAN, STD = (0.485, 0.456, 0.406), (0.2, 0.3, 0.25)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def timms(
    values: np.ndarray, size: tuple[int, int], share: float, crop_mode: str, interpolation: str
) -> tuple[np.ndarray, Preprocessing]:
    """What timm's own evaluation transform gives, and how we call the same."""
    transform = create_transform(
        (3, *size), interpolation=interpolation, crop_pct=share, crop_mode=crop_mode, mean=MEAN, std=STD
    )
    resize = (math.floor(size[0] / share), math.floor(size[1] / share))
    ours = Preprocessing(size, resize, MEAN, STD, interpolation, "model", crop_mode, crop_pct=share)
    return transform(Image.fromarray(values)).numpy(), ours


@settings(max_examples=120)
@given(
    st.integers(1, 500),
    st.integers(1, 500),
    st.sampled_from([(224, 224), (160, 160), (96, 128), (65, 63)]),
    st.sampled_from([0.875, 0.9, 0.95, 0.965, 1.0]),
    st.sampled_from(CROP_MODES),
    st.sampled_from(["bicubic", "bilinear", "nearest", "lanczos"]),
    st.integers(0, 9),
)
@example(257, 256, (224, 224), 0.875, "center", "bicubic", 0)
@example(333, 500, (224, 224), 0.95, "center", "bicubic", 0)
@example(1, 1, (224, 224), 0.875, "center", "bicubic", 0)
@example(1, 400, (224, 224), 0.875, "border", "bilinear", 0)
@example(500, 2, (96, 128), 0.9, "border", "bicubic", 0)
def test_eight_bit_pictures_give_timms_own_tensor(
    height: int, width: int, size: tuple[int, int], share: float, crop_mode: str, interpolation: str, seed: int
) -> None:
    values = noise(height, width, seed)
    try:
        theirs, preprocessing = timms(values, size, share, crop_mode, interpolation)
    except ValueError:  # timm's own resize to a side of 0 pixels
        assert crop_mode == "border"
        return
    array, placement = prepare(networks.record(values), preprocessing)
    assert array.shape == (3, *size)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, theirs, atol=1e-5)
    assert placement.image_size == (height, width)
    assert placement.input_size == size


@pytest.mark.parametrize("size", [(160, 160), (224, 224), (288, 288), (256, 192)])
@pytest.mark.parametrize("share", [0.875, 0.9, 0.95, 1.0])
def test_another_input_size_crops_as_timm_would(size: tuple[int, int], share: float) -> None:
    values = noise(301, 417)
    theirs, _ = timms(values, size, share, "center", "bicubic")
    _, at_224 = timms(values, (224, 224), share, "center", "bicubic")
    array, _ = prepare(networks.record(values), override_preprocessing(at_224, {"size": size}))
    np.testing.assert_allclose(array, theirs, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(300, 451), (500, 333), (224, 224), (231, 234), (90, 60), (1, 700)])
def test_eight_bit_pictures_give_torchvisions_own_tensor(height: int, width: int) -> None:
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    image = Image.fromarray(noise(height, width))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = weights.transforms(antialias=True)(image).numpy()
    kept = weights.transforms()
    preprocessing = Preprocessing((224, 224), (232, 232), tuple(kept.mean), tuple(kept.std), "bilinear")
    array, _ = prepare(networks.record(np.asarray(image)), preprocessing)
    np.testing.assert_allclose(array, theirs, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(150, 99), (40, 41), (301, 64)])
def test_an_input_larger_than_the_resized_picture_is_padded_as_torchvision_pads(height: int, width: int) -> None:
    values = noise(height, width)
    steps = [transforms.Resize(50), transforms.CenterCrop((64, 81)), transforms.ToTensor()]
    theirs = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])(Image.fromarray(values)).numpy()
    array, placement = prepare(networks.record(values), Preprocessing((64, 81), (50, 50), MEAN, STD, "bilinear"))
    np.testing.assert_allclose(array, theirs, atol=1e-5)
    assert placement.box[1] < 0 or placement.box[0] < 0


@pytest.mark.parametrize("fit", ["model", "crop", "squash", "letterbox"])
def test_grey_models_get_luminance(fit: str) -> None:
    values = noise(120, 90)
    grey = networks.plain(64, fit=fit, channels=1, mean=(0.5,), std=(0.25,), resize=(72, 72))
    array, placement = prepare(networks.record(values), grey)
    assert array.shape == (1, 64, 64)
    luminance = np.asarray(Image.fromarray(values).convert("L"))
    spread, colour_placement = prepare(
        networks.record(np.repeat(luminance[..., None], 3, axis=2)),
        networks.plain(64, fit=fit, mean=(0.5,) * 3, std=(0.25,) * 3, resize=(72, 72)),
    )
    np.testing.assert_allclose(array[0], spread[0], atol=1e-6)
    assert placement == colour_placement
    deep, _ = prepare(networks.record(values, bits=16), grey)
    assert np.abs(deep - array).max() < 4 * 2.1 / 255


def test_grey_models_get_torchvisions_own_tensor() -> None:
    values = noise(120, 90)
    steps = [transforms.Grayscale(), transforms.Resize(72), transforms.CenterCrop(64), transforms.ToTensor()]
    theirs = transforms.Compose([*steps, transforms.Normalize((0.5,), (0.25,))])(Image.fromarray(values)).numpy()
    grey = Preprocessing((64, 64), (72, 72), (0.5,), (0.25,), "bilinear", channels=1)
    np.testing.assert_allclose(prepare(networks.record(values), grey)[0], theirs, atol=1e-5)


@pytest.mark.parametrize("channels", [2, 4, 13])
def test_models_for_other_numbers_of_channels_are_refused_in_words(channels: int) -> None:
    strange = networks.plain(32, channels=channels, mean=(0.5,) * channels, std=(0.5,) * channels)
    with pytest.raises(PictureError, match=f"takes {channels} channels"):
        prepare(networks.picture(), strange)
    wrong = read_image(tiff_of(np.zeros((9, 9, 5), np.uint8), {258: (8,) * 5, 262: 1, 277: 5}))
    with pytest.raises(PictureError, match=f"takes {channels} channels, and this picture has 5"):
        prepare(wrong, strange)


@pytest.mark.parametrize("channels", [2, 4, 13])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_model_for_many_channels_gets_those_of_the_file(channels: int, kind: type[np.generic]) -> None:
    most = 255 if kind is np.uint8 else 4095 if kind is np.uint16 else 1
    values = np.linspace(0, most, 24 * 24 * channels).reshape(channels, 24, 24).transpose(1, 2, 0).astype(kind)
    form = 3 if kind is np.float32 else 1
    tags = {258: (8 * values.itemsize,) * channels, 262: 1, 277: channels, 339: (form,) * channels}
    image = read_image(tiff_of(np.ascontiguousarray(values), tags))
    spec = networks.plain(24, channels=channels, mean=(0.25,) * channels, std=(0.5,) * channels)
    expected = (values.astype(np.float64) / most - 0.25) / 0.5
    np.testing.assert_allclose(prepare(image, spec)[0], expected.transpose(2, 0, 1), atol=1e-5)
    assert any(f"It has {channels} channels" in note for note in image.notes)
    shown = values[..., :3] if channels > 2 else values[..., :1].repeat(3, axis=2)
    if kind is np.uint8:
        assert np.array_equal(np.rint(image.pixels * 255), shown)
    grey = networks.plain(24, channels=1, mean=(0.5,), std=(0.5,))
    assert prepare(image, grey)[0].shape == (1, 24, 24)


def test_channels_are_turned_upright_with_the_picture_and_opacity_is_none() -> None:
    values = np.arange(6 * 4 * 4, dtype=np.uint8).reshape(6, 4, 4)
    tags = {258: (8,) * 4, 262: 2, 277: 4}
    image = read_image(tiff_of(values, {**tags, 274: 6}))
    assert image.channels is not None
    assert np.array_equal(image.channels, np.rot90(values, -1))
    assert read_image(tiff_of(values, {**tags, 338: 2})).channels is None
    assert read_image(tiff_of(values[..., :3].copy(), {258: (8,) * 3, 262: 2, 277: 3})).channels is None


@pytest.mark.parametrize("channels", [1, 2, 13])
def test_a_model_of_any_number_of_channels_is_explained(channels: int) -> None:
    model = load_model(SmallNet(3, channels), device="cpu", preprocessing={"size": 32})
    assert model.preprocessing.channels == channels
    values = np.random.default_rng(0).integers(0, 255, (40, 40, max(4, channels)), dtype=np.uint8)
    values = np.ascontiguousarray(values[..., : channels if channels > 1 else 3])
    bands = values.shape[2]
    image = read_image(tiff_of(values, {258: (8,) * bands, 262: 2 if bands == 3 else 1, 277: bands}))
    explanation = explain(image, model, methods="grad_cam", top_k=1)
    x = torch.from_numpy(prepare(image, model.preprocessing)[0])[None]
    with torch.no_grad():
        expected = model.module(x).softmax(1).max()
    assert explanation.predictions[0].probability == pytest.approx(float(expected), abs=1e-5)
    assert any("brightness" in note for note in explanation.notes) == (channels == 1)
    with pytest.raises(PictureError, match="channels") if channels > 1 else nullcontext():
        explain(networks.picture(), model, methods="grad_cam", top_k=1)


@settings(max_examples=60)
@given(
    st.integers(1, 200),
    st.integers(1, 200),
    st.sampled_from(["model", "crop", "squash", "letterbox"]),
    st.sampled_from(CROP_MODES),
    st.sampled_from(["bicubic", "bilinear", "nearest", "lanczos"]),
    st.sampled_from([16, 32]),
)
def test_deep_pictures_take_the_same_steps(
    height: int, width: int, fit: str, crop_mode: str, interpolation: str, bits: int
) -> None:
    changes = {"fit": fit, "crop_mode": crop_mode, "interpolation": interpolation, "resize": (72, 72)}
    preprocessing = networks.plain(64, mean=(0.0,) * 3, std=(1.0,) * 3, **changes)
    values = np.asarray(Image.fromarray(noise(9, 9)).resize((width, height), Image.Resampling.BILINEAR))
    eight, placement = prepare(networks.record(values), preprocessing)
    deep, deep_placement = prepare(networks.record(values, bits), preprocessing)
    assert placement == deep_placement
    assert np.abs(deep - eight).max() <= 1.6 / 255  # 8 bits round after each of the two passes


def test_deep_pictures_keep_what_eight_bits_would_lose() -> None:
    ramp = np.linspace(0.5, 0.5 + 1 / 255, 64, dtype=np.float32)
    pixels = np.repeat(np.tile(ramp, (64, 1))[..., None], 3, axis=2)
    image = ImageRecord(pixels, "0" * 64, "", "PNG", bits=16)
    array, _ = prepare(image, networks.plain(64, mean=(0.0,) * 3, std=(1.0,) * 3))
    np.testing.assert_allclose(array[0], pixels[..., 0], atol=1e-6)


def test_the_picture_itself_stays_as_it_is() -> None:
    for bits in (8, 16):
        image = networks.picture(bits=bits)
        before = image.pixels.copy()
        array, _ = prepare(image, networks.plain((40, 56)))
        array[:] = 7
        np.testing.assert_array_equal(image.pixels, before)


GEOMETRY: list[tuple[dict[str, Any], tuple[int, int], tuple[float, float, float, float]]] = [
    # how, picture, the box that fills the input of 64 x 64
    ({"fit": "squash"}, (300, 600), (0, 0, 300, 600)),
    ({"fit": "crop"}, (300, 600), (0, 150, 300, 450)),
    ({"fit": "crop"}, (600, 300), (150, 0, 450, 300)),
    ({"fit": "letterbox"}, (300, 600), (-150, 0, 450, 600)),
    ({"fit": "letterbox"}, (600, 300), (0, -150, 600, 450)),
    ({"fit": "model", "resize": (64, 64)}, (300, 600), (0, 150, 300, 450)),
    ({"fit": "model", "resize": (80, 80)}, (300, 600), (30, 180, 270, 420)),
    ({"fit": "model", "crop_mode": "squash", "resize": (80, 80)}, (300, 600), (30, 60, 270, 540)),
    ({"fit": "model", "crop_mode": "border", "resize": (80, 80)}, (300, 600), (-90, 60, 390, 540)),
    ({"fit": "model", "crop_mode": "border", "resize": (64, 64)}, (300, 600), (-150, 0, 450, 600)),
]


@pytest.mark.parametrize(("changes", "picture", "box"), GEOMETRY)
def test_the_box_is_the_part_of_the_picture_that_the_model_sees(
    changes: dict[str, Any], picture: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    values = noise(*picture)
    _, placement = prepare(networks.record(values), networks.plain(64, **changes))
    np.testing.assert_allclose(placement.box, box, atol=1e-9)
    square = networks.plain((64, 128), fit="letterbox")
    assert prepare(networks.record(noise(300, 600)), square)[1].box == (0, 0, 300, 600)


def test_letterboxed_and_bordered_inputs_are_padded_with_the_mean() -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    for changes in ({"fit": "letterbox"}, {"fit": "model", "crop_mode": "border"}):
        array, _ = prepare(networks.record(noise(30, 60)), networks.plain(64, mean=mean, std=std, **changes))
        assert np.abs(array[:, :16]).max() < 0.01
        assert np.abs(array[:, -16:]).max() < 0.01
        assert np.abs(array[:, 17:-17]).max() > 0.5


EXTREME = [(1, 5000), (5000, 1), (1, 1), (3, 40000), (40000, 3), (2, 3), (7, 20000)]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("fit", ["model", "crop", "squash", "letterbox"])
@pytest.mark.parametrize(("height", "width"), EXTREME)
def test_extreme_shapes_are_prepared_and_placed(height: int, width: int, fit: str, bits: int) -> None:
    preprocessing = networks.plain(224, fit=fit, resize=(256, 256), interpolation="bicubic")
    array, placement = prepare(networks.record(noise(height, width), bits), preprocessing)
    assert array.shape == (3, 224, 224)
    assert np.isfinite(array).all()
    top, left, bottom, right = placement.box
    assert top < height / 2 < bottom
    assert left < width / 2 < right
    heat = placement.restore(np.ones((7, 7), np.float32))
    assert heat.shape == (height, width)
    first_row, first_column, last_row, last_column = placement.seen()
    assert first_row < last_row
    assert first_column < last_column
    assert np.isfinite(heat[first_row:last_row, first_column:last_column]).all()
    assert np.isfinite(heat).sum() == (last_row - first_row) * (last_column - first_column)


def test_a_long_picture_is_cut_where_the_whole_resize_would_cut_it() -> None:
    long = noise(3, 42000)
    preprocessing = networks.plain(128, fit="model", resize=(128, 128), mean=(0.0,) * 3, std=(1.0,) * 3)
    array, placement = prepare(networks.record(long), preprocessing)
    assert 128 * long.shape[1] * 128 // 3 > LARGEST_RESIZED  # so that only its middle is made
    start, stop = round(placement.box[1]) - 40, round(placement.box[3]) + 40
    near = Image.fromarray(long[:, start:stop]).resize(((stop - start) * 128 // 3, 128), Image.Resampling.BICUBIC)
    offset = round((placement.box[1] - start) * 128 / 3)
    expected = np.asarray(near, np.float32)[:, offset : offset + 128].transpose(2, 0, 1) / 255
    assert array.std() > 0.1
    assert np.abs(array - expected).max() <= 1.1 / 255


GOOD: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"size": 160}, {"size": (160, 160), "resize": (182, 182)}),
    ({"size": [96, 128]}, {"size": (96, 128)}),
    ({"size": 160, "resize": 200}, {"size": (160, 160), "resize": (200, 200)}),
    ({"crop_pct": 1.0}, {"resize": (224, 224)}),
    ({"crop_pct": 0.5, "size": 100}, {"resize": (200, 200)}),
    ({"mean": 0.5, "std": 0.25}, {"mean": (0.5,) * 3, "std": (0.25,) * 3}),
    ({"mean": [0.1, 0.2, 0.3]}, {"mean": (0.1, 0.2, 0.3)}),
    ({"mean": np.array([0.1, 0.2, 0.3])}, {"mean": (0.1, 0.2, 0.3)}),
    ({"mean": np.array(0.5)}, {"mean": (0.5, 0.5, 0.5)}),
    ({"size": np.int64(160)}, {"size": (160, 160)}),
    ({"size": 160.0}, {"size": (160, 160)}),
    ({"fit": "squash"}, {"fit": "squash"}),
    ({"crop_mode": "border"}, {"crop_mode": "border"}),
    ({"interpolation": "bilinear"}, {"interpolation": "bilinear"}),
    ({"channels": 1}, {"channels": 1, "mean": (pytest.approx(0.449),), "std": (0.25,)}),
    ({"channels": 1, "mean": 0.3, "std": 0.4}, {"channels": 1, "mean": (0.3,), "std": (0.4,)}),
]
BAD: list[tuple[dict[str, Any], str]] = [
    ({"sise": 224}, "'sise'"),
    ({"size": 0}, "size cannot be 0"),
    ({"size": -224}, "size cannot be"),
    ({"size": 7}, "from 8 to 4096"),
    ({"size": 5000}, "from 8 to 4096"),
    ({"size": 224.5}, "size cannot be 224.5"),
    ({"size": "224"}, "size cannot be"),
    ({"size": None}, "size cannot be None"),
    ({"size": True}, "size cannot be True"),
    ({"size": [224]}, "height and width"),
    ({"size": [1, 2, 3]}, "height and width"),
    ({"size": float("nan")}, "size cannot be nan"),
    ({"size": float("inf")}, "size cannot be inf"),
    ({"resize": "big"}, "resize cannot be"),
    ({"crop_pct": 0}, "crop_pct cannot be 0"),
    ({"crop_pct": 1.5}, "crop_pct cannot be 1.5"),
    ({"crop_pct": "most"}, "crop_pct cannot be"),
    ({"crop_pct": float("nan")}, "crop_pct cannot be nan"),
    ({"mean": "0.5 each"}, "mean cannot be"),
    ({"mean": [0.5, 0.5]}, "or 3 of them"),
    ({"mean": []}, "mean cannot be"),
    ({"mean": None}, "mean cannot be None"),
    ({"mean": float("inf")}, "mean cannot be inf"),
    ({"std": 0}, "above 0"),
    ({"std": -1}, "above 0"),
    ({"std": [0.2, 0.2, 0]}, "above 0"),
    ({"fit": "stretch"}, "Choose one of model, crop, squash, letterbox"),
    ({"fit": None}, "fit cannot be None"),
    ({"fit": ["crop"]}, "fit cannot be"),
    ({"crop_mode": "corner"}, "center, squash, border"),
    ({"interpolation": "random"}, "bicubic"),
    ({"channels": 0}, "channels cannot be 0"),
    ({"channels": 2.5}, "channels cannot be"),
    ({"channels": "RGB"}, "channels cannot be"),
]
LITE = Preprocessing((224, 224), (256, 256), MEAN, (0.2, 0.3, 0.25), crop_pct=0.875)


@pytest.mark.parametrize(("changes", "expected"), GOOD)
def test_its_user_can_replace_parts_of_a_models_preprocessing(
    changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    new = override_preprocessing(LITE, changes)
    for name in ("size", "resize", "mean", "std", "interpolation", "fit", "crop_mode", "channels"):
        if name in expected:
            assert getattr(new, name) == expected[name]
        elif name not in changes and name != "resize":
            assert getattr(new, name) == getattr(LITE, name)
    assert override_preprocessing(LITE, new.to_dict()) == new


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_an_impossible_preprocessing_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError) as failure:
        override_preprocessing(LITE, changes)
    assert words in str(failure.value)


def test_what_json_shows_leads_to_the_same_tensor() -> None:
    image = networks.picture(90, 70)
    for changes in ({"fit": "letterbox", "size": 64}, {"size": [64, 96], "crop_pct": 0.9}, {"channels": 1}):
        first = override_preprocessing(LITE, changes)
        again = override_preprocessing(LITE, first.to_dict())
        torch.testing.assert_close(*(torch.from_numpy(prepare(image, x)[0]) for x in (first, again)))
