"""`python -m agents` with a toy among the models and scenes: a real process, to be killed.

python -m tests.agents.toy_host SECONDS rollout --model toy …

Every step of the toy takes SECONDS.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from agents.__main__ import main
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.types import Action, Scene, State


class SlowToy(ToyWorld):
    """Takes its time; answers questions in its own way."""

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(frozenset({"free_text", "ask"}))
        self._seconds = seconds

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        time.sleep(self._seconds)
        return super().step(states, actions)

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        """It wants to turn where it was not asked to choose, and to turn further where it thought so."""
        return ["I should turn left, not move forward"[: 25 if "Answer" in question else 99]] * len(states)


def load(address: str, **settings: Any) -> SlowToy:
    return SlowToy()


def load_slow(address: str, **settings: Any) -> SlowToy:
    return SlowToy(float(sys.argv[1]))


def load_scene(address: str) -> Scene:
    name, _, start = address.partition(":")
    return toy_scene(name).starting_at(start or "door")


if __name__ == "__main__":
    models.MODELS["toy"] = "tests.agents.toy_host:load_slow"
    models.SCENES = "tests.agents.toy_host:load_scene"
    sys.exit(main(sys.argv[2:]))
