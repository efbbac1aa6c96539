"""Every page by itself, and what people do on it, without a browser."""

import io
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from gradcam_core import read_sample
from pages.components import session
from pages.components.analysis import cache
from pages.components.analysis.files import keep_file
from pages.components.analysis.requests import ModelChoice

ROOT = Path(__file__).parent.parent
PAGES = ["app.py", *sorted(f"pages/{path.name}" for path in (ROOT / "pages").glob("*.py"))]


def opened(page: str) -> AppTest:
    return AppTest.from_file(str(ROOT / page), default_timeout=90).run()


def text_of(page: AppTest) -> str:
    parts = [*page.markdown, *page.caption, *page.error, *page.warning, *page.info, *page.title]
    return "\n".join(str(part.value) for part in parts)


def png(width: int, height: int, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_by_itself_without_an_error(page: str) -> None:
    run = opened(page)
    assert not run.exception
    assert not run.error
    assert run.title


def test_explain_opens_on_the_worked_example_with_both_classes() -> None:
    run = opened("pages/1_Explain.py")
    assert "Egyptian cat" in text_of(run)
    assert "espresso" in text_of(run)


@pytest.mark.parametrize(("width", "height"), [(40, 900), (900, 40), (1, 1), (300, 200)])
def test_a_picture_of_any_shape_can_be_uploaded_and_explained(width: int, height: int) -> None:
    run = opened("pages/1_Explain.py")
    run.file_uploader[0].upload("anna-smith.png", png(width, height), "image/png").run()
    assert not run.exception
    assert not run.error
    assert f"Picture {width} × {height} px" in text_of(run)


def test_a_broken_upload_is_refused_in_words_and_the_page_lives_on() -> None:
    run = opened("pages/1_Explain.py")
    run.file_uploader[0].upload("anna-smith.png", png(300, 200)[:500], "image/png").run()
    assert not run.exception
    assert len(run.error) == 1
    assert "anna" not in run.error[0].value
    run.selectbox(key="picture").select("coffee").run()
    assert not run.error
    assert "espresso" in text_of(run)


def test_of_several_files_the_next_good_one_is_shown() -> None:
    run = opened("pages/1_Explain.py")
    box = run.file_uploader[0]
    for name, content in (("good.png", read_sample("coffee")), ("bad.png", png(300, 200)[:500])):
        box.upload(name, content, "image/png")
    run.run()
    assert not run.exception
    assert [error.value.startswith("**File 2 of 2") for error in run.error] == [True]
    assert "espresso" in text_of(run)
    assert "chosen before" not in run.error[0].value


def test_choices_survive_moving_between_pages() -> None:
    run = opened("app.py")
    run.switch_page("pages/1_Explain.py").run()
    run.selectbox(key="method").select("layer_cam").run()
    run.selectbox(key="picture").select("photographer").run()
    run.switch_page("pages/2_Compare.py").run()
    assert not run.exception
    assert run.selectbox(key="picture").value == "photographer"
    run.switch_page("pages/1_Explain.py").run()
    assert run.selectbox(key="method").value == "layer_cam"
    assert run.selectbox(key="picture").value == "photographer"


def test_an_upload_survives_moving_between_pages() -> None:
    run = opened("app.py")
    run.file_uploader[0].upload("x-ray.png", png(64, 48), "image/png").run()
    chosen = run.selectbox(key="picture").value
    run.switch_page("pages/1_Explain.py").run()
    assert run.selectbox(key="picture").value == chosen
    assert "Picture 64 × 48 px" in text_of(run)


def test_an_uploads_name_is_known_to_its_own_session_only() -> None:
    content = png(50, 60, seed=5)
    first, second = opened("pages/1_Explain.py"), opened("pages/1_Explain.py")
    first.file_uploader[0].upload("anna-smith.png", content, "image/png").run()
    second.file_uploader[0].upload("other.png", content, "image/png").run()
    assert "anna" in first.selectbox(key="picture").options[0]
    assert not any("anna" in option for option in second.selectbox(key="picture").options)


def test_a_fit_follows_the_sample_until_it_is_chosen_by_hand() -> None:
    run = opened("pages/1_Explain.py")
    assert run.selectbox(key="fit").value == "squash"
    run.selectbox(key="picture").select("cat").run()
    assert run.selectbox(key="fit").value == "model"
    run.selectbox(key="fit").select("letterbox").run()
    run.selectbox(key="picture").select("coffee").run()
    assert run.selectbox(key="fit").value == "letterbox"


def test_compare_names_methods_that_are_equal_by_algebra() -> None:
    run = opened("pages/2_Compare.py")
    assert "CAM and Grad-CAM are **the same by algebra**" in text_of(run)
    run.multiselect(key="compared").set_value(["grad_cam_plus_plus", "layer_cam"]).run()
    assert not run.exception
    assert "by algebra" not in text_of(run)


def test_classes_can_be_named() -> None:
    run = opened("pages/1_Explain.py")
    run.button_group(key="top").set_value(0).run()
    named = next(widget for widget in run.multiselect if "named" in str(widget.key))
    named.set_value([967]).run()
    assert not run.exception
    assert run.dataframe[0].value["Class"].tolist() == ["espresso"]


def test_a_method_that_a_network_cannot_serve_is_left_out_with_a_word(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(timm.create_model("test_convnext", num_classes=10).state_dict(), tmp_path / "weights.pth")
    run = AppTest.from_file(str(ROOT / "pages/2_Compare.py"), default_timeout=90)
    choice = ModelChoice("mine", f"file:{tmp_path / 'weights.pth'}", "timm:test_convnext")
    run.session_state["models"] = {"mine": choice}
    run.run()
    assert "cam" not in run.multiselect(key="compared").value
    run.multiselect(key="compared").set_value(["cam", "grad_cam"]).run()
    assert not run.exception
    assert not run.error
    assert "Left out. CAM needs a classifier" in text_of(run)


@pytest.mark.parametrize("classes", [1, 10])
def test_models_with_one_and_ten_classes_are_explained(classes: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    labels = ["<b>tumour</b> $x$ " * 6] * classes
    weights = timm.create_model("test_resnet", num_classes=classes).state_dict()
    torch.save({"state_dict": weights, "class_names": labels}, tmp_path / "weights.pth")
    run = AppTest.from_file(str(ROOT / "pages/1_Explain.py"), default_timeout=90)
    run.session_state["models"] = {"mine": ModelChoice("m", f"file:{tmp_path / 'weights.pth'}", "timm:test_resnet")}
    run.run()
    run.button_group(key="top").set_value(10).run()
    assert not run.exception
    assert not run.error
    assert len(run.dataframe[0].value) == classes


def test_a_removed_picture_is_gone_and_stays_gone() -> None:
    run = opened("pages/1_Explain.py")
    run.file_uploader[0].upload("first.png", png(30, 40, 1), "image/png").run()
    run.button(key="forget").click().run()
    assert not any("first" in option for option in run.selectbox(key="picture").options)
    run.file_uploader[0].upload("second.png", png(30, 40, 2), "image/png").run()
    assert not any("first" in option for option in run.selectbox(key="picture").options)


def test_a_picture_uploaded_again_is_chosen_again() -> None:
    run = opened("pages/1_Explain.py")
    for name, seed in (("a.png", 1), ("b.png", 2), ("a.png", 1)):
        run.file_uploader[0].upload(name, png(30 + seed, 40, seed), "image/png").run()
    assert "Picture 31 × 40 px" in text_of(run)


def test_an_uploaded_file_lies_under_a_name_made_of_its_content_only() -> None:
    path = keep_file(b"weights")
    assert path.read_bytes() == b"weights"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert keep_file(b"weights") == path


def test_layers_shows_one_class_from_shallow_to_deep_and_fused() -> None:
    page = opened("pages/3_Layers.py")
    assert not page.exception
    assert "from the first layers to the last" in text_of(page)
    page.selectbox(key="layers_method").select("layer_cam").run()
    assert not page.exception


def test_options_that_differ_reach_the_analysis_and_are_counted() -> None:
    page = opened("pages/1_Explain.py")
    page.selectbox(key="method").select("occlusion").run()
    page.number_input(key="occlusion.patch").set_value(96).run()
    page.number_input(key="occlusion.stride").set_value(96).run()
    assert not page.exception
    assert not page.error
    again = page.run()
    assert again.number_input(key="occlusion.patch").value == 96
    assert "Occlusion" in str(again.dataframe[0].value)


def test_a_contrast_names_both_classes() -> None:
    page = opened("pages/1_Explain.py")
    key = next(box.key for box in page.selectbox if box.key and box.key.startswith("top against"))
    page.selectbox(key=key).select(285).run()
    assert not page.exception
    assert not page.error
    assert "tiger cat rather than Egyptian cat" in page.dataframe[0].value.to_string()


def test_compare_says_what_the_random_map_is_for() -> None:
    page = opened("pages/2_Compare.py")
    page.multiselect(key="compared").set_value(["grad_cam", "random", "eigen_cam"]).run()
    assert not page.exception
    assert "random map" in text_of(page)
    assert "knows no class" in text_of(page)


def layers_of(run: AppTest) -> object:
    return next(widget for widget in run.multiselect if str(widget.key).startswith("layers "))


def test_two_layers_chosen_on_explain_leave_the_other_pages_whole() -> None:
    run = opened("app.py")
    run.switch_page("pages/1_Explain.py").run()
    two = layers_of(run).options[:2]
    layers_of(run).set_value([option.split(" · ")[0] for option in two]).run()
    assert len(layers_of(run).value) == 2
    for page in ("2_Compare", "4_Evaluate", "5_Folder"):
        run.switch_page(f"pages/{page}.py").run()
        assert not run.exception, page
    run.switch_page("pages/2_Compare.py").run()
    assert "2 layers are chosen on Explain" in text_of(run)
    run.switch_page("pages/1_Explain.py").run()
    assert len(layers_of(run).value) == 2


def test_a_value_that_is_no_longer_among_the_options_is_replaced_and_comes_back() -> None:
    run = AppTest.from_function(_with_fewer_options)
    run.session_state["options"] = ["a", "b", "c"]
    run.run()
    run.selectbox(key="letter").select("c").run()
    run.multiselect(key="letters").set_value(["a", "c"]).run()
    run.session_state["options"] = ["a", "b"]
    run.run()
    assert not run.exception
    assert (run.selectbox(key="letter").value, run.multiselect(key="letters").value) == ("a", ["a"])
    run.session_state["options"] = ["a", "b", "c"]
    run.run()
    assert (run.selectbox(key="letter").value, run.multiselect(key="letters").value) == ("c", ["a", "c"])


def _with_fewer_options() -> None:
    import streamlit as st

    from pages.components.session import kept

    options = st.session_state["options"]
    st.selectbox("Letter", options, **kept("letter", "a", options))
    st.multiselect("Letters", options, **kept("letters", [], options))


def test_a_session_keeps_so_many_bytes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = png(40, 40, 1), png(90, 90, 2)
    monkeypatch.setattr(session, "MOST_BYTES", len(first) + 10)
    run = opened("pages/1_Explain.py")
    run.file_uploader[0].upload("first.png", first, "image/png").run()
    run.file_uploader[0].upload("second.png", second, "image/png").run()
    assert "already has" in run.error[0].value
    assert "Picture 40 × 40 px" in text_of(run), "the former one stays chosen"
    assert not run.run().error, "it is said once"


def test_an_upload_that_the_server_no_longer_has_is_said_in_words() -> None:
    run = AppTest.from_function(_with_a_lost_upload).run()
    assert not run.exception
    assert "no longer has this file" in run.text[0].value


def _with_a_lost_upload() -> None:
    import streamlit as st
    from streamlit.runtime.uploaded_file_manager import DeletedFile

    from pages.components.session import refusals, taken

    assert not taken([DeletedFile("lost")])
    st.text(str(refusals()[0]))


def test_a_removed_picture_leaves_nothing_in_the_shared_caches() -> None:
    content = png(33, 44, 9)
    run = opened("pages/1_Explain.py")
    run.file_uploader[0].upload("mine.png", content, "image/png").run()
    sha256 = run.selectbox(key="picture").value
    assert cache.picture_key(sha256) in cache.PICTURES
    run.button(key="forget").click().run()
    kept = [key for shelf in (cache.PICTURES, cache.EXPLANATIONS, cache.CHECKS) for key in shelf._values]
    assert not [key for key in kept if key.startswith(sha256)]
    assert sha256 not in run.session_state["encoded"]
    assert not any(sha256 in str(part) for part in run.session_state["uploads"])


def test_explanations_are_kept_without_pixels() -> None:
    opened("pages/1_Explain.py")
    assert all(value.image.pixels.size <= 3 for value, _, _ in cache.EXPLANATIONS._values.values())
