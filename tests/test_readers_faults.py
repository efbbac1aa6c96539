"""Files that other programs wrote oddly, or that were mistaken for something else: read right, and said."""

import io
import re
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from skimage import data

from gradcam_core.errors import PictureError
from gradcam_core.readers import read_image
from tests.pictures import (
    CAT,
    GREY,
    RAMP,
    SEE_THROUGH,
    chunk,
    encode,
    in_pillow,
    outcome,
    plain_tiff,
    png,
    rows_of,
    steps,
)

pytestmark = pytest.mark.filterwarnings("error")

JPEG = encode(CAT, "JPEG")
PLAIN = {256: 100, 257: 64, 278: 64}


def tiff_of(samples: np.ndarray, tags: dict[int, int | tuple[int, ...]], packed: bytes | None = None) -> bytes:
    strip = samples.tobytes() if packed is None else packed
    return plain_tiff({256: samples.shape[1], 257: samples.shape[0], 278: samples.shape[0], **tags}, strip)


# JPEG


@pytest.mark.parametrize("numbers", [b"\0\0\0", b"\0\x3f\1", b"\x05\x09\xff"])
def test_a_sequential_jpegs_scan_header_does_not_matter(numbers: bytes) -> None:
    place = JPEG.index(b"\xff\xda") + 5 + 2 * 3
    record = read_image(JPEG[:place] + numbers + JPEG[place + 3 :])
    assert np.array_equal(steps(record), in_pillow(JPEG))
    assert not record.notes


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("behind", [b"", b"\0\0SEFH" + bytes(range(200)) + b"SEFT"])
def test_a_jpeg_without_its_end_mark_is_read_with_a_note(progressive: bool, behind: bytes) -> None:
    file = encode(CAT, "JPEG", progressive=progressive)
    record = read_image(file[:-2] + behind)
    assert np.array_equal(steps(record), in_pillow(file))
    assert any("end mark is missing" in note for note in record.notes)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}], ids=str)
def test_harmless_oddities_of_jpegs_are_read_with_a_note(options: dict[str, object]) -> None:
    file = encode(CAT, "JPEG", **options)
    truth = in_pillow(file)
    table = file.index(b"\xff\xdb")
    cases = {
        # libjpeg says nothing of what lies behind the last scan of a progressive file.
        "surplus": (file[:-2] + b"abc\0" + file[-2:], "" if "progressive" in options else "surplus"),
        "between": (file[:table] + b"xyz" + file[table:], "surplus"),
        "filled": (file[:table] + b"\xff" * 9 + file[table:], ""),
        "jfif 9.9": (file[:11] + b"\x09\x09" + file[13:], ""),
        "behind": (file + b"whatever follows", ""),
        "adobe": (file[:2] + b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\7" + file[2:], "does not exist"),
    }
    for odd, words in cases.values():
        record = read_image(odd)
        assert np.array_equal(steps(record), truth)
        assert any(words in note for note in record.notes) if words else not record.notes


def test_a_progressive_jpeg_cut_between_scans_and_closed_again_is_refused() -> None:
    file = encode(CAT, "JPEG", progressive=True)
    for found in list(re.finditer(rb"\xff\xda", file))[1:]:
        table = file.rfind(b"\xff\xc4", 0, found.start())
        for end in (found.start(), table):
            assert isinstance(outcome(file[:end] + b"\xff\xd9"), PictureError)
            assert isinstance(outcome(file[:end]), PictureError)


@pytest.mark.parametrize("filling", [bytes(5000), b"\xff" * 5000, bytes(50)])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}], ids=str)
@pytest.mark.parametrize("closed", [b"", b"\xff\xd9"])
def test_a_cut_jpeg_that_was_filled_up_is_refused(
    filling: bytes, share: float, options: dict[str, object], closed: bytes
) -> None:
    file = encode(CAT, "JPEG", **options)
    assert isinstance(outcome(file[: int(len(file) * share)] + filling + closed), PictureError)


def test_a_rare_sampling_of_colour_is_read_whole_or_not_at_all() -> None:
    file = bytearray(encode(np.full((64, 64, 3), 90, np.uint8), "JPEG", subsampling=0))
    header = file.index(b"\xff\xc0")
    file[header + 11], file[header + 14], file[header + 17] = b"\x11\x22\x11"
    assert np.array_equal(steps(read_image(bytes(file))), in_pillow(bytes(file)))
    scan = file.index(b"\xff\xda")
    for cut in (20, 25, 30):
        assert isinstance(outcome(bytes(file[: scan + cut]) + b"\xff\xd9"), PictureError)


# PNG


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 1), (4, 5), (8, 100)])
def test_a_see_through_grey_is_compared_with_the_stored_samples(depth: int, key: int) -> None:
    values = np.tile(np.arange(256) % 2**depth, (8, 1)).astype(np.uint8)
    bits = np.unpackbits(values[..., None], axis=2)[..., 8 - depth :].reshape(8, -1)
    file = png(256, 8, depth, 0, rows_of(np.packbits(bits, axis=1)), chunk(b"tRNS", struct.pack(">H", key)))
    expected = np.where(values == key, 1.0, values / (2**depth - 1))
    assert np.allclose(read_image(file).pixels[..., 0], expected, atol=1e-6)


def test_harmless_oddities_of_pngs_are_read_with_a_note() -> None:
    file = encode(CAT, "PNG")
    rows = zlib.compress(rows_of(CAT))
    header = file[:33]
    no_checksum = header + chunk(b"IDAT", rows[:-4]) + chunk(b"IEND", b"")
    key = header + chunk(b"tRNS", b"abc") + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    for odd, words in ((file[:-12], "end mark"), (no_checksum, "checksum"), (key, "see-through colour")):
        record = read_image(odd)
        assert np.array_equal(steps(record), CAT)
        assert any(words in note for note in record.notes)
    surplus = png(100, 64, 8, 2, rows_of(CAT) + b"\0")
    assert np.array_equal(steps(read_image(surplus)), CAT)
    for cut in range(5, 40, 3):  # cut, with a checksum of the chunk that fits
        assert isinstance(outcome(header + chunk(b"IDAT", rows[:-cut]) + chunk(b"IEND", b"")), PictureError)


@pytest.mark.parametrize("key", [b"Raw profile type exif", b"Raw profile type APP1"])
@pytest.mark.parametrize("packed", [False, True])
def test_orientation_in_a_text_chunk_is_followed(key: bytes, packed: bool) -> None:
    exif = b"Exif\0\0" + struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 274, 3, 1, 6, 0)
    text = f"\nexif\n{len(exif):8d}\n{exif.hex()}\n".encode()
    body = key + b"\0" + (b"\0" + zlib.compress(text) if packed else text)
    file = png(100, 64, 8, 2, rows_of(CAT), chunk(b"zTXt" if packed else b"tEXt", body))
    assert np.array_equal(steps(read_image(file)), np.rot90(CAT, -1))
    broken = png(100, 64, 8, 2, rows_of(CAT), chunk(b"tEXt", key + b"\0\nexif\n 8\nnot hex"))
    assert np.array_equal(steps(read_image(broken)), CAT)


# TIFF


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "LA", "L", "RGB", "YCbCr"])
def test_jpeg_compressed_tiffs_of_any_number_of_channels_are_read(mode: str) -> None:
    picture = Image.fromarray(CAT).convert(mode)
    record = read_image(encode(picture, "TIFF", compression="jpeg", quality=95))
    assert np.abs(record.pixels - np.asarray(picture.convert("RGB")) / 255).mean() < 0.03


def test_a_damaged_jpeg_within_a_tiff_is_refused() -> None:
    for mode in ("RGB", "LA"):
        file = encode(Image.fromarray(CAT).convert(mode), "TIFF", compression="jpeg", quality=95)
        strips = tifffile.TiffFile(io.BytesIO(file)).pages[0].dataoffsets
        end = file.index(b"\xff\xd9", strips[0])
        cut = file[: end - 300] + b"\xff\xd9" + bytes(300) + file[end + 2 :]
        assert isinstance(outcome(cut), PictureError)


REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_bits_in_reverse_order_are_turned(compression: int) -> None:
    pack = {1: bytes, 5: imagecodecs.lzw_encode, 8: zlib.compress, 32773: imagecodecs.packbits_encode}[compression]
    file = tiff_of(GREY, {259: compression, 266: 2}, bytes(pack(GREY.tobytes())).translate(REVERSED))
    assert np.array_equal(steps(read_image(file))[..., 0], GREY)


@pytest.mark.parametrize(
    "tags",
    [{279: 0}, {278: 0}, {259: 8, 279: 0}, {322: 100, 323: 70}],
    ids=["length 0", "0 rows a strip", "packed, length 0", "odd tile"],
)
def test_odd_lengths_of_strips_and_tiles_are_read(tags: dict[int, int]) -> None:
    samples = np.zeros((70, 100), np.uint8)
    samples[:64] = GREY
    stored = zlib.compress(GREY.tobytes()) if 259 in tags else samples.tobytes() if 322 in tags else GREY.tobytes()
    file = plain_tiff({**PLAIN, **tags}, stored)
    assert np.array_equal(steps(read_image(file))[..., 0], GREY)


def test_the_last_strip_may_be_stored_whole() -> None:
    packed = [
        zlib.compress(np.pad(GREY[top : top + 40], ((0, 40 - len(GREY[top : top + 40])), (0, 0))).tobytes())
        for top in (0, 40)
    ]
    tags = {**PLAIN, 259: 8, 278: 40, 279: tuple(map(len, packed)), 273: (0, 0)}
    start = len(plain_tiff(tags, b""))
    file = plain_tiff({**tags, 273: (start, start + len(packed[0]))}, b"".join(packed))
    assert np.array_equal(steps(read_image(file))[..., 0], GREY)


def test_a_tile_that_was_never_written_is_said() -> None:
    right = zlib.compress(np.ascontiguousarray(GREY[:, 48:96]).tobytes())
    tags = {256: 96, 257: 64, 259: 8, 322: 48, 323: 64, 324: (0, 1), 325: (0, len(right))}
    start = len(plain_tiff(tags, b""))
    record = read_image(plain_tiff({**tags, 324: (0, start)}, right))
    assert np.array_equal(steps(record)[:, 48:, 0], GREY[:, 48:96])
    assert (record.pixels[:, :48] == 0).all()
    assert any("never written, shown as no data: 1." in note for note in record.notes)
    assert isinstance(outcome(plain_tiff({**tags, 324: (0, 0), 325: (0, 0)}, right)), PictureError)


@pytest.mark.parametrize("kind", ["group3", "group4", "tiff_ccitt"])
def test_fax_pages_are_read_whole_or_not_at_all(kind: str) -> None:
    page = data.page()[:120, :200] > 128
    file = encode(Image.fromarray(page), "TIFF", compression=kind)
    assert np.array_equal(steps(read_image(file))[..., 0], page * np.uint8(255))
    first = tifffile.TiffFile(io.BytesIO(file)).pages[0]
    offset, count = first.dataoffsets[0], first.databytecounts[0]
    rows = first.rowsperstrip
    for cut in range(count // 10, count - 20, count // 10):
        packed = file[offset : offset + count]
        short = plain_tiff(
            {
                256: 200,
                257: min(rows, 120),
                258: 1,
                259: int(first.compression),
                262: int(first.photometric),
                278: rows,
            },
            packed[:cut],
        )
        assert isinstance(outcome(short), PictureError)


def test_a_fourth_channel_is_opacity_only_where_the_file_says_so() -> None:
    infrared = np.dstack([CAT, CAT[..., 1] // 2])
    record = read_image(tiff_of(infrared, {258: (8,) * 4, 262: 2, 277: 4}))
    assert np.array_equal(steps(record), CAT)
    assert any("It has 4 channels, of which the first three are shown" in note for note in record.notes)
    clear = read_image(tiff_of(np.dstack([CAT, CAT[..., 0] * 0]), {258: (8,) * 4, 262: 2, 277: 4, 338: 2}))
    assert np.array_equal(steps(clear), CAT)


def pages(*written: tuple[np.ndarray, dict[str, object]]) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for samples, options in written:
            writer.write(samples, metadata=None, photometric="rgb", **options)
    return stream.getvalue()


def test_reduced_pages_are_skipped_and_said() -> None:
    small = np.ascontiguousarray(CAT[::4, ::4])
    file = pages((small, {"subfiletype": 1}), (CAT, {}), (small, {"subfiletype": 1}), (255 - CAT, {}))
    for frame, expected in enumerate((CAT, 255 - CAT)):
        record = read_image(file, frame=frame)
        assert np.array_equal(steps(record), expected)
        assert record.frames == 2
        assert any("skipped: 2." in note for note in record.notes)
    assert read_image(pages((small, {"subfiletype": 1}))).width == 25


def test_camera_raw_files_are_refused_by_their_name() -> None:
    small = np.ascontiguousarray(CAT[::4, ::4])
    dng = pages((small, {"extratags": [(50706, "B", 4, (1, 4, 0, 0), True)]}))
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        writer.write(small, metadata=None, photometric="rgb", subfiletype=1, subifds=1)
        writer.write(RAMP, metadata=None, photometric="cfa")
    for file in (dng, stream.getvalue()):
        with pytest.raises(PictureError, match="camera's raw file"):
            read_image(file)


@pytest.mark.parametrize(
    "file",
    [
        png(4, 8, 16, 0, rows_of(RAMP[:8, :4]), chunk(b"tRNS", b"abc")),
        plain_tiff({262: 3, 320: (70_000,) * 768}, bytes(200)),
        plain_tiff({259: 7, 347: (300, 1)}, bytes(200)),
    ],
    ids=["png key of odd length", "palette of 32 bits", "jpeg tables above 255"],
)
def test_values_out_of_their_range_raise_nothing_but_picture_errors(file: bytes) -> None:
    outcome(file)


# Further formats, and colour profiles.


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("GIF", {}),
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
        ("BMP", {}),
    ],
    ids=str,
)
def test_further_formats_give_the_pixels_that_pillow_gives(kind: str, options: dict[str, object]) -> None:
    picture = Image.fromarray(CAT).quantize(64).convert("RGB") if kind == "GIF" else Image.fromarray(CAT)
    file = encode(picture, kind, **options)
    record = read_image(file)
    assert np.array_equal(steps(record), in_pillow(file))
    assert np.abs(record.pixels - np.asarray(picture) / 255).mean() < 0.01
    assert not record.notes
    assert record.format in {"GIF", "JPEG 2000", "AVIF", "BMP"}


def test_deep_and_see_through_jpeg_2000() -> None:
    deep = read_image(bytes(imagecodecs.jpeg2k_encode(RAMP, level=0, reversible=True, codecformat="jp2")))
    assert np.allclose(deep.pixels[..., 0], RAMP / 4095, atol=1e-6)
    alpha = read_image(encode(SEE_THROUGH, "JPEG2000"))
    assert alpha.laid_on_white or any("left out" in note for note in alpha.notes)


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_frames_of_animations_are_chosen_by_number(kind: str) -> None:
    greys = [Image.new("L", (60, 40), value) for value in (10, 100, 200)]
    file = encode(greys[0], kind, save_all=True, append_images=greys[1:])
    for frame, value in enumerate((10, 100, 200)):
        record = read_image(file, frame=frame)
        assert record.frames == 3
        assert abs(record.pixels.mean() * 255 - value) < 3
    with pytest.raises(PictureError, match="3 frames"):
        read_image(file, frame=3)


def test_a_gifs_see_through_parts_are_laid_on_white() -> None:
    palette = Image.fromarray(GREY).quantize(8)
    record = read_image(encode(palette, "GIF", transparency=3))
    assert record.laid_on_white
    assert (record.pixels[np.asarray(palette) == 3] == 1).all()


def test_heic_as_phones_write_it_is_read_and_a_cut_one_refused() -> None:
    # Encoded once with x265 from chelsea, 112 x 75; the package that reads it cannot write it.
    content = (Path(__file__).parent / "files" / "cat.heic").read_bytes()
    record = read_image(content)
    assert record.format == "HEIC"
    truth = np.asarray(Image.fromarray(data.chelsea()).resize((112, 75))) / 255
    assert np.abs(record.pixels - truth).mean() < 0.02
    for cut in (600, len(content) // 2, 20):
        assert isinstance(outcome(content[:-cut]), PictureError)


def p3() -> bytes:
    """A profile with other primaries than sRGB's, made of sRGB by exchanging its red and green."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * 20, 12)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "wide".encode("utf-16-be"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_a_colour_profile_other_than_srgb_is_said(kind: str) -> None:
    wide = read_image(encode(CAT, kind, icc_profile=p3()))
    assert any("'wide" in note and "not sRGB" in note for note in wide.notes)
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for harmless in (usual, usual[:200], b"junk" * 50, usual[:128] + b"\xff" * 400):
        assert not read_image(encode(CAT, kind, icc_profile=harmless)).notes


FILLED = {
    "HEIC": (Path(__file__).parent / "files" / "cat.heic").read_bytes(),
    "AVIF": encode(CAT, "AVIF"),
    "JPEG2000": encode(CAT, "JPEG2000", quality_layers=[20]),
    "WebP": encode(CAT, "WebP"),
}


@pytest.mark.parametrize("kind", FILLED)
@pytest.mark.parametrize("share", [0.4, 0.7, 0.9])
def test_what_an_interrupted_download_left_as_zeros_is_not_shown(kind: str, share: float) -> None:
    content = FILLED[kind]
    kept = min(int(share * len(content)), len(content) - 300)
    assert isinstance(outcome(content[:kept] + bytes(len(content) - kept)), PictureError)
    assert not isinstance(outcome(content), PictureError)


def test_a_jpeg_2000_without_its_last_tile_is_refused() -> None:
    content = encode(CAT, "JPEG2000", tile_size=(32, 32), quality_layers=[20])
    assert not isinstance(outcome(content), PictureError)
    assert isinstance(outcome(content[: content.rfind(b"\xff\x90\x00\x0a")] + b"\xff\xd9"), PictureError)


def test_run_lengths_and_comments_far_beyond_the_picture_are_refused() -> None:
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 0, 0, 0, 54 + 1024, 40, 10, 10, 1, 8, 1, 0, 0, 0, 256, 0)
    assert isinstance(outcome(header + bytes(1024) + b"\0\0" * 100_000), PictureError)
    comments = encode(GREY, "GIF")[:-1] + b"!\xfe\0" * 2_000_001 + b";"
    assert isinstance(outcome(comments), PictureError)
