"""`python -m world` with a toy among the models: a real process to be killed, that writes down what it computed.

python -m tests.world.link_host LOG SECONDS serve --model toy --bind …

Every step of the toy takes SECONDS, and each row of it is a line in LOG.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.world.toy_world import ToyWorld
from world import models
from world.__main__ import main
from world.types import Action, State


class WrittenToy(ToyWorld):
    """Takes its time, and writes down every row."""

    def __init__(self, log: Path, seconds: float) -> None:
        super().__init__()
        self._log, self._seconds = log, seconds

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        time.sleep(self._seconds)
        with self._log.open("a") as log:
            for state, action in zip(states, actions, strict=True):
                log.write(f"{os.getpid()} {state.seed} {state.step} {action.text}\n")
        return super().step(states, actions)


def load(address: str, **others: Any) -> WrittenToy:
    return WrittenToy(Path(sys.argv[1]), float(sys.argv[2]))


if __name__ == "__main__":
    models.MODELS["toy"] = "__main__:load"
    sys.exit(main(sys.argv[3:]))
