"""What is inside a model's file, and the architecture that its tensors are of: suggested first, chosen by its user."""

from collections.abc import Sequence

import streamlit as st

from gradcam_core import TASK_WORDS, Contents, Suggestion, counted
from pages.components.analysis.requests import ModelChoice
from pages.components.models import candidate
from pages.components.models.given import pick_architecture
from pages.components.words import plain, shown_name

MOST_ROWS = 500
ALIKE = (
    "The same tensors fit {} networks, which may compute something else with them. Choose the one that the weights "
    "were trained with."
)


def show_inside(read: Contents) -> None:
    """Say what a file holds: tensors, what stands beside them, what it says of itself."""
    types = f", {', '.join(read.types)}" if read.types else ""
    tensors = f"{counted(read.tensors, 'tensor')} with {_amount(read.numbers)} numbers{types}."
    words = [tensors] if read.tensors else []
    if read.beside:
        words.append(f"Beside them: {', '.join(read.beside)}.")
    if read.task:
        words.append(f"The file says what its outputs mean: {TASK_WORDS[read.task]}.")
    if read.labels:
        words.append(f"It names {len(read.labels):,} classes.")
    if words:
        st.markdown(plain(" ".join(words)))
    for note in read.notes:
        st.caption(plain(note))


def pick_weights(choice: ModelChoice) -> bool:
    """Choose between the plain and the averaged weights of a file that holds both; return whether the averaged ones."""
    names = {False: "Plain weights", True: "Averaged weights"}
    picked = st.segmented_control(
        "The file holds two sets of weights",
        list(names),
        format_func=names.get,
        default=choice.averaged,
        required=True,
        key="weights of candidate",
    )
    return bool(picked)


def _amount(count: int) -> str:
    return f"{count / 1e6:,.1f} million" if count >= 1e6 else f"{count:,}"


def choose_architecture(read: Contents, choice: ModelChoice) -> str:
    """Let the user choose an architecture, the suggested one first; "" while there is none."""
    complete = [suggestion.reference for suggestion in read.suggestions if suggestion.complete]
    own = choice.architecture if choice.architecture not in complete else ""
    options = [*([own] if own else []), *complete]
    if not options:
        _show_misfit(read)
        _named(inline=True)
        return ""
    with st.container(horizontal=True, vertical_alignment="center", key="architecture"):
        if len(options) == 1:
            st.markdown(_best_words(read.suggestions, options[0]), width="stretch")
            architecture = options[0]
        else:
            index = options.index(choice.architecture) if choice.architecture in options else 0
            architecture = str(st.selectbox("Architecture", options, index, label_visibility="collapsed", width=420))
            st.markdown(_fit_words(read.suggestions, architecture), width="stretch")
        _named(inline=False)
    if len(complete) > 1:
        st.caption(ALIKE.format(len(complete)))
    return architecture


def classes_of(read: Contents | None, architecture: str) -> int | None:
    """How many classes the file's tensors have in this architecture; None where that is not known yet."""
    suggestions = read.suggestions if read is not None else ()
    return next((x.classes for x in suggestions if x.complete and x.reference == architecture), None)


def _named(*, inline: bool) -> None:
    """Choose another architecture by its name, at once or behind a button."""
    with st.container() if inline else st.popover("Another architecture", type="tertiary"):
        named = pick_architecture()
    if named:
        candidate.change(architecture=named)
        st.rerun()


def _best_words(suggestions: Sequence[Suggestion], reference: str) -> str:
    best = next((suggestion for suggestion in suggestions if suggestion.reference == reference), None)
    if best is None:
        return f"**{plain(reference)}**, as chosen."
    return f"This looks like **{plain(reference)}**{plain(best.words.removeprefix(reference))}."


def _fit_words(suggestions: Sequence[Suggestion], reference: str) -> str:
    best = next((suggestion for suggestion in suggestions if suggestion.reference == reference), None)
    return f"All {best.fitting} tensors fit." if best else "As chosen."


def _show_misfit(read: Contents) -> None:
    """Say what the tensors look like, and what keeps them from fitting the nearest networks."""
    if read.suggestions:
        best = read.suggestions[0]
        st.markdown(f"No known network has exactly these tensors. The nearest is **{plain(best.reference)}**.")
        st.markdown(plain(best.reason))
        # As many are missing as have other names: perhaps they fit in their order.
        alike = len(best.missing) == len(best.unexpected)
        if alike and st.button(f"Try {plain(best.reference)}", key="try the nearest"):
            candidate.change(architecture=best.reference)
            st.rerun()
        for suggestion in read.suggestions:
            with st.expander(_differences(suggestion)):
                st.dataframe(_rows(suggestion), hide_index=True, width="stretch")
    else:
        advice = read.advice or "No known network is near to these tensors."
        st.error(plain(advice), icon=":material/error:")
    st.markdown("Choose the architecture that the weights were trained with, if it is known by a name:")


def _differences(suggestion: Suggestion) -> str:
    """Such as "timm:resnet18: 12 missing, 2 of another shape"."""
    counts = [f"{len(names):,} {what}" for what, names in _parts(suggestion) if names]
    return plain(f"{suggestion.reference}: {suggestion.fitting:,} tensors fit, {', '.join(counts)}")


def _rows(suggestion: Suggestion) -> list[dict[str, str]]:
    rows = [{"Tensor": shown_name(name), "It is": what} for what, names in _parts(suggestion) for name in names]
    return rows[:MOST_ROWS]


def _parts(suggestion: Suggestion) -> list[tuple[str, tuple[str, ...]]]:
    return [
        ("missing in the file", suggestion.missing),
        ("not part of the network", suggestion.unexpected),
        ("of another shape", suggestion.misshapen),
    ]
