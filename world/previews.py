"""Watching a step in the making: how far it is, what it will look like, and ways to give it up, or some of its rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from world.types import Action, Frame, State, WorldModel


@dataclass(frozen=True)
class Progress:
    """How far some rows of a step are.

    `draw` gives what they would be by now, one frame a row; it takes its time, and belongs to the call that it came in.
    """

    rows: tuple[int, ...]
    evaluation: int  # of the model; those that are done, from 1
    num_evaluations: int
    draw: Callable[[], list[Frame]]


OnPreview: TypeAlias = Callable[[Progress], Collection[int] | None]  # may return rows that are given up


@runtime_checkable
class PreviewingWorld(WorldModel, Protocol):
    """A world whose spec.supports has "preview"."""

    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        """`on_preview` is called after every evaluation; an exception that it raises ends the step.

        Rows that it returns nobody wants any more: they may leave the batch, while the others go on as if they had
        been alone. A row that left is not told of again, and comes back as the state that it was.
        """
        ...
