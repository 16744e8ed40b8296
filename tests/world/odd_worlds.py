"""Toy worlds with one habit each, for tests of what lies between a world and whoever walks in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tests.world.toy_world import ToyWorld, toy_scene
from world.client import RemoteWorldModel
from world.errors import ModelError, SceneError
from world.previews import OnPreview, Progress
from world.types import Action, Frame, Pose, Scene, Start, State

FORWARD = Action("move forward", "forward", forward=0.3)


class Patient(ToyWorld):
    """Makes a step when the test says so, and remembers how many rows came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.go_on = threading.Semaphore(0)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.batches.append(len(states))
        assert self.go_on.acquire(timeout=30)
        return super().step(states, actions)


class Moody(ToyWorld):
    """Fails in every way that there is."""

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        for action in actions:
            match action.text:
                case "value":
                    raise ValueError("no such value")
                case "model":
                    raise ModelError("no such model")
                case "scene":
                    raise SceneError("no such scene")
                case "bug":
                    raise RuntimeError("a bug")
        return super().step(states, actions)


class Narrow(ToyWorld):
    """Has memory for so many rows, and else raises `error`."""

    def __init__(self, error: Exception, rows: int = 2) -> None:
        super().__init__()
        self.batches: list[int] = []
        self._error, self._rows = error, rows

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.batches.append(len(states))
        if len(states) > self._rows:
            raise self._error
        return super().step(states, actions)


class Sketching(ToyWorld):
    """Draws in 50 evaluations, and lets itself be watched."""

    def __init__(self, seconds: float = 0.01) -> None:
        """One evaluation takes `seconds`."""
        super().__init__(frozenset({"free_text", "preview"}))
        self.evaluations = 0
        self.rows: list[int] = []  # of each evaluation
        self._seconds = seconds

    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        new, rows = super().step(states, actions), list(range(len(states)))
        for i in range(1, 51):
            time.sleep(self._seconds)
            self.evaluations += 1
            self.rows.append(len(rows))
            if on_preview is not None:
                frames = [new[row].frame for row in rows]
                gone = on_preview(Progress(tuple(rows), i, 50, lambda frames=frames: frames)) or ()
                rows = [row for row in rows if row not in gone]
        return [new[row] if row in rows else states[row] for row in range(len(states))]


class Mirror(ToyWorld):
    """Shows what it was shown, left and right exchanged."""

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [replace(state, frames=(state.frame[:, ::-1],), actions=()) for state in states]


class ToyTruth(ToyWorld):
    """Knows every pose."""

    def __init__(self) -> None:
        super().__init__(frozenset({"pose"}))

    def random_start(self, scene: Scene, seed: int) -> Start:
        return replace(scene.starts[1], pose=Pose(x=float(seed)))

    def view(self, scene: Scene, poses: Sequence[Pose]) -> list[Frame]:
        return [np.full((4, 4, 3), round(pose.x), np.uint8) for pose in poses]


def walk(model: ToyWorld | RemoteWorldModel, num_steps: int, seed: int = 3) -> list[bytes]:
    states = model.reset([toy_scene()], [seed])
    for _ in range(num_steps):
        states += model.step(states[-1:], [FORWARD])
    return [state.digest() for state in states]
