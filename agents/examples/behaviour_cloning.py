"""Behaviour cloning from a dataset of `python -m agents rollout` or `convert`: a small network that acts as its author.

python -m agents rollout --agent script --script "left*2 forward*2 back" --model sim --steps 5 --out out/data
MINARI_DATASETS_PATH=out/data python agents/examples/behaviour_cloning.py studio-script-sim-v0

Whole episodes are held out. Prints one line of JSON: how often the network names the author's action, on episodes that
it learned from and on others, beside always naming the commonest action.
"""

from __future__ import annotations

import json
import sys

import minari
import torch
from gymnasium import spaces
from torch import Tensor, nn


def policy(num_actions: int) -> nn.Module:
    """From a frame [B, 3, 32, 32] in [0, 1] to the logits of the actions [B, A]."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.LazyLinear(64),
        nn.ReLU(),
        nn.Linear(64, num_actions),
    )


def examples(episodes: list[minari.EpisodeData]) -> tuple[Tensor, Tensor]:
    """What was seen and what was done then: frames [N, 3, 32, 32], actions [N]."""
    frames = torch.cat([torch.from_numpy(e.observations[:-1]) for e in episodes]).permute(0, 3, 1, 2).float() / 255
    actions = torch.cat([torch.from_numpy(e.actions) for e in episodes])
    return nn.functional.interpolate(frames, (32, 32), mode="area"), actions


def main(name: str, epochs: int = 300) -> None:
    dataset = minari.load_dataset(name)
    space = dataset.action_space
    if not isinstance(space, spaces.Discrete) or dataset.total_episodes < 2:
        sys.exit("cloning wants at least two episodes of numbered actions")
    episodes = list(dataset.iterate_episodes())
    held_out = max(1, len(episodes) // 4)
    frames, actions = examples(episodes[held_out:])
    new_frames, new_actions = examples(episodes[:held_out])
    torch.manual_seed(0)
    network = policy(int(space.n))
    network(frames[:1])  # the lazy layer learns its size
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for _ in range(epochs):
        loss = nn.functional.cross_entropy(network(frames), actions)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        learned = (network(frames).argmax(1) == actions).float().mean().item()
        new = (network(new_frames).argmax(1) == new_actions).float().mean().item()
    commonest = (new_actions == actions.mode().values).float().mean().item()
    print(json.dumps({"learned from": learned, "held out": new, "commonest action": commonest}))


if __name__ == "__main__":
    main(sys.argv[1])
