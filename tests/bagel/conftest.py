"""The golden bundle: a tiny random BAGEL and what the published code computes with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from bagel.bundle import Bundle, open_bundle
from bagel.weights import Checkpoint

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


@pytest.fixture(scope="session")
def pictures(bundle: Bundle) -> list[Image.Image]:
    return [Image.fromarray(bundle.tensors[f"input.img{i}"].numpy()) for i in range(3)]
