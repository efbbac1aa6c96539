"""What is asked for, in one line; the pickers themselves are folded away under it."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from gradcam_core import LoadedModel
from pages.components.pickers.classes import TOP
from pages.components.pickers.methods import METHODS, usual_methods
from pages.components.session import value_of
from pages.components.words import plain, shortened


def fold(model: LoadedModel, layers: Sequence[str], *, methods: str, top: str, key: str) -> Any:
    """A fold for the pickers whose values are kept under `methods` and `top`; its label says what is chosen."""
    chosen = value_of(methods, usual_methods(model, (), methods))
    names = [chosen] if isinstance(chosen, str) else chosen
    titles = [METHODS[name].title for name in names if name in METHODS] or ["no method"]
    count = value_of(top, 3)
    noun = {"detection": "objects", "segmentation": "regions"}.get(model.task, "classes")
    classes = f"chosen {noun}" if count == 0 else f"top {count} {noun}" if count in TOP else ""
    lowers = "what lowers them" if value_of(f"{top} direction") == "lowers" else ""
    return fold_of([", ".join(titles), shortened(", ".join(layers)), classes, lowers], key=key)


def fold_of(parts: Sequence[str], *, key: str) -> Any:
    """A fold for pickers, closed at first, whose label says in `parts` what is chosen."""
    return st.expander(plain(" · ".join(filter(None, parts))), key=f"fold {key}", icon=":material/tune:")
