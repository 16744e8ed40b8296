"""An agent that is a model of pictures and words: it looks, thinks in a sentence or two, and chooses a move.

Any WorldModel that answers questions will do: BAGEL itself, or an OpenAI-compatible endpoint (`http://HOST:PORT`).
"""

from __future__ import annotations

import logging
import re
from typing import Any

from agents.base import Choice, frame_of
from agents.planner import seen
from world.types import Action, Scene, WorldModel

THINK = (
    "You walk through {caption}. This is what you see now. Your goal: {goal}. Your last moves: {past}. "
    "In one or two sentences: what is in front of you, and which way leads to the goal?"
)
CHOOSE = (
    "{thought}\nYour goal: {goal}. Your moves are: {moves}. Answer with the one move to make next, and nothing else."
)

_REMEMBERED = 6  # moves
_log = logging.getLogger(__name__)


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
            _log.warning("no move in the answer %r: staying", answer)
            choice = 0
        self._past.append(actions[choice])
        return choice


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
