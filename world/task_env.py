"""A task in a world as a Gymnasium environment: `gymnasium.make("BagelWorld/ReachGoal-v0", model="tiny")`."""

from __future__ import annotations

from typing import Any

from world.env import WorldEnv
from world.episodes import Episodes
from world.tasks import TaskSettings
from world.types import Scene, WorldModel


class TaskEnv(WorldEnv):
    """One of the tasks Explore, ReachGoal, FindObject, RotateObject; a time limit comes with `gymnasium.make`.

    Equal seeds give equal episodes, bit for bit on the same machine. `info` holds "pose", "step", "action" (words),
    and, where it is known, "reached" and "distance" (m) by the poses.
    `reset(options={"start": ..., "goal": ..., "find": ...})` as in `world.episodes.Episodes.begin`.

    model, scene: as in `world.env.WorldEnv`. settings: the fields of `world.tasks.TaskSettings`.
    """

    def __init__(
        self,
        model: str | WorldModel = "tiny",
        scene: str | Scene = "gallery",
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        asked = settings_of(settings)
        super().__init__(model, scene, lambda opened: Episodes(opened, asked), render_mode=render_mode)


def settings_of(given: dict[str, Any]) -> TaskSettings:
    """The settings from keywords; raises ValueError naming one that there is not."""
    known = TaskSettings.__dataclass_fields__
    if unknown := given.keys() - known.keys():
        raise ValueError(f"unknown settings {sorted(unknown)}: there are {', '.join(known)}")
    if "task" not in given:
        raise ValueError("task is missing: make a registered id, e.g. BagelWorld/ReachGoal-v0")
    return TaskSettings(**given)
