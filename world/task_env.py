"""A task in a world as a Gymnasium environment: `gymnasium.make("BagelWorld/ReachGoal-v0", model="tiny")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from world.episodes import Episode, Episodes
from world.models import load, load_scene
from world.moves import action_space, to_action
from world.tasks import TaskSettings
from world.types import Action, Frame, Scene, State, WorldModel

if TYPE_CHECKING:
    from world.window import FrameWindow


class TaskEnv(gymnasium.Env[Any, Any]):
    """One of the tasks Explore, ReachGoal, FindObject, RotateObject; a time limit comes with `gymnasium.make`.

    Equal seeds give equal episodes, bit for bit on the same machine. `info` holds "pose", "step", "action" (words),
    and, where it is known, "reached" and "distance" (m) by the poses.
    `reset(options={"start": ..., "goal": ..., "find": ...})` as in `world.episodes.Episodes.begin`.

    model, scene: as in `world.env.BagelWorldEnv`. settings: the fields of `world.tasks.TaskSettings`.
    Raises WorldError when the model or the scene cannot be had, ValueError for a wrong argument.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 6}  # noqa: RUF012 (Gymnasium's own form)

    def __init__(
        self,
        model: str | WorldModel = "tiny",
        scene: str | Scene = "gallery",
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is human, rgb_array or None, got {render_mode!r}")
        asked = settings_of(settings)
        self.scene = load_scene(scene) if isinstance(scene, str) else scene
        self.model = load(model) if isinstance(model, str) else model
        self._owns_model = isinstance(model, str)
        self.episodes = Episodes(self.model, asked)
        self.episode: Episode | None = None
        self.render_mode = render_mode
        self._window: FrameWindow | None = None
        self.action_space = action_space(asked.action_type, self.scene, self.model.spec)
        self.observation_space = self.episodes.space(self.scene)

    @property
    def state(self) -> State | None:
        """Where the episode is; None before the first reset."""
        return self.episode.state if self.episode else None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begins an episode drawn by the seed, or as the options say."""
        super().reset(seed=seed)
        (self.episode,) = self.episodes.begin([self.scene], [self.np_random], options)
        self._show()
        return self.episodes.observation(self.episode), self.episodes.info(self.episode)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One action of the space."""
        if self.episode is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        outcome = self.episodes.step([self.episode], [self.action_of(action)])
        (self.episode,) = outcome.episodes
        self._show()
        told = self.episodes.observation(self.episode), float(outcome.rewards[0]), bool(outcome.done[0])
        return *told, False, self.episodes.info(self.episode)

    def action_of(self, action: Any) -> Action:
        """What `action` means here. Raises ValueError where it means nothing."""
        return to_action(action, self.action_space, self.scene)

    def render(self) -> Frame | None:  # pyright: ignore[reportIncompatibleMethodOverride] (Gymnasium's generic is wider)
        """The frame for "rgb_array"; for "human" the window is kept up to date by reset and step."""
        if self.episode is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        if self.render_mode == "rgb_array":
            return np.array(self.episode.state.frame)
        self._show()
        return None

    def close(self) -> None:
        """Closes the window, and what was loaded here."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self.episodes.close()
        if self._owns_model:
            self.model.close()

    def _show(self) -> None:
        if self.render_mode != "human" or self.episode is None:
            return
        if self._window is None:
            from world.window import FrameWindow

            self._window = FrameWindow(f"{self.scene.name} · {self.model.spec.model}", self.metadata["render_fps"])
        self._window.show(self.episode.state.frame)


def settings_of(given: dict[str, Any]) -> TaskSettings:
    """The settings from keywords; raises ValueError naming one that there is not."""
    known = TaskSettings.__dataclass_fields__
    if unknown := given.keys() - known.keys():
        raise ValueError(f"unknown settings {sorted(unknown)}: there are {', '.join(known)}")
    if "task" not in given:
        raise ValueError("task is missing: make a registered id, e.g. BagelWorld/ReachGoal-v0")
    return TaskSettings(**given)
