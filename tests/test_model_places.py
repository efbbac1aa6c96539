"""Models by path: only inside the folders that the server's owner named; and who sees the catalogue."""

import io
import os
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from streamlit.testing.v1 import AppTest

from gradcam_core import GradcamError
from gradcam_core.catalogue import catalogue_path, read_catalogue, remember_model
from pages.components import remembered
from pages.components.models.places import MOST_OFFERED, allowed_path, offered_paths
from tests.test_models_page import PAGE, USE, button, drop, own_titles, shown, tiny, titles
from tests.test_pages import opened

OUTSIDE = "not inside the folders that this server opens"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An allowed folder with a model, beside one that is not allowed."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("allowed", "secret", "allowed also"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.pth").write_bytes(tiny())
    monkeypatch.setenv("LIGHTBOX_MODEL_FOLDERS", str(tmp_path / "allowed"))
    return tmp_path / "allowed"


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def test_paths_in_the_folder_are_opened_in_every_spelling(folder: Path) -> None:
    (folder / "deep").mkdir()
    for text in (
        "mine.pth",
        f"{folder}/mine.pth",
        f'"{folder}/mine.pth"',
        f"file:{folder}/mine.pth",
        f"{folder}/deep/../mine.pth",
        " mine.pth ",
    ):
        assert allowed_path(text) == folder / "mine.pth", text
    assert allowed_path(f"local-dir:{folder}") == folder


@pytest.mark.parametrize(
    "text",
    [
        "../secret/mine.pth",
        "../allowed also/mine.pth",
        "{folder}/../secret/mine.pth",
        "{folder} also/mine.pth",
        "/etc/passwd",
        "/etc/no-such-file",
        "~/mine.pth/../../../etc/passwd",
        "//etc/passwd",
        "/proc/self/environ",
        "link.pth",
        "link/mine.pth",
        "circle.pth",
        "mine\0.pth",
        "mine\n.pth",
        "x" * 5000,
        "..",
        "",
    ],
)
def test_a_path_outside_gets_one_answer_whether_there_is_something_or_not(folder: Path, text: str) -> None:
    secret = folder.parent / "secret"
    (folder / "link.pth").symlink_to(secret / "mine.pth")
    (folder / "link").symlink_to(secret)
    (folder / "circle.pth").symlink_to(folder / "circle.pth")
    with pytest.raises(GradcamError, match=OUTSIDE):
        allowed_path(text.format(folder=folder))


def test_links_inside_the_folder_work_and_names_of_classes_from_outside_do_not(folder: Path) -> None:
    (folder / "latest.pth").symlink_to("mine.pth")
    assert allowed_path("latest.pth") == folder / "mine.pth"
    (folder / "labels.txt").symlink_to("/etc/passwd")
    with pytest.raises(GradcamError, match=OUTSIDE):
        allowed_path("mine.pth")


def test_a_folder_that_is_itself_a_link_is_opened_by_both_names(folder: Path, configured: pytest.MonkeyPatch) -> None:
    link = folder.parent / "models"
    link.symlink_to(folder)
    configured.setenv("LIGHTBOX_MODEL_FOLDERS", str(link))
    assert allowed_path("mine.pth") == folder / "mine.pth"
    assert allowed_path(f"{link}/mine.pth") == folder / "mine.pth"
    assert allowed_path(f"{folder}/mine.pth") == folder / "mine.pth"


def test_no_folder_is_opened_by_itself_not_even_the_home(configured: pytest.MonkeyPatch) -> None:
    for value in (None, "", os.pathsep, "relative/folder", "/no/such/folder"):
        if value is None:
            configured.delenv("LIGHTBOX_MODEL_FOLDERS", raising=False)
        else:
            configured.setenv("LIGHTBOX_MODEL_FOLDERS", value)
        with pytest.raises(GradcamError, match=r"opens no paths.*LIGHTBOX_MODEL_FOLDERS.*models add PATH"):
            allowed_path(str(Path.home()))
        assert offered_paths() == []


def test_models_of_the_folders_are_offered_without_hidden_and_linked_ones(
    folder: Path, configured: pytest.MonkeyPatch
) -> None:
    (folder / "vit").mkdir()
    (folder / "vit" / "config.json").write_text("{}")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.pth").touch()
    (folder / "notes.txt").touch()
    (folder / "link").symlink_to(folder.parent / "secret")
    assert offered_paths() == ["mine.pth", "vit"]
    configured.setenv("LIGHTBOX_MODEL_FOLDERS", os.pathsep.join([str(folder), str(folder.parent / "secret")]))
    assert str(folder.parent / "secret" / "mine.pth") in offered_paths()
    for number in range(MOST_OFFERED + 5):
        (folder / f"{number}.pth").touch()
    assert len(offered_paths()) == MOST_OFFERED


def opened_at(text: str) -> AppTest:
    return load(opened(PAGE), text)


def load(run: AppTest, text: str) -> AppTest:
    next(box for box in run.selectbox if box.label == "Path on this server").set_value(text)
    button(run, "Load").click().run()
    assert not run.exception
    return run


def test_a_file_is_opened_by_its_path_used_everywhere_and_remembered(folder: Path) -> None:
    run = opened_at("mine.pth")
    assert "This looks like **timm:test_resnet**" in shown(run)
    next(box for box in run.text_area).set_value("daisy\nrose\ntulip")
    button(run, "Use these names").click().run()
    button(run, USE).click().run()
    assert not run.exception
    assert not run.error
    (model,) = read_catalogue()
    assert model.reference == f"file:{folder / 'mine.pth'}"
    assert model.labels == ("daisy", "rose", "tulip")
    other = opened("pages/1_Explain.py")
    assert own_titles(other)[-1] == "mine.pth", "the next session has it on every page"
    key = next(key for key, choice in other.session_state["models"].items() if choice.title == "mine.pth")
    other.selectbox(key="model").set_value(key).run()
    assert not other.exception
    assert not other.error
    assert "tulip" in shown(other)
    assert list(run.session_state["models"]) == list(other.session_state["models"]), "one key in both sessions"


def test_a_model_is_remembered_only_if_its_user_wants_it(folder: Path) -> None:
    run = opened_at("mine.pth")
    next(box for box in run.checkbox if box.label.startswith("Remember it")).uncheck().run()
    button(run, USE).click().run()
    assert own_titles(run)[-1] == "mine.pth"
    assert read_catalogue() == ()


def test_a_dropped_file_lives_for_the_session_and_the_page_says_so(folder: Path) -> None:
    run = drop(opened(PAGE), ("mine.pth", tiny()))
    assert "the model is here until this tab is closed" in shown(run)
    assert not [box for box in run.checkbox if box.label.startswith("Remember it")]
    button(run, USE).click().run()
    assert read_catalogue() == ()


def test_a_changed_and_a_moved_file_are_said_in_the_list_and_where_the_model_is_used(folder: Path) -> None:
    run = opened_at("mine.pth")
    button(run, USE).click().run()
    assert f"Remembered · {folder / 'mine.pth'}" in shown(run)
    torch.manual_seed(99)
    written = io.BytesIO()
    torch.save(timm.create_model("test_resnet", num_classes=3).state_dict(), written)
    (folder / "mine.pth").write_bytes(written.getvalue())
    other = opened(PAGE)
    assert "The file was changed since it was added." in shown(other)
    remembered_model = read_catalogue()[0]
    remember_model(replace(remembered_model, title="Changed", file=None, fingerprint="0" * 64))
    explained = opened("pages/1_Explain.py")
    key = next(key for key, choice in explained.session_state["models"].items() if choice.title == "Changed")
    explained.selectbox(key="model").set_value(key).run()
    assert "the model’s weights are not those of then" in shown(explained)
    remember_model(remembered_model)
    (folder / "mine.pth").unlink()
    assert "It is no longer at its place: it was moved or deleted." in shown(opened(PAGE))


def test_a_new_name_or_task_is_remembered_and_a_removed_model_forgotten(folder: Path) -> None:
    run = opened_at("mine.pth")
    button(run, USE).click().run()
    next(box for box in run.text_input if box.label == "Name").set_value("Best of May").run()
    key = run.selectbox(key="model").value
    run.selectbox(key=f"task {key}").set_value("multi_label").run()
    (model,) = read_catalogue()
    assert (model.title, model.task) == ("Best of May", "multi_label")
    run.button(key="remove 0").click().run()
    assert not run.exception
    assert read_catalogue() == ()
    assert (folder / "mine.pth").exists()


@pytest.mark.parametrize(
    ("setting", "address", "hosts", "use"),
    [
        ("", "127.0.0.1", ["localhost", "127.0.0.1"], "on"),
        ("", "::1", ["[::1]"], "on"),
        ("", "127.0.0.1", ["reading.hospital.example", "localhost"], "off"),  # behind a proxy
        ("", "127.0.0.1", ["*"], "off"),
        ("", "127.0.0.1", [], "off"),
        ("", "0.0.0.0", ["localhost"], "off"),
        ("", None, ["localhost"], "off"),
        ("on", "0.0.0.0", ["*"], "on"),
        ("read", "0.0.0.0", ["*"], "read"),
        ("off", "127.0.0.1", ["localhost"], "off"),
        ("Of", "127.0.0.1", ["localhost"], "off"),
    ],
)
def test_the_catalogue_is_used_where_only_this_machine_reaches_the_server(
    configured: pytest.MonkeyPatch, setting: str, address: str | None, hosts: list[str], use: str
) -> None:
    options = {"server.address": address, "server.allowedHosts": hosts}
    configured.setattr("streamlit.get_option", options.get)
    configured.setenv("LIGHTBOX_CATALOGUE", setting)
    assert remembered.use() == use


def test_on_a_shared_server_nobody_sees_or_writes_the_catalogue(folder: Path, configured: pytest.MonkeyPatch) -> None:
    run = opened_at("mine.pth")
    button(run, USE).click().run()
    configured.setenv("LIGHTBOX_CATALOGUE", "off")
    other = opened(PAGE)
    assert not any("mine" in title for title in titles(other))
    assert str(folder) not in shown(other)
    load(other, "mine.pth")
    assert "This server does not remember models" in shown(other)
    catalogue_path().unlink()
    button(other, USE).click().run()
    assert not catalogue_path().exists()


def test_a_catalogue_for_reading_offers_its_models_and_stays_as_it_is(
    folder: Path, configured: pytest.MonkeyPatch
) -> None:
    run = opened_at("mine.pth")
    button(run, USE).click().run()
    before = catalogue_path().read_bytes()
    configured.setenv("LIGHTBOX_CATALOGUE", "read")
    other = opened(PAGE)
    assert own_titles(other)[-1] == "mine.pth"
    assert str(folder) not in shown(other)
    next(box for box in other.text_input if box.label == "Name").set_value("Mine now").run()
    other.button(key="remove 0").click().run()
    assert not other.exception
    assert catalogue_path().read_bytes() == before


def test_a_broken_catalogue_is_said_once_and_the_pages_work(folder: Path) -> None:
    catalogue_path().parent.mkdir(parents=True)
    catalogue_path().write_text("{")
    run = opened("pages/1_Explain.py")
    assert not run.exception
    assert "The catalogue of models is not readable JSON" in shown(run)
    assert "Egyptian cat" in shown(run)
    assert "catalogue" not in shown(run.run())
    page = opened_at("mine.pth")
    button(page, USE).click().run()
    assert not page.exception
    assert "not readable JSON" in shown(page)
    assert own_titles(page)[-1] == "mine.pth", "it is used in this session all the same"
    assert catalogue_path().read_text() == "{"
