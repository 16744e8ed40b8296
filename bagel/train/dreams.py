"""A model's own walks beside true ones: it starts where they start, and does what they do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from bagel.train.data import Walks
from bagel.vae import unpatchify
from bagel.world_model import MEMO, BagelWorldModel
from world.types import Action, Pose, Scene, Start, State, vocabulary, wrap
from world.words import understand


@dataclass(frozen=True)
class Dreams:
    """D pictures as a model dreamt them, scaled latents float16 [D, C, h, w], and as they are, uint8 [D, H, W, 3]."""

    latents: Tensor
    frames: Tensor

    def to(self, device: str) -> Dreams:
        return Dreams(self.latents.to(device), self.frames.to(device))


def dreams(model: BagelWorldModel, walks: Walks, most: int) -> Dreams:
    """What `model` dreams along the first `most` walks (or as many as there are), on the CPU."""
    some = slice(0, most)
    steps = walks.actions.shape[1]
    p = model.checkpoint.config.latent_patch_size
    tokens = np.stack([[state.memory[-1] for state in row[1:]] for row in walked(model, walks, steps, some)])
    side = round(tokens.shape[2] ** 0.5)
    latents = unpatchify(torch.from_numpy(tokens).flatten(0, 1), side, side, p)
    return Dreams(latents, torch.from_numpy(np.array(walks.frames[some, 1:])).flatten(0, 1))


def walked(model: BagelWorldModel, walks: Walks, steps: int, some: slice = slice(None)) -> list[list[State]]:
    """The states of each walk of `some`, its first among them; as many at a time as the model remembers."""
    states, moves = _starts(walks, some), _moves(walks, some)
    done: list[list[State]] = []
    for i in range(0, len(states), MEMO):
        now = states[i : i + MEMO]
        rows = [[state] for state in now]
        for t in range(steps):
            now = model.step(now, [row[t] for row in moves[i : i + MEMO]])
            for row, state in zip(rows, now, strict=True):
                row.append(state)
        done += rows
    return done


def _starts(walks: Walks, some: slice) -> list[State]:
    first, scenes = walks.frames[some, 0], walks.scenes[some]
    poses = [Pose()] * len(first) if walks.poses is None else [Pose(*p) for p in walks.poses[some, 0].tolist()]
    starts = ["start"] * len(first) if walks.starts is None else walks.starts[some].tolist()
    things = [""] * len(first) if walks.things is None else walks.things[some].tolist()
    states = []
    for i, (frame, start, pose, thing) in enumerate(zip(first, starts, poses, things, strict=True)):
        actions, name = vocabulary() if thing else (), walks.names[scenes[i]]
        scene = Scene(name, "", (Start(start, pose, frame),), actions, simulated=walks.poses is not None)
        states.append(State(scene, (frame,), (), pose, i))
    return states


def _moves(walks: Walks, some: slice) -> Sequence[Sequence[Action]]:
    table = [understand(words[0], vocabulary()) for words in walks.wordings]
    moves = [[table[a] for a in row] for row in walks.actions[some]]
    if walks.poses is None or walks.aims is None:
        return moves
    # a scene's own steps may be longer than the usual ones
    before, after = ([[Pose(*pose) for pose in row] for row in a[some].tolist()] for a in (walks.poses, walks.aims))
    return [list(map(leading, *walk)) for walk in zip(moves, before, after, strict=True)]


def leading(action: Action, pose: Pose, aim: Pose) -> Action:
    """`action` with the numbers that lead from `pose` to `aim`, to a thousandth of a meter or degree."""
    c, s = math.cos(math.radians(pose.yaw)), math.sin(math.radians(pose.yaw))
    x, y = aim.x - pose.x, aim.y - pose.y
    numbers = {
        "forward": c * x + s * y,
        "left": c * y - s * x,
        "yaw": wrap(aim.yaw - pose.yaw),
        "pitch": aim.pitch - pose.pitch,
        "object_yaw": wrap(aim.object_yaw - pose.object_yaw),
    }
    return replace(action, **{name: round(number, 3) for name, number in numbers.items()})
