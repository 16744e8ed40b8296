"""Parity: every case of a bundle of expected values is computed again and compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bagel.bundle import Bundle, Measure, open_bundle
from bagel.cases import case_of
from world.errors import WorldError


@dataclass(frozen=True)
class Result:
    """What became of one case: its worst measure of `num_measures`, or a problem in words."""

    name: str
    worst: Measure | None = None
    num_measures: int = 0
    problem: str = ""

    @property
    def passed(self) -> bool:
        return not self.problem and self.worst is not None and self.worst.ratio <= 1


def run_case(bundle: Bundle, case: dict[str, Any]) -> Result:
    """Computes and compares one case; whatever goes wrong inside it is the result's problem."""
    name, compute = case["name"], case_of(case)
    if compute is None:
        return Result(name, problem="this kind of case is not known here: nothing was compared")
    try:
        measures = list(compute(bundle, case))
    except (LookupError, ValueError, TypeError, RuntimeError, WorldError) as error:
        return Result(name, problem=f"could not be computed: {type(error).__name__}: {error}")
    if not measures:
        return Result(name, problem="holds no expected value: nothing was compared")
    # A byte beside a truncation edge may always differ by one: that is not the news of a case.
    worst = max(measures, key=lambda m: 0.0 if m.error == m.allowed == 1 else m.ratio)
    return Result(name, worst, len(measures))


def verify(directory: str | Path) -> Iterator[Result]:
    """The results of all cases of a bundle, in its order, as they come."""
    bundle = open_bundle(directory)
    for case in bundle.expected["cases"]:
        yield run_case(bundle, case)
