"""Learning in a world: stable-baselines3's PPO on the batched environment, in a dream as in the simulator.

A folder holds policy.safetensors (the newest), curve.ndjson (how well it did between updates) and, where TensorBoard
is installed, its files.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from agents.policy import POLICY_KWARGS, load_into, read_checkpoint, save_checkpoint
from agents.recipe import Recipe
from agents.sb3 import WorldVecEnv
from world import models
from world.files import atomic_write_text
from world.types import WorldModel
from world.vector_env import TaskVectorEnv

POLICY, CURVE = "policy.safetensors", "curve.ndjson"


@dataclass(frozen=True)
class Point:
    """How the episodes that ended between two updates went."""

    steps: int  # of all rows together, so far
    success: float  # share that reached the goal by the poses (in a dream: dead-reckoned)
    reward: float  # of an episode, mean
    length: float  # steps, mean


Watch = Callable[[Point], None]


def train(
    recipe: Recipe,
    out: Path,
    steps: int,
    watch: Watch | None = None,
    model: WorldModel | None = None,
    until: float = math.inf,
) -> int:
    """Trains until `steps` of all rows together have been made, or `time.time()` is `until`; how many the policy in
    `out` has learnt from.

    Goes on where `out` holds an unfinished run of the same recipe. A given `model` stays open. Raises ValueError where
    `out` holds a run of another recipe, WorldError where the world cannot be had.
    """
    path = out / POLICY
    done = _steps_done(path, recipe)
    if done >= steps or time.time() >= until:
        return done
    world = model or models.load(recipe.model)
    env = _environment(recipe, world)
    try:
        ppo = PPO(
            "MultiInputPolicy",
            env,
            learning_rate=recipe.learning_rate,
            n_steps=recipe.num_steps,
            batch_size=min(recipe.batch_size, recipe.num_envs * recipe.num_steps),
            n_epochs=recipe.num_epochs,
            gamma=recipe.gamma,
            gae_lambda=recipe.gae_lambda,
            ent_coef=recipe.entropy,
            policy_kwargs=POLICY_KWARGS,
            seed=recipe.seed + done,
        )
        if done:
            load_into(ppo, path)
        out.mkdir(parents=True, exist_ok=True)
        ppo.set_logger(configure(str(out), ["tensorboard"] if find_spec("tensorboard") else []))
        points = [point for point in read_curve(out) if point.steps <= done]
        keeper = _Keeper(recipe, out, points, watch, until)
        ppo.learn(steps - done, callback=keeper, reset_num_timesteps=False)
        if ppo.num_timesteps >= steps:
            keeper.keep()  # what the last update taught
    finally:
        env.close()
        if model is None:
            world.close()
    return _steps_done(path, recipe)


def read_curve(out: Path) -> list[Point]:
    """What was written between updates; nothing where there is no run."""
    path = out / CURVE
    return [Point(**json.loads(line)) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def _environment(recipe: Recipe, world: WorldModel) -> WorldVecEnv:
    env = TaskVectorEnv(
        recipe.num_envs, world, recipe.scene, recipe.max_episode_steps, "SAME_STEP", **asdict(recipe.settings())
    )
    return WorldVecEnv(env, recipe.moves)


def _steps_done(path: Path, recipe: Recipe) -> int:
    if not path.is_file():
        return 0
    other, _, _, done = read_checkpoint(path)
    if other != recipe:
        differ = [name for name, value in asdict(recipe).items() if getattr(other, name) != value]
        raise ValueError(f"{path.parent} holds a run with another {', '.join(differ)}: give another --out")
    return done


class _Keeper(BaseCallback):
    """Writes the curve and the policy after every collection of steps, and tells whoever watches."""

    def __init__(
        self, recipe: Recipe, out: Path, points: Sequence[Point], watch: Watch | None, until: float = math.inf
    ) -> None:
        super().__init__()
        self._recipe, self._out, self._points, self._watch, self._until = recipe, out, list(points), watch, until
        self._ended: list[dict[str, float]] = []

    def keep(self) -> None:
        """Writes the policy as it is now."""
        assert isinstance(self.model, PPO)
        save_checkpoint(self._out / POLICY, self.model, self._recipe)

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._ended.append({**info["episode"], "success": float(info["is_success"])})
        return time.time() < self._until  # what was collected since the last update is lost

    def _on_rollout_start(self) -> None:
        if self._points:  # the last update belongs to the point before
            self.keep()

    def _on_rollout_end(self) -> None:
        def mean(name: str) -> float:
            return float(np.mean([ended[name] for ended in self._ended])) if self._ended else 0.0

        point = Point(self.num_timesteps, mean("success"), mean("r"), mean("l"))
        self._ended.clear()
        self._points.append(point)
        for name in ("success", "reward", "length"):
            self.logger.record(f"episodes/{name}", getattr(point, name))
        lines = [json.dumps(asdict(p)) for p in self._points]
        atomic_write_text(self._out / CURVE, "\n".join(lines) + "\n")
        if self._watch is not None:
            self._watch(point)
