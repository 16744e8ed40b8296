"""Rewards for seeing what a goal picture shows: by pixels, or by the latents that the dreaming model draws with.

Both are the level of likeness after a step, at most 0, so a future is worth more the sooner it looks like the goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from world.rewards import Reward
from world.types import Action, Frame, Scene, Start, State, WorldModel

Eyes = Literal["pixels", "latents"]

_SIDE = 16  # pixels, of the small picture that stands for one: blind to noise and to fine print


@dataclass(frozen=True)
class PixelLikeness:
    """Minus the root mean square difference to the goal, on small pictures, from -1 to 0."""

    goal: NDArray[np.float32]  # [side, side, 3]

    @classmethod
    def to(cls, goal: Frame) -> PixelLikeness:
        return cls(_small(goal))

    def __call__(
        self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]
    ) -> NDArray[np.float64]:
        seen = np.stack([_small(state.frame) for state in after])
        return -_distance(seen, self.goal) / 255


@dataclass(frozen=True)
class LatentLikeness:
    """Minus the root mean square difference to the goal's latents, which a state's `memory` holds for each frame."""

    goal: NDArray[np.float32]  # [N, P]

    @classmethod
    def to(cls, goal: Frame, model: WorldModel, scene: Scene) -> LatentLikeness:
        """Has `model` read the goal. Raises ValueError for a model whose states keep no latents, e.g. the simulator."""
        there = replace(scene, starts=(Start("goal", scene.starts[0].pose, goal),))
        (state,) = model.step(model.reset([there], [0]), [scene.actions[0]])  # encodes the picture, to go on from it
        return cls(_latents(state, 0))

    def __call__(
        self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]
    ) -> NDArray[np.float64]:
        return -_distance(np.stack([_latents(state, -1) for state in after]), self.goal)


def likeness(eyes: Eyes, goal: Frame, model: WorldModel, scene: Scene) -> Reward:
    """The reward of that kind, for a planner that dreams with `model`."""
    return PixelLikeness.to(goal) if eyes == "pixels" else LatentLikeness.to(goal, model, scene)


def _small(frame: Frame) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(frame).resize((_SIDE, _SIDE), Image.Resampling.BOX), np.float32)


def _latents(state: State, index: int) -> NDArray[np.float32]:
    if len(state.memory) < 2 and index == 0:
        raise ValueError("this model keeps no latents in its states: compare pixels (--eyes pixels)")
    return np.asarray(state.memory[index], np.float32)


def _distance(rows: NDArray[np.float32], goal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Root mean square differences [B] of rows [B, ...] to one goal [...]."""
    squares = np.square(rows - goal, dtype=np.float64)
    return np.sqrt(squares.reshape(len(rows), -1).mean(axis=1))
