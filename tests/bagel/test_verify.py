"""Parity with the published code, one test a golden case; and a verifier that cannot be fooled."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bagel.bundle import Bundle, Measure, open_bundle
from bagel.verify import run_case
from world.errors import ModelError

CASES = [
    case["name"] for case in json.loads((Path(__file__).parents[1] / "golden/a/expected.json").read_text())["cases"]
]


@pytest.mark.parametrize("name", CASES)
def test_golden_case(bundle: Bundle, name: str) -> None:
    result = run_case(bundle, bundle.cases[name])
    assert result.passed, result


def test_an_unknown_case_is_a_failure_said_in_words(bundle: Bundle) -> None:
    unknown = {"name": "levitate", "inputs": {}, "settings": {}, "expected": {"height": 1}}
    result = run_case(bundle, unknown)
    assert not result.passed
    assert "not known" in result.problem


def test_a_case_that_cannot_be_computed_is_a_failure(bundle: Bundle) -> None:
    case = bundle.cases["edit"] | {"settings": {}}
    result = run_case(bundle, case)
    assert not result.passed
    assert "cfg_img_scale" in result.problem


def test_a_changed_value_is_found(bundle: Bundle) -> None:
    tensors = dict(bundle.tensors)
    tensors["vit.features"] = tensors["vit.features"] + 1e-2
    result = run_case(replace(bundle, tensors=tensors), bundle.cases["vit"])
    assert not result.passed
    assert result.worst is not None
    assert result.worst.what == "features"


def test_another_shape_and_not_a_number_never_pass(bundle: Bundle) -> None:
    wanted = bundle.tensors["time.embed"]
    assert bundle.close("shape", wanted[:1], "time.embed").ratio == float("inf")
    assert bundle.close("nan", torch.full_like(wanted, float("nan")), "time.embed").ratio == float("inf")
    assert Measure("nan", float("nan"), 1.0).ratio == float("inf")


def test_a_checkpoint_without_expected_values_is_no_bundle(copied: Path) -> None:
    (copied / "expected.json").unlink()
    with pytest.raises(ModelError, match="not a parity bundle"):
        open_bundle(copied)
