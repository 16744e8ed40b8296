"""How a place comes about: one step, watched; and a session's steps, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from world.history import Node, node_of
from world.replay import Comparison, again, given
from world.session import PLAIN, Made, Session
from world.settings import SamplerConfig
from world.tuning import Twins
from world.types import Action, State
from world.watching import Accepted, Watch


@dataclass(frozen=True)
class Options:
    """What a person may choose beside the sampler's settings."""

    look_ahead: int = 0  # likely actions that are imagined while nothing is asked; 0 for off
    time_skip: int = 4  # steps of a move with Shift
    refine: bool = False  # few evaluations while keys are held, the last frame again with all of them


@dataclass(frozen=True)
class Request:
    """One step that is asked of a model."""

    state: State
    action: Action
    sampler: SamplerConfig | None  # None: as the model was opened

    def carried_out(self, twins: Twins, watch: Watch) -> tuple[State, Node]:
        """The state after it, and its place in the history. Raises what the model raises."""
        state, action = self.state, self.action
        try:
            [after] = watch.step(twins.of(self.sampler), [state], [action])
            return after, node_of(after, action, PLAIN if self.sampler is None else Made(self.sampler))
        except Accepted as accepted:
            after = replace(given(state, accepted.frame, state.pose.moved(action)), step=state.step + 1)
            return after, node_of(after, action, Made(given=after.frame, pose=after.pose))


class Reopening:
    """A session on its way back into a history; `places[i]` is the node that its step i became."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.comparison = Comparison()
        self.places: list[int] = []
        self._walk: Iterator[State] | None = None

    @property
    def done(self) -> bool:
        return len(self.places) == len(self.session.plan.steps)

    @property
    def parent(self) -> int:
        """The node that the next step follows; only after the first."""
        return self.places[self.session.plan.steps[len(self.places)].parent]

    def draw(self, twins: Twins) -> State:
        """The state of the next step."""
        if self._walk is None:
            self._walk = again(twins.model, self.session)
        return next(self._walk)

    def node(self, state: State) -> Node:
        """The place of the state that was drawn last, which is compared as well."""
        i = len(self.places)
        self.comparison = self.comparison.with_frame(self.session, i, state.frame)
        return node_of(state, self.session.plan.steps[i].action, self.session.made.get(i, PLAIN))

    def end(self) -> tuple[int, frozenset[int]]:
        """The node where the session ended, and its bookmarks."""
        plan = self.session.plan
        return self.places[plan.end], frozenset(self.places[step] for step in plan.checkpoints.values())
