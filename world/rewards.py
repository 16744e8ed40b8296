"""What a step is worth, and when an episode is over: small objects over (states before, actions, states after).

A `Measure` tells how good it is to be in each of B states; rewards and endings are made of measures, and of each
other: `Total((Gain(Similarity(...)), Bonus(ending), StepCost()))`. Where an object has goals, goal i belongs to row i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from world.types import Action, State

Values: TypeAlias = NDArray[np.float64]  # [B]
Flags: TypeAlias = NDArray[np.bool_]  # [B]


class Measure(Protocol):
    """How good it is to be somewhere."""

    def __call__(self, states: Sequence[State], /) -> Values:
        """One number a state, float64 [B]: more is better."""
        ...


class Reward(Protocol):
    """What steps are worth."""

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State], /) -> Values:
        """One number a row, float64 [B]."""
        ...


class Ending(Protocol):
    """Which steps end their episode."""

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State], /) -> Flags:
        """One flag a row, bool [B]."""
        ...


@dataclass(frozen=True)
class Level:
    """A reward for being somewhere: the measure after the step."""

    measure: Measure
    scale: float = 1.0

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Values:
        return self.scale * self.measure(after)


@dataclass(frozen=True)
class Gain:
    """A reward for getting somewhere: how far the measure rose. Summed over an episode it only depends on where that
    began and ended, so nothing is earned by going in circles (potential-based shaping, Ng, Harada and Russell 1999)."""

    measure: Measure
    scale: float = 1.0

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Values:
        return self.scale * (self.measure(after) - self.measure(before))


@dataclass(frozen=True)
class StepCost:
    """Every step costs the same."""

    cost: float = 0.01

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Values:
        return np.full(len(after), -self.cost)


@dataclass(frozen=True)
class Bonus:
    """A reward for a step that ends the episode well."""

    ending: Ending
    amount: float = 1.0

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Values:
        return self.amount * self.ending(before, actions, after).astype(np.float64)


@dataclass(frozen=True)
class Total:
    """The sum of several rewards."""

    parts: tuple[Reward, ...]

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Values:
        return np.sum([part(before, actions, after) for part in self.parts] or [np.zeros(len(after))], axis=0)


@dataclass(frozen=True)
class AtLeast:
    """The episode ends where the measure has come up to its threshold: one for all rows, or one a row."""

    measure: Measure
    thresholds: tuple[float, ...]

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Flags:
        return self.measure(after) >= np.array(self.thresholds)


@dataclass(frozen=True)
class AnyOf:
    """The episode ends where one of the endings says so; never, where there is none."""

    parts: tuple[Ending, ...]

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Flags:
        return np.any([part(before, actions, after) for part in self.parts] or [np.zeros(len(after), bool)], axis=0)


@dataclass(frozen=True)
class AllOf:
    """The episode ends where every one of the endings says so."""

    parts: tuple[Ending, ...]

    def __call__(self, before: Sequence[State], actions: Sequence[Action], after: Sequence[State]) -> Flags:
        return np.all([part(before, actions, after) for part in self.parts] or [np.ones(len(after), bool)], axis=0)
