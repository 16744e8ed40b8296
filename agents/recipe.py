"""How a policy is trained, as a value that its checkpoint keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from world.tasks import PIXELS, JudgedBy, PlacesKind, TaskName, TaskSettings
from world.types import Scene

MOVES: dict[str, tuple[str, ...]] = {
    "ReachGoal": ("forward", "left", "right"),
    "RotateObject": ("object_left", "object_right"),
    "Explore": ("forward", "left", "right"),
}


@dataclass(frozen=True)
class Recipe:
    """What is learnt, where, and with which of PPO's numbers; the same in a dream and in the simulator.

    What makes ReachGoal learnable in minutes: goals 3 to 8 moves away (`world.places`), the three moves that such
    a way is made of, the goal's picture beside the frame and their difference in one small network, and a reward by the
    poses, which tells at every step whether it was a good one; the policy itself sees pictures alone. A likeness of
    pictures says little until one is almost there (`judged_by="picture"` is there to compare).
    Raises ValueError naming what is wrong.
    """

    task: TaskName = "ReachGoal"
    scene: str = "gallery"
    model: str = "tiny"
    seed: int = 0
    judged_by: JudgedBy = "pose"
    eyes: str = PIXELS
    places: PlacesKind = "free"
    num_envs: int = 32
    max_episode_steps: int = 16
    num_steps: int = 16  # of every row between two updates
    batch_size: int = 128
    num_epochs: int = 4
    learning_rate: float = 5e-4
    gamma: float = 0.9
    gae_lambda: float = 0.8  # what a step gains is told at once, so little need be looked ahead
    entropy: float = 0.01

    def __post_init__(self) -> None:
        if self.task not in MOVES:
            raise ValueError(f"policies see pictures: {self.task} tells its goal in words, use {', '.join(MOVES)}")
        for name in ("num_envs", "max_episode_steps", "num_steps", "batch_size", "num_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_envs * self.num_steps < 2 or self.batch_size < 2:
            raise ValueError("PPO compares actions with each other: it needs two steps between updates at least")
        self.settings()  # checks task, judged_by and places

    @property
    def moves(self) -> tuple[str, ...]:
        """The actions that the policy may choose."""
        return MOVES[self.task]

    def settings(self, places: PlacesKind | None = None) -> TaskSettings:
        """The task as the policy meets it; `places` where it is measured, if elsewhere."""
        seen = ("frame", "goal")
        return TaskSettings(
            self.task, observe=seen, judged_by=self.judged_by, eyes=self.eyes, places=places or self.places
        )


def numbers_of(moves: Sequence[str], scene: Scene) -> NDArray[np.int64]:
    """The numbers of the named actions in the scene's vocabulary. Raises ValueError for one that it has not."""
    by_name = {action.name: i for i, action in enumerate(scene.actions)}
    if unknown := [move for move in moves if move not in by_name]:
        raise ValueError(f"{scene.name!r} has no move {unknown[0]!r}: it has {', '.join(by_name)}")
    return np.array([by_name[move] for move in moves], np.int64)
