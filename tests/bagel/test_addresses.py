"""A model's address may say how it is loaded; several processes walk as one does."""

from pathlib import Path

import numpy as np
import pytest

from bagel.addresses import CrewWorldModel, read_address
from bagel.world_model import BagelWorldModel
from world import models
from world.errors import CancelledError, ModelError
from world.settings import SamplerConfig
from world.types import Action, Pose, Scene, Start, WorldModel

GUIDED = SamplerConfig(num_timesteps=4)


@pytest.fixture
def scene() -> Scene:
    frame = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return Scene("toy", "noise", (Start("here", Pose(), frame),), (Action("go"),))


def test_an_address_says_how_a_model_is_loaded(golden: Path) -> None:
    folder, how = read_address(f"{golden}?precision=int8&devices=cpu,cpu&parallel=layers")
    assert (folder, how.precision, how.devices, how.parallel) == (golden, "int8", ("cpu", "cpu"), "layers")
    model = models.load(f"{golden}?precision=int8")
    assert isinstance(model, BagelWorldModel)
    assert "weight_scale" in str(model.checkpoint.model.state_dict().keys())


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("speed=9", "'speed' is no way to load"),
        ("precision=fp4", "precision is one of"),
        ("devices=cuda:9", "cannot be used"),
    ],
)
def test_a_wrong_address_is_said(golden: Path, query: str, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        models.load(f"{golden}?{query}")


@pytest.mark.parametrize("parallel", ["tensor", "guidance"])
def test_a_crew_walks_as_one_process_does(golden: Path, scene: Scene, parallel: str) -> None:
    alone: WorldModel = models.load(str(golden), sampler=GUIDED)
    crew = models.load(f"{golden}?devices=cpu,cpu&parallel={parallel}", sampler=GUIDED)
    assert isinstance(crew, CrewWorldModel)
    states, others = alone.reset([scene], [3]), crew.reset([scene], [3])
    for _ in range(2):
        states, others = alone.step(states, scene.actions), crew.step(others, scene.actions)
    difference = states[0].frame.astype(int) - others[0].frame.astype(int)
    assert np.abs(difference).max() <= 2

    def cancel(progress: object) -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        crew.step(others, scene.actions, cancel)
    assert len(crew.step(others, scene.actions)) == 1
    crew.close()
    crew.close()
