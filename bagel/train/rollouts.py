"""Rollouts: what a walk draws several steps on, each picture with the last ones for its past.

A window is drawn as a walk draws it: it begins with one picture, its past grows by what was drawn, and the times are
those of the preset. B windows, P predictions, N tokens a picture, C numbers a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]  # clean, noised [B, P, N, C], times [B, P] -> [B, P, N, C]


def rolled(velocity: Velocity, first: Tensor, noise: Tensor, times: Sequence[float]) -> Tensor:
    """The P pictures [B, P, N, C] that follow `first` [B, N, C], each from its own noise [B, P, N, C].

    times: from 1 (noise) to 0 (clean), as `bagel.sampler.schedule` has them.
    """
    past = torch.cat((first[:, None], torch.zeros_like(noise)), 1)
    for k in range(noise.shape[1]):
        picture = noise[:, k]
        for now, then in pairwise(times):
            noised = noise.clone()
            noised[:, k] = picture
            moving = velocity(past[:, :-1], noised, torch.full(noise.shape[:2], now, device=noise.device))
            picture = (picture + (then - now) * moving[:, k]).detach()
        past = torch.cat((past[:, : k + 1], picture[:, None], past[:, k + 2 :]), 1)
    return past[:, 1:]
