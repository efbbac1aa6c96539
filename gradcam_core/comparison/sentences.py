"""A comparison in sentences: the verdict first, then each pair with its numbers."""

from collections.abc import Sequence

from gradcam_core.comparison.classes import answers_comparable
from gradcam_core.comparison.records import Comparison, Pair
from gradcam_core.tasks import TASK_WORDS, Prediction, Task, amount_of
from gradcam_core.text import listed, one_line, percent, signed

ALL = {2: "Both models answer", 3: "All three models answer", 4: "All four models answer"}
SHARED = {
    "same place": "look at overlapping places",
    "partly": "look at places that only partly overlap",
    "different places": "look at different places",
}


def comparison_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Say what differs: the answers, then the evidence for the first of the compared classes."""
    return (_answers(comparison), _evidence(comparison))


def pair_sentence(pair: Pair) -> str:
    """Say how far two models look at the same place for a class, with the numbers."""
    first, second = (place + 1 for place in pair.places)
    label = one_line(pair.label)
    if pair.standing == "not compared":
        return f"For {label}, models {first} and {second} cannot be compared: {pair.reason}."
    return f"For {label}, models {first} and {second} {SHARED[pair.standing]}: {_numbers(pair)}."


def _numbers(pair: Pair) -> str:
    overlap = f"{percent(pair.overlap, 0)} overlap of their hottest areas, where chance gives {percent(pair.chance, 0)}"
    return f"{overlap}; rank correlation {signed(pair.correlation or 0.0)}"


def _answers(comparison: Comparison) -> str:
    answers = [answer for answer in comparison.answers if answer is not None]
    if not answers_comparable(comparison.explanations, comparison.answers):
        if len(set(_tasks(comparison))) == 1 and None in comparison.answers and answers:
            return f"Their answers cannot be compared: not every model has {one_line(comparison.classes[0].label)}."
        kinds = [f"model {place} gives {TASK_WORDS[task]}" for place, task in enumerate(_tasks(comparison), 1)]
        return f"Their answers cannot be compared: {listed(kinds)}."
    if comparison.explanations[0].outputs.has_places:
        return _places(comparison)
    if answers[0].value is not None:
        return f"For {one_line(answers[0].label)}, the models give {listed([amount_of(answer) for answer in answers])}."
    return _findings(comparison, answers) if answers[0].present is not None else _top_answers(comparison, answers)


def _tasks(comparison: Comparison) -> list[Task]:
    return [explanation.outputs.task for explanation in comparison.explanations]


def _places(comparison: Comparison) -> str:
    """Which models find the first compared class, with the score of its object or the size of its region."""
    label, answers = one_line(comparison.classes[0].label), comparison.answers
    if all(answers):
        amounts = listed([amount_of(answer) for answer in answers if answer])
        return f"{ALL[len(answers)].replace('answer', 'find')} {label} ({amounts})."
    parts = [
        f"model {place} finds it ({amount_of(answer)})" if answer else f"model {place} does not"
        for place, answer in enumerate(answers, 1)
    ]
    return f"The answers on {label} differ: {listed(parts)}."


def _findings(comparison: Comparison, answers: Sequence[Prediction]) -> str:
    """Which models find the first compared class, each by its own threshold."""
    label, groups = one_line(answers[0].label), comparison.same_answer
    if len(set(groups)) == 1:
        word = "present" if answers[0].present else "absent"
        shares = listed([percent(answer.probability) for answer in answers])
        return f"{ALL[len(answers)]} that {label} is {word} ({shares})."
    parts = []
    for group in dict.fromkeys(groups):
        places = [place for place, each in enumerate(groups) if each == group]
        word = "present" if answers[places[0]].present else "absent"
        parts.append(f"{_models(places)} {word} ({listed([percent(answers[place].probability) for place in places])})")
    return f"The answers on {label} differ: {listed(parts)}."


def _top_answers(comparison: Comparison, answers: Sequence[Prediction]) -> str:
    groups = comparison.same_answer
    if len(set(groups)) == 1:
        shares = listed([percent(answer.probability) for answer in answers])
        return f"{ALL[len(answers)]} {one_line(answers[0].label)} ({shares})."
    parts = []
    for group in dict.fromkeys(groups):
        places = [place for place, each in enumerate(groups) if each == group]
        shares = listed([percent(answers[place].probability) for place in places])
        parts.append(f"{_models(places)} {one_line(answers[places[0]].label)} ({shares})")
    return f"The answers differ: {listed(parts)}."


def _models(places: Sequence[int]) -> str:
    numbers = listed([str(place + 1) for place in places])
    return f"model {numbers} answers" if len(places) == 1 else f"models {numbers} answer"


def _evidence(comparison: Comparison) -> str:
    """The sentence of the first class; of several pairs, that of the one that overlaps least."""
    first = comparison.classes[0]
    compared = [pair for pair in first.pairs if pair.overlap is not None]
    if not compared:
        alone = any(partners[first.index] is not None for partners in comparison.partners[1:])
        none = "no other model finds it" if alone else "no other model has this class"
        reason = first.pairs[0].reason if first.pairs else none
        return f"Their evidence for {one_line(first.label)} cannot be compared: {reason}."
    least = min(compared, key=lambda pair: pair.overlap or 0.0)
    if len(compared) == 1:
        sentence = pair_sentence(least)
        if comparison.outcome == "evidence differs":
            return f"Only the evidence differs. {sentence}"
        return sentence
    if all(pair.standing == "same place" for pair in compared):
        return f"Every two of them {SHARED['same place']} for {one_line(first.label)}; the least: {_numbers(least)}."
    start = "Only the evidence differs. " if comparison.outcome == "evidence differs" else ""
    return f"{start}The two that differ most: {pair_sentence(least)}"
