"""Start (:material/home:): what this is, one worked example, where to go next."""

import streamlit as st
from starlette.middleware import Middleware

from pages.components.batch.archive import ROUTE as OVERLAYS
from pages.components.example import show_example
from pages.components.frame import frame
from pages.components.frame.navigation import go_to, link
from pages.components.intake import drop_zone
from pages.components.pixels import ROUTE
from pages.components.server import Guard, lifespan

# What `streamlit run app.py` serves. The script that it runs for each visitor is this file again.
app = st.App(__file__, lifespan=lifespan, middleware=[Middleware(Guard)], routes=[ROUTE, OVERLAYS])

NEXT_STEPS = (
    ("pages/1_Explain.py", "Explain a picture", "Your own or a sample: one heatmap for each class."),
    ("pages/2_Compare.py", "Compare methods", "CAM, Grad-CAM and others side by side, with numbers."),
    ("pages/6_Models.py", "Bring a model", "From timm, torchvision or your own checkpoint; no code in it is run."),
    (
        "pages/7_Demonstration.py",
        "Catch a model that cheats",
        "A story in six steps: three models, one of them cheats.",
    ),
)
HOW_TO_READ = (
    "- Bright means: here the picture changes the score of *this* class. It does not mean that the model is right, "
    "nor why it answers so.\n"
    "- The map is coarse. The grid can be shown; nothing finer than one cell is known.\n"
    "- Every map is scaled to its own peak. Faint evidence looks as bright as strong evidence: look at the "
    "probability and the peak evidence first.\n"
    "- Hatched parts were cut away before the model looked. The heatmap has no value there."
)


def start() -> None:
    """Draw the page."""
    chosen = frame(__doc__, "See what an image model looked at, and whether to believe it.", picture=False, model=False)
    if chosen.changed:  # the example below is always the same: a choice in the sidebar leads to its own result
        go_to("pages/1_Explain.py")
    words, place = st.columns([1.5, 1], vertical_alignment="center", gap="large")
    words.markdown(
        "One picture, one model, two questions. For *Egyptian cat* the model relies on the left half; "
        "for *espresso*, on the right. Drag the opacity, or point at a heatmap to read its value."
    )
    with place:
        drop_zone("Drop a picture here, or anywhere on the page")
    show_example()
    for column, (page, label, words) in zip(st.columns(4, gap="medium"), NEXT_STEPS, strict=True):
        with column, st.container(key=f"next-{page[6]}", gap=None):
            link(page, f"**{label}**", ":material/arrow_forward:")
            st.caption(words)
    with st.expander("How to read a heatmap"):
        st.markdown(HOW_TO_READ)


if __name__ == "__main__":
    start()
