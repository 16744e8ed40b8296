"""Looking over the shoulder of a running step: what it will look like by now, giving it up, taking it as it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import cast

from world.errors import CancelledError
from world.previews import PreviewingWorld, Progress
from world.types import Action, Frame, State, WorldModel

_INTERVAL = 0.25  # s between previews at least
_SHARE = 4.0  # a preview costs a decoding: it is drawn again only after so many times as long


class Accepted(Exception):
    """Ends a step whose picture is good enough."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        super().__init__("taken early")


class Watch:
    """One step that is watched from another thread than it runs in."""

    def __init__(self, *, draws: bool = True) -> None:
        """`draws` says whether previews are made."""
        self.evaluation = 0  # of the model; those that are done
        self.num_evaluations = 0  # 0 until the first is done
        self.frame: Frame | None = None  # what it would be by now
        self.accepting = False
        self.seconds = 0.0  # that the step took
        self._cancelled = False
        self._cancel: Callable[[], None] = lambda: None
        self._next_at = time.monotonic() + _INTERVAL if draws else math.inf

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return self.evaluation / self.num_evaluations if self.num_evaluations else 0.0

    def cancel(self) -> None:
        """The step ends at its next evaluation, where the model lets itself be watched; a remote one at once."""
        self._cancelled = True
        self._cancel()

    def accept(self) -> None:
        """The step ends with what it would be by then."""
        self.accepting = True

    def step(self, model: WorldModel, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        """`model.step`, watched; raises CancelledError or Accepted when the wish was uttered."""
        self._cancel = getattr(model, "cancel", self._cancel)  # as world.client has
        if self._cancelled:
            raise CancelledError("given up before it began")
        begun = time.perf_counter()
        try:
            if "preview" in model.spec.supports:
                return cast(PreviewingWorld, model).step(states, actions, self._look)
            return model.step(states, actions)
        finally:
            self.seconds = time.perf_counter() - begun

    def _look(self, progress: Progress) -> None:
        self.evaluation, self.num_evaluations = progress.evaluation, progress.num_evaluations
        if self._cancelled:
            raise CancelledError("given up")
        if progress.evaluation == progress.num_evaluations:
            return
        if self.accepting:
            raise Accepted(progress.draw()[0])
        begun = time.monotonic()
        if begun >= self._next_at:
            self.frame = progress.draw()[0]
            now = time.monotonic()
            self._next_at = now + max(_INTERVAL, _SHARE * (now - begun))
