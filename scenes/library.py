"""Where worlds begin: the shipped scenes by name, a person's own by their folders, and any picture as a scene.

Needs no simulator, but for the layouts of a scene whose starts are not shipped.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scenes import own
from scenes.own import is_own
from world.errors import RenderError, SceneError
from world.goals import Thing
from world.pictures import read_picture
from world.types import Action, Frame, Pose, Scene, Start, vocabulary

_FOLDER = Path(__file__).parent
FRAME_SIZE = 128  # pixels, the side of a shipped frame

_own: dict[str, tuple[Path, Scene]] = {}  # a person's own scenes that this process has loaded, by name


def scene_names() -> list[str]:
    """The shipped scenes, by name."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/scene.toml"))


def load_scene(address: str) -> Scene:
    """The scene at `address`: "studio", "studio:door" (that start comes first), the path of a scene's folder (with
    ":START" or without), or that of a picture.

    A scene whose starts are numbers has a layout for every number: "maze:77" is drawn when it is asked for.
    Raises SceneError for an unknown name or start, a missing file, and what is not a usable picture; RenderError
    where a layout cannot be drawn.
    """
    name, _, start = address.partition(":")
    known = ", ".join(scene_names())
    if name in scene_names():
        scene = read_scene(name)
        if start.isdigit() and scene.starts[0].name.isdigit() and start not in {s.name for s in scene.starts}:
            return scene.starting_at(_draw_layout(scene, int(start)))
        return _starting_at(scene, start)
    for folder, begin in ((address, ""), address.rpartition(":")[::2]):
        if folder and is_own(Path(folder)):
            return _starting_at(_load_own(Path(folder).resolve()), begin)
    if Path(address).is_file():
        return _scene_of_picture(Path(address))
    if Path(address).suffix or "/" in address:
        raise SceneError(
            f"no picture at {address!r}, and no folder of a scene: give the path of a png or jpg, or one of {known}"
        )
    near = difflib.get_close_matches(name, scene_names(), n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise SceneError(f"no scene {name!r}: {hint}there are {known}, or give the path of a picture")


def read_scene(name: str, *, with_frames: bool = True) -> Scene:
    """A shipped scene; without its frames (black ones instead) when they are still to be made."""
    text = tomllib.loads((_FOLDER / name / "scene.toml").read_text(encoding="utf-8"))
    black = np.zeros((FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    starts = tuple(
        Start(start, Pose(**pose), np.array(read_picture(frame_path(name, start))) if with_frames else black)
        for start, pose in text["starts"].items()
    )
    return Scene(
        name, text["caption"], starts, _actions(text["actions"]), text["fov"], text["eye_height"], simulated=True
    )


def folder_of(name: str) -> Path | None:
    """The folder of a person's own scene, once this process has loaded it."""
    return _own[name][0] if name in _own else None


def load_things(name: str) -> tuple[Thing, ...]:
    """What can be looked for in the scene of that name; nothing where it does not say (`things.toml`)."""
    path = _FOLDER / name / "things.toml"
    if name not in scene_names() or not path.is_file():
        return ()
    return tuple(Thing(words, **place) for words, place in tomllib.loads(path.read_text(encoding="utf-8")).items())


def calibration_path(name: str) -> Path:
    """Where `python -m agents calibrate` writes what it found out about a shipped scene."""
    return _FOLDER / name / "calibration.json"


def load_threshold(name: str, task: str, eyes: str) -> float | None:
    """The likeness or probability that is enough in this scene by these eyes; None where nobody calibrated them.

    Raises SceneError where the scene's calibration cannot be read.
    """
    path = calibration_path(name)
    if name not in scene_names() or not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8")).get(f"{task} {eyes}")
        return None if found is None else float(found["threshold"])
    except (ValueError, LookupError, TypeError, AttributeError):
        raise SceneError(f"{path} is no calibration: remove it, or run python -m agents calibrate again") from None


def frame_path(scene: str, start: str) -> Path:
    """Where a shipped start frame lies."""
    return _FOLDER / scene / f"{start}.png"


def _starting_at(scene: Scene, start: str) -> Scene:
    try:
        return scene.starting_at(start) if start else scene
    except ValueError as error:
        raise SceneError(str(error)) from error


def _load_own(folder: Path) -> Scene:
    """Drawn once. Raises SceneError where its scene.toml is wrong or its name another scene's."""
    text = own.read_text(folder)
    name = text.get("name", folder.name)
    if name in _own and _own[name][0] == folder:
        return _own[name][1]
    if name in scene_names() or name in _own:
        raise SceneError(f"{folder}: there is another scene {name!r}: give this one a name of its own in scene.toml")
    black = np.zeros((FRAME_SIZE, FRAME_SIZE, 3), np.uint8)
    try:
        first = own.first_pose(own.build(folder).ground)
        starts = {key: Pose(**pose) for key, pose in text.get("starts", {}).items()} or {"start": first}
        actions = _actions(text.get("actions", {}))
        numbers = (float(text.get(key, default)) for key, default in (("fov", 80.0), ("eye_height", 1.5)))
        begun = tuple(Start(key, pose, black) for key, pose in starts.items())
        scene = Scene(name, text.get("caption", f"a place called {name}"), begun, actions, *numbers, simulated=True)
    except (TypeError, ValueError, AttributeError) as error:
        raise SceneError(f"{folder / own.FILE} is no scene ({error}): scenes/own.py shows one") from None
    if any(start.isdigit() for start in starts):
        raise SceneError(f"{folder / own.FILE}: a start's name is a word, not a number")
    _own[name] = folder, scene
    frames = _drawn(scene)
    scene = replace(scene, starts=tuple(replace(s, frame=f) for s, f in zip(begun, frames, strict=True)))
    _own[name] = folder, scene
    return scene


def _drawn(scene: Scene) -> list[Frame]:
    from scenes.simulator import SimulatorWorld

    world = SimulatorWorld(FRAME_SIZE)
    try:
        return [world.view(scene.starting_at(start), [start.pose])[0] for start in scene.starts]
    except RenderError:
        del _own[scene.name]
        raise
    finally:
        world.close()


def _draw_layout(scene: Scene, layout: int) -> Start:
    from scenes.simulator import LAYOUT_SEEDS, SimulatorWorld

    world = SimulatorWorld(FRAME_SIZE)
    try:
        return world.random_start(scene, layout * LAYOUT_SEEDS)
    finally:
        world.close()


def _scene_of_picture(path: Path) -> Scene:
    frame = np.array(read_picture(path))
    return Scene(path.stem, "a place seen in a picture", (Start("picture", Pose(), frame),))


def _actions(magnitudes: dict[str, Any]) -> tuple[Action, ...]:
    """The vocabulary with the scene's magnitudes; object moves only where the scene names their magnitude."""
    actions = vocabulary(**magnitudes)
    return tuple(a for a in actions if "object_turn" in magnitudes or not a.object_yaw)
