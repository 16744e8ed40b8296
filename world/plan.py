"""What a script means: a tree of steps, so that branches of equal length are walked as one batch.

Step 0 is the start. Every other step follows its parent by an action, or holds the picture of its parent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from world.types import Action, Pose

START = "start"  # the name of step 0


@dataclass(frozen=True)
class Step:
    """One step: `action` is None where the picture is held and the model is not asked."""

    parent: int
    action: Action | None


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they were written, parents first; `steps[0]` is the start (its own parent).

    `end` is the last step of the main line, which is what remains when all forks are left out.
    Raises ValueError where the tree is none, or a checkpoint is nowhere.
    """

    steps: tuple[Step, ...]
    end: int
    checkpoints: Mapping[str, int] = field(default_factory=dict)  # name -> step

    def __post_init__(self) -> None:
        if not self.steps or self.steps[0] != Step(0, None):
            raise ValueError("a plan begins with its start, Step(0, None)")
        for i, step in enumerate(self.steps[1:], 1):
            if not 0 <= step.parent < i:
                raise ValueError(f"step {i} follows step {step.parent}, which is not before it")
        for name, i in {"the end": self.end, **self.checkpoints}.items():
            if not 0 <= i < len(self.steps):
                raise ValueError(f"{name} is step {i}, but the last step is {len(self.steps) - 1}")

    def levels(self) -> list[dict[int, Action]]:
        """The steps that ask the model and their actions, by how many were asked before them: each is one batch."""
        depth = [0] * len(self.steps)
        found: list[dict[int, Action]] = []
        for i, step in enumerate(self.steps[1:], 1):
            depth[i] = depth[step.parent] + (step.action is not None)
            if step.action is not None:
                if depth[i] > len(found):
                    found.append({})
                found[depth[i] - 1][i] = step.action
        return found

    def picture(self, i: int) -> int:
        """The step whose picture is seen at step `i`: its own, or that of the step that is held."""
        while i and self.steps[i].action is None:
            i = self.steps[i].parent
        return i

    def line(self, i: int) -> list[int]:
        """The steps from the start to step `i`, both included."""
        found = [i]
        while found[-1]:
            found.append(self.steps[found[-1]].parent)
        return found[::-1]

    def branches(self) -> list[list[int]]:
        """The main line from the start, then for each other end the steps that lead from a known step to it."""
        parents = {step.parent for step in self.steps[1:]}
        ends = [self.end, *(i for i in range(len(self.steps)) if i not in parents and i != self.end)]
        seen: set[int] = set()
        found = []
        for end in ends:
            line = [i for i in self.line(end) if i not in seen]
            if line:
                found.append(line)
            seen.update(line)
        return found

    def poses(self, start: Pose) -> list[Pose]:
        """Where each step is when nothing stands in the way."""
        found = [start]
        for step in self.steps[1:]:
            pose = found[step.parent]
            found.append(pose if step.action is None else pose.moved(step.action))
        return found

    def names(self) -> dict[int, str]:
        """The checkpoints by step; where a step has several, the first."""
        found: dict[int, str] = {0: START}
        for name, i in self.checkpoints.items():
            found.setdefault(i, name)
        return found
