"""What is refused, in words, and the limits."""

import gzip
import io
import json
import struct
import traceback
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as to_safetensors

from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from gradcam_core.samples import read_sample
from tests.pictures import CAT, GREY, RAMP, STRIP, apng, bmp, chunk, encode, patched, plain_tiff, png, rows_of, tiff

pytestmark = pytest.mark.filterwarnings("error")

SECRET = "Mustermann_Erika_1951-04-03"


def checkpoint(legacy: bool) -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, encode(CAT, "PNG"))
    return stream.getvalue()


def array_file() -> bytes:
    stream = io.BytesIO()
    np.save(stream, RAMP)
    return stream.getvalue()


def jpeg_of_height(height: int) -> bytes:
    file = encode(CAT, "JPEG")
    return patched(file, file.index(b"\xff\xc0") + 5, height.to_bytes(2, "big"))


def jpeg_without_its_middle() -> bytes:
    file = encode(CAT, "JPEG", restart_marker_blocks=2)
    return file[: file.index(b"\xff\xd2")] + file[file.index(b"\xff\xd5") :]


def jpeg_of_many_scans() -> bytes:
    file = encode(CAT, "JPEG", progressive=True)
    scan = file[file.rindex(b"\xff\xda") : -2]
    return file[:-2] + scan * 150 + b"\xff\xd9"


JPEG, PNG, WEBP, BMP = (encode(CAT, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP"))


TIFF = encode(CAT, "TIFF", compression="tiff_adobe_deflate")


NO_NUMBERS = tiff(np.full((4, 4), np.nan, np.float32))


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "jpeg xl": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL picture, which is not read"),
    "heic cut": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "HEIC"),
    "avif cut": (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1" + bytes(50), "AVIF file is damaged"),
    "jpeg 2000 cut": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(50), "JPEG 2000 file is damaged: it contains no picture"),
    "gif cut": (encode(CAT, "GIF")[:-900], "GIF file is damaged"),
    "cr3": (struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom" + bytes(99), "camera's raw file (Canon CR3)"),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "camera's raw file (Canon CR2)"),
    "raf": (b"FUJIFILMCCD-RAW 0201" + bytes(99), "camera's raw file (Fujifilm RAF)"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "EPS or PostScript drawing"),
    "text with WEBP in it": (b"Notes: aWEBP and other formats\n", "table (CSV) or text file"),
    "jpeg-ls": (
        b"\xff\xd8\xff\xf7\0\x0b\x08\0\x40\0\x60\1\1\x11\0\xff\xda\0\x08\1\1" + bytes(300),
        "JPEG-LS picture",
    ),
    "photoshop": (b"8BPS\0\1" + bytes(50), "Photoshop"),
    "pdf": (encode(CAT, "PDF"), "PDF document"),
    "svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>', "SVG drawing"),
    "web page": (b"\n<!DOCTYPE html><html><title>Sign in</title></html>", "web page"),
    "zip": (zipped("cat.png"), "ZIP archive"),
    "gzip": (gzip.compress(PNG), "gzip"),
    "dicom": (bytes(128) + b"DICM" + bytes(200), "DICOM file holds no picture"),
    "nifti": (bytes(344) + b"n+1\0" + bytes(200), "NIfTI volume"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "csv": ("name;finding\nMüller;none\n".encode(), "table (CSV) or text file"),
    "utf-16 text": ("Befund: unauffällig".encode("utf-16"), "table (CSV) or text file"),
    "json": (json.dumps({"a": [1, 2]}).encode(), "table (CSV) or text file"),
    "numpy": (array_file(), "NumPy array"),
    "torch": (checkpoint(legacy=False), "under models"),
    "old torch": (checkpoint(legacy=True), "checkpoint"),
    "safetensors": (to_safetensors({"weight": torch.zeros(3)}), "checkpoint"),
    "video": (b"\0\0\0\x20ftypisom" + bytes(50), "video"),
    "noise": (np.random.default_rng(1).bytes(3000), "file of an unknown kind, not a picture"),
    "png cut": (PNG[: len(PNG) // 2], "PNG file is damaged: it ends before"),
    "png checksum": (patched(PNG, len(PNG) // 2, b"\0\0\0\0"), "checksum"),
    "png 60k": (png(60_000, 60_000, 8, 0, b"\0"), "60000 x 60000 pixels"),
    "png empty": (png(0, 64, 8, 0, b"\0"), "a size of 0 x 64"),
    "png taller than its pixels": (png(100, 90, 8, 2, rows_of(CAT)), "do not fill the size"),
    "deep png taller than its pixels": (png(100, 90, 16, 2, rows_of(CAT.astype(">u2"))), "do not fill the size"),
    "png unpacked": (PNG[:33] + chunk(b"IDAT", b"no zlib") + chunk(b"IEND", b""), "cannot be unpacked"),
    "png filter": (png(100, 64, 16, 0, b"\7" + rows_of(RAMP)[1:]), "a row is stored"),
    "png palette": (png(100, 64, 8, 3, rows_of(GREY)), "colour table is missing"),
    "png depth": (png(100, 64, 3, 2, rows_of(CAT)), "storing pixels that does not exist"),
    "png header": (PNG[:8] + chunk(b"tEXt", b"a\0b") + PNG[8:], "does not start with its header"),
    "apng": (apng(), "frames of its animation are missing"),
    "jpeg cut": (JPEG[: len(JPEG) // 2], "JPEG file is damaged: it ends before"),
    "jpeg cut and closed": (JPEG[: len(JPEG) * 3 // 4] + b"\xff\xd9", "JPEG file is damaged: it ends before"),
    "jpeg ends in zeros": (JPEG[: len(JPEG) // 2] + bytes(5000), "JPEG file is damaged: it ends before"),
    "jpeg taller than its pixels": (jpeg_of_height(640), "JPEG file is damaged: it ends before"),
    "jpeg 65k": (patched(jpeg_of_height(65535), JPEG.index(b"\xff\xc0") + 7, b"\xff\xff"), "65535 x 65535 pixels"),
    "jpeg without height": (jpeg_of_height(0), "a size of 100 x 0"),
    "jpeg without its middle": (jpeg_without_its_middle(), "a part in its middle is missing"),
    "jpeg of many scans": (jpeg_of_many_scans(), "scans, where some ten are usual"),
    "jpeg of 12 bits": (
        patched(JPEG, JPEG.index(b"\xff\xc0") + 4, b"\x0c"),
        "JPEG has 12 bits per channel, which is not read",
    ),
    "lossless jpeg": (patched(JPEG, JPEG.index(b"\xff\xc0"), b"\xff\xc3"), "JPEG is lossless, which is not read"),
    "jpeg with two headers": (JPEG[:-2] + JPEG[JPEG.index(b"\xff\xc0") :], "two headers"),
    "jpeg without picture": (b"\xff\xd8\xff\xd9", "contains no picture"),
    "jpeg without tables": (JPEG.replace(b"\xff\xdb", b"\xff\xe7"), "coded pixels contain errors"),
    "tiff cut": (TIFF[: len(TIFF) // 2], "TIFF file is damaged: it ends before"),
    "tiff strip cut": (plain_tiff({}, STRIP[:150]), "TIFF file is damaged: it ends before"),
    "tiff unpacked": (plain_tiff({259: 8}, STRIP), "TIFF file is damaged: it cannot be decoded"),
    "tiff unpacked lzw": (plain_tiff({259: 5}, bytes(200)), "TIFF file is damaged: it cannot be decoded"),
    "tiff strips": (plain_tiff({278: 5}, STRIP), "parts of its picture are missing"),
    "tiff of many strips": (plain_tiff({256: 1, 257: 1_000_000, 278: 1}, STRIP), "cut into 1,000,000 parts"),
    "tiff 60k": (plain_tiff({256: 60_000, 257: 60_000}, STRIP), "60000 x 60000 pixels"),
    "tiff bits": (plain_tiff({258: 77}, STRIP), "numbers of a rare form (77 bits)"),
    "tiff complex": (plain_tiff({258: 64, 339: 6}, STRIP), "numbers of a rare form"),
    "tiff fax": (plain_tiff({258: 1, 259: 4}, STRIP), "TIFF file is damaged"),
    "tiff raw camera": (plain_tiff({262: 32803}, STRIP), "camera's raw file (DNG"),
    "tiff channels": (plain_tiff({277: 65}, STRIP * 65), "has 65 channels, and at most 64"),
    "tiff absurd channels": (plain_tiff({277: 1_000_000_000}, STRIP), "at most 64 are read"),
    "tiff tile": (plain_tiff({322: 7, 323: 7, 324: 8, 325: 49}, STRIP), "parts of its picture are missing"),
    "tiff palette": (plain_tiff({262: 3, 320: (1, 2, 3)}, STRIP), "colour table does not fit"),
    "tiff coarse colour": (plain_tiff({262: 6, 277: 3}, STRIP * 3), "more coarsely"),
    "tiff bytes of a tag": (patched(TIFF, 14, b"\xff\xff\xff\x7f"), "TIFF file is damaged"),
    "tiff loop": (plain_tiff({}, STRIP)[:-204] + struct.pack("<I", 8) + STRIP, "list of pages never ends"),
    "tiff without page": (b"II*\0\0\0\0\0", "contains no picture"),
    "tiff without numbers": (NO_NUMBERS, "finite number"),
    "webp cut": (WEBP[:-100], "WebP file is damaged: it ends before"),
    "webp cut and closed": (patched(WEBP[:-100], 4, struct.pack("<I", len(WEBP) - 108)), "WebP file is damaged"),
    "webp 16k": (
        b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + b"\xfe\x3f\0" * 2,
        "16383 x 16383 pixels",
    ),
    "webp without picture": (b"RIFF\x10\0\0\0WEBPEXIF\4\0\0\0abcd", "WebP file is damaged: it cannot be decoded"),
    "bmp cut": (BMP[: len(BMP) // 2], "BMP file is damaged: it cannot be decoded"),
    "bmp 60k": (bmp(60_000, -60_000, 24, 0, b""), "60000 x 60000 pixels"),
    "bmp without width": (bmp(0, 5, 24, 0, b""), "a size of 0 x 5"),
    "bmp runs cut": (bmp(16, 16, 8, 1, b"\x10\1\0\0\0\1", bytes(1024)), "cannot be decoded"),
}


@pytest.mark.parametrize(("file", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused_with_a_remedy_and_without_its_name(
    file: bytes, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{SECRET}.jpg"
    path.write_bytes(file)
    with pytest.raises(PictureError) as refused:
        read_image(path)
    error: BaseException | None = refused.value
    assert words in str(error)
    assert refused.value.message.endswith(".")
    assert refused.value.remedy.endswith(".")
    while error is not None:
        assert SECRET not in f"{error!r}"
        assert not isinstance(error, Warning)
        error = error.__cause__
    # libpng prints its warnings; no name is in them.
    assert all(line.startswith("PNG warning") for line in capfd.readouterr().err.splitlines())


def test_the_table_of_refusals_holds_distinct_files() -> None:
    assert len({file for file, _ in REFUSED.values()}) == len(REFUSED) >= 24


def test_paths_that_hold_no_file_are_refused_without_their_name(tmp_path: Path) -> None:
    cases = [
        (tmp_path, "folder"),
        (tmp_path / SECRET, "no file"),
        (str(tmp_path / SECRET / "deeper.png"), "no file"),
        (f"{tmp_path}/{SECRET}\0.png", "no file|cannot be read"),
        (f"{tmp_path}/{SECRET * 30}", "no file|cannot be read"),
        ("/dev/null", "device"),
        ("", "folder"),
    ]
    for path, words in cases:
        with pytest.raises(PictureError, match=words) as refused:
            read_image(path)
        # As a log would show it, with everything that led there.
        assert SECRET not in "".join(traceback.format_exception(refused.value))
        assert refused.value.remedy


def test_both_limits_are_kept_to_the_last_pixel_and_byte() -> None:
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP"):
        file = encode(CAT, kind)
        assert read_image(file, max_pixels=6400, max_bytes=len(file)).width == 100
        with pytest.raises(PictureError, match=r"100 x 64 pixels, and at most 6,399"):
            read_image(file, max_pixels=6399)
        with pytest.raises(PictureError, match="too large"):
            read_image(file, max_bytes=len(file) - 1)


@pytest.mark.parametrize("source", [None, 3, io.BytesIO(b"x"), Image.new("RGB", (2, 2))])
def test_what_is_no_file_is_refused_in_words(source: object) -> None:
    with pytest.raises(PictureError, match="cannot be read"):
        read_image(source)


@pytest.mark.parametrize("frame", ["0", 1.5, None, True])
def test_what_is_no_frame_is_refused_in_words(frame: object) -> None:
    with pytest.raises(PictureError, match="Frame"):
        read_image(read_sample("cat"), frame=frame)


@pytest.mark.parametrize("window", [("a", 1), (1,), 5, "ab", (1, 2, 3)])
def test_what_is_no_window_is_refused_in_words(window: object) -> None:
    with pytest.raises(PictureError, match="not a window"):
        read_image(read_sample("photographer"), window=window)
