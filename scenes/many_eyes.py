"""The simulator with several processes to draw for it: the same frames, and about as many times as fast."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np

from scenes.simulator import SimulatorWorld
from world.types import Frame, Pose, Scene, Start

_NO_FRAME = np.zeros((1, 1, 3), np.uint8)
_world: SimulatorWorld | None = None  # of a process that draws


class ManyEyes(SimulatorWorld):
    """Draws the rows of a batch in `processes` processes, which start at the first frame and end at `close`."""

    def __init__(self, processes: int, size: int = 128) -> None:
        super().__init__(size)
        if processes < 1:
            raise ValueError(f"processes must be at least 1, got {processes}")
        self._processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def close(self) -> None:
        """Ends the processes; may be called twice. A later frame starts them again."""
        super().close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _draw(self, scenes: Sequence[Scene], poses: Sequence[Pose]) -> list[Frame]:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._processes, spawn, _begin, (self._size,))
        light = [_light(scene) for scene in scenes]
        parts = min(self._processes, len(poses))
        drawn = self._pool.map(_drawn, (light[i::parts] for i in range(parts)), (poses[i::parts] for i in range(parts)))
        frames: list[Frame] = [_NO_FRAME] * len(poses)
        for i, some in enumerate(drawn):
            frames[i::parts] = some
        return frames


def _light(scene: Scene) -> Scene:
    """The scene without its pictures, which an eye does not need."""
    start = scene.starts[0]
    return replace(scene, starts=(Start(start.name, start.pose, _NO_FRAME),))


def _begin(size: int) -> None:
    global _world
    _world = SimulatorWorld(size)


def _drawn(scenes: Sequence[Scene], poses: Sequence[Pose]) -> list[Frame]:
    if _world is None:
        raise AssertionError("a process that draws begins with a world")
    return [_world.view(scene, [pose])[0] for scene, pose in zip(scenes, poses, strict=True)]
