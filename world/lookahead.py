"""Looking before one steps: which actions are likely next, what they would show, and how often the guess was right."""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from world.session import Made
from world.settings import SamplerConfig
from world.types import Action, State

_USUAL = ("forward", "left", "right", "back", "object_left", "object_right", "strafe_left", "strafe_right")
_KEPT = 32  # places whose futures are kept
_AFTER = 2.0  # how much more what followed the same action counts than what was done at all


@dataclass(frozen=True)
class Future:
    """A state that was imagined, and the actions that were imagined beside it (its own among them)."""

    state: State
    batch: tuple[Action, ...]

    def made(self, sampler: SamplerConfig | None) -> Made:
        """How it came about, under these settings."""
        return Made(sampler, self.batch if len(self.batch) > 1 else ())


class LookAhead:
    """Futures by the digest of the place that they begin at."""

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self._futures: OrderedDict[bytes, dict[Action, Future]] = OrderedDict()

    @property
    def hit_rate(self) -> float | None:
        """The share of steps whose picture was there already; None before the first."""
        total = self.hits + self.misses
        return self.hits / total if total else None

    def at(self, place: bytes) -> Mapping[Action, Future]:
        """What was imagined there; empty where nothing was."""
        return self._futures.get(place, {})

    def put(self, place: bytes, actions: Sequence[Action], states: Sequence[State]) -> None:
        """Keeps the states after one action each, imagined in one batch."""
        batch = tuple(actions)
        self._futures[place] = {a: Future(s, batch) for a, s in zip(batch, states, strict=True)}
        while len(self._futures) > _KEPT:
            self._futures.popitem(last=False)

    def take(self, place: bytes, action: Action) -> Future | None:
        """The future of an action, if it was imagined; counts as a hit or, where there was a guess, as a miss."""
        futures = self.at(place)
        found = futures.get(action)
        self.hits += found is not None
        self.misses += found is None
        return found

    def forget(self) -> None:
        """Drops all futures: the settings that they were made with have changed."""
        self._futures.clear()


def likely(walked: Sequence[Action], actions: Sequence[Action], num: int) -> tuple[Action, ...]:
    """The `num` most likely next actions out of `actions`, given those walked so far (oldest first).

    The last one again comes first; then what followed it before, then what was done at all, then what people do.
    """
    usual = {name: len(_USUAL) - i for i, name in enumerate(_USUAL)}
    done = Counter(walked)
    after = Counter(b for a, b in itertools.pairwise(walked) if a == walked[-1])
    last = walked[-1:]

    def score(action: Action) -> tuple[bool, float, int]:
        return action in last, done[action] + _AFTER * after[action], usual.get(action.name, 0)

    moving = [a for a in actions if a.name != "stay"]
    return tuple(sorted(moving, key=score, reverse=True)[:num])
