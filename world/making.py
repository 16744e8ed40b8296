"""How a place comes about: one step, watched; and a session's steps, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from world.history import Node, node_of
from world.replay import Comparison, again, given
from world.session import PLAIN, Made, Session
from world.settings import SamplerConfig
from world.timeline import Timeline
from world.tuning import Twins
from world.types import Action, Scene, State, WorldModel
from world.watching import Accepted, Watch

WalkKind: TypeAlias = Literal["continuous", "step"]


@dataclass(frozen=True)
class Options:
    """What a person may choose beside the sampler's settings."""

    look_ahead: int = 0  # likely actions that are imagined while nothing is asked; 0 for off
    walk: WalkKind = "continuous"  # whether a held key walks on, or every press is one step
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


@dataclass(frozen=True)
class Glance:
    """What is likely next, all in one batch that nobody asked for."""

    state: State
    actions: tuple[Action, ...]
    sampler: SamplerConfig | None

    def carried_out(self, twins: Twins, watch: Watch) -> list[State]:
        """The state after each action. Raises what the model raises."""
        return watch.step(twins.of(self.sampler), [self.state] * len(self.actions), self.actions)


def begun(model: WorldModel, scene: Scene, seed: int) -> State:
    """How a walk begins where nothing else is said."""
    return model.reset([scene], [seed])[0]


class Reopening:
    """A session on its way back into a history; `places[i]` is the node that its step i became."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.comparison = Comparison()
        self.places: list[int] = []
        self._walk: Iterator[State] | None = None
        self._walked_by = ""

    @property
    def done(self) -> bool:
        return len(self.places) == len(self.session.plan.steps)

    @property
    def told(self) -> str:
        """How far it is, and once it is done whether the pictures came out the same."""
        if self.done:
            return self.comparison.verdict(self.session.model, self._walked_by)
        return f"step {max(0, len(self.places) - 1)} of {len(self.session.plan.steps) - 1}"

    @property
    def parent(self) -> int:
        """The node that the next step follows; only after the first."""
        return self.places[self.session.plan.steps[len(self.places)].parent]

    def draw(self, twins: Twins) -> State:
        """The state of the next step."""
        if self._walk is None:
            self._walk, self._walked_by = again(twins.model, self.session), twins.model.spec.model
        return next(self._walk)

    def node(self, state: State) -> Node:
        """The place of the state that was drawn last, which is compared as well."""
        i = len(self.places)
        self.comparison = self.comparison.with_frame(self.session, i, state.frame)
        return node_of(state, self.session.plan.steps[i].action, self.session.made.get(i, PLAIN))

    def ended(self, timeline: Timeline) -> Timeline:
        """The tree where the session ended, with its bookmarks."""
        plan = self.session.plan
        bookmarks = frozenset(self.places[step] for step in plan.checkpoints.values())
        return replace(timeline.at(self.places[plan.end]), bookmarks=bookmarks)
