"""Data parallel training: each process has a card, walks and noise of its own, and all take their gradients' mean.

PyTorch's launcher starts them: `torchrun --nproc-per-node 4 -m bagel train world ...`. The first process logs, saves
and measures; a process alone is the same with nobody to ask.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Team:
    """This process's place among those that train one model."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    @torch.no_grad()
    def average_(self, gradients: Sequence[Tensor]) -> None:
        """Makes each tensor its mean over the processes, in one message that a CUDA graph can hold."""
        if self.size == 1:
            return
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        means = (flat / self.size).split([g.numel() for g in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def agree(self, value: float) -> float:
        """The first process's number, in all of them."""
        if self.size == 1:
            return value
        number = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(number, 0)
        return number.item()


@contextmanager
def joined() -> Iterator[Team]:
    """The team that PyTorch's launcher started this process for, a card each where there are cards; else alone."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Team()
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend)
    yield Team(dist.get_rank(), dist.get_world_size())
    # Not after an error: NCCL would wait for graphs that the error's traceback keeps. The launcher ends the others.
    dist.destroy_process_group()
