"""A look at a model in training: it walks where held-out walks went, and is compared with them frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from bagel.train.autoencoder import psnr, sharpness
from bagel.train.data import ASKED, Walks
from bagel.train.dreams import walked
from bagel.train.questions import KINDS, Answering, Questions, present
from bagel.weights import Checkpoint
from bagel.world_model import BagelWorldModel
from world.recording import contact_sheet
from world.types import Frame

STEPS = 24  # of the model's own
SHOWN = 3  # every so many steps are on the sheet


def validate(model: BagelWorldModel, walks: Walks, sheet: Path) -> dict[str, float]:
    """PSNR (dB, mean over walks) of the next frame and of the frame after STEPS steps (or as many as the walks have),
    by scene and for all, and the sharpness of both (gradient energy over the truth's); and where it is known what is
    seen, the share of right answers, by kind of question and for all.

    Writes a sheet, truth above dream, of the first walk of each scene.
    """
    steps = min(STEPS, walks.actions.shape[1])
    dreams = [[state.frame for state in row] for row in walked(model, walks, steps)]
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


def _answers(checkpoint: Checkpoint, walks: Walks, known: NDArray[np.float32]) -> dict[str, float]:
    """Shares of right answers to questions about the walks' pictures."""
    model, device = checkpoint.model, str(checkpoint.model.device)
    questions = Questions(checkpoint.tokenizer, walks.names, present(known, walks.scenes, device))
    pictures = torch.from_numpy(np.array(walks.frames[:, ::ASKED])).to(device).flatten(0, 1)
    sights = torch.from_numpy(np.array(known)).to(device).flatten(0, 1)
    scenes = torch.from_numpy(walks.scenes).to(device).repeat_interleave(known.shape[1])
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):  # training draws on as before
        torch.manual_seed(0)
        asked = questions.draw(sights, scenes)
    right = Answering(model, checkpoint.tokenizer).right(pictures, asked)
    clear = asked.weight > 0
    kinds = {f"right {k}": right[clear & (asked.kind == i)].float().mean().item() for i, k in enumerate(KINDS)}
    return kinds | {"right": right[clear].float().mean().item()}
