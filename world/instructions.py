"""The numbers of a move in words: as a person says them, and as an instruction for a model that edits pictures."""

from __future__ import annotations

import math
from dataclasses import replace

from world.types import Action, Pose, vocabulary, wrap

_SMALLEST = 1e-6  # of a metre or a degree: below, nothing moves
_OWN = frozenset(action.text for action in vocabulary())
STILL = "Keep the picture exactly as it is."


def said(action: Action) -> str:
    """The numbers of an action as one says them: "go forward 0.6 meters and turn left 30 degrees".

    `world.words.understand` gives the same numbers back.
    """
    parts = [
        _part("go", action.forward, "meters", "forward", "back"),
        _part("move", action.left, "meters", "left", "right"),
        _part("turn", action.yaw, "degrees", "left", "right"),
        _part("look", action.pitch, "degrees", "up", "down"),
    ]
    words = [f"{verb} {way} {amount}" for verb, amount, way in filter(None, parts)]
    if turned := _part("rotate it", action.object_yaw, "degrees", "left", "right"):
        words.append(" ".join(turned))
    return " and ".join(words) or "stay"


def instruction(action: Action) -> str:
    """The action for an editing model, e.g. "Move the camera 0.3 meters forward."

    A sentence that says more than its numbers do stays as it is; what has no numbers keeps the picture (STILL).
    """
    if action.text not in (_OWN | {said(action)}):
        return action.text
    camera = [
        _part("move", action.forward, "meters", "forward", "backward"),
        _part("move", action.left, "meters", "to the left", "to the right"),
        _part("rotate", action.yaw, "degrees", "to the left", "to the right"),
        _part("tilt", action.pitch, "degrees", "up", "down"),
    ]
    moves = [(verb, amount, way) for verb, amount, way in filter(None, camera)]
    words = [f"{verb} {'it' if k else 'the camera'} {amount} {way}" for k, (verb, amount, way) in enumerate(moves)]
    if turned := _part("rotate", action.object_yaw, "degrees", "counter-clockwise", "clockwise"):
        words.append(f"rotate the object {turned[1]} {turned[2]}, seen from above")
    if not words:
        return STILL
    sentence = " and ".join(words)
    return f"{sentence[0].upper()}{sentence[1:]}."


def motion(here: Pose, there: Pose) -> Action:
    """The one action that leads from `here` to `there`, in the words of `said`."""
    dx, dy, yaw = there.x - here.x, there.y - here.y, math.radians(here.yaw)
    action = Action(
        "",
        forward=_tidy(math.cos(yaw) * dx + math.sin(yaw) * dy),
        left=_tidy(-math.sin(yaw) * dx + math.cos(yaw) * dy),
        yaw=_tidy(wrap(there.yaw - here.yaw)),
        pitch=_tidy(there.pitch - here.pitch),
        object_yaw=_tidy(wrap(there.object_yaw - here.object_yaw)),
    )
    return replace(action, text=said(action))


def _part(verb: str, amount: float, unit: str, positive: str, negative: str) -> tuple[str, str, str] | None:
    """Verb, how much, and which way; None where nothing moves."""
    if abs(amount) < _SMALLEST:
        return None
    return verb, f"{round(abs(amount), 2):g} {unit}", positive if amount > 0 else negative


def _tidy(number: float) -> float:
    """Without the dust of additions."""
    return round(number, 9) + 0.0
