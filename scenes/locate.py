"""Where a dreamt frame was taken: the simulator's pose whose picture is nearest to it (analysis by synthesis)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from scenes.dreaming import frames_of
from scenes.drift import Dream
from scenes.estimates import Figures, by, mean, median
from scenes.metrics import Frames, squared_error
from scenes.trial import Gallery, Trial, Walk
from world.types import Action, Frame, Pose, Scene, TrueWorld, wrap

MARKS = (4, 16, 64)  # steps at which dreams are located
_AHEAD, _YAW = (0.0, -0.3, 0.3), (0.0, -15.0, 15.0)  # m and degrees: the grid that comes first
_LEVELS = ((0.15, 7.5), (0.075, 3.75))  # m and degrees of the steps that follow
_ROUNDS = 2  # at most, on each level
_SIDE = 32  # pixels to which pictures are shrunk before they are compared: fine detail has narrow minima
_NEAR = (1.0, 30.0)  # m and degrees within which a dream counts as being where it should be


def measure(dreams: Sequence[Dream], trial: Trial, truth: TrueWorld) -> Figures:
    """How far the places that the dreams show lie from where the walks were, at MARKS."""
    figures: Figures = {}
    known = {place: _known(place, trial) for place in trial.galleries}
    for t in MARKS:
        reached = [d for d in located(dreams, trial) if t in d.frames]
        expected = [d.walk.states[t] for d in reached]
        found = [
            locate(truth, state.scene, d.frames[t], state.pose, known[d.walk.place])
            for d, state in zip(reached, expected, strict=True)
        ]
        figures |= _errors([d.walk for d in reached], found, t)
    return figures


def standing_still(dreams: Sequence[Dream], trial: Trial) -> Figures:
    """The same errors of a world that shows the start for ever, whose pose needs no search."""
    figures: Figures = {}
    for t in MARKS:
        reached = [d.walk for d in located(dreams, trial) if t in d.frames]
        figures |= _errors(reached, [walk.states[0].pose for walk in reached], t)
    return figures


def located(dreams: Sequence[Dream], trial: Trial) -> list[Dream]:
    """The first dreams of each scene, as many as the suite says."""
    found: list[Dream] = []
    for d in dreams:
        if sum(other.walk.scene == d.walk.scene for other in found) < trial.suite.located:
            found.append(d)
    return found


def locate(truth: TrueWorld, scene: Scene, frame: Frame, expected: Pose, known: Gallery) -> Pose:
    """The pose whose picture is nearest (MSE of 32 x 32 pixels) to `frame`. `known` is a `shrunk` gallery.

    The search begins with a grid around `expected` and the nearest `known` place, and goes on from the best of them in
    ever smaller steps of place and heading; pitch and the object's angle are taken to be the expected ones.
    """
    goal = _small(frame[None])
    near = known.poses[int(squared_error(goal, known.frames).argmin())]
    poses = [expected.moved(Action("", forward=ahead, yaw=yaw)) for ahead in _AHEAD for yaw in _YAW]
    poses.append(replace(near, pitch=expected.pitch, object_yaw=expected.object_yaw))
    pose, error = _best(truth, scene, goal, poses)
    for meters, degrees in _LEVELS:
        for _ in range(_ROUNDS):
            better, less = _best(truth, scene, goal, _around(pose, meters, degrees))
            if less >= error:
                break
            pose, error = better, less
    return pose


def shrunk(gallery: Gallery) -> Gallery:
    """The gallery as `locate` compares it: 32 x 32 pixels."""
    return Gallery(gallery.poses, _small(gallery.frames))


def _known(place: str, trial: Trial) -> Gallery:
    """The place's gallery with all that the true walks through it saw, shrunk."""
    states = [state for walk in trial.walks if walk.place == place for state in walk.states]
    gallery = trial.galleries[place]
    poses = (*gallery.poses, *(state.pose for state in states))
    return shrunk(Gallery(poses, np.concatenate([gallery.frames, frames_of(states)])))


def _errors(walks: Sequence[Walk], poses: Sequence[Pose], step: int) -> Figures:
    true = [walk.states[step].pose for walk in walks]
    scenes = [walk.scene for walk in walks]
    meters = np.array([math.hypot(a.x - b.x, a.y - b.y) for a, b in zip(poses, true, strict=True)])
    degrees = np.array([abs(wrap(a.yaw - b.yaw)) for a, b in zip(poses, true, strict=True)])
    near = (meters <= _NEAR[0]) & (degrees <= _NEAR[1])
    return {
        f"pose_error_m@{step}": by(scenes, median, meters),
        f"pose_error_deg@{step}": by(scenes, median, degrees),
        f"pose_near@{step}": by(scenes, mean, near.astype(float)),
    }


def _around(pose: Pose, meters: float, degrees: float) -> list[Pose]:
    moves = [
        Action("", forward=meters),
        Action("", forward=-meters),
        Action("", left=meters),
        Action("", left=-meters),
        Action("", yaw=degrees),
        Action("", yaw=-degrees),
    ]
    return [pose.moved(move) for move in moves]


def _best(truth: TrueWorld, scene: Scene, goal: Frames, poses: Sequence[Pose]) -> tuple[Pose, float]:
    errors = squared_error(goal, _small(np.stack(truth.view(scene, poses))))
    return poses[int(errors.argmin())], float(errors.min())


def _small(frames: Frames) -> Frames:
    size = (_SIDE, _SIDE)
    return np.stack([np.asarray(Image.fromarray(f).resize(size, Image.Resampling.BOX)) for f in frames])
