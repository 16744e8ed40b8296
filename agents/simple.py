"""Agents that do not look: one draws its actions, one follows a script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.base import Choice
from world.types import Frame


class RandomAgent:
    """Draws from the first `num_actions` actions; equal seeds draw equally."""

    def __init__(self, num_actions: int, seed: int = 0) -> None:
        if num_actions < 1:
            raise ValueError(f"num_actions must be at least 1, got {num_actions}")
        self._num_actions = num_actions
        self._rng = np.random.default_rng(seed)

    def act(self, observation: Frame, info: dict[str, Any]) -> Choice:
        return int(self._rng.integers(self._num_actions))


class ScriptedAgent:
    """Follows `choices` from the first to the last, and then from the first again."""

    def __init__(self, choices: Sequence[Choice]) -> None:
        if not choices:
            raise ValueError("a script needs at least one action")
        self._choices = list(choices)
        self._num_acted = 0

    def act(self, observation: Frame, info: dict[str, Any]) -> Choice:
        choice = self._choices[self._num_acted % len(self._choices)]
        self._num_acted += 1
        return choice
