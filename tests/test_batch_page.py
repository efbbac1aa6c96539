"""The Batch page in a browser: sixty files, five of them broken, stopped and continued; and what is kept of them."""

import csv
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from gradcam_core import drawn_folder
from tests.test_app import address, page, settled
from tests.test_folder_page import png
from tests.test_front_door import follow, start

__all__ = ["address", "page"]
PAGE = Path(__file__).parent.parent / "pages/5_Batch.py"
DROP_ZONE = "[data-testid=stMain] .st-key-takes-drops"
BROKEN = {
    "cut.png": png(1)[:90],
    "empty.png": b"",
    "words.jpg": b"no picture",
    "table.bmp": b"a,b\n" * 50,
    "half.tif": b"II*\0\xff\xff\xff\xff",
}


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def sixty() -> dict[str, bytes]:
    drawn = drawn_folder("marked_nodules", 55)
    return {**drawn.pictures, **BROKEN, "labels.csv": drawn.table}


def test_sixty_files_are_stopped_continued_and_each_has_a_row(page: Any, address: str) -> None:
    start(page, address)
    follow(page, "Batch")
    files = [{"name": name, "mimeType": "image/png", "buffer": content} for name, content in sixty().items()]
    page.locator(f"{DROP_ZONE} input[type=file]").set_input_files(files)
    page.get_by_role("button", name="Explain 60 pictures").wait_for(timeout=90_000)
    settled(page)
    page.get_by_role("combobox", name=re.compile("True labels")).click()
    page.get_by_role("option", name="None").click()
    settled(page)
    page.get_by_role("button", name="Explain 60 pictures").click()
    page.get_by_text(re.compile(r"\d+ of 60 pictures")).first.wait_for(timeout=90_000)
    page.get_by_role("button", name="Stop").click()
    stopped = page.get_by_text(re.compile(r"Stopped after \d+ of 60 pictures"))
    go_on = page.get_by_role("button", name="Go on with the other")
    stopped.or_(page.get_by_text("All pictures")).first.wait_for(timeout=90_000)
    assert stopped.count(), "it ended before it could be stopped"
    follow(page, "Models")
    follow_back(page)
    go_on.click()
    page.get_by_text("Explained with these settings").wait_for(timeout=120_000)
    settled(page)
    assert page.get_by_text("Not explained · 5").count()
    rows = saved_rows(page)
    assert len(rows) == len({row["sha256"] for row in rows}) == 60
    assert sum(row["status"] == "failed" for row in rows) == 5
    assert not {row["name"] for row in rows} & set(BROKEN)
    page.locator("label", has_text="With file names").click()
    settled(page)
    assert {row["name"] for row in saved_rows(page)} > set(BROKEN)
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="Gallery, HTML").click()
    assert "cut.png" in Path(waiting.value.path()).read_text("utf-8")


def saved_rows(page: Any) -> list[dict[str, str]]:
    """The rows of the CSV that the page saves."""
    with page.expect_download(timeout=60_000) as waiting:
        page.get_by_role("button", name="Results, CSV").click()
    return list(csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text("utf-8-sig"))))


def follow_back(page: Any) -> None:
    """Return to the page, where the files are still there."""
    page.locator(".st-key-navigation").get_by_role("link", name="Batch", exact=True).click()
    page.get_by_role("button", name="Go on with the other").wait_for(timeout=60_000)
    settled(page)


@pytest.fixture
def run() -> AppTest:
    opened = AppTest.from_file(str(PAGE), default_timeout=120)
    opened.session_state["model"] = "bundled:radiograph_clean"
    return opened.run()


def give(run: AppTest, name: str, content: bytes) -> None:
    uploader = next(each for each in run.file_uploader if str(each.key).startswith("folder uploader"))
    uploader.upload(name, content, "application/octet-stream").run()
    assert not run.exception


def explain(run: AppTest) -> None:
    run.button(key="explain").click().run()
    assert not run.exception
    assert not run.error


def test_pictures_in_a_zip_are_explained_and_nothing_on_the_disk_has_their_names(run: AppTest) -> None:
    drawn = list(drawn_folder("marked_nodules", 3).pictures.values())
    give(run, "anna.zip", zipped({"anna/1.png": drawn[0], "bert/1.png": drawn[1], "bert/cut.png": drawn[2][:80]}))
    run.toggle(key="batch overlays").set_value(True).run()
    explain(run)
    assert sorted(run.dataframe[0].value["Name"]) == ["anna/1.png", "bert/1.png", "bert/cut.png"]
    private = run.session_state["private folder"].path
    kept = [path for path in private.rglob("*") if path.is_file()]
    assert len(list(private.glob("batch/*/overlays/*.jpg"))) == 2
    for path in kept:
        if private / "files" not in path.parents:  # the ZIP itself has the names that its owner gave
            assert b"anna" not in path.read_bytes()
        assert not re.search("anna|bert", str(path.relative_to(private)))


def test_other_settings_have_results_of_their_own_and_the_first_ones_are_kept(run: AppTest) -> None:
    give(run, "one.png", png(1))
    explain(run)
    run.selectbox(key="folder_method").select("layer_cam").run()
    assert not run.dataframe
    run.selectbox(key="folder_method").select("grad_cam").run()
    assert len(run.dataframe[0].value) == 1
    del run.session_state["folder_results"]
    run.run()
    assert len(run.dataframe[0].value) == 1, "the journal has them"


def test_clear_removes_the_files_from_the_disk(run: AppTest) -> None:
    give(run, "one.png", png(1))
    private = run.session_state["private folder"].path
    assert list(private.rglob("*"))
    run.button(key="folder clear").click().run()
    assert not private.exists()


def test_a_folder_of_the_server_is_opened_where_its_owner_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root" / "nodule").mkdir(parents=True)
    (tmp_path / "root" / "nodule" / "a.png").write_bytes(
        next(iter(drawn_folder("marked_nodules", 1).pictures.values()))
    )
    (tmp_path / "secret.png").write_bytes(png(2))
    (tmp_path / "root" / "nodule" / "out.png").symlink_to(tmp_path / "secret.png")
    monkeypatch.setenv("LIGHTBOX_PICTURE_FOLDERS", str(tmp_path / "root"))
    opened = AppTest.from_file(str(PAGE), default_timeout=120)
    opened.session_state["model"] = "bundled:radiograph_clean"
    opened.run()
    places = next(box for box in opened.selectbox if "folder of this server" in box.label)
    assert places.options == ["root · 2 files", "root/nodule · 2 files"]
    places.select_index(0).run()
    opened.button(key="folder open").click().run()
    explain(opened)
    table = opened.dataframe[0].value
    assert sorted(table["Name"]) == ["nodule/a.png", "nodule/out.png"]
    assert any("leads out of the folder" in str(note) for note in table["Note"])


def test_without_the_owners_word_no_folder_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIGHTBOX_PICTURE_FOLDERS", raising=False)
    opened = AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not [box for box in opened.selectbox if "folder of this server" in box.label]
