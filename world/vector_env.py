"""Many episodes at once: a Gymnasium vector environment whose step is one `model.step` of all its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from world.env import Walks
from world.episodes import Episode, Episodes
from world.models import load, load_scene
from world.moves import ActionType, to_action
from world.settings import SamplerConfig
from world.task_env import settings_of
from world.types import Frame, Scene, WorldModel

Step = tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


@dataclass(frozen=True)
class Rows:
    """How many episodes share a batch, and how they begin anew.

    autoreset_mode: Gymnasium's NEXT_STEP (a row that has ended is begun anew by the next step, whose action it
        ignores), SAME_STEP (at once; the last observation and info come as infos["final_obs"] and ["final_info"]) or
        DISABLED (by `reset(options={"reset_mask": bool [N]})`).
    max_episode_steps: rows are truncated there.
    Raises ValueError naming what is wrong.
    """

    num_envs: int = 1
    max_episode_steps: int | None = None
    autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP
    render_mode: str | None = None

    def __post_init__(self) -> None:
        if self.num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, got {self.num_envs}")
        if self.max_episode_steps is not None and self.max_episode_steps < 1:
            raise ValueError(f"max_episode_steps must be at least 1, got {self.max_episode_steps}")
        if self.render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode is rgb_array or None, got {self.render_mode!r}")


class WorldVectorEnv(VectorEnv[Any, Any, Any]):
    """Row i with seed s plays the very episodes that the single environment plays with seed s + i.

    (BAGEL rounds rows of a batch together: its pictures may differ by a grey level or two, of 255, from those of a row
    alone. The simulator's never.)

    scene: one for all rows, or several that rows take in turn; their vocabularies must agree where actions are
        discrete, their pictures must have one size.
    model, episodes_in, sampler: as in `world.env.WorldEnv`.
    Raises WorldError when the model or a scene cannot be had, ValueError for a wrong argument.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 6}  # noqa: RUF012 (Gymnasium's own form)
    closed = True  # until there is something to close: older Gymnasiums close what was never made

    def __init__(
        self,
        rows: Rows,
        model: str | WorldModel,
        scene: str | Scene | Sequence[str | Scene],
        episodes_in: Callable[[WorldModel], Episodes | Walks],
        sampler: SamplerConfig | None = None,
    ) -> None:
        scenes = [scene] if isinstance(scene, str | Scene) else list(scene)
        if not scenes:
            raise ValueError("scene names one scene, or several for the rows to take in turn: got none")
        loaded = [load_scene(s) if isinstance(s, str) else s for s in scenes]
        self.autoreset_mode = _mode(rows.autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.render_mode = rows.render_mode
        self.num_envs, self.max_episode_steps = rows.num_envs, rows.max_episode_steps
        self.scenes = [loaded[i % len(loaded)] for i in range(self.num_envs)]
        with ExitStack() as opened:  # closes it all where the arguments are refused
            if isinstance(model, str):
                model = opened.enter_context(closing(load(model, sampler=sampler)))
            self.model = model
            self.episodes = opened.enter_context(closing(episodes_in(model)))
            self.single_action_space = _shared("actions", {s.name: self.episodes.actions(s) for s in loaded})
            self.single_observation_space = _shared("observations", {s.name: self.episodes.space(s) for s in loaded})
            self._opened = opened.pop_all()
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._rngs: list[np.random.Generator] = [seeding.np_random(None)[0] for _ in range(self.num_envs)]
        self._rows: list[Episode | None] = [None] * self.num_envs
        self._ended = np.zeros(self.num_envs, bool)
        self.closed = False

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begins an episode in every row, or where options["reset_mask"], bool [N], says so."""
        options = dict(options or {})
        mask = _mask(options.pop("reset_mask", None), self.num_envs)
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else list(seed or ())
        if seeds and len(seeds) != self.num_envs:
            raise ValueError(f"a seed for each of {self.num_envs} rows, or one number, got {len(seeds)} seeds")
        for i, row_seed in enumerate(seeds):
            if row_seed is not None and mask[i]:
                self._rngs[i] = seeding.np_random(row_seed)[0]
        if not mask.all() and any(row is None for row, new in zip(self._rows, mask, strict=True) if not new):
            raise gymnasium.error.ResetNeeded("reset every row once before resetting some of them")
        rows = [int(i) for i in np.flatnonzero(mask)]
        self._begin(rows, options)
        return self._observations(), self._infos({}, rows)

    def step(self, actions: Any) -> Step:
        """One action in every row."""
        rows = list(self._rows)
        if any(row is None for row in rows):
            raise gymnasium.error.ResetNeeded("call reset before step")
        old = self._ended if self.autoreset_mode is AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, bool)
        if self.autoreset_mode is AutoresetMode.DISABLED and self._ended.any():
            ended = np.flatnonzero(self._ended).tolist()
            raise gymnasium.error.ResetNeeded(f"rows {ended} have ended: reset them with options['reset_mask']")
        going = [int(i) for i in np.flatnonzero(~old)]
        choices = list(iterate(self.action_space, actions))
        moves = [to_action(choices[i], self.single_action_space, self.scenes[i]) for i in going]
        rewards, terminated = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        if going:
            outcome = self.episodes.step([row for i in going if (row := rows[i])], moves)
            rewards[going], terminated[going] = outcome.rewards, outcome.done
            for i, episode in zip(going, outcome.episodes, strict=True):
                self._rows[i] = episode
        self._begin([int(i) for i in np.flatnonzero(old)])
        truncated = np.array([self._is_late(i) for i in range(self.num_envs)]) & ~old
        self._ended = terminated | truncated
        infos: dict[str, Any] = {}
        if self.autoreset_mode is AutoresetMode.SAME_STEP and self._ended.any():
            ended = [int(i) for i in np.flatnonzero(self._ended)]
            for i in ended:
                last = self._row(i)
                final = {"final_obs": self.episodes.observation(last), "final_info": self.episodes.info(last)}
                infos = self._add_info(infos, final, i)
            self._begin(ended)
        return self._observations(), rewards, terminated, truncated, self._infos(infos, range(self.num_envs))

    def render(self) -> tuple[Frame, ...] | None:
        """The frames of all rows, for "rgb_array"."""
        if self.render_mode is None:
            return None
        return tuple(np.array(self._row(i).state.frame) for i in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Closes what was loaded here."""
        self._opened.close()

    def _begin(self, rows: Sequence[int], options: dict[str, Any] | None = None) -> None:
        if rows:
            new = self.episodes.begin([self.scenes[i] for i in rows], [self._rngs[i] for i in rows], options)
            for i, episode in zip(rows, new, strict=True):
                self._rows[i] = episode
            self._ended[list(rows)] = False

    def _row(self, i: int) -> Episode:
        row = self._rows[i]
        if row is None:
            raise gymnasium.error.ResetNeeded("call reset first")
        return row

    def _is_late(self, i: int) -> bool:
        return self.max_episode_steps is not None and self._row(i).state.step >= self.max_episode_steps

    def _observations(self) -> Any:
        seen = [self.episodes.observation(self._row(i)) for i in range(self.num_envs)]
        empty = create_empty_array(self.single_observation_space, self.num_envs)
        return concatenate(self.single_observation_space, seen, empty)

    def _infos(self, infos: dict[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        for i in rows:
            infos = self._add_info(infos, self.episodes.info(self._row(i)), i)
        return infos


class WalkVectorEnv(WorldVectorEnv):
    """Many walks: `world.env.BagelWorldEnv` in rows. rows: the fields of `Rows`."""

    def __init__(
        self,
        num_envs: int = 1,
        model: str | WorldModel = "tiny",
        scene: str | Scene | Sequence[str | Scene] = "studio",
        action_type: ActionType = "discrete",
        sampler: SamplerConfig | None = None,
        **rows: Any,
    ) -> None:
        super().__init__(Rows(num_envs, **rows), model, scene, lambda opened: Walks(opened, action_type), sampler)


class TaskVectorEnv(WorldVectorEnv):
    """Many episodes of a task: `world.task_env.TaskEnv` in rows.

    max_episode_steps, autoreset_mode: as in `Rows`. settings: the fields of `world.tasks.TaskSettings`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        model: str | WorldModel = "tiny",
        scene: str | Scene | Sequence[str | Scene] = "gallery",
        max_episode_steps: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        rows = Rows(num_envs, max_episode_steps, autoreset_mode, settings.pop("render_mode", None))
        asked = settings_of(settings)
        super().__init__(rows, model, scene, lambda opened: Episodes(opened, asked))


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    by_name = {m.name: m for m in AutoresetMode} | {m.value: m for m in AutoresetMode}
    if isinstance(mode, str) and mode not in by_name:
        raise ValueError(f"autoreset_mode is one of {', '.join(m.name for m in AutoresetMode)}, got {mode!r}")
    return by_name[mode] if isinstance(mode, str) else mode


def _mask(mask: object, num_envs: int) -> NDArray[np.bool_]:
    if mask is None:
        return np.ones(num_envs, bool)
    if not isinstance(mask, np.ndarray) or mask.shape != (num_envs,) or mask.dtype != np.bool_ or not mask.any():
        raise ValueError(f"reset_mask is a bool array [{num_envs}] with at least one True, got {mask!r}")
    return mask


def _shared(what: str, spaces: dict[str, Any]) -> Any:
    (first, space), *others = spaces.items()
    for name, other in others:
        if other != space:
            raise ValueError(f"rows in {first} and {name} differ in their {what} ({space} and {other}): choose alike")
    return space
