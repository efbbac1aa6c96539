"""Which models are compared: the one in the sidebar, and up to three others of this session."""

import streamlit as st

from gradcam_core import GradcamError, LoadedModel, list_devices
from pages.components import frame, session
from pages.components.analysis import cache
from pages.components.chosen import note_chosen, show_chosen
from pages.components.pickers.methods import METHODS
from pages.components.session import kept
from pages.components.words import shortened, show_error

MOST_OTHERS = 3
OTHERS = "compared models"
METHOD, CLASS = "models_method", "models class"
# A title, the picture, the models, and what there is to see.
EXAMPLES = (
    (
        "A ResNet and a MobileNetV2",
        "radiograph_nodule",
        ("bundled:radiograph_clean", "bundled:radiograph_mobilenet"),
        "Two networks that learned the same task from the same drawn radiographs.",
    ),
    (
        "The same answer for another reason",
        "radiograph_marked",
        ("bundled:radiograph_clean", "bundled:radiograph_shortcut"),
        "Two models answer nodule. One of them learned to read the marker.",
    ),
)


def pick_others(model: LoadedModel) -> tuple[tuple[str, LoadedModel], ...]:
    """Pick the other models and load them; return all, the sidebar's first, each with its title."""
    titles = session.models()
    own = session.value_of(session.MODEL, next(iter(titles)))
    others = [key for key in titles if key != own]
    keys = st.multiselect(
        "Compare with",
        others,
        format_func=titles.get,
        **kept(OTHERS, [], others, most=MOST_OTHERS),
        max_selections=MOST_OTHERS,
        select_all=False,
        wrap=True,
        placeholder="Choose up to three other models",
        help="The model in the sidebar comes first. Add your own on the Models page.",
    )
    loaded = [(titles.get(own, model.architecture), model)]
    for key in keys:
        try:
            loaded.append((titles[key], load_other(key, model)))
        except GradcamError as error:
            show_error(error)
    show_chosen("models", list(keys))
    return tuple(loaded)


def chosen_words(model: LoadedModel) -> tuple[str, str]:
    """What is chosen besides the models: the method and the class, in words."""
    index = session.value_of(f"{CLASS} {model.fingerprint[:8]}")
    label = model.labels[index] if index in range(len(model.labels)) else "the most probable class"
    return METHODS[session.value_of(METHOD, "grad_cam")].title, shortened(label)


def load_other(key: str, model: LoadedModel) -> LoadedModel:
    """Load another model, and prepare its pictures in the way that is chosen in the sidebar."""
    choice = st.session_state.models[key]
    device = session.value_of(session.DEVICE) or list_devices()[0]
    loaded = frame.load(choice, device, st.empty(), f"model {session.models()[key]}")
    return cache.fitted(loaded, {"fit": model.preprocessing.fit})


def show_empty() -> None:
    """Say what this page is for, and offer two examples."""
    st.markdown(
        "Two models can give the same answer and look at different things. Choose another model above, or try an "
        "example:"
    )
    for column, (title, picture, models, words) in zip(st.columns(2, gap="large"), EXAMPLES, strict=True):
        with column:
            st.button(
                title,
                on_click=_choose_example,
                args=(picture, models),
                key=f"example {picture}",
                icon=":material/difference:",
                width="stretch",
            )
            st.caption(words)


def _choose_example(picture: str, models: tuple[str, ...]) -> None:
    session.choose_picture(picture)
    session.choose(session.MODEL, models[0])
    session.choose(OTHERS, list(models[1:]))
    note_chosen(
        "models", session.pictures()[picture], *(session.models()[model] for model in models), others=list(models[1:])
    )
