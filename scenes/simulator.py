"""The true world: a simulator that is itself a WorldModel, and that knows every pose.

A state is true by its pose: `step` moves the pose (sliding along walls and furniture) and draws what is seen from
there, whoever made the state. Where a scene comes in several forms, the name of its first start says which, and every
state keeps its scene: `load_scene("tabletop:car")` is the world with the car on the table, `load_scene("maze:7")` the
maze with the seventh layout.
"""

from __future__ import annotations

import atexit
import importlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scenes import own
from scenes.eye import Eye, OpenGL
from scenes.ground import Ground
from scenes.library import folder_of, load_things
from scenes.mjcf import Blueprint
from world.errors import ModelError, SceneError
from world.goals import Facing
from world.settings import SamplerConfig
from world.types import Action, Frame, Pose, Scene, Sight, Start, State, WorldSpec, wrap
from world.walks import HELD_OUT

HISTORY = 8  # frames that a state keeps
EYES = 16  # scenes and layouts that are kept open
LAYOUT_SEEDS = 64  # seeds in a row that draw places in one layout
_FACING = 60.0  # degrees, a random start of a scene with an object looks at it, give or take


def load(address: str, *, sampler: SamplerConfig | None = None, device: str | None = None) -> SimulatorWorld:
    """The simulator, under the protocol of world.models: there is nothing to find, sample or place."""
    return SimulatorWorld()


class SimulatorWorld:
    """MuJoCo as a world. Frames are uint8 [size, size, 3]; equal arguments give equal frames."""

    def __init__(self, size: int = 128) -> None:
        """Touches no graphics: that happens at the first frame, which raises RenderError where it cannot be."""
        if not 16 <= size <= 2048:
            raise ValueError(f"size is the side of a frame in pixels, from 16 to 2048, got {size}")
        self._size = size
        self._lock = threading.Lock()
        self._blueprints: OrderedDict[str, Blueprint] = OrderedDict()
        self._open = _Open()
        weakref.finalize(self, self._open.free).atexit = False

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec(model="sim", supports=frozenset({"pose"}), frame_size=(self._size, self._size))

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        """States at the scenes' first starts, drawn anew. Raises SceneError for a scene it does not know."""
        if len(scenes) != len(seeds):
            raise ValueError(f"one seed for each scene: got {len(scenes)} scenes and {len(seeds)} seeds")
        poses = [scene.starts[0].pose for scene in scenes]
        frames = self._draw(scenes, poses)
        return [
            State(scene, (frame,), (), pose, seed)
            for scene, frame, pose, seed in zip(scenes, frames, poses, seeds, strict=True)
        ]

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        """The states after one action each; words without numbers change nothing."""
        if len(states) != len(actions):
            raise ValueError(f"one action for each state: got {len(states)} states and {len(actions)} actions")
        poses = [self.slide(s.scene, s.pose, a) for s, a in zip(states, actions, strict=True)]
        frames = self._draw([s.scene for s in states], poses)
        return [
            replace(
                state,
                frames=(*state.frames, frame)[-HISTORY:],
                actions=(*state.actions, action)[-(HISTORY - 1) :],
                pose=pose,
                step=state.step + 1,
                memory=(),
                places=(),
                origins=_origins(state),
            )
            for state, action, frame, pose in zip(states, actions, frames, poses, strict=True)
        ]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        """Raises ModelError: a simulator sees, but has no words."""
        raise ModelError("the simulator cannot answer questions: ask a BAGEL, e.g. --model tiny")

    def close(self) -> None:
        """Frees the renderers; may be called twice. A later frame opens them again."""
        with self._lock:
            self._open.free()

    def random_start(self, scene: Scene, seed: int) -> Start:
        """A free place, uniform over the floor, the same for the same seed.

        Where the scene has an object the seed draws it as well: the start bears its name, and looks roughly at it.
        Where the scene has layouts the start bears the number of one: LAYOUT_SEEDS seeds in a row share it.
        """
        rng = np.random.default_rng(seed)
        name = "random"
        if scene.has_layouts:
            name = str(seed // LAYOUT_SEEDS)
            scene = _in_layout(scene, name)
        x, y = self._ground(scene).random_place(rng)
        yaw, object_yaw = float(rng.uniform(-180, 180)), 0.0
        if has_object(scene):
            name = str(rng.choice(sorted(s.name for s in scene.starts)))
            yaw = wrap(float(np.degrees(np.arctan2(-y, -x))) + yaw * _FACING / 180)
            object_yaw = float(rng.uniform(-180, 180))
        pose = Pose(x, y, yaw, 0.0, object_yaw)
        black = np.zeros((self._size, self._size, 3), np.uint8)
        [frame] = self._draw([scene.starting_at(Start(name, pose, black))], [pose])
        return Start(name, pose, frame)

    def slide(self, scene: Scene, pose: Pose, action: Action) -> Pose:
        """Where `action` leads from `pose`, along walls and furniture; nothing is drawn."""
        return self._ground(scene).slide(pose, action)

    def is_free(self, scene: Scene, pose: Pose) -> bool:
        """Whether one may stand at `pose`."""
        return self._ground(scene).is_free(pose.x, pose.y)

    def view(self, scene: Scene, poses: Sequence[Pose]) -> list[Frame]:
        """What is seen from the poses, free or not, without moving there."""
        return self._draw([scene] * len(poses), poses)

    def sights(self, scene: Scene, poses: Sequence[Pose]) -> list[dict[str, Sight]]:
        """The named things that are seen from the poses, by name."""
        if not poses:
            return []
        with self._lock:
            opengl = self._open.start()
            seen = opengl.run(lambda: [self._eye(opengl, scene).sights(pose, **_how(scene)) for pose in poses])
        things = {thing.words.removeprefix("the "): thing for thing in load_things(scene.name)}
        for sights, pose in zip(seen, poses, strict=True):
            for name in sights.keys() & things.keys():
                sights[name] = replace(sights[name], reached=Facing(()).holds(things[name], pose))
        return seen

    def _ground(self, scene: Scene) -> Ground:
        return self._blueprint(scene).ground

    def _blueprint(self, scene: Scene) -> Blueprint:
        key = place_of(scene)
        if key not in self._blueprints:
            self._blueprints[key] = blueprint_of(scene.name, int(scene.starts[0].name) if scene.has_layouts else None)
            while len(self._blueprints) > EYES:
                self._blueprints.popitem(last=False)
        return self._blueprints[key]

    def _draw(self, scenes: Sequence[Scene], poses: Sequence[Pose]) -> list[Frame]:
        if not poses:
            return []
        with self._lock:
            opengl = self._open.start()
            pairs = list(zip(scenes, poses, strict=True))
            return opengl.run(lambda: [self._eye(opengl, s).see(pose, **_how(s)) for s, pose in pairs])

    def _eye(self, opengl: OpenGL, scene: Scene) -> Eye:
        eyes, key = self._open.eyes, place_of(scene)
        if key not in eyes:
            eyes[key] = Eye(opengl.mujoco, self._blueprint(scene), self._size)
            while len(eyes) > EYES:
                eyes.popitem(last=False)[1].free()
        return eyes[key]


def blueprint_of(name: str, layout: int | None = None) -> Blueprint:
    """The scene of that name, shipped or a person's own, or a layout of it. Raises SceneError where there is none."""
    if (folder := folder_of(name)) is not None:
        return own.build(folder)
    try:
        build = importlib.import_module(f"scenes.{name}.build").build
    except ModuleNotFoundError:
        raise SceneError(f"the simulator does not know {name!r} here: name the folder of the scene") from None
    return build() if layout is None else build(layout)


def has_object(scene: Scene) -> bool:
    """Whether the scene's actions turn an object."""
    return any(a.object_yaw for a in scene.actions)


def held_out(scene: Scene, index: int) -> int:
    """The held-out seed with that index; where the scene has layouts, each is of another one."""
    return HELD_OUT + index * (LAYOUT_SEEDS if scene.has_layouts else 1)


def _origins(state: State) -> tuple[Pose, ...]:
    """Where the actions began after one more from `state`; none where those of `state` are not all known."""
    return (*state.origins, state.pose)[-(HISTORY - 1) :] if len(state.origins) == len(state.actions) else ()


def _how(scene: Scene) -> dict[str, Any]:
    """How an eye looks at the scene."""
    return {"fov": scene.fov, "height": scene.eye_height, "thing": scene.starts[0].name}


def place_of(scene: Scene) -> str:
    """What one blueprint is for: a scene, or a layout of it. Raises SceneError for a picture."""
    if not scene.simulated:
        raise SceneError(f"the simulator does not know {scene.name!r}: it is a picture, not a built scene")
    return f"{scene.name}:{scene.starts[0].name}" if scene.has_layouts else scene.name


def _in_layout(scene: Scene, name: str) -> Scene:
    return scene.starting_at(replace(scene.starts[0], name=name))


class _Open:
    """What is open in OpenGL, apart from the world that uses it, so that it outlives the world's last moment."""

    def __init__(self) -> None:
        self.opengl: OpenGL | None = None
        self.eyes: OrderedDict[str, Eye] = OrderedDict()

    def start(self) -> OpenGL:
        if self.opengl is None:
            self.opengl = OpenGL()
            atexit.register(self.free)  # after MuJoCo registered its own, so that this runs before it
        return self.opengl

    def free(self) -> None:
        if self.opengl is None:
            return
        self.opengl.run(lambda: [eye.free() for eye in self.eyes.values()])
        self.eyes.clear()
        self.opengl.free()
        self.opengl = None
        atexit.unregister(self.free)
