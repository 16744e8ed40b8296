"""Whether a model answers truly: questions about true frames, in the simulator's knowledge of what is seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes.estimates import Figures, by, mean
from scenes.simulator import SimulatorWorld
from world.questions import QUESTIONS, THINGS, truth
from world.types import Sight, State, WorldModel
from world.walks import HELD_OUT


@dataclass(frozen=True)
class Question:
    """One question about a true state and its one right answer."""

    kind: str  # of world.questions.QUESTIONS
    state: State
    text: str
    answer: str


def questions(simulator: SimulatorWorld, states: Sequence[State]) -> list[Question]:
    """One question of each kind about each state, where the simulator knows a thing to ask about.

    What is asked about is drawn so that of the questions that are answered by yes or no about half are yes.
    """
    rng = np.random.default_rng(HELD_OUT)
    sights = [simulator.sights(state.scene, [state.pose])[0] for state in states]
    known = defaultdict(set)  # scene -> the things that it ever shows
    for state, seen in zip(states, sights, strict=True):
        known[state.scene.name] |= seen.keys()
    found = []
    for state, seen in zip(states, sights, strict=True):
        for kind, phrases in QUESTIONS.items():
            answers = _answers(kind, state, seen, sorted(known[state.scene.name]))
            if not answers:
                continue
            answer = str(rng.choice(sorted(set(answers.values()))))
            thing = str(rng.choice([name for name, value in answers.items() if value == answer]))
            text = phrases[rng.integers(len(phrases))].format(thing=thing)
            found.append(Question(kind, state, text, answer))
    return found


def measure(model: WorldModel, asked: Sequence[Question]) -> Figures:
    """The shares of right answers, word for word; none where the model does not answer."""
    if not asked or "ask" not in model.spec.supports:
        return {}
    by_text = defaultdict(list)
    for i, question in enumerate(asked):
        by_text[question.text].append(i)
    right = np.zeros(len(asked))
    for text, rows in by_text.items():  # a batch each
        said = model.ask([asked[i].state for i in rows], text)
        right[rows] = [
            words.strip().lower().rstrip(".") == asked[i].answer for words, i in zip(said, rows, strict=True)
        ]
    figures = {"answers": by([q.state.scene.name for q in asked], mean, right)}
    for kind in dict.fromkeys(q.kind for q in asked):
        rows = [i for i, q in enumerate(asked) if q.kind == kind]
        figures[f"answers_{kind}"] = by([asked[i].state.scene.name for i in rows], mean, right[rows])
    return figures


def _answers(kind: str, state: State, seen: dict[str, Sight], known: Sequence[str]) -> dict[str, str]:
    """The true answers of that kind, by thing; what is open is left out."""
    if kind == "place":
        return {"": state.scene.name}
    things = [thing for thing in THINGS if thing in known]
    return {t: answer for t in things if (answer := truth(kind, t, seen.get(t))) is not None}
