"""Whether a model understands what people say: moves in other words, with numbers, and several in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenes import metrics
from scenes.dreaming import frames_of, step_all
from scenes.estimates import Figures, by, mean
from scenes.metrics import Frames
from scenes.simulator import SimulatorWorld
from world.phrases import MOVES, PHRASES, move_in, sayable
from world.types import Action, Scene, State, WorldModel
from world.words import understand


@dataclass(frozen=True)
class Saying:
    """A true state, a sentence, and what all that it might have meant would show."""

    state: State
    action: Action  # its words are the sentence
    outcomes: Frames  # [M, H, W, 3]
    truth: int  # the row of `outcomes` that is meant
    figure: str


def sayings(truth: SimulatorWorld, states: Sequence[State], num: int) -> list[Saying]:
    """`num` sentences of either kind at each state; over all states every sentence comes up about equally often."""
    found: list[Saying] = []
    for index, state in enumerate(states if num else ()):
        moves = _moves(state.scene)
        poses = [truth.slide(state.scene, state.pose, action) for action in moves.values()]
        distinct = list(dict.fromkeys(poses))
        seen = dict(zip(distinct, truth.view(state.scene, distinct), strict=True))
        outcomes = np.stack([seen[pose] for pose in poses])
        for figure, sentences in _sentences(state.scene).items():
            for k in range(num):
                move, words = sentences[(index * num + k) * _STRIDE % len(sentences)]
                action = understand(words, state.scene.actions)
                found.append(Saying(state, action, outcomes, list(moves).index(move), figure))
    return found


def measure(model: WorldModel, asked: Sequence[Saying]) -> Figures:
    """How often what was meant is the nearest of all that might have been."""
    if not asked:
        return {}
    predicted = frames_of(step_all(model, [s.state for s in asked], [s.action for s in asked]))
    truths = [s.truth for s in asked]
    right = metrics.nearest(predicted, [s.outcomes for s in asked], truths) == truths
    figures: Figures = {}
    for name in dict.fromkeys(s.figure for s in asked):
        rows = [i for i, s in enumerate(asked) if s.figure == name]
        figures[name] = by([asked[i].state.scene.name for i in rows], mean, right[rows].astype(float))
    return figures


_STRIDE = 31  # prime, and larger than a move's wordings: neighbours in a row of sentences are of different moves


def _moves(scene: Scene) -> dict[str, Action]:
    """All moves that mean something in the scene."""
    own = {action.name for action in scene.actions}
    return {m: a for m in MOVES if (a := move_in(scene, m)).name in own} | sayable(scene)


def _sentences(scene: Scene) -> dict[str, list[tuple[str, str]]]:
    """(move, words) by figure: other words for the scene's own moves, and moves that it has no name for."""
    said = sayable(scene)
    return {
        "wording_accuracy": [(m, words) for m in _moves(scene) if m not in said for words in PHRASES[m][1:]],
        "sentence_accuracy": [(m, words) for m in said for words in PHRASES[m]],
    }
