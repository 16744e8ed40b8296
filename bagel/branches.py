"""Guidance parallelism: each of several processes evaluates some branches of guidance, and all learn all velocities.

C branches, B pictures, N latent tokens, P numbers of a token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Team:
    """Team member `rank` of `count`, each with a whole model or a share of one; `group` None means all processes."""

    rank: int
    count: int
    group: dist.ProcessGroup | None = None

    def mine(self, num_branches: int) -> range:
        """The branches of this process: neighbours, and none where there are more processes than branches."""
        first, behind = (-(-num_branches * i // self.count) for i in (self.rank, self.rank + 1))
        return range(first, behind)

    def gather(self, v: Tensor, mine: range, num_branches: int) -> Tensor:
        """Velocity [C, B, N, P] of all branches from this process's own: a sum in which every other one is zero."""
        whole = v.new_zeros(num_branches, *v.shape[1:])
        whole[mine.start : mine.stop] = v
        dist.all_reduce(whole, group=self.group)
        return whole
