"""Cut, damaged and hostile files: the whole picture or a PictureError, within bounded time and memory."""

import concurrent.futures
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from PIL import Image, ImageFile
from skimage import data

from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from tests.hostile_pictures import FILES
from tests.pictures import CAT, RAMP, chunk, cv_encode, encode, outcome, tiff

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("error")

SMALL = np.ascontiguousarray(CAT[::2, ::2])


SEEDS: dict[str, bytes] = {
    "jpeg": encode(SMALL, "JPEG"),
    "progressive jpeg": encode(SMALL, "JPEG", progressive=True),
    "restart jpeg": encode(SMALL, "JPEG", restart_marker_blocks=3),
    "progressive restart jpeg": encode(SMALL[:17, :33], "JPEG", progressive=True, restart_marker_rows=1),
    "png": encode(SMALL, "PNG"),
    "palette png": encode(Image.fromarray(SMALL).quantize(16), "PNG", transparency=3),
    "deep png": cv_encode(".png", SMALL.astype(np.uint16) * 257),
    "apng": encode(SMALL, "PNG", save_all=True, append_images=[Image.fromarray(255 - SMALL)]),
    "webp": encode(SMALL, "WEBP"),
    "animated webp": encode(SMALL, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - SMALL)]),
    "gif": encode(Image.fromarray(SMALL).quantize(32), "GIF"),
    "animated gif": encode(SMALL, "GIF", save_all=True, append_images=[Image.fromarray(255 - SMALL)]),
    "avif": encode(SMALL, "AVIF"),
    "jpeg 2000": encode(SMALL, "JPEG2000"),
    "lossy jpeg 2000": encode(SMALL, "JPEG2000", quality_mode="rates", quality_layers=[20, 5]),
    "fax tiff": encode(Image.fromarray(SMALL).convert("1"), "TIFF", compression="group4"),
    "jpeg tiff with alpha": encode(Image.fromarray(SMALL).convert("LA"), "TIFF", compression="jpeg"),
    "ink jpeg": encode(Image.fromarray(SMALL).convert("CMYK"), "JPEG"),
    "bmp": encode(SMALL, "BMP"),
    "palette bmp": encode(Image.fromarray(SMALL).quantize(16), "BMP"),
    "tiff": encode(SMALL, "TIFF"),
    "jpeg tiff": encode(SMALL, "TIFF", compression="jpeg"),
    "packbits tiff": encode(SMALL, "TIFF", compression="packbits"),
    "deep tiff": tiff(RAMP[:32, :50], compression="zlib", predictor=True, rowsperstrip=5),
    "float tiff": tiff(SMALL[..., 0].astype(np.float64), byteorder=">"),
    "tiled tiff": tiff(SMALL, photometric="rgb", tile=(16, 16), bigtiff=True),
    "palette tiff": encode(Image.fromarray(SMALL).quantize(16), "TIFF"),
}


@pytest.mark.parametrize("name", SEEDS)
def test_a_cut_file_shows_the_whole_picture_or_none(name: str) -> None:
    file = SEEDS[name]
    whole = read_image(file).pixels
    closing = b"\xff\xd9" if "jpeg" in name and "tiff" not in name else b""
    restarts = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", file)] if "restart" in name else []
    for cut in [*range(1, len(file), max(1, len(file) // 40)), *range(len(file) - 16, len(file)), *restarts]:
        for end in {b"", closing}:
            result = outcome(file[:cut] + end)
            assert isinstance(result, PictureError) or np.array_equal(result.pixels, whole)


def mutate(file: bytes, chance: random.Random) -> bytes:
    new = bytearray(file)
    for _ in range(chance.randint(1, 5)):
        # Headers are short but matter most.
        place = chance.randrange(chance.choice([len(file), min(len(file), 250)]))
        way = chance.randrange(4)
        if way == 0:
            new[place : place + 1] = chance.choice([b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff"])
        elif way == 1:
            new[place : place + 1] = bytes(value ^ 1 << chance.randrange(8) for value in new[place : place + 1])
        elif way == 2:
            new[place:place] = chance.randbytes(chance.randint(1, 20))
        else:
            del new[place : place + chance.randint(1, 20)]
    return bytes(new)


def resealed(file: bytes) -> bytes:
    """A PNG whose checksums fit again, so that what lies behind them is tried as well."""
    sealed, position = file[:8], 8
    while position + 12 <= len(file):
        length = int.from_bytes(file[position : position + 4], "big")
        if position + 12 + length > len(file):
            break
        sealed += chunk(file[position + 4 : position + 8], file[position + 8 : position + 8 + length])
        position += 12 + length
    return sealed + file[position:]


@pytest.mark.parametrize("name", SEEDS)
def test_a_mutated_file_gives_a_valid_record_or_a_picture_error(name: str) -> None:
    chance = random.Random(name)
    outcomes = set()
    for number in range(60):
        file = mutate(SEEDS[name], chance)
        file = resealed(file) if "png" in name and number % 2 else file
        frame = number % 2 if name in ("apng", "animated webp") else 0
        result = outcome(file, frame=frame, max_pixels=1_000_000)
        outcomes.add(type(result))
        if isinstance(result, PictureError):
            assert result.message
            assert result.remedy
            # Warnings and wrong shapes, errors in these tests, must not pass for damage.
            assert not isinstance(result.__cause__, Warning | TypeCheckError)
        else:
            assert result.pixels.dtype == np.float32
            assert result.pixels.shape == (result.height, result.width, 3)
            assert np.isfinite(result.pixels).all()
            assert result.pixels.min() >= 0
            assert result.pixels.max() <= 1
    assert PictureError in outcomes


def test_threads_read_as_one_does_and_pillow_keeps_its_settings() -> None:
    settings = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    files = [
        encode(data.chelsea(), "JPEG"),
        encode(data.chelsea(), "TIFF", compression="tiff_lzw"),
        encode(CAT, "WEBP", save_all=True, append_images=[Image.fromarray(255 - CAT)]),
        cv_encode(".png", CAT.astype(np.uint16) * 257),
        encode(data.chelsea(), "JPEG")[:-500],
    ]

    def seen(file: bytes) -> bytes | str:
        result = outcome(file)
        return str(result) if isinstance(result, PictureError) else result.pixels.tobytes()

    alone = [seen(file) for file in files]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(seen, files * 12))
    assert together == alone * 12
    assert settings == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux counts it")
def test_time_and_memory_grow_no_faster_than_the_file() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.hostile_pictures"], capture_output=True, cwd=ROOT, timeout=300, check=True
    )
    measured = json.loads(ran.stdout)
    assert [name for name, *_ in measured] == list(FILES)
    for name, seconds, megabytes, result in measured:
        assert seconds < FILES[name][2], (name, seconds, result)
        assert megabytes < FILES[name][3], (name, megabytes, result)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("megabytes", [100, 400])
def test_too_little_memory_is_said(megabytes: int) -> None:
    command = [sys.executable, "-m", "tests.hostile_pictures", str(megabytes)]
    ran = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=120, check=True)
    assert "not enough memory" in json.loads(ran.stdout)
