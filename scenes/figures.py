"""What each figure means: its title, unit, definition, and which way is better. Tables and pages follow this order."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scenes.estimates import Estimate, Figures

Better = Literal["more", "less", "one", "zero", "neither"]


@dataclass(frozen=True)
class Definition:
    """One figure. `title` may hold {} for the step at which it is taken."""

    group: str
    title: str
    unit: str
    better: Better
    text: str


DEFINITIONS = {
    name: Definition(**row)
    for name, row in tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")).items()
}


def name_of(key: str) -> str:
    """The figure's name without its step."""
    return key.partition("@")[0]


def step_of(key: str) -> int | None:
    """The step at which it is taken, where there are several."""
    return int(key.partition("@")[2]) if "@" in key else None


def title_of(key: str) -> str:
    """The figure's title with its step."""
    return DEFINITIONS[name_of(key)].title.format(step_of(key))


def titled(key: str) -> str:
    """The title with its step and unit, on a terminal."""
    unit = DEFINITIONS[name_of(key)].unit
    return f"{title_of(key)}, {unit}" if unit else title_of(key)


def in_order(figures: Figures) -> list[str]:
    """The keys of the figures that have a definition, in the order of DEFINITIONS and then of steps."""
    place = {name: i for i, name in enumerate(DEFINITIONS)}
    known = [key for key in figures if name_of(key) in place]
    return sorted(known, key=lambda key: (place[name_of(key)], step_of(key) or 0))


def steps_of(figures: Figures, name: str) -> list[int]:
    """The steps at which the figure was taken."""
    return sorted(step for key in figures if name_of(key) == name and (step := step_of(key)) is not None)


def digits_of(value: float) -> int:
    """Digits behind the point: three figures or so."""
    return 2 if abs(value) < 5 else 1


def cell(estimate: Estimate, *, interval: bool = False) -> str:
    """The figure as text, with half of its interval's width where it has one and is asked for."""
    digits = digits_of(estimate.value)
    half = (estimate.high - estimate.low) / 2
    return f"{estimate.value:.{digits}f}" + (f" ±{half:.{digits}f}" if interval and estimate.count > 1 else "")
