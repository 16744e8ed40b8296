"""What a model is examined on: held-out walks, probes and galleries, all drawn by the simulator once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scenes.metrics import Frames
from world.types import Action, Scene, State, TrueWorld
from world.walks import HELD_OUT, Stroll, bumped

_GALLERY = HELD_OUT + 100_000


@dataclass(frozen=True)
class Suite:
    """How much is measured, for each scene."""

    walks: int
    steps: int  # of each walk
    probes: int  # of each walk
    gallery: int  # frames
    loops: int
    long_walks: int = 0  # of the walks, how many go on to `long_steps`
    long_steps: int = 0


SUITES = {
    "quick": Suite(walks=4, steps=50, probes=10, gallery=200, loops=2),
    "full": Suite(walks=16, steps=50, probes=6, gallery=400, loops=4, long_walks=2, long_steps=200),
}


@dataclass(frozen=True)
class Walk:
    """A true walk: actions[t] led from states[t] to states[t + 1]."""

    scene: str
    states: tuple[State, ...]
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Probe:
    """A true state, an action, and what each of the scene's actions would show."""

    scene: str
    state: State
    action: Action
    outcomes: Frames  # [A, H, W, 3]
    truth: int  # the row of `outcomes` that is the action's

    @property
    def true_frame(self) -> Frames:
        return self.outcomes[self.truth]


@dataclass(frozen=True)
class Trial:
    """All that the measures need; one trial serves several models."""

    suite: Suite
    walks: tuple[Walk, ...]
    probes: tuple[Probe, ...]
    galleries: dict[str, Frames]  # by scene


def prepare(truth: TrueWorld, scenes: Sequence[Scene], suite: Suite, tell: Callable[[str], None]) -> Trial:
    """Draws the trial; `tell` hears what is being done. Equal arguments give equal trials."""
    walks: list[Walk] = []
    for scene in scenes:
        tell(f"true walks through {scene.name}")
        walks += _walks(truth, scene, suite)
    tell("probes: what every action would show")
    probes = [probe for index, walk in enumerate(walks) for probe in _probes(truth, walk, suite.probes, index)]
    galleries = {}
    for scene in scenes:
        tell(f"gallery of {scene.name}")
        starts = (truth.random_start(scene, _GALLERY + i) for i in range(suite.gallery))
        galleries[scene.name] = np.stack([start.frame for start in starts])
    return Trial(suite, tuple(walks), tuple(probes), galleries)


def _walks(truth: TrueWorld, scene: Scene, suite: Suite) -> list[Walk]:
    seeds = [HELD_OUT + i for i in range(suite.walks)]
    lengths = [suite.long_steps if i < suite.long_walks else suite.steps for i in range(suite.walks)]
    strolls = [Stroll(np.random.default_rng(seed), scene) for seed in seeds]
    begun = truth.reset([scene.starting_at(truth.random_start(scene, seed)) for seed in seeds], seeds)
    states, actions = [[state] for state in begun], [[stroll.next()] for stroll in strolls]
    for t in range(max(lengths)):
        going = [i for i in range(suite.walks) if t < lengths[i]]
        after = truth.step([states[i][-1] for i in going], [actions[i][t] for i in going])
        for i, state in zip(going, after, strict=True):
            actions[i].append(strolls[i].next(bumped(states[i][-1].pose, actions[i][-1], state.pose)))
            states[i].append(state)
    actions = [row[:length] for row, length in zip(actions, lengths, strict=True)]
    return [Walk(scene.name, tuple(s), tuple(a)) for s, a in zip(states, actions, strict=True)]


def _probes(truth: TrueWorld, walk: Walk, num: int, index: int) -> list[Probe]:
    """Probes at places along the walk; over all walks each of the scene's actions is asked about equally often."""
    rng = np.random.default_rng(HELD_OUT + index)
    probes = []
    for k, t in enumerate(rng.choice(len(walk.states), num, replace=len(walk.states) < num)):
        state = walk.states[t]
        actions = state.scene.actions
        asked = (index * num + k) % len(actions)
        outcomes = truth.step([state] * len(actions), actions)
        frames = np.stack([outcome.frame for outcome in outcomes])
        probes.append(Probe(walk.scene, state, actions[asked], frames, asked))
    return probes
