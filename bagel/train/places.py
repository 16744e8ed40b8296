"""What a place looks like, told in words alone: no picture comes before.

A walk's own past nearly tells its next picture, so that words which say where one stands are not believed; here they
are all there is. B pictures, N tokens a picture, C numbers a token, W rows a text.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bagel.model import Bagel
from bagel.train.questions import seeing
from bagel.transformer import rotary


class Telling:
    """Velocities of pictures [text][noised], as the sampler has them after a text."""

    def __init__(self, model: Bagel, image_markers: tuple[int, int], grid: Tensor) -> None:
        """grid: int [N], the places of the tokens in the model's table."""
        self.model, self.grid = model, grid
        self.marks = torch.tensor(image_markers, device=grid.device)

    def loss(self, pictures: Tensor, t: Tensor, ids: Tensor, lengths: Tensor, weight: Tensor) -> Tensor:
        """The mean squared error of the velocity towards pictures [B, N, C]; weight [B], the others as for it."""
        eps = torch.randn_like(pictures)
        velocity = self.velocity(pictures.lerp(eps, t[:, None, None]), t, ids, lengths)
        error = (velocity - (eps - pictures)).square().mean((1, 2))
        return (error * weight).sum() / weight.sum().clamp(min=1)

    def velocity(self, noised: Tensor, t: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Of `noised` [B, N, C] at times t [B] after texts ids [B, W] of `lengths` [B] rows, float32 [B, N, C]."""
        model, (b, words) = self.model, ids.shape
        gen = model.embed_latents(noised, t[:, None], self.grid)
        und = model.embed_ids(torch.cat((ids, self.marks.expand(b, -1)), 1))
        row = torch.arange(und.shape[1] + gen.shape[1], device=ids.device)
        after = row >= words  # the picture with its marks
        there = after | (row < lengths[:, None])  # [B, T]
        mask = ((row <= row[:, None]) | after[:, None]) & there[:, None] | torch.eye(
            len(row), dtype=torch.bool, device=ids.device
        )
        positions = torch.where(after, lengths[:, None], row)
        ropes = rotary(positions, und.shape[1], model.config.language, gen.dtype)
        attend = seeing(mask)
        for layer in model.transformer.layers:
            und, gen = layer(und, gen, ropes, attend)
        return model.llm2vae(model.transformer.norm_gen(gen)).float()
