from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.world.toy_world import ToyWorld, toy_scene
from world.errors import ContractError
from world.previews import OnPreview, Progress
from world.testing import CHECKS, check_world_model
from world.types import Action, Pose, Scene, State, WorldModel, WorldSpec


@pytest.mark.parametrize("supports", [{"free_text"}, set(), {"ask", "free_text"}, {"pose"}])
def test_a_world_that_keeps_the_contract_passes(supports: set[str]) -> None:
    check_world_model(ToyWorld(frozenset(supports)), toy_scene())


class Keeping(ToyWorld):
    """Keeps where the actions began."""

    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        return replace(new, origins=(*state.origins, state.pose)[-len(new.actions) :])


def test_a_world_that_keeps_where_actions_began_passes() -> None:
    check_world_model(Keeping(), toy_scene())


def test_a_class_without_the_verbs_is_told_which_it_lacks() -> None:
    class NotAWorld:
        def reset(self) -> None: ...

    with pytest.raises(ContractError, match="lacks spec, step, ask, close"):
        check_world_model(NotAWorld(), toy_scene())  # pyright: ignore[reportArgumentType]


class BadSpec(ToyWorld):
    @property
    def spec(self) -> WorldSpec:
        return WorldSpec("toy", frozenset({"free_text", "flying"}))


class BadStart(ToyWorld):
    def _start(self, scene: Scene, seed: int) -> State:
        start = super()._start(scene, seed)
        return replace(start, pose=start.pose.moved(Action("", forward=1.0)))


class BadReset(ToyWorld):
    num_resets = 0

    def _start(self, scene: Scene, seed: int) -> State:
        self.num_resets += 1
        state = super()._start(scene, seed)
        return replace(state, frames=(np.full_like(state.frame, self.num_resets),))


class BadCounts(ToyWorld):
    def _after(self, state: State, action: Action) -> State:
        return replace(super()._after(state, action), seed=state.seed + 1)


class BadFrames(ToyWorld):
    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        return replace(new, frames=(*new.frames[:-1], new.frame[:, ::2]) if new.step == 3 else new.frames)


class BadWindow(ToyWorld):
    def _after(self, state: State, action: Action) -> State:
        return replace(super()._after(state, action), actions=(action,))


class BadPast(ToyWorld):
    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        return replace(new, frames=(*(frame // 2 for frame in new.frames[:-1]), new.frame))


class BadMemory(ToyWorld):
    def _after(self, state: State, action: Action) -> State:
        return replace(super()._after(state, action), memory=(np.zeros(3),))


class BadOrigins(ToyWorld):
    """Never forgets."""

    def _after(self, state: State, action: Action) -> State:
        return replace(super()._after(state, action), origins=(*state.origins, state.pose))


class BadOrigin(Keeping):
    """Takes where an action ended for where it began."""

    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        return replace(new, origins=(*new.origins[:-1], new.pose))


class BadPose(ToyWorld):
    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        return replace(new, pose=replace(new.pose, yaw=new.pose.yaw + 1.0))


class BadNoise(ToyWorld):
    """Hides a counter in the model."""

    num_steps = 0

    def _after(self, state: State, action: Action) -> State:
        self.num_steps += 1
        new = super()._after(state, action)
        if self.num_steps == 4:  # the first repeat of a step
            return replace(new, frames=(*new.frames[:-1], new.frame + np.uint8(1)))
        return new


class BadBatch(ToyWorld):
    """Norms over the whole batch instead of each row."""

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        rows = super().step(states, actions)
        dim = 1.0 / len(rows)
        return [replace(s, frames=(*s.frames[:-1], (s.frame * dim).astype(np.uint8))) for s in rows]


class BadLengths(ToyWorld):
    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [self._after(state, action) for state, action in zip(states, actions, strict=False)]


class BadFreeText(ToyWorld):
    """Takes every sentence for the first move of the vocabulary."""

    def __init__(self) -> None:
        super().__init__(frozenset())

    def _after(self, state: State, action: Action) -> State:
        return super()._after(state, action if action.name else state.scene.actions[1])


class BadAsk(ToyWorld):
    def ask(self, states: Sequence[State], question: str) -> list[str]:
        return ["yes"] * len(states)


class BadBuffer(ToyWorld):
    """Draws into one buffer again and again, except where it is asked to repeat itself."""

    buffer = np.zeros((48, 48, 3), np.uint8)

    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        if new.step != 3:
            return new
        self.buffer[:] = new.frame
        if not action.name.startswith("object"):
            return new
        return replace(new, frames=(*new.frames[:-1], self.buffer))

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        self.buffer[:] = 0
        return super().ask(states, question)


class BadHandles(ToyWorld):
    """Keeps a table of its own states: a copy, or a state from another process, is unknown to it."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, State] = {}

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        states = super().reset(scenes, seeds)
        self.known |= {id(state): state for state in states}
        return states

    def _after(self, state: State, action: Action) -> State:
        new = super()._after(self.known.get(id(state), replace(state, pose=Pose())), action)
        self.known[id(new)] = new
        return new


class BadPreview(ToyWorld):
    """Keeps what it is doing to itself."""

    def __init__(self) -> None:
        super().__init__(frozenset({"free_text", "preview"}))

    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        return super().step(states, actions)


class BadContext(ToyWorld):
    """Looks at where it is alone."""

    def __init__(self) -> None:
        super().__init__(frozenset({"free_text", "context"}))


class BadLeaving(BadPreview):
    """Mixes its rows up when one of them leaves."""

    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        new = super().step(states, actions)
        progress = Progress(tuple(range(len(new))), 1, 1, lambda: [state.frame for state in new])
        return new[::-1] if on_preview and on_preview(progress) else new


class BadClose(ToyWorld):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True


BROKEN: list[tuple[str, Callable[[], WorldModel]]] = [
    ("spec", BadSpec),
    ("start", BadStart),
    ("reset_repeats", BadReset),
    ("counts", BadCounts),
    ("frames", BadFrames),
    ("window", BadWindow),
    ("window", BadPast),
    ("memory", BadMemory),
    ("origins", BadOrigins),
    ("origins", BadOrigin),
    ("pose", BadPose),
    ("step_repeats", BadNoise),
    ("batch", BadBatch),
    ("lengths", BadLengths),
    ("free_text", BadFreeText),
    ("ask", BadAsk),
    ("preview", BadPreview),
    ("context", BadContext),
    ("preview", BadLeaving),
    ("values", BadHandles),
    ("old_states_stay", BadBuffer),
    ("close", BadClose),
]


@pytest.mark.parametrize(("check", "broken"), BROKEN, ids=[broken.__name__ for _, broken in BROKEN])  # pyright: ignore
def test_a_broken_world_fails_exactly_its_check(check: str, broken: Callable[[], WorldModel]) -> None:
    with pytest.raises(ContractError) as caught:
        check_world_model(broken(), toy_scene())
    assert list(caught.value.failures) == [check]
    assert ":" in caught.value.failures[check]  # what is wrong, then what to do


def test_every_check_is_shown_to_fail() -> None:
    assert {check for check, _ in BROKEN} == set(CHECKS)
