"""Agents that are a model of pictures and words: it looks, thinks, and chooses a move of the scene.

Of a BAGEL in this process every move is weighed by its logits, as a judge's yes and no are (`JudgingAgent`). Whatever
else answers questions says it in words: an OpenAI-compatible endpoint (`http://HOST:PORT`), a server (`VisionAgent`).
"""

from __future__ import annotations

import logging
import math
import re
from typing import Any

import numpy as np

from agents.base import Agent, Choice, frame_of
from agents.planner import seen
from world.looks import YES_OR_NO, Judge
from world.questions import question_about
from world.types import Action, Scene, WorldModel

THINK = (
    "You walk through {caption}. This is what you see now. Your goal: {goal}. Your last moves: {past}. "
    "In one or two sentences: what is in front of you, and which way leads to the goal?"
)
CHOOSE = (
    "{thought}\nYour goal: {goal}. Your moves are: {moves}. Answer with the one move to make next, and nothing else."
)

_REMEMBERED = 6  # moves
_SIDES = ("left", "middle", "right")
_MIDDLE = 1  # of them
_WALK = (6, 12)  # steps between two looks around: from one room into the next
_TURN = (3, 12)  # turns before them
_log = logging.getLogger(__name__)


def looking(model: WorldModel, scene: Scene, goal: str, seed: int = 0) -> Agent:
    """The agent that suits the model; `goal` is a sentence, "" takes the words that the environment shows."""
    return JudgingAgent(model, scene, goal, seed) if isinstance(model, Judge) else VisionAgent(model, scene, goal, seed)


class JudgingAgent:
    """Goes to a thing ("find the cactus"): asks `judge` whether it is seen and on which side, and weighs the moves.

    Turning to a side weighs as much as the thing is likely there, going forward as much as it is likely in the middle:
    P(yes) x P(side). All that is left, P(no), weighs for the search: once around, and then on for some steps, drawn by
    the seed. These are questions that the tiny model is trained to answer (`world.questions`), in plain English. It
    does not stop where it has arrived. Raises ValueError where the scene has no such moves, ModelError where the
    judge does not answer.
    """

    def __init__(self, judge: Judge, scene: Scene, goal: str, seed: int = 0) -> None:
        self._judge, self._goal = judge, goal.strip()
        self._moves = [_number(scene, yaw=1), _number(scene, forward=1), _number(scene, yaw=-1)]  # as _SIDES
        self._circle = math.ceil(360 / scene.actions[self._moves[0]].yaw)
        self._rng = np.random.default_rng(seed)
        self._search: list[int] = []  # moves to come, the next one last
        self._last = _MIDDLE  # of _SIDES: the way of the last move towards the thing
        self._last_side = 0  # of _SIDES: where it was last, left or right
        self._lost = False  # whether it has searched since it last went towards the thing
        self.thought = ""  # before the last move

    def act(self, observation: Any, info: dict[str, Any]) -> Choice:
        frame, goal = frame_of(observation), self._goal or _told(observation)
        yes, no = self._judge.chances([frame], question_about("see", goal), YES_OR_NO)[0]
        sides = self._judge.chances([frame], question_about("where", goal), _SIDES)[0]
        told = ", ".join(f"{side} {chance:.2f}" for side, chance in zip(_SIDES, sides, strict=True))
        self.thought = f"{goal}: seen {yes:.2f}; {told}"
        side = int(sides.argmax())
        if yes * sides[side] < no:
            self._last = _MIDDLE
            return self._searching()
        if side != _MIDDLE:
            self._last_side = side
            if side == 2 - self._last:  # to turn back would bring it where it was: it is between
                side = _MIDDLE
        if side == _MIDDLE:  # only then: one that errs at a glance aside would look around for ever
            self._search, self._lost = [], False
        self._last = side
        return self._moves[side]

    def _searching(self) -> Choice:
        """To the side on which the thing was last."""
        if not self._search:
            turns = int(self._rng.integers(*_TURN)) if self._lost else self._circle
            steps = int(self._rng.integers(*_WALK))
            self._search = [self._moves[_MIDDLE]] * steps + [self._moves[self._last_side]] * turns
            self._lost = True
        return self._search.pop()


class VisionAgent:
    """Asks `model` twice a step: what it thinks, and then, with the thought before it, for a move of the scene.

    An answer that names no move counts as the scene's first one (staying), and is logged. Raises ModelError where the
    model does not answer questions.
    """

    def __init__(self, model: WorldModel, scene: Scene, goal: str, seed: int = 0) -> None:
        """`goal` is a sentence; "" takes the words that the environment shows."""
        self._model, self._scene, self._goal, self._seed = model, scene, goal.strip(), seed
        self._past: list[Action] = []
        self.thought = ""  # before the last move

    def act(self, observation: Any, info: dict[str, Any]) -> Choice:
        actions, goal = self._scene.actions, self._goal or _told(observation)
        state = seen(self._model, self._scene, frame_of(observation), info, self._seed)
        past = ", ".join(action.text for action in self._past[-_REMEMBERED:]) or "none yet"
        (self.thought,) = self._model.ask([state], THINK.format(caption=self._scene.caption, goal=goal, past=past))
        moves = ", ".join(action.text for action in actions)
        (answer,) = self._model.ask([state], CHOOSE.format(thought=self.thought, goal=goal, moves=moves))
        choice = chosen(answer, self._scene)
        if choice is None:
            _log.warning("no move in the answer %r: staying (or is it a BAGEL? load it here, --thinks-with)", answer)
            choice = 0
        self._past.append(actions[choice])
        return choice


def _number(scene: Scene, **signs: int) -> int:
    """The first move that goes one way alone, e.g. yaw=-1: to the right."""
    for i, a in enumerate(scene.actions):
        amounts = {"forward": a.forward, "left": a.left, "yaw": a.yaw, "pitch": a.pitch, "object_yaw": a.object_yaw}
        if all(np.sign(amount) == signs.get(name, 0) for name, amount in amounts.items()):
            return i
    raise ValueError(f"{scene.name!r} has no moves to turn left, turn right and go forward by: this agent needs them")


def _told(observation: Any) -> str:
    words = observation.get("words") if isinstance(observation, dict) else None
    if not words:
        raise ValueError('this environment tells no goal: give one, --goal "find the statue in the blue room"')
    return words


def chosen(answer: str, scene: Scene) -> int | None:
    """The number of the last move that an answer names, by its words or its name; None where it names none."""
    found: list[tuple[int, int, int]] = []  # where it ends, how long it is, which
    for i, action in enumerate(scene.actions):
        for words in (action.text, action.name, action.name.replace("_", " ")):
            pattern = rf"(?<!\w){re.escape(words)}(?!\w)"
            found += [(m.end(), len(words), i) for m in re.finditer(pattern, answer, re.IGNORECASE)] if words else []
    return max(found)[2] if found else None
