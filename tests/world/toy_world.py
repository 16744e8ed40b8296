"""A world of pure numpy that keeps the contract: a checkered floor under a sky, seen from where one stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from world.errors import ModelError
from world.types import Action, Frame, Pose, Scene, Start, State, WorldSpec

SIZE = 48
WINDOW = 3


def draw(pose: Pose, seed: int, step: int, size: int = SIZE) -> Frame:
    """What is seen from `pose`: a picture in which every move shows, with a little noise of (seed, step)."""
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float64)
    down = (rows - size / 2) / size + math.radians(pose.pitch) / 2
    across = (columns - size / 2) / size
    depth = 0.5 / np.maximum(down, 1e-3)
    heading = math.radians(pose.yaw) - across
    x, y = pose.x + depth * np.cos(heading), pose.y + depth * np.sin(heading)
    checker = (np.floor(x) + np.floor(y)) % 2
    floor = np.stack([90 + 80 * checker, 110 + 20 * checker, 70 + 20 * np.sin(x)], -1)
    sky = np.stack([120 + 60 * np.sin(heading), 160 + 40 * np.cos(heading), np.full_like(heading, 220)], -1)
    picture = np.where((down > 0)[..., None], floor, sky)
    side = size // 6
    picture[-side:, :side] = 128 + 100 * math.sin(math.radians(pose.object_yaw))
    picture += np.random.default_rng((seed, step)).normal(0, 1, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def toy_scene(name: str = "toy", size: int = SIZE) -> Scene:
    """Two starts, drawn by the world itself."""
    poses = {"door": Pose(), "window": Pose(x=2.0, yaw=90.0)}
    starts = tuple(Start(start, pose, draw(pose, 0, 0, size)) for start, pose in poses.items())
    return Scene(name, "a checkered floor under a sky", starts)


class ToyWorld:
    """The contract, kept in the smallest way."""

    def __init__(self, supports: frozenset[str] = frozenset({"free_text"})) -> None:
        self._spec = WorldSpec("toy", supports)

    @property
    def spec(self) -> WorldSpec:
        return self._spec

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return [self._start(scene, seed) for scene, seed in zip(scenes, seeds, strict=True)]

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [self._after(state, action) for state, action in zip(states, actions, strict=True)]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        if "ask" not in self.spec.supports:
            raise ModelError("the toy world answers no questions")
        return ["a floor"] * len(states)

    def close(self) -> None:
        pass

    def _start(self, scene: Scene, seed: int) -> State:
        start = scene.starts[0]
        return State(scene, (start.frame,), (), start.pose, seed)

    def _after(self, state: State, action: Action) -> State:
        if not action.name and "free_text" not in self.spec.supports:
            raise ModelError("the toy world knows only its vocabulary")
        pose = state.pose.moved(action)
        frame = draw(pose, state.seed, state.step + 1, state.frame.shape[0])
        return replace(
            state,
            frames=(*state.frames, frame)[-WINDOW:],
            actions=(*state.actions, action)[-(WINDOW - 1) :],
            pose=pose,
            step=state.step + 1,
            origins=(),
        )
