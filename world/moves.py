"""What an agent may choose, as Gymnasium spaces: a number of the vocabulary, metres and degrees, or a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from world.instructions import said
from world.types import Action, Scene, WorldSpec
from world.words import understand

ActionType = Literal["discrete", "continuous", "text"]
Choice: TypeAlias = int | np.integer[Any] | NDArray[np.floating[Any]] | str

MAX_TEXT = 200
TEXT_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;:!?'\"()-%")
_MOST = {"forward": 1.0, "left": 1.0, "yaw": 45.0, "pitch": 20.0, "object_yaw": 45.0}  # m, degrees


def action_space(kind: ActionType, scene: Scene, spec: WorldSpec) -> spaces.Space[Any]:
    """The space of one action in `scene`.

    "discrete" numbers `scene.actions`. "continuous" is a Box of forward, left, yaw, pitch, and object_yaw where the
    scene's object turns, each in [-1, 1] as Gymnasium's checker and most learners want it: 1 is 1 m, 45 degrees to the
    left, 20 degrees up. "text" is any sentence.
    Raises ValueError for an unknown kind, and where the model of `spec` reads no sentences but would have to.
    """
    if kind not in get_args(ActionType):
        raise ValueError(f"action_type is {', '.join(get_args(ActionType))}, got {kind!r}")
    if kind == "discrete":
        return spaces.Discrete(len(scene.actions))
    if not spec.supports & {"free_text", "pose"}:
        raise ValueError(f"model {spec.model!r} does not read free sentences: use action_type='discrete'")
    if kind == "text":
        return spaces.Text(MAX_TEXT, charset=TEXT_CHARACTERS)
    return spaces.Box(-1.0, 1.0, (len(_fields(scene)),), np.float32)


def to_action(choice: Choice, space: spaces.Space[Any], scene: Scene) -> Action:
    """What a choice from `space` means in `scene`. Raises ValueError where it means nothing.

    Numbers become words with the numbers in them, to the centimetre and the hundredth of a degree, except where they
    are just what an action of the vocabulary does: then that action it is.
    """
    if isinstance(space, spaces.Text):
        if not isinstance(choice, str) or not choice.strip():
            raise ValueError(f"an action is a sentence here, got {choice!r}")
        return understand(choice, scene.actions)
    if isinstance(space, spaces.Box):
        numbers = np.asarray(choice, np.float64) if isinstance(choice, np.ndarray | list | tuple) else np.zeros(0)
        if numbers.shape != space.shape or not np.isfinite(numbers).all():
            raise ValueError(f"an action is {', '.join(_fields(scene))} in [-1, 1] here, got {choice!r}")
        return _with_numbers(np.clip(numbers, -1.0, 1.0), scene)
    if not space.contains(choice):
        raise ValueError(f"an action is a number from 0 to {len(scene.actions) - 1} here, got {choice!r}")
    return scene.actions[int(cast(int, choice))]


def _fields(scene: Scene) -> list[str]:
    turns = any(action.object_yaw for action in scene.actions)
    return [field for field in _MOST if turns or field != "object_yaw"]


def _with_numbers(numbers: NDArray[np.float64], scene: Scene) -> Action:
    shares = zip(_fields(scene), numbers, strict=True)
    amounts = {field: round(float(share) * _MOST[field], 2) + 0.0 for field, share in shares}
    for action in scene.actions:
        if all(getattr(action, field) == amounts.get(field, 0.0) for field in _MOST):
            return action
    action = replace(Action(""), **amounts)
    return replace(action, text=said(action))
