"""The golden bundle: a tiny random BAGEL and what the published code computes with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch._dynamo.utils import counters

from bagel.bundle import Bundle, open_bundle
from bagel.compiled import Evaluations, compile_experts
from bagel.weights import Checkpoint, load

GOLDEN = Path(__file__).parents[1] / "golden" / "a"


@pytest.fixture(scope="session")
def golden() -> Path:
    return GOLDEN


@pytest.fixture(scope="session")
def bundle() -> Bundle:
    return open_bundle(GOLDEN)


@pytest.fixture(scope="session")
def checkpoint(bundle: Bundle) -> Checkpoint:
    return bundle.checkpoint


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The golden checkpoint, to be broken."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "model"))


@pytest.fixture
def mute(tmp_path: Path) -> Path:
    """The golden checkpoint, as if it had not learned to answer."""
    model = Path(shutil.copytree(GOLDEN, tmp_path / "mute"))
    config = model / "bagel_config.json"
    told = json.loads(config.read_text()) if config.exists() else {}
    config.write_text(json.dumps(told | {"walk": told.get("walk", {}) | {"ask": False}}))
    return model


@pytest.fixture(scope="session")
def pictures(bundle: Bundle) -> list[Image.Image]:
    return [Image.fromarray(bundle.tensors[f"input.img{i}"].numpy()) for i in range(3)]


@pytest.fixture
def fast(golden: Path) -> Iterator[Checkpoint]:
    """Compiled by dynamo without a code generator: seconds on a CPU, and the same decisions to compile again."""
    torch._dynamo.reset()
    counters.clear()
    checkpoint = load(golden, "cpu")
    compile_experts(checkpoint.model, backend="eager")
    checkpoint.model.evaluations = Evaluations(checkpoint.model)
    yield checkpoint
    torch._dynamo.reset()
