"""Pictures within a ZIP, and a picture in the place of a folder."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

import gradcam_core as core
from gradcam_core.batch import zips
from gradcam_core.batch.pictures import read_picture
from gradcam_core.errors import PictureError

PICTURE = simplejpeg.encode_jpeg(np.full((20, 30, 3), 90, np.uint8))


def packed(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def problem_of(job: core.Job) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(job)
    return caught.value.message


def test_pictures_in_a_zip_are_read_from_within_it(tmp_path: Path) -> None:
    members = {
        "b/1.jpg": PICTURE,
        "a/1.jpg": PICTURE + b"\0",
        "../../up.jpg": PICTURE,
        "labels.csv": b"name,label\n",
        "__MACOSX/a/._1.jpg": b"",
        "a/.hidden.jpg": PICTURE,
        "more.zip": b"PK",
        "grün.jpg": PICTURE,
    }
    jobs = core.find_pictures(packed(tmp_path / "all.zip", members))
    assert [job.name for job in jobs] == ["../../up.jpg", "a/1.jpg", "b/1.jpg", "grün.jpg", "more.zip"]
    assert [read_picture(job) for job in jobs[:4]] == [PICTURE, PICTURE + b"\0", PICTURE, PICTURE]
    assert problem_of(jobs[4]) == "This is a ZIP within a ZIP."
    assert len({job.id for job in jobs}) == 5
    assert list(tmp_path.iterdir()) == [tmp_path / "all.zip"]


def test_a_batch_of_a_zip_knows_changed_members(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    first, second = (simplejpeg.encode_jpeg(np.ascontiguousarray(pixels)) for pixels in noise)
    path, journal = tmp_path / "all.zip", tmp_path / core.journal_name()
    recipe = core.Recipe("bundled:radiograph_clean")
    packed(path, {"1.jpg": first, "2.jpg": first})
    assert core.run_batch(core.find_pictures(path), recipe, journal).done == 2
    assert core.run_batch(core.find_pictures(path), recipe, journal).done == 0
    packed(path, {"1.jpg": first, "2.jpg": second})
    jobs = core.find_pictures(path)
    assert core.run_batch(jobs, recipe, journal).done >= 1
    results = {result.name: result for result in core.Journal(journal).results()}
    assert results["1.jpg"].sha256 != results["2.jpg"].sha256
    assert {result.status for result in results.values()} == {"ok"}


def test_two_members_of_one_name_are_two_pictures(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.jpg", PICTURE)
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("1.jpg", PICTURE + b"\0")
        archive.writestr("1.jpg (2)", PICTURE + b"\1")
    jobs = core.find_pictures(tmp_path / "a.zip")
    assert [job.name for job in jobs] == ["1.jpg", "1.jpg (2)", "1.jpg (2) (2)"]
    assert [read_picture(job) for job in jobs] == [PICTURE, PICTURE + b"\0", PICTURE + b"\1"]
    assert len({job.id for job in jobs}) == 3


def test_members_that_cannot_be_unpacked_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.zip", {"1.jpg": PICTURE * 20, "2.jpg": PICTURE})
    content = bytearray(path.read_bytes())
    content[40:60] = b"x" * 20
    path.write_bytes(content)
    first, second = core.find_pictures(path)
    assert "damaged here" in problem_of(first)
    assert read_picture(second) == PICTURE
    locked = bytearray(packed(tmp_path / "b.zip", {"1.jpg": PICTURE}).read_bytes())
    listed = locked.index(b"PK\x01\x02")
    locked[6] |= 1
    locked[listed + 8] |= 1
    (tmp_path / "b.zip").write_bytes(locked)
    assert "password" in problem_of(core.find_pictures(tmp_path / "b.zip")[0])
    odd = packed(tmp_path / "c.zip", {"1.jpg": PICTURE}, zipfile.ZIP_LZMA)
    assert "not read" in problem_of(core.find_pictures(odd)[0])
    monkeypatch.setattr("gradcam_core.batch.pictures.LARGEST_PICTURE", 1000)
    bomb = packed(tmp_path / "d.zip", {"1.jpg": bytes(100_000)})
    assert "too large" in problem_of(core.find_pictures(bomb)[0])
    lying = bytearray(bomb.read_bytes())
    listed = lying.index(b"PK\x01\x02")
    lying[listed + 24 : listed + 28] = struct.pack("<I", 10)
    bomb.write_bytes(lying)
    assert problem_of(core.find_pictures(bomb)[0])


NOT_WHOLE = [b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" + bytes(200), b"PK\x03\x04" + b"\xff" * 200]


@pytest.mark.parametrize("content", NOT_WHOLE)
def test_what_is_no_whole_zip_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(core.GradcamError, match=r"ZIP cannot be opened|no pictures"):
        core.find_pictures(tmp_path / "a.zip")


def test_a_list_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.zip", {f"{number}.jpg": b"" for number in range(20)})
    monkeypatch.setattr(zips, "MOST_MEMBERS", 10)
    with pytest.raises(core.GradcamError, match="more than 10 files"):
        core.find_pictures(path)
    monkeypatch.setattr(zips, "LARGEST_LIST", 100)
    with pytest.raises(core.GradcamError, match="far too long"):
        core.find_pictures(path)


def test_a_picture_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(PICTURE)
    (job,) = core.find_pictures(tmp_path / "one.jpg")
    assert (job.name, read_picture(job)) == ("one.jpg", PICTURE)
    with pytest.raises(core.GradcamError, match="cannot be read"):
        core.find_pictures(tmp_path / "none.jpg")


def test_a_zip_is_read_by_several_threads(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    members = {f"{number}.jpg": PICTURE + bytes([number]) for number in range(100)}
    jobs = core.find_pictures(packed(tmp_path / "a.zip", members))
    with ThreadPoolExecutor(8) as pool:
        assert {bytes(content) for content in pool.map(read_picture, jobs)} == set(members.values())
