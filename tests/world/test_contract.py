"""One contract, every backend."""

from __future__ import annotations

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import world
from world import models
from world.testing import check_world_model

BACKENDS = ["tiny", pytest.param("sim", marks=pytest.mark.gl)]


@pytest.mark.parametrize("scene", ["studio", "tabletop"])  # one to walk through, one with an object
@pytest.mark.parametrize("address", BACKENDS)
def test_a_backend_keeps_the_contract_in_a_scene(address: str, scene: str) -> None:
    check_world_model(models.load(address), models.load_scene(scene))


@pytest.mark.parametrize("address", BACKENDS)
def test_gymnasium_finds_nothing_to_complain_about_in_a_backend(address: str) -> None:
    env = gymnasium.make(world.ENV_ID, model=address, scene="tabletop")
    check_env(env.unwrapped)
    env.close()
