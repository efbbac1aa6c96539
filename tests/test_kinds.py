"""One table tells what a file is, for pictures and for models."""

import gzip
import io
from pathlib import Path

import pytest

from gradcam_core.errors import ModelError
from gradcam_core.kinds import KINDS, Kind, identify, open_checkpoint, recognise
from gradcam_core.readers import read_image
from gradcam_core.readers.formats import READERS
from tests.pictures import CAT, encode, outcome


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", ""),
        (b"\0\0\0\x1cftypavio\0\0\0\0avifmif1miaf", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "camera raw"),
        (b"\0\0\0\x20ftypisom" + bytes(50), "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"Notes: aWEBP", "text"),
        (b"BMI;weight\n1;2\n", "text"),
        (b"<!-- a --><!-- b --> <HTML>", "web page"),
        (b"<?xml version='1.0'?><!-- a --><svg>", "SVG"),
        (b"\xff\xfe" + "Größe".encode("utf-16-le"), "text"),
        (bytes(64), "zeros"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a":1}', "safetensors"),
        (gzip.compress(b"x", mtime=0), "archive"),
        (b"\x01\x99\xc3", "unknown"),
    ],
)
def test_a_file_is_known_by_its_first_bytes(head: bytes, name: str) -> None:
    assert recognise(head).name == name


def test_every_reader_has_its_row() -> None:
    assert set(READERS) <= {kind.name for kind in KINDS}
    assert len({kind.name for kind in KINDS} - {"camera raw"}) == sum(kind.name != "camera raw" for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.name)
def test_a_row_gives_two_sentences(kind: Kind) -> None:
    for text in (kind.for_picture, kind.for_model):
        assert text.endswith(".")
    assert not kind.what.endswith(".")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "AVIF"])
def test_a_picture_is_not_taken_for_a_model(kind: str) -> None:
    file = encode(CAT, kind)
    assert read_image(file).width == 100
    with pytest.raises(ModelError, match=r"(?i)picture, not a PyTorch checkpoint.*choose the model's weights"):
        identify(io.BytesIO(file))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="Linux only")
def test_a_file_that_opens_but_cannot_be_read_is_refused_in_words() -> None:
    with open_checkpoint(Path("/proc/self/mem")) as stream, pytest.raises(ModelError):
        identify(stream)


def test_many_comments_cost_nothing() -> None:
    assert "text file" in str(outcome(b"<!---->" * 40))
