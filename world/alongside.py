"""The truth beside a walk without a window: what is really seen under the same steps, how near the dream is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from world.plan import Plan
from world.recording import resized
from world.surroundings import Likeness
from world.types import Frame, State, TrueWorld


@dataclass(frozen=True)
class Alongside:
    """One entry for each step of a plan."""

    frames: tuple[Frame, ...]  # uint8 [H, 2 W, 3]: the dream at the left, the truth at the right
    near: tuple[Likeness, ...]

    def told(self, branch: Sequence[int]) -> str:
        """How far the dream drifted along the steps of a branch, for a person."""
        first, last = self.near[branch[0]], self.near[branch[-1]]
        return f"{last.psnr:.1f} dB and SSIM {last.ssim:.2f} from the truth, {first.psnr:.1f} dB at step {branch[0]}"


def alongside(
    world: TrueWorld, likeness: Callable[[Frame, Frame], Likeness], plan: Plan, states: Sequence[State]
) -> Alongside:
    """`states[i]` was dreamt at step i. Raises what the simulator raises."""
    true: list[State] = []
    frames, near = [], []
    for step, state in zip(plan.steps, states, strict=True):
        if not true:
            [frame] = world.view(state.scene, [state.pose])
            true.append(replace(state, frames=(frame,)))
        elif step.action is None:
            true.append(true[step.parent])
        else:
            true += world.step([true[step.parent]], [step.action])
        height, width = state.frame.shape[:2]
        seen = resized(true[-1].frame, (width, height))
        frames.append(np.concatenate([state.frame, seen], axis=1))
        near.append(likeness(state.frame, seen))
    return Alongside(tuple(frames), tuple(near))
