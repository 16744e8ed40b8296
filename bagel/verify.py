"""Parity: every case of a bundle of expected values is computed again and compared.

A bundle is a checkpoint directory with expected.json (cases: inputs, settings, values) and expected.safetensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bagel.weights import Checkpoint, load
from world.errors import ModelError, WorldError


@dataclass(frozen=True)
class Measure:
    """One comparison: the error where it is largest beside what is allowed there."""

    what: str
    error: float
    allowed: float

    @property
    def ratio(self) -> float:
        """Error in units of the allowed; not-a-number counts as infinite."""
        if self.allowed == 0:
            return 0.0 if self.error == 0 else float("inf")
        return self.error / self.allowed if self.error == self.error else float("inf")


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


@dataclass(frozen=True)
class Bundle:
    """A parity bundle and the model that it holds, in float32 on the CPU."""

    checkpoint: Checkpoint
    expected: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def cases(self) -> dict[str, dict[str, Any]]:
        return {case["name"]: case for case in self.expected["cases"]}

    def close(self, what: str, got: Tensor, name: str) -> Measure:
        """`got` against the stored tensor `name`, with the bundle's tolerance; bytes may differ by one."""
        wanted = self.tensors[name]
        if got.shape != wanted.shape:
            return Measure(f"{what}: shape {list(got.shape)}, expected {list(wanted.shape)}", 1.0, 0.0)
        got, wanted = got.detach().double(), wanted.double()
        tolerance = self.expected["suggested_tolerance"]
        allowed = torch.ones_like(wanted)
        if self.tensors[name].is_floating_point():
            allowed = tolerance["atol"] + tolerance["rtol"] * wanted.abs()
        error = torch.where(got == wanted, 0.0, (got - wanted).abs())  # equal infinities have no error
        worst = (error / allowed).argmax()
        return Measure(what, error.flatten()[worst].item(), allowed.flatten()[worst].item())

    def near(self, what: str, got: float, wanted: float) -> Measure:
        """A plain number with the bundle's tolerance."""
        tolerance = self.expected["suggested_tolerance"]
        return Measure(what, abs(got - wanted), tolerance["atol"] + tolerance["rtol"] * abs(wanted))

    def same(self, what: str, got: object, wanted: object) -> Measure:
        """Equality, of anything that is not a float."""
        return Measure(what if got == wanted else f"{what}: {got!r:.60}, expected {wanted!r:.60}", got != wanted, 0.0)


Case = Callable[[Bundle, dict[str, Any]], Iterator[Measure]]


def open_bundle(directory: str | Path) -> Bundle:
    """Raises ModelError where the directory is no whole bundle."""
    directory = Path(directory)
    checkpoint = load(directory, "cpu", torch.float32)
    try:
        expected = json.loads((directory / "expected.json").read_text(encoding="utf-8"))
        tensors = load_file(directory / "expected.safetensors")
        names = [case["name"] for case in expected["cases"]]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"{directory} is not a parity bundle ({error}): it needs expected.json with cases and expected.safetensors"
        ) from None
    if not names:
        raise ModelError(f"{directory / 'expected.json'} holds no case: nothing to verify")
    return Bundle(checkpoint, expected, tensors)


def run_case(bundle: Bundle, name: str) -> Result:
    """Computes and compares one case; whatever goes wrong inside it is the result's problem."""
    from bagel.cases import case_of

    case = bundle.cases[name]
    compute = case_of(case)
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
    for name in bundle.cases:
        yield run_case(bundle, name)


def referred(text: str) -> str:
    """The case that a value such as "as in case 'edit'" points to."""
    found = re.search(r"case '(\w+)'", text)
    if found is None:
        raise ValueError(f"expected a reference to a case, got {text!r}")
    return found[1]
