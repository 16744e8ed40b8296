"""A session walked again, step by step in the order in which it came about: so that the pictures can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from world.errors import WorldError
from world.recording import frame_digest, resized
from world.session import PLAIN, Session
from world.tuning import Twins
from world.types import Frame, Pose, State, WorldModel


@dataclass(frozen=True)
class Comparison:
    """How many of the pictures that were drawn again came out as recorded; those from elsewhere are not drawn."""

    num_drawn: int = 0
    num_equal: int = 0

    @property
    def matched(self) -> bool:
        return self.num_drawn == self.num_equal

    def with_frame(self, session: Session, i: int, frame: Frame) -> Comparison:
        """With the picture of step `i`, where the session recorded one."""
        if not session.digests or not session.digests[0][i] or session.made.get(i, PLAIN).given is not None:
            return self
        return Comparison(self.num_drawn + 1, self.num_equal + (frame_digest(frame) == session.digests[0][i]))

    def verdict(self, recorded_by: str, walked_by: str) -> str:
        """For a person, who must be told as well where it may come from; both are names of models."""
        if self.matched:
            return f"{self}: it matched" if self.num_drawn else str(self)
        why = f"recorded by {recorded_by}, walked by {walked_by}"
        if recorded_by == walked_by:
            why += ", which rounds differently on another machine, device or number of threads"
        return f"{self}: it did not match: {why}"

    def __str__(self) -> str:
        if not self.num_drawn:
            return "the session recorded no pictures to compare with"
        return f"{self.num_equal} of {self.num_drawn} pictures came out as recorded"


def again(model: WorldModel, session: Session) -> Iterator[State]:
    """The states of all steps of the first seed, parents first; exactly the calls of the model that made them.

    Raises WorldError where the session needs a sampler that the model cannot take.
    """
    plan, twins = session.plan, Twins(model)
    num_children = [0] * len(plan.steps)
    for step in plan.steps[1:]:
        num_children[step.parent] += 1
    states: dict[int, State] = {0: model.reset([session.scene], session.seeds[:1])[0]}  # that are still needed
    yield states[0]
    for i, step in enumerate(plan.steps[1:], 1):
        before, made = states[step.parent], session.made.get(i, PLAIN)
        if made.given is not None:
            state = given(before, made.given, made.pose or before.pose)
            state = replace(state, step=before.step + (step.action is not None))
        elif step.action is None:
            state = before
        else:
            batch = made.batch or (step.action,)
            if step.action not in batch:
                raise WorldError(f"step {i} is not among the actions that it was imagined with: the session is broken")
            after = twins.of(made.sampler).step([before] * len(batch), batch)
            state = after[batch.index(step.action)]
        states[i] = state
        num_children[step.parent] -= 1
        if not num_children[step.parent]:
            del states[step.parent]
        yield state


def given(state: State, frame: Frame, pose: Pose) -> State:
    """The state that goes on from a picture from elsewhere, fitted to the size of the state's own."""
    frame = resized(frame, (state.frame.shape[1], state.frame.shape[0]))
    return replace(state, frames=(frame,), actions=(), pose=pose, memory=(), places=(), origins=())
