"""The batched environment as stable-baselines3 wants it: rows begin anew at once, and their last view is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from agents.recipe import numbers_of
from world.vector_env import TaskVectorEnv


class WorldVecEnv(VecEnv):
    """A VecEnv over a `TaskVectorEnv` in SAME_STEP mode, which it owns: `close` closes both.

    `moves` are the names of the actions that a policy may choose, in the order of its numbers; empty leaves the
    environment's own space. Infos hold what that environment tells of its rows, and "terminal_observation",
    "TimeLimit.truncated", "episode" (r: return, l: steps) and "is_success" (by the poses) where an episode ended;
    what it tells of the one that began there is in `reset_infos`.
    Raises ValueError where the environment is in another mode, or has no such move.
    """

    def __init__(self, env: TaskVectorEnv, moves: Sequence[str] = ()) -> None:
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"stable-baselines3 needs autoreset_mode SAME_STEP, got {env.autoreset_mode.name}")
        self.env = env
        self.render_mode = env.render_mode
        self._numbers = numbers_of(moves, env.scenes[0]) if moves else None
        actions = spaces.Discrete(len(moves)) if moves else env.single_action_space
        self._choices: Any = None
        self._returns, self._lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, int)
        super().__init__(env.num_envs, env.single_observation_space, actions)

    def reset(self) -> Any:
        """Begins an episode in every row, with the seed of the last `seed` and the options of the last `set_options`.

        Raises ValueError where rows were given options of their own.
        """
        options = self._options[0]
        if any(self._options) and any(other is not options for other in self._options):
            raise ValueError("rows share one environment: give set_options one dict for all of them")
        self._returns[:], self._lengths[:] = 0.0, 0
        observations, told = self.env.reset(seed=self._seeds[0], options=options)
        self.reset_infos = [_row(told, i) for i in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray[Any]) -> None:
        self._choices = actions if self._numbers is None else self._numbers[actions]

    def step_wait(self) -> tuple[Any, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, told = self.env.step(self._choices)
        done = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        ended = {name: told.pop(name) for name in ("final_obs", "final_info") if name in told}
        infos = [_row(told, i) for i in range(self.num_envs)]
        for i in np.flatnonzero(done):
            final, self.reset_infos[i] = _row(ended["final_info"], int(i)), infos[i]
            infos[i] = {
                **final,
                "terminal_observation": ended["final_obs"][i],
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i])},
                "is_success": bool(final.get("reached", False)),
            }
        self._returns[done], self._lengths[done] = 0.0, 0
        return observations, rewards.astype(np.float32), done, infos

    def close(self) -> None:
        self.env.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        return self.env.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        raise ValueError(f"rows share one environment: {attr_name} cannot be set for some of them")

    def env_method(
        self, method_name: str, *method_args: Any, indices: int | Iterable[int] | None = None, **method_kwargs: Any
    ) -> list[Any]:
        raise ValueError(f"rows share one environment: call {method_name} on .env")

    def env_is_wrapped(self, wrapper_class: type, indices: int | Iterable[int] | None = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))


def _row(infos: dict[str, Any], i: int) -> dict[str, Any]:
    """What a vector environment told of row i."""
    return {
        name: _row(value, i) if isinstance(value, dict) else value[i]
        for name, value in infos.items()
        if not name.startswith("_") and infos.get(f"_{name}", np.ones(i + 1, bool))[i]
    }
