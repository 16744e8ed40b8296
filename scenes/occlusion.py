"""Whether an object is still the same one after the eye has turned away from it and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scenes import metrics
from scenes.dreaming import dream
from scenes.estimates import Figures, by, mean
from scenes.metrics import Frames
from world.types import Action, Frame, Scene, Start, State, TrueWorld, WorldModel, wrap
from world.walks import HELD_OUT

AWAY = (4, 8)  # turns away, and as many back
_SEEDS = HELD_OUT + 200_000
_NOTHING = "nothing"  # the name of no object: the table is empty
_DIFFERENT = 8  # of 255, by which pixels differ that show another object


@dataclass(frozen=True)
class Sighting:
    """A true state that looks straight at an object, and what other objects, or none, would look like there."""

    state: State
    choices: Frames  # [objects + 1, H, W, 3]; the last is the empty place
    truth: int  # the row of the object that is there


def sightings(truth: TrueWorld, scene: Scene, num: int) -> list[Sighting]:
    """Each of the scene's objects `num` times, each time from a held-out random place; none where it has no object."""
    if not any(action.object_yaw for action in scene.actions):
        return []
    names = sorted(start.name for start in scene.starts)
    black = np.zeros_like(scene.starts[0].frame)
    found = []
    for index, name in enumerate(names * num):
        place = truth.random_start(scene, _SEEDS + index).pose
        pose = replace(place, yaw=wrap(math.degrees(math.atan2(-place.y, -place.x))), pitch=0.0)
        choices = [_seen(truth, scene, Start(other, pose, black)) for other in (*names, _NOTHING)]
        row = names.index(name)
        if not _differs(np.stack([choices[row], choices[-1]])).any():
            continue  # something hides it
        start = Start(name, pose, choices[row])
        state = State(scene.starting_at(start), (start.frame,), (), pose, _SEEDS + index)
        found.append(Sighting(state, np.stack(choices), row))
    return found


def measure(model: WorldModel, seen: Sequence[Sighting]) -> Figures:
    """Which object is seen after turning away and back, by the number of steps in all."""
    if not seen:
        return {}
    states = [sighting.state for sighting in seen] * len(AWAY)
    ways = [_away_and_back(sighting.state.scene, away) for away in AWAY for sighting in seen]
    ends = np.stack([frames[len(way)] for frames, way in zip(dream(model, states, ways), ways, strict=True)])
    figures: Figures = {}
    for away, rows in zip(AWAY, np.split(ends, len(AWAY)), strict=True):
        figures |= _figures(rows, seen, 2 * away)
    return figures


def _figures(ends: Frames, seen: Sequence[Sighting], step: int) -> Figures:
    keys = [sighting.state.scene.name for sighting in seen]
    picked = np.array([_pick(end, sighting) for end, sighting in zip(ends, seen, strict=True)])
    truths = np.array([sighting.truth for sighting in seen])
    nothing = np.array([len(sighting.choices) - 1 for sighting in seen])
    outlines = np.stack([_differs(sighting.choices[[sighting.truth, -1]]) for sighting in seen])
    true = np.stack([sighting.choices[sighting.truth] for sighting in seen])
    return {
        f"object_same@{step}": by(keys, mean, (picked == truths).astype(float)),
        f"object_there@{step}": by(keys, mean, (picked < nothing).astype(float)),
        f"object_color@{step}": by(keys, mean, metrics.color_difference(ends, true, outlines)),
    }


def _seen(truth: TrueWorld, scene: Scene, start: Start) -> Frame:
    return truth.view(scene.starting_at(start), [start.pose])[0]


def _away_and_back(scene: Scene, num: int) -> list[Action]:
    turns = {action.name: action for action in scene.actions}
    return [turns["left"]] * num + [turns["right"]] * num


def _pick(frame: Frame, sighting: Sighting) -> int:
    """The choice that is nearest (MSE) where the choices differ."""
    where = _differs(sighting.choices)
    errors = np.square(sighting.choices[:, where].astype(float) - frame[where]).mean(axis=(1, 2))
    return int(errors.argmin())


def _differs(choices: Frames) -> np.ndarray:
    """The pixels [H, W] that are not the same in all choices."""
    spread = choices.max(axis=0).astype(int) - choices.min(axis=0)
    return spread.max(axis=-1) > _DIFFERENT
