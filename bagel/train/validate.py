"""A look at a model in training: it walks where held-out walks went, and is compared with them frame by frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bagel.train.autoencoder import psnr, sharpness
from bagel.train.data import Walks
from bagel.train.questions import KINDS, Answering, Questions, present
from bagel.weights import Checkpoint
from bagel.world_model import BagelWorldModel
from world.recording import contact_sheet
from world.types import Action, Frame, Pose, Scene, Start, State, vocabulary, wrap
from world.words import understand

STEPS = 24  # of the model's own
SHOWN = 3  # every so many steps are on the sheet


def validate(model: BagelWorldModel, walks: Walks, sheet: Path) -> dict[str, float]:
    """PSNR (dB, mean over walks) of the next frame and of the frame after STEPS steps (or as many as the walks have),
    by scene and for all, and the sharpness of both (gradient energy over the truth's); and where it is known what is
    seen, the share of right answers, by kind of question and for all.

    Writes a sheet, truth above dream, of the first walk of each scene.
    """
    steps = min(STEPS, walks.actions.shape[1])
    table = [understand(words[0], vocabulary()) for words in walks.wordings]
    moves = [[table[a] for a in row] for row in walks.actions]
    if walks.poses is not None and walks.aims is not None:  # a scene's own steps may be longer than the usual ones
        before, after = ([[Pose(*pose) for pose in row] for row in a.tolist()] for a in (walks.poses, walks.aims))
        moves = [list(map(leading, *walk)) for walk in zip(moves, before, after, strict=True)]
    poses = [Pose()] * len(moves) if walks.poses is None else [Pose(*pose) for pose in walks.poses[:, 0].tolist()]
    starts = ["start"] * len(moves) if walks.starts is None else walks.starts.tolist()
    states = []
    for i, (start, pose) in enumerate(zip(starts, poses, strict=True)):
        frame, has_thing = walks.frames[i, 0], walks.things is not None and walks.things[i]
        scene = Scene(
            walks.names[walks.scenes[i]],
            "",
            (Start(start, pose, frame),),
            vocabulary() if has_thing else (),
            simulated=walks.poses is not None,
        )
        states.append(State(scene, (frame,), (), pose, i))
    dreams = _walked(model, states, moves, steps)
    figures: dict[str, float] = {}
    for t, name in ((1, "next"), (steps, f"after {steps}")):
        dreamt, true = np.stack([dream[t] for dream in dreams]), np.ascontiguousarray(walks.frames[:, t])
        quality = psnr(torch.from_numpy(dreamt), torch.from_numpy(true))
        by_scene = {s: quality[walks.scenes == i].mean().item() for i, s in enumerate(walks.names)}
        figures |= {f"{name} {scene}": value for scene, value in by_scene.items()}
        figures[name] = quality.mean().item()
        figures[f"sharpness {name}"] = sharpness(torch.from_numpy(dreamt), torch.from_numpy(true))
    if walks.sights is not None:
        figures |= _answers(model.checkpoint, walks, walks.sights)
    rows: list[Frame] = []
    for i in range(len(walks.names)):
        first = int(np.argmax(walks.scenes == i))
        rows += [*walks.frames[first, : steps + 1 : SHOWN], *dreams[first][::SHOWN]]
    Image.fromarray(contact_sheet(rows, columns=steps // SHOWN + 1)).save(sheet)
    return figures


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


def _walked(
    model: BagelWorldModel, states: Sequence[State], moves: Sequence[Sequence[Action]], steps: int
) -> list[list[Frame]]:
    """The frames of each walk, its first among them."""
    dreams = [[state.frame] for state in states]
    for t in range(steps):
        states = model.step(states, [row[t] for row in moves])
        for dream, state in zip(dreams, states, strict=True):
            dream.append(state.frame)
    return dreams


def _answers(checkpoint: Checkpoint, walks: Walks, known: NDArray[np.float32]) -> dict[str, float]:
    """Shares of right answers to questions about the walks' pictures."""
    model, device = checkpoint.model, str(checkpoint.model.device)
    questions = Questions(checkpoint.tokenizer, walks.names, present(known, walks.scenes, device))
    pictures = torch.from_numpy(np.array(walks.frames)).to(device).flatten(0, 1)
    sights = torch.from_numpy(np.array(known)).to(device).flatten(0, 1)
    scenes = torch.from_numpy(walks.scenes).to(device).repeat_interleave(walks.frames.shape[1])
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):  # training draws on as before
        torch.manual_seed(0)
        asked = questions.draw(sights, scenes)
    right = Answering(model, checkpoint.tokenizer).right(pictures, asked)
    clear = asked.weight > 0
    kinds = {f"right {k}": right[clear & (asked.kind == i)].float().mean().item() for i, k in enumerate(KINDS)}
    return kinds | {"right": right[clear].float().mean().item()}
