"""Moves as instructions with their magnitudes, for a model that edits pictures and was never taught a vocabulary."""

from __future__ import annotations

import math
from dataclasses import replace

from world.types import Action, Pose, wrap

_SMALLEST = 1e-6  # of a metre or a degree: below, nothing moves
STILL = "Keep the picture exactly as it is."


def instruction(action: Action) -> str:
    """The numbers of an action in a sentence, e.g. "Move the camera 0.3 meters forward."; without numbers STILL."""
    camera = [
        _part("move", action.forward, "meters", "forward", "backward"),
        _part("move", action.left, "meters", "to the left", "to the right"),
        _part("rotate", action.yaw, "degrees", "to the left", "to the right"),
        _part("tilt", action.pitch, "degrees", "up", "down"),
    ]
    parts = [(verb, "the camera", how) for verb, how in filter(None, camera)]
    if turned := _part("rotate", action.object_yaw, "degrees", "counter-clockwise", "clockwise"):
        parts.append((turned[0], "the object", f"{turned[1]}, seen from above"))
    words, last = [], ""
    for verb, what, how in parts:
        named = what if what != last else "it"
        words.append(f"{verb} {named} {how}")
        last = what
    if not words:
        return STILL
    sentence = " and ".join(words)
    return f"{sentence[0].upper()}{sentence[1:]}."


def motion(here: Pose, there: Pose) -> Action:
    """The one action that leads from `here` to `there`, its words included."""
    dx, dy, yaw = there.x - here.x, there.y - here.y, math.radians(here.yaw)
    action = Action(
        "",
        forward=_tidy(math.cos(yaw) * dx + math.sin(yaw) * dy),
        left=_tidy(-math.sin(yaw) * dx + math.cos(yaw) * dy),
        yaw=_tidy(wrap(there.yaw - here.yaw)),
        pitch=_tidy(there.pitch - here.pitch),
        object_yaw=_tidy(wrap(there.object_yaw - here.object_yaw)),
    )
    return replace(action, text=instruction(action))


def _part(verb: str, amount: float, unit: str, positive: str, negative: str) -> tuple[str, str] | None:
    if abs(amount) < _SMALLEST:
        return None
    return verb, f"{round(abs(amount), 2):g} {unit} {positive if amount > 0 else negative}"


def _tidy(number: float) -> float:
    """Without the dust of additions."""
    return round(number, 9) + 0.0
