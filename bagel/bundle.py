"""A parity bundle: a checkpoint, cases with inputs and expected values, and how a computed value is compared.

It is a checkpoint directory with expected.json (cases: inputs, settings, values) and expected.safetensors.
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
from world.errors import ModelError


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


def referred(text: str) -> str:
    """The case that a value such as "as in case 'edit'" points to."""
    found = re.search(r"case '(\w+)'", text)
    if found is None:
        raise ValueError(f"expected a reference to a case, got {text!r}")
    return found[1]
