"""The last step of the story: a picture that the audience brings, shown to a model that knows everyday things."""

from collections.abc import Sequence

import streamlit as st

from gradcam_core import Explanation, GradcamError, list_devices, picture_pixels
from pages.components import session
from pages.components.analysis import cache
from pages.components.analysis.requests import Analysis, Request
from pages.components.analysis.work import explained
from pages.components.panels.figures import figures
from pages.components.presenter.slides import reduced, show_answers, show_scale, still
from pages.components.words import plain, show_error

SENT, REFUSED, TURN = "audience picture", "audience refused", "audience uploader"


def your_picture(suspects: Sequence[object]) -> None:
    """Step 6: a picture of the audience's own."""
    everyday = session.bundled()[0]
    words, result = st.columns([1, 1.9], gap="large")
    words.markdown(
        "Models A, B and C know simulated radiographs only. They were built to show one fault, on pictures whose "
        "truth is known. Their answer to any other picture means nothing.\n\n"
        f"**{everyday.title}** knows 1,000 everyday things: animals, tools, vehicles, food. It knows no medical "
        "images. What does it look at in your picture?"
    )
    with result:
        explanation = _explained(everyday)
        if explanation is not None:
            _show(explanation)
    with words if explanation is not None else result, st.container(key="takes-drops"):
        _uploader()


def _uploader() -> None:
    st.file_uploader(
        "Drop a picture here",
        key=f"{TURN} {st.session_state.get(TURN, 0)}",
        on_change=_take,
        max_upload_size=session.MOST_MEGABYTES,
        help="It stays on this machine, and joins the list of pictures on the other pages.",
    )


def _take() -> None:
    """Keep what was dropped. A new uploader takes the place of this one, which would show the file's name."""
    turn = st.session_state.get(TURN, 0)
    file = st.session_state.get(f"{TURN} {turn}")
    for upload in session.taken([file] if file is not None else []):
        st.session_state[SENT] = session.keep_picture(upload)
    st.session_state[TURN] = turn + 1
    st.session_state[REFUSED] = session.refusals()


def _explained(choice: session.ModelChoice) -> Explanation | None:
    """Explain the audience's picture with the everyday model, whatever is chosen on the other pages."""
    for error in st.session_state.pop(REFUSED, []):
        show_error(error)
    sha256 = st.session_state.get(SENT)
    upload = st.session_state.uploads.get(sha256)
    if upload is None:
        return None
    try:
        image = cache.picture(sha256, upload.content)
        model = cache.fitted(cache.model(choice, list_devices()[0]), {"fit": "letterbox"})  # nothing is cut away
        analysis = Analysis(image, model, Request((("grad_cam", ()),), (), top_k=3))
        return explained(analysis, "audience")[1]
    except GradcamError as error:
        session.drop_picture(sha256)
        show_error(error)
        return None


def _show(explanation: Explanation) -> None:
    heatmap = explanation.heatmaps[0]
    picture = reduced(picture_pixels(explanation.image))
    heat = reduced(still(explanation.image, heatmap))
    height = min(15.5, 21.5 * picture.shape[0] / picture.shape[1])
    figures([(picture, "Your picture"), (heat, f"What it looked at for {heatmap.target.label}")], height=height)
    show_scale([heatmap])
    st.caption("The model sees the whole picture here, padded to a square. Explain usually shows it the centre only.")
    for sentence in explanation.unsuited:
        st.markdown(plain(sentence))
    show_answers(explanation)
