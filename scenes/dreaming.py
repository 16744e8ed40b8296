"""Walking with a model in batches: any number of starts and ways at once, and the world in which nothing moves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol, cast, runtime_checkable

import numpy as np

from scenes.metrics import Frames
from world.errors import ModelError
from world.types import Action, Frame, Scene, State, WorldModel, WorldSpec

_BATCH = 64  # states in one call of a model


@runtime_checkable
class Reconstructs(Protocol):
    """A model whose autoencoder can be looked at alone."""

    def reconstruct(self, frames: Sequence[Frame]) -> list[Frame]: ...


class CopyLastFrame:
    """The baseline: a world in which nothing ever moves."""

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec("copy-last-frame", frozenset())

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return [
            State(scene, (scene.starts[0].frame,), (), scene.starts[0].pose, seed)
            for scene, seed in zip(scenes, seeds, strict=True)
        ]

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [
            replace(
                state,
                frames=(*state.frames, state.frame)[-2:],
                actions=(action,),
                pose=state.pose.moved(action),
                step=state.step + 1,
                origins=(state.pose,),
            )
            for state, action in zip(states, actions, strict=True)
        ]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        raise ModelError("a copied frame cannot answer questions")

    def close(self) -> None:
        return None


def step_all(model: WorldModel, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
    """One step of any number of states, in batches."""
    after: list[State] = []
    for i in range(0, len(states), _BATCH):
        after += model.step(states[i : i + _BATCH], actions[i : i + _BATCH])
    return after


def dream(
    model: WorldModel, starts: Sequence[State], ways: Sequence[Sequence[Action]], kept: Collection[int] = ()
) -> list[dict[int, Frame]]:
    """The model's own frames along `ways[i]` from `starts[i]`: step -> frame, at the `kept` steps, 0 and the end."""
    states = dict(enumerate(starts))
    frames: list[dict[int, Frame]] = [{0: start.frame} for start in starts]
    for t in range(1, max(map(len, ways), default=0) + 1):
        going = [i for i, way in enumerate(ways) if t <= len(way)]
        after = step_all(model, [states[i] for i in going], [ways[i][t - 1] for i in going])
        for i, state in zip(going, after, strict=True):
            states[i] = state
            if t in kept or t == len(ways[i]):
                frames[i][t] = state.frame
    return frames


def reconstructed(model: WorldModel, frames: Sequence[Frame]) -> list[Frame]:
    """The frames as the model's autoencoder gives them back; none where it shows none."""
    if "reconstruct" not in model.spec.supports:
        return []
    coder = cast(Reconstructs, model)
    return [f for i in range(0, len(frames), _BATCH) for f in coder.reconstruct(frames[i : i + _BATCH])]


def frames_of(states: Sequence[State]) -> Frames:
    """What is seen in each state, [N, H, W, 3]."""
    return np.stack([state.frame for state in states])
