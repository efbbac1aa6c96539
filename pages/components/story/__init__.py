"""The story of three models, of which one cheats: six steps, each a function that draws its part of the page."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import streamlit as st

from gradcam_core import (
    Explanation,
    ImageRecord,
    Trust,
    explain,
    load_model,
    picture_pixels,
    read_image,
    read_sample,
    read_truths,
    shown_input,
    trust,
)
from pages.components import session
from pages.components.analysis import cache
from pages.components.checks import show_checks
from pages.components.panels.figures import figures, show_bars, show_table
from pages.components.panels.heatmaps import show_panels
from pages.components.presenter.slides import show_stills
from pages.components.story.audience import your_picture
from pages.components.viewer.encoding import panel_of

NODULE = 1
KINDS = ("clean", "shortcut", "balanced")
LETTERS = ("A", "B", "C")
CHEAT = "B"
GREEN = np.array([86, 214, 200], np.uint8)
SAMPLES = {
    "radiograph_marked": "Nodule and letter",
    "radiograph_nodule": "The same chest, no letter",
    "radiograph_healthy": "Letter only, no nodule",
}
GLOSSARY = {
    "Model": "A program that has learned from many examples to answer with one of a few words, here *no finding*, "
    "*nodule* or *streak*.",
    "Class": "One of the words that a model can answer with.",
    "Probability": "How strongly the model favours a class, from 0 to 100\u202f%. It is the model’s own number: a "
    "model can be sure and wrong.",
    "Nodule": "A small round opacity in a lung.",
    "Side marker": "A lead letter that the radiographer places beside the patient, to mark the side. It says nothing "
    "about the disease.",
    "Heatmap": "Colours over a picture: bright where the picture changes the model’s score for one class.",
    "Cell": "A heatmap is a coarse grid. Nothing finer than one of its cells is known.",
    "Shortcut": "Something irrelevant that gives the answer away, such as a marker that was on every picture of "
    "one class. A model that uses it is right until the marker appears elsewhere.",
    "Check": "An experiment on a heatmap: change the picture or the model, and see whether the heatmap and the "
    "answer change as they should.",
}


@dataclass(frozen=True)
class Suspect:
    """One of the three models: its explanation of the first picture, and a nodule's probability on each sample."""

    letter: str
    explanation: Explanation
    trust: Trust
    shares: tuple[float, ...]

    @property
    def title(self) -> str:
        """What the model is called in the story."""
        return f"Model {self.letter}"

    @property
    def probability(self) -> float:
        """The nodule's probability on the first picture."""
        return self.explanation.heatmaps[0].target.probability


@st.cache_resource(max_entries=1, show_spinner=False)
def suspects() -> tuple[Suspect, ...]:
    """The three models on the same pictures; computed once, since the story is the same for all sessions."""
    results = []
    for letter, kind in zip(LETTERS, KINDS, strict=True):
        model = load_model(f"bundled:radiograph_{kind}", device="cpu")
        explanations = [explain(read(sample), model, targets=NODULE, methods="grad_cam") for sample in SAMPLES]
        shares = tuple(explanation.heatmaps[0].target.probability for explanation in explanations)
        first = explanations[0]
        results.append(Suspect(letter, first, trust(first, first.heatmaps[0], model), shares))
    return tuple(results)


def read(sample: str) -> ImageRecord:
    """A sample picture."""
    content = read_sample(sample)
    return cache.picture(hashlib.sha256(content).hexdigest(), content)


def one_picture(suspects: Sequence[Suspect]) -> None:
    """Step 1: the picture, and what is known to be in it."""
    image = read("radiograph_marked")
    plain = picture_pixels(image)
    (mask,) = (read_image(content).pixels[..., 0] > 0.5 for content in read_truths("radiograph_marked").values())
    words, picture = st.columns([1, 2.4], gap="large")
    words.markdown(
        "This is a simulated chest radiograph. It is not a patient, so what is in it is known exactly.\n\n"
        "In the right lung (left of the image) is a round opacity, a **nodule**.\n\n"
        "The letter **L** in the upper right corner of the image is a **side marker**: the radiographer placed it to "
        "mark the patient’s left. It says nothing about the disease."
    )
    with picture:
        figures([(plain, "The picture"), (_outlined(plain, mask), "The nodule, outlined")], height=26)


def one_answer(suspects: Sequence[Suspect]) -> None:
    """Step 2: three models that answer alike."""
    words, bars = st.columns([1, 1.9], gap="large")
    words.markdown(
        "Three models look at it. They have the same design, and each has learned from 1,200 drawn pictures.\n\n"
        "All three answer **nodule**, and are sure of it. On pictures like those that they learned from, each is right "
        "almost every time.\n\n"
        "**One of them does not look at the lung.** The answers do not show which."
    )
    with bars:
        figures([(picture_pixels(read("radiograph_marked")), "")], height=24)
        show_bars([(suspect.title, "nodule", suspect.probability) for suspect in suspects])


def three_heatmaps(suspects: Sequence[Suspect]) -> None:
    """Step 3: where each model's score is sensitive; which one is it?"""
    st.markdown(
        "Each heatmap shows where the picture changes that model’s score for *nodule*. **Which model is cheating?**"
    )
    heatmaps = [suspect.explanation.heatmaps[0] for suspect in suspects]
    titles = [suspect.title for suspect in suspects]
    image = suspects[0].explanation.image
    if session.value_of("presenter"):
        show_stills(image, heatmaps, titles, plain_too=False, room=(74, 27))
    else:
        panels = [panel_of(heatmap, id=title[-1], title=title) for heatmap, title in zip(heatmaps, titles, strict=True)]
        show_panels(image, panels, "demonstration", columns=3)
    names = [f"Model {letter}" for letter in LETTERS]
    with st.container(horizontal=True, vertical_alignment="center"):
        kept = session.kept("suspected", None, names)
        st.markdown("**Your guess**", width="content")
        suspected = st.segmented_control("Your guess", names, label_visibility="collapsed", **kept)
        st.caption(
            f"You suspect model {suspected[-1]}. A heatmap raises a suspicion; the next step tests it."
            if suspected
            else "Looking is no proof: in studies, people seldom found a cheating model from heatmaps alone.",
            width="content",
        )


def the_test(suspects: Sequence[Suspect]) -> None:
    """Step 4: hide the corner, and see whose answer goes with it."""
    words, picture, bars = st.columns([1, 0.66, 1.4], gap="medium")
    edges = [next(check for check in suspect.trust.checks if check.name == "edges") for suspect in suspects]
    hidden = [(suspect, check.numbers["upper right corner"]) for suspect, check in zip(suspects, edges, strict=True)]
    words.markdown(
        "So each model is run again, with the corner hidden. The nodule is still there; the letter is gone.\n\n"
        "A model that reads the lung answers as before."
    )
    cheat = edges[LETTERS.index(CHEAT)]
    if cheat.shown is not None:
        spec = suspects[LETTERS.index(CHEAT)].explanation.preprocessing
        with picture:
            figures([(shown_input(cheat.shown, spec), "What they see now")], height=10.6)
    with bars:
        rows = []
        for suspect, after in hidden:
            rows += [(suspect.title, "as it is", suspect.probability)]
            rows += [("", "corner hidden", after)]
        show_bars(rows)
    _six_checks(suspects)


def _six_checks(suspects: Sequence[Suspect]) -> None:
    """The checks of one model's heatmap, at first of the one that cheats."""
    names = [f"Model {letter}" for letter in LETTERS]
    with st.container(key="six-checks"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("This is one of **six checks** for any heatmap:", width="content")
            kept = session.kept("checks of", f"Model {CHEAT}", names)
            chosen = st.segmented_control("Checks of", names, required=True, label_visibility="collapsed", **kept)
        suspect = suspects[LETTERS.index(str(chosen)[-1])]
        show_checks(suspect.trust, suspect.explanation.preprocessing)


def what_happened(suspects: Sequence[Suspect]) -> None:
    """Step 5: how the three have learned, and what the cheating one does elsewhere."""
    words, table = st.columns([1, 1.9], gap="large")
    right = session.value_of("suspected") == f"Model {CHEAT}"
    with words:
        st.markdown(
            f"**It was model {CHEAT}.**{' You were right.' if right else ''}\n\n"
            "In the pictures that it learned from, every nodule came with the letter, as if all of them had been taken "
            "in one room. The letter is easier to see than a nodule, so the model learned the letter.\n\n"
            "Where the letter is missing, it misses the nodule. Where the letter is on a healthy chest, "
            "it answers nodule.\n\n"
            "Model A never saw a letter. Model C saw it on half of all pictures, whatever they showed, and learned "
            "to ignore it."
        )
    with table:
        figures([(picture_pixels(read(sample)), title) for sample, title in SAMPLES.items()], height=13)
        rows = [(suspect.title, suspect.shares) for suspect in suspects]
        show_table("Probability of a nodule", list(SAMPLES.values()), rows)
    st.markdown(
        "**Take-home message.** A right answer and a tidy heatmap do not show that a model reads what it should. "
        "Test it: hide things, change things, and try pictures from elsewhere, many of them."
    )


STEPS: tuple[tuple[str, Callable[[Sequence[Suspect]], None]], ...] = (
    ("One picture", one_picture),
    ("One answer", one_answer),
    ("Three heatmaps", three_heatmaps),
    ("The test", the_test),
    ("What happened", what_happened),
    ("Your picture", your_picture),
)


def show_glossary() -> None:
    """The words of the story, explained."""
    with st.expander("Glossary", key="glossary"):
        st.markdown("\n".join(f"- **{word}.** {meaning}" for word, meaning in GLOSSARY.items()))


def _outlined(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture with a thin line around a mask, a little outside of it."""
    shown = pixels.copy()
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7), np.uint8))
    lines, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, lines, -1, GREEN.tolist(), 1, cv2.LINE_AA)
    return shown
