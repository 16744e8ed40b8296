"""The contract: few frozen values, and the one protocol that every world speaks.

Axes: x east, y north (m). yaw 0 looks along +x and grows to the left (counter-clockwise seen from above),
pitch grows upwards, object_yaw grows counter-clockwise seen from above (all in degrees).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Frame: TypeAlias = NDArray[np.uint8]  # [H, W, 3] RGB, the only picture that crosses a folder


@dataclass(frozen=True)
class Action:
    """One move. The words are what BAGEL reads; the numbers are what simulator, minimap and metrics read.

    Free text has words alone: no name, all numbers 0.
    """

    text: str
    name: str = ""  # the vocabulary's name, e.g. "strafe_left"; "" for free text
    forward: float = 0.0  # m, along the heading
    left: float = 0.0  # m, to the left of the heading
    yaw: float = 0.0  # degrees, + turns left
    pitch: float = 0.0  # degrees, + looks up
    object_yaw: float = 0.0  # degrees, + turns the object counter-clockwise seen from above


def vocabulary(
    step: float = 0.3, turn: float = 15.0, look: float = 10.0, object_turn: float = 15.0
) -> tuple[Action, ...]:
    """The standard moves, in their stable order: `step` in m, the others in degrees."""
    return (
        Action("stay", "stay"),
        Action("move forward", "forward", forward=step),
        Action("move back", "back", forward=-step),
        Action("turn left", "left", yaw=turn),
        Action("turn right", "right", yaw=-turn),
        Action("step left", "strafe_left", left=step),
        Action("step right", "strafe_right", left=-step),
        Action("look up", "up", pitch=look),
        Action("look down", "down", pitch=-look),
        Action("rotate the object left", "object_left", object_yaw=object_turn),
        Action("rotate the object right", "object_right", object_yaw=-object_turn),
    )


@dataclass(frozen=True)
class Pose:
    """Where the eye is and how the object stands: dead-reckoned in a dream, exact in the simulator."""

    x: float = 0.0  # m, east
    y: float = 0.0  # m, north
    yaw: float = 0.0  # degrees, [-180, 180)
    pitch: float = 0.0  # degrees
    object_yaw: float = 0.0  # degrees, [-180, 180)

    def moved(self, action: Action) -> Pose:
        """The pose after `action` where nothing stands in the way. The turn comes after the step."""
        c, s = math.cos(math.radians(self.yaw)), math.sin(math.radians(self.yaw))
        return Pose(
            x=self.x + c * action.forward - s * action.left,
            y=self.y + s * action.forward + c * action.left,
            yaw=wrap(self.yaw + action.yaw),
            pitch=self.pitch + action.pitch,
            object_yaw=wrap(self.object_yaw + action.object_yaw),
        )


def wrap(degrees: float) -> float:
    """The same angle in [-180, 180)."""
    return (degrees + 180.0) % 360.0 - 180.0


@dataclass(frozen=True)
class Start:
    """A place where a walk may begin."""

    name: str
    pose: Pose
    frame: Frame

    @cached_property
    def digest(self) -> bytes:
        """16 bytes that two starts share only when they are the same; computed once."""
        h = hashlib.blake2b(repr((self.name, self.pose, self.frame.shape)).encode(), digest_size=16)
        h.update(np.ascontiguousarray(self.frame).data)
        return h.digest()


@dataclass(frozen=True)
class Scene:
    """Where a world begins; any photo is one too."""

    name: str
    caption: str  # one sentence
    starts: tuple[Start, ...]  # at least one; a walk begins at the first
    actions: tuple[Action, ...] = field(default_factory=vocabulary)
    fov: float = 80.0  # degrees, vertical
    eye_height: float = 1.5  # m
    simulated: bool = False  # whether the simulator knows this scene by its name

    @property
    def thing(self) -> str:
        """The object that stands there and can be turned, which the starts are named after; empty where none does."""
        return self.starts[0].name if self.simulated and any(a.object_yaw for a in self.actions) else ""

    @property
    def called(self) -> str:
        """The name, and that of the object: "tabletop robot"."""
        return f"{self.name} {self.thing}".rstrip()

    @property
    def has_layouts(self) -> bool:
        """Whether it is drawn anew from a number, which its starts bear as their names."""
        return self.simulated and self.starts[0].name.isdigit()

    def starting_at(self, start: Start | str) -> Scene:
        """This scene with another first start, given whole or by the name of one of `starts`."""
        if isinstance(start, str):
            by_name = {s.name: s for s in self.starts}
            if start not in by_name:
                raise ValueError(f"scene {self.name!r} has no start {start!r}; it has {', '.join(by_name)}")
            start = by_name[start]
        return replace(self, starts=(start, *(s for s in self.starts if s.name != start.name)))


@dataclass(frozen=True)
class State:
    """Everything a step depends on, as a value: stepping returns a new one and the old stays usable.

    `actions[i]` led from `frames[i]` to `frames[i + 1]`. `memory` is the model's own: one array a frame (BAGEL keeps
    the latent it drew, so that it need not encode its own picture again), or empty when the frames come from
    elsewhere. The noise of the next step is a function of (seed, step) alone. `whole` asks a model that keeps fewer
    frames than these to read them all the same, in this one step; `spec.supports` "context" promises that. `places`
    are what a model remembers of the walk before (world.recall), or empty. `origins[i]` is where `actions[i]` began, or
    there are none, where nobody kept them: `pose` does not tell, since a step may have slid along a wall.
    """

    scene: Scene
    frames: tuple[Frame, ...]  # the last K, oldest first, at least one
    actions: tuple[Action, ...]  # K - 1
    pose: Pose
    seed: int
    step: int = 0
    memory: tuple[NDArray[np.generic], ...] = ()  # K, or none
    whole: bool = False
    places: tuple[Start, ...] = ()
    origins: tuple[Pose, ...] = ()  # K - 1, or none

    @property
    def frame(self) -> Frame:
        """What is seen now."""
        return self.frames[-1]

    def digest(self) -> bytes:
        """16 bytes that two states share only when they are the same state."""
        h = hashlib.blake2b(digest_size=16)
        whole = ("whole",) if self.whole else ()
        told = (self.scene.called, self.actions, self.pose, self.seed, self.step, *whole, *self.origins)
        h.update(repr(told).encode())
        for array in (*self.frames, *self.memory):
            h.update(repr((array.shape, array.dtype.str)).encode())
            h.update(np.ascontiguousarray(array).data)
        for place in self.places:
            h.update(place.digest)
        return h.digest()


@dataclass(frozen=True)
class WorldSpec:
    """What a model tells about itself."""

    model: str  # identity, e.g. "tiny" or the directory's name
    supports: frozenset[str]  # of "free_text", "ask", "pose" (exact poses), "reconstruct", "preview" (world.previews),
    # "context" (State.whole), "motions" (any move is told by its numbers, so that one step may be a long way)
    device: str = "cpu"
    dtype: str = "float32"
    frame_size: tuple[int, int] | None = None  # (height, width) of every frame; None where the start picture decides


@runtime_checkable
class WorldModel(Protocol):
    """A world. Always batched: B = 1 is not special. `world.testing.check_world_model` is this contract, executable."""

    @property
    def spec(self) -> WorldSpec: ...

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        """States at the scenes' first starts. Equal arguments give equal states."""
        ...

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        """The states after one action each. Depends on nothing but the arguments; changes none of them."""
        ...

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        """Answers about what is seen now; raises ModelError where `spec.supports` lacks "ask"."""
        ...

    def close(self) -> None:
        """Frees what the model holds; may be called twice."""
        ...


@dataclass(frozen=True)
class Sight:
    """How a named thing is seen."""

    share: float  # of the frame's pixels
    x: float  # where its middle is, from 0 at the left edge to 1 at the right
    distance: float  # m, along the floor, to the nearest part that is seen
    reached: bool | None = None  # whether one who looks for it has found it (goals.Facing); None where it is not known


@runtime_checkable
class TrueWorld(WorldModel, Protocol):
    """A world that knows every pose: the simulator."""

    def random_start(self, scene: Scene, seed: int) -> Start:
        """A free place of the scene, the same for the same seed."""
        ...

    def view(self, scene: Scene, poses: Sequence[Pose]) -> list[Frame]:
        """What is seen from the poses, without moving there."""
        ...


@runtime_checkable
class NamingWorld(TrueWorld, Protocol):
    """A true world that can name what is seen."""

    def sights(self, scene: Scene, poses: Sequence[Pose]) -> list[dict[str, Sight]]:
        """The named things that are seen from the poses, by name."""
        ...
