"""A task in a world as a Gymnasium environment: `gymnasium.make("BagelWorld/ReachGoal-v0", model="tiny")`."""

from __future__ import annotations

from typing import Any

import gymnasium

from world.env import WorldEnv
from world.episodes import Episode, Episodes
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
        super().__init__(model, scene, asked.action_type, render_mode=render_mode)
        self.episodes = Episodes(self.model, asked)
        self.episode: Episode | None = None
        self.observation_space = self.episodes.space(self.scene)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode drawn by the seed, or as the options say."""
        super().reset(seed=seed)
        (self.episode,) = self.episodes.begin([self.scene], [self.np_random], options)
        self.state = self.episode.state
        self._show()
        return self.episodes.observation(self.episode), self.episodes.info(self.episode)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One action of the space."""
        if self.episode is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        outcome = self.episodes.step([self.episode], [self.action_of(action)])
        (self.episode,) = outcome.episodes
        self.state = self.episode.state
        self._show()
        told = self.episodes.observation(self.episode), float(outcome.rewards[0]), bool(outcome.done[0])
        return *told, False, self.episodes.info(self.episode)

    def close(self) -> None:
        """Closes the window, and what was loaded here."""
        self.episodes.close()
        super().close()


def settings_of(given: dict[str, Any]) -> TaskSettings:
    """The settings from keywords; raises ValueError naming one that there is not."""
    known = TaskSettings.__dataclass_fields__
    if unknown := given.keys() - known.keys():
        raise ValueError(f"unknown settings {sorted(unknown)}: there are {', '.join(known)}")
    if "task" not in given:
        raise ValueError("task is missing: make a registered id, e.g. BagelWorld/ReachGoal-v0")
    return TaskSettings(**given)
