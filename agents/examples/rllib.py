"""RLlib's PPO on the batched environment: each of its runners steps all its rows as one batch of the model.

RLlib pins Gymnasium, so give it an environment of its own: pip install "ray[rllib]" -e ".[sim]" in a fresh one. Then,
from the repository:

python agents/examples/rllib.py --model tiny --rows 16 --iterations 20

Prints a line of JSON after each iteration.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import gymnasium
import numpy as np
import ray
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.wrappers.vector import TransformObservation
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.tune.registry import register_env

TASK, SIDE = "BagelWorld/ReachGoal-v0", 32


def make(settings: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
    """The batched task, its two pictures as one of SIDE x SIDE pixels and six channels in [-1, 1]."""
    import world  # noqa: F401 (registers the environments, in each of RLlib's processes)

    task = gymnasium.make_vec(TASK, vectorization_mode="vector_entry_point", **{"num_envs": 1, **settings})
    box = spaces.Box(-1.0, 1.0, (SIDE, SIDE, 6), np.float32)
    return TransformObservation(task, beside, spaces.Box(-1.0, 1.0, (task.num_envs, *box.shape), np.float32), box)


def beside(seen: dict[str, np.ndarray]) -> np.ndarray:
    """What is seen and what is wanted, uint8 [B, H, W, 3] each, as float32 [B, SIDE, SIDE, 6]."""
    both = np.concatenate((seen["frame"], seen["goal"]), axis=-1).astype(np.float32) / 127.5 - 1
    step = both.shape[1] // SIDE
    return both.reshape(len(both), SIDE, step, SIDE, step, 6).mean(axis=(2, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--scene", default="gallery")
    parser.add_argument("--rows", type=int, default=16, help="of each runner")
    parser.add_argument("--runners", type=int, default=0, help="processes; 0: this one")
    parser.add_argument("--steps", type=int, default=512, help="of all rows, in an iteration")
    parser.add_argument("--iterations", type=int, default=20)
    args = parser.parse_args()
    register_env("bagel-world", make)
    task = {"judged_by": "pose", "places": "free", "max_episode_steps": 16}
    config = (
        PPOConfig()
        .environment("bagel-world", env_config={"model": args.model, "scene": args.scene, **task})
        .env_runners(
            num_env_runners=args.runners,
            num_envs_per_env_runner=args.rows,
            gym_env_vectorize_mode="vector_entry_point",
        )
        .rl_module(model_config=DefaultModelConfig(conv_filters=[(32, 4, 2), (64, 4, 2), (64, 4, 2)]))
        .training(
            gamma=0.9,
            lambda_=0.8,
            lr=5e-4,
            train_batch_size_per_learner=args.steps,
            minibatch_size=min(128, args.steps),
            num_epochs=4,
        )
    )
    ray.init(include_dashboard=False)
    algorithm = config.build_algo()
    for _ in range(args.iterations):
        told = algorithm.train()
        runners = told["env_runners"]
        print(
            json.dumps(
                {
                    "steps": told["num_env_steps_sampled_lifetime"],
                    "return": runners.get("episode_return_mean"),
                    "length": runners.get("episode_len_mean"),
                }
            )
        )
    algorithm.stop()
    ray.shutdown()


if __name__ == "__main__":
    main()
