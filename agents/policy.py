"""A policy that looks at two pictures, what is seen and what is wanted, and its checkpoint: one safetensors file.

B rows, H and W pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from stable_baselines3 import PPO
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from agents.base import Choice, frame_of
from agents.recipe import Recipe, numbers_of
from world import TASK_IDS
from world.errors import ModelError
from world.files import atomic_path
from world.types import Frame, Scene

_SIDE = 32  # pixels to which pictures are averaged: enough to tell places apart, and blind to a dream's fine print
_WIDTH = 256
_ADAM = ("step", "exp_avg", "exp_avg_sq")


class TwoPictures(BaseFeaturesExtractor):
    """A small convolutional network over frame, goal, and their difference, stacked."""

    def __init__(self, observation_space: spaces.Dict) -> None:
        super().__init__(observation_space, _WIDTH)
        layers: list[nn.Module] = []
        channels = 9
        for width in (32, 64, 64):  # 32 pixels to 4
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.ReLU()]
            channels = width
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * 16, _WIDTH), nn.ReLU())

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        frame, goal = (nn.functional.adaptive_avg_pool2d(observations[name], _SIDE) for name in ("frame", "goal"))
        return self.net(torch.cat((frame, goal, frame - goal), dim=1))  # [B, 9, 32, 32] -> [B, D]


POLICY_KWARGS: dict[str, Any] = {"features_extractor_class": TwoPictures, "net_arch": [64]}


class PolicyAgent:
    """Acts in `BagelWorld/<task>-v0` as the checkpoint learnt to; greedy."""

    def __init__(self, path: str | Path, scene: Scene, device: str | None = None) -> None:
        """Raises ModelError where there is no such checkpoint, ValueError where the scene lacks one of its moves."""
        self.recipe, shape, tensors, _ = read_checkpoint(path)
        box = spaces.Box(0, 255, (shape[2], *shape[:2]), np.uint8)  # stable-baselines3 keeps channels first
        space = spaces.Dict({"frame": box, "goal": box})
        actions = spaces.Discrete(len(self.recipe.moves))
        self.policy = MultiInputActorCriticPolicy(space, actions, lambda _: 0.0, **POLICY_KWARGS)
        _fill(self.policy, _below(tensors, "policy."), path)
        self.policy.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).set_training_mode(False)
        self._numbers = numbers_of(self.recipe.moves, scene)

    def act(self, observation: Any, info: dict[str, Any]) -> Choice:
        """The number of the next action, from the frame and the goal (which Explore has not). Raises ValueError where
        the environment shows no goal."""
        task = self.recipe.task
        if task == "Explore":
            frame = frame_of(observation)
            observation = {"frame": frame, "goal": np.zeros_like(frame)}
        if not isinstance(observation, Mapping) or "goal" not in observation:
            raise ValueError(f"this policy learnt {task}, and here no goal is shown: use --env {TASK_IDS[task]}")
        return int(self.act_all([observation])[0])

    def act_all(self, observations: Sequence[Mapping[str, Frame]]) -> NDArray[np.int64]:
        """The numbers of the next actions of many rows at once."""
        stacked = {name: np.stack([seen[name] for seen in observations]) for name in ("frame", "goal")}
        channels_first = {name: rows.transpose(0, 3, 1, 2) for name, rows in stacked.items()}
        chosen, _ = self.policy.predict(channels_first, deterministic=True)
        return self._numbers[chosen]


def save_checkpoint(path: Path, ppo: PPO, recipe: Recipe) -> None:
    """Writes policy, optimizer and count of steps; the file appears whole or not at all."""
    tensors = {f"policy.{name}": value.contiguous() for name, value in ppo.policy.named_parameters()}
    for number, moments in ppo.policy.optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": moments[name].contiguous() for name in _ADAM}
    shape = ppo.observation_space["frame"].shape  # pyright: ignore[reportIndexIssue, reportOptionalMemberAccess]
    told = {"recipe": asdict(recipe), "frame": [*shape[1:], shape[0]], "num_timesteps": ppo.num_timesteps}
    with atomic_path(path) as partial:
        save_file({k: v.cpu() for k, v in tensors.items()}, partial, {"bagel-world": json.dumps(told)})


def load_into(ppo: PPO, path: Path) -> None:
    """Goes on from a checkpoint: weights, optimizer, count of steps."""
    _, _, tensors, num_timesteps = read_checkpoint(path)
    _fill(ppo.policy, _below(tensors, "policy."), path)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "adam.").items():
        number, _, moment = name.partition(".")
        state.setdefault(int(number), {})[moment] = value
    groups = ppo.policy.optimizer.state_dict()["param_groups"]
    ppo.policy.optimizer.load_state_dict({"state": state, "param_groups": groups})
    ppo.num_timesteps = num_timesteps


def read_checkpoint(path: str | Path) -> tuple[Recipe, tuple[int, ...], dict[str, Tensor], int]:
    """Recipe, frame's shape [H, W, 3], tensors and count of steps. Raises ModelError where the file is none of ours."""
    try:
        with safe_open(str(path), "pt") as file:
            told = json.loads((file.metadata() or {})["bagel-world"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return Recipe(**told["recipe"]), tuple(told["frame"]), tensors, int(told["num_timesteps"])
    except FileNotFoundError:
        raise ModelError(f"no policy at {str(path)!r}: give the policy.safetensors that agents train wrote") from None
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is not a policy of agents train ({error}): give its policy.safetensors") from None


def _fill(policy: nn.Module, tensors: Mapping[str, Tensor], path: str | Path) -> None:
    """Copies the parameters, each of which stands in the file once (two heads share the network)."""
    parameters = dict(policy.named_parameters())
    wrong = [name for name in parameters.keys() | tensors.keys() if _shape(parameters, name) != _shape(tensors, name)]
    if wrong:
        raise ModelError(f"{path} holds another network ({sorted(wrong)[0]} differs): train the policy anew")
    policy.load_state_dict(dict(tensors), strict=False)


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
