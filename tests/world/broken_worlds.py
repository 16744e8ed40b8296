"""Worlds with one defect each, and the check of the doctor that must find it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np

from tests.world.toy_world import ToyWorld
from world.errors import ModelError
from world.settings import PRESETS, SamplerConfig
from world.types import Action, Frame, Scene, State, WorldModel, WorldSpec


class Dreamer(ToyWorld):
    """A toy that obeys: the words shift the picture that it was given, seed, step and settings decide its grain."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler = PRESETS["walk"]

    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        shift = 1 + blake2b(action.text.encode(), digest_size=1).digest()[0] % (state.frame.shape[1] - 1)
        grain = np.random.default_rng((state.seed, state.step)).normal(0, 1, state.frame.shape)
        seen = np.roll(state.frame, shift, axis=1) + (1 + 4 / self.sampler.num_timesteps) * grain
        return replace(new, frames=(*new.frames[:-1], seen.clip(0, 255).astype(np.uint8)))


class Broken:
    """A real world with one defect; this one has none yet."""

    def __init__(self, world: WorldModel, scene: Scene) -> None:
        self.world, self.scene = world, scene

    @property
    def spec(self) -> WorldSpec:
        return self.world.spec

    @property
    def sampler(self) -> SamplerConfig:
        return self.world.sampler  # pyright: ignore[reportAttributeAccessIssue]

    @sampler.setter
    def sampler(self, sampler: SamplerConfig) -> None:
        self.world.sampler = sampler  # pyright: ignore[reportAttributeAccessIssue]

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return self.world.reset(scenes, seeds)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        new = self.world.step([self.given(s) for s in states], [self.heard(a) for a in actions])
        return [self.kept(replace(n, seed=s.seed, step=s.step + 1), s) for n, s in zip(new, states, strict=True)]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        return self.world.ask(states, question)

    def close(self) -> None:
        self.world.close()

    def given(self, state: State) -> State:
        return state

    def heard(self, action: Action) -> Action:
        return action

    def kept(self, new: State, old: State) -> State:
        return replace(new, frames=(*new.frames[:-1], self.shown(new.frame, old.frame)))

    def shown(self, frame: Frame, last: Frame) -> Frame:
        return frame


class Crashes(Broken):
    def given(self, state: State) -> State:
        raise RuntimeError("out of memory")


class ReturnsHalfTheSize(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return frame[::2, ::2]


class ReturnsFloats(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return frame.astype(np.float32) / 255  # pyright: ignore[reportReturnType]


class ReturnsGrey(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return 120 + frame // 32


class ReturnsNoise(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        rng = np.random.default_rng(int(frame.sum()))
        return rng.integers(0, 256, frame.shape, dtype=np.uint8)


class Copies(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return last


class NearlyCopies(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return np.round(0.99 * last + 0.01 * frame).astype(np.uint8)


class DrawsFromTheClock(Broken):
    num_steps = itertools.count(100)

    def given(self, state: State) -> State:
        return replace(state, seed=next(self.num_steps))


class IgnoresWords(Broken):
    def heard(self, action: Action) -> Action:
        return Action("move forward", "forward")


class IgnoresSentences(Broken):
    def heard(self, action: Action) -> Action:
        return action if action.name else Action("stay", "stay")


class IgnoresThePicture(Broken):
    def given(self, state: State) -> State:
        return replace(state, frames=(self.scene.starts[1].frame,), actions=(), memory=())


class IgnoresTheSeed(Broken):
    def given(self, state: State) -> State:
        return replace(state, seed=3)


class FeedsOneNoiseBack(Broken):
    def given(self, state: State) -> State:
        return replace(state, step=0)


class IgnoresSettings(Broken):
    @property
    def sampler(self) -> SamplerConfig:
        return getattr(self, "told", PRESETS["walk"])

    @sampler.setter
    def sampler(self, sampler: SamplerConfig) -> None:
        self.told = sampler


class Forgets(Broken):
    """Keeps what it needs in itself: a state that it did not make begins in the dark."""

    def __init__(self, world: WorldModel, scene: Scene) -> None:
        super().__init__(world, scene)
        self.known: set[bytes] = set()

    def given(self, state: State) -> State:
        if state.step == 0 or state.digest() in self.known:
            return state
        return replace(state, frames=(np.zeros_like(state.frame),), actions=(), memory=())

    def kept(self, new: State, old: State) -> State:
        self.known.add(new.digest())
        return new


class Tires(Broken):
    def given(self, state: State) -> State:
        if state.step == 4:
            raise ModelError("the walk is too long: begin again")
        return state


BROKEN: list[tuple[str, type[Broken]]] = [
    ("steps", Crashes),
    ("size", ReturnsHalfTheSize),
    ("size", ReturnsFloats),
    ("contrast", ReturnsGrey),
    ("noise", ReturnsNoise),
    ("copy", Copies),
    ("copy", NearlyCopies),
    ("repeats", DrawsFromTheClock),
    ("words", IgnoresWords),
    ("sentences", IgnoresSentences),
    ("picture", IgnoresThePicture),
    ("seed", IgnoresTheSeed),
    ("fresh noise", FeedsOneNoiseBack),
    ("settings", IgnoresSettings),
    ("restart", Forgets),
    ("speed", Tires),
]
