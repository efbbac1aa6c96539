"""Start: what this is, one worked example, where to go next."""

import hashlib

import streamlit as st

from gradcam_core import GradcamError, read_sample
from pages.components.cache import ModelChoice, Request, explanation, model, picture
from pages.components.frame import frame, go_to, link
from pages.components.panels import show_error, show_heatmaps
from pages.components.session import bundled

EGYPTIAN_CAT, ESPRESSO = 285, 967

desk = frame("Start", "See what an image model looked at, and whether to believe it.")
if desk.choice_made:  # the example below stays the same: whoever chooses something wants to see that
    go_to("pages/1_Explain.py")
st.markdown(
    "One picture, one model, two questions. Asked for *Egyptian cat*, the model’s score is sensitive on the left; "
    "asked for *espresso*, on the right. Drag the opacity, or point at a heatmap to read its value."
)

name, title = bundled()[0]
content = read_sample("cat_and_coffee")
try:
    image = picture(hashlib.sha256(content).hexdigest(), 0, None, content)
    loaded = model(ModelChoice(title, f"bundled:{name}"), "cpu", lambda share, words: None)
    request = Request((("grad_cam", ()),), (), targets=(EGYPTIAN_CAT, ESPRESSO))
    show_heatmaps(explanation(image, loaded, request, {"fit": "squash"}), key="start", columns=3)
except GradcamError as error:
    show_error(error)

next_steps = (
    ("pages/1_Explain.py", "Explain a picture", "Your own or a sample: one heatmap for each class you ask about."),
    ("pages/2_Compare.py", "Compare methods", "Hold CAM, Grad-CAM and others side by side, with numbers."),
    ("pages/6_Models.py", "Bring a model", "From timm, torchvision or your own checkpoint; nothing in it is run."),
    (
        "pages/7_Demonstration.py",
        "Catch a model that cheats",
        "A story in five steps: three models, one of them cheats.",
    ),
)
for column, (page, label, words) in zip(st.columns(4, gap="medium"), next_steps, strict=True):
    with column, st.container(key=f"next-{page[6]}", gap=None):
        link(page, f"**{label}**", ":material/arrow_forward:")
        st.caption(words)

with st.expander("How to read a heatmap"):
    st.markdown(
        "- Bright means: here the picture moves the score of *this* class. It does not mean that the model is right, "
        "nor why it answers so.\n"
        "- The map is coarse. The grid can be shown; nothing finer than one cell is known.\n"
        "- Every map is scaled to its own peak. Faint evidence looks as bright as strong evidence: look at the "
        "probability and the raw peak first.\n"
        "- Hatched parts were cut away before the model looked. There the heatmap knows nothing."
    )
