"""Several devices or processes give what one device gives, on the golden model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image

from bagel.__main__ import main
from bagel.bundle import Bundle
from bagel.crew import Crew, as_it_is
from bagel.generate import Conversation, ask
from bagel.placement import GIB, Loading, Parallel, Placement, arrange, divide, split_layers
from bagel.verify import run_case
from bagel.weights import Checkpoint, load
from world.errors import CancelledError, ModelError
from world.settings import SamplerConfig

GUIDED = SamplerConfig(num_timesteps=4)


def painted(checkpoint: Checkpoint, picture: Image.Image, taylor: bool = False, callback=None) -> torch.Tensor:
    """An edit with all three branches of guidance."""
    conversation = Conversation(checkpoint).picture(picture).text("turn left")
    height, width = conversation.painted_size()
    noise = torch.randn(1, height * width // 256, 64, generator=torch.Generator().manual_seed(1))
    return conversation.paint(GUIDED, noise, taylor=taylor, callback=callback)


@pytest.mark.parametrize("num_devices", [2, 3])
def test_a_split_fills_equal_cards_alike(num_devices: int) -> None:
    places = split_layers(300, [100] * 27, [2000] * num_devices)
    assert sorted(places) == places  # neighbours together
    used = [300 * (card == 0) + 100 * places.count(card) for card in range(num_devices)]
    assert max(used) - min(used) <= 100


def test_a_split_follows_the_memory_of_unequal_cards() -> None:
    places = split_layers(0, [100] * 30, [1000, 3000])
    assert 7 <= places.count(0) <= 9


def test_layers_that_fit_nowhere_stay_away_and_nothing_fits_is_said() -> None:
    places = split_layers(GIB, [GIB] * 10, [6 * GIB])
    assert places.count(0) == 4  # one place is kept for the layer that visits
    assert places[4:] == [-1] * 6
    with pytest.raises(ValueError, match=r"needs 2\.0 GiB for embeddings, heads and one layer"):
        split_layers(GIB, [GIB] * 10, [GIB])


@pytest.mark.parametrize("devices", [("cpu", "cpu"), ("cpu", "cpu", "cpu")])
def test_layers_over_several_devices_pass_every_golden_case(bundle: Bundle, golden: Path, devices) -> None:
    checkpoint = load(golden, "cpu", how=Loading(devices=devices, parallel="layers"))
    split = Bundle(checkpoint, bundle.expected, bundle.tensors)
    for name in ("edit", "velocity", "understand"):
        if name in bundle.cases:
            assert run_case(split, bundle.cases[name]).passed, name


def test_layers_that_visit_give_the_same_and_leave_again(
    golden: Path, checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    away = load(golden, "cpu")
    cpu = torch.device("cpu")
    arrange(away.model.transformer, Placement(cpu, (cpu,) * 2, frozenset({1})))
    weights = away.model.transformer.layers[1].state_dict(keep_vars=True)
    before = {name: tensor.data_ptr() for name, tensor in weights.items()}
    assert torch.equal(painted(away, pictures[0]), painted(checkpoint, pictures[0]))
    assert {name: tensor.data_ptr() for name, tensor in weights.items()} == before


def test_what_stays_away_is_announced_with_its_price(golden: Path, caplog: pytest.LogCaptureFixture) -> None:
    cpu = torch.device("cpu")
    arrange(load(golden, "cpu").model.transformer, Placement(cpu, (cpu,) * 2, frozenset({0, 1})))
    assert "2 of 2 layers do not fit" in caplog.text
    assert "every evaluation waits about" in caplog.text


@pytest.fixture(
    scope="module",
    params=[("tensor", 2), ("tensor", 3), ("guidance", 3), ("guidance+tensor", 4)],
    ids=str,
)
def crew(request: pytest.FixtureRequest, golden: Path) -> Iterator[Crew[Checkpoint]]:
    parallel: Parallel
    parallel, count = request.param
    made = Crew(golden, None, Loading(devices=("cpu",) * count, parallel=parallel), as_it_is)
    yield made
    made.close()


def test_a_crew_paints_what_one_process_paints(
    crew: Crew[Checkpoint], checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    for taylor in (False, True):
        together, alone = crew.run(painted, pictures[0], taylor), painted(checkpoint, pictures[0], taylor)
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_a_crew_answers_what_one_process_answers(
    crew: Crew[Checkpoint], checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    assert crew.run(ask, [pictures[0], "what?"], 6) == ask(checkpoint, [pictures[0], "what?"], 6)


def test_a_crew_gives_up_together_and_goes_on(crew: Crew[Checkpoint], pictures: list[Image.Image]) -> None:
    def cancel(step: int, x_t: torch.Tensor, v_t: torch.Tensor) -> None:
        if step == 1:
            raise CancelledError("enough")

    with pytest.raises(CancelledError, match="enough"):
        crew.run(painted, pictures[0], False, callback=cancel)
    assert crew.run(painted, pictures[0], False).isfinite().all()


def test_a_crew_lets_go_together_of_what_its_first_process_lets_go(
    crew: Crew[Checkpoint], pictures: list[Image.Image]
) -> None:
    left = crew.run(painted, pictures[0], False, callback=lambda step, x_t, v_t: [] if step else None)
    assert len(left) == 0
    assert crew.run(painted, pictures[0], False).isfinite().all()


def test_what_a_mate_cannot_load_is_said_and_no_process_stays(golden: Path) -> None:
    with pytest.raises((ModelError, ValueError), match="cannot be used"):
        Crew(golden, None, Loading(devices=("cpu", "abacus"), parallel="guidance"), as_it_is)


def test_guidance_and_tensor_together_need_an_even_number_of_cards_from_four_on() -> None:
    assert [divide("guidance+tensor", count) for count in (4, 6, 8)] == [(2, 2), (3, 2), (2, 4)]
    with pytest.raises(ValueError, match="takes 4, 6, 8"):
        divide("guidance+tensor", 3)


def test_the_command_line_takes_devices(golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cube.png"
    common = ["imagine", "x", "--model", str(golden), "--size", "32x32", "--num-timesteps", "2", "--out", str(out)]
    assert main([*common, "--devices", "cpu,cpu", "--parallel", "layers"]) == 0
    assert "32 x 32" in capsys.readouterr().out
    assert main([*common, "--devices", "cpu,cpu", "--parallel", "sideways"]) == 2
    assert "parallel is one of" in capsys.readouterr().err


@pytest.mark.gpu
def test_layers_on_a_card_and_on_the_cpu_give_the_same(
    golden: Path, checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    split, cuda = load(golden, "cuda", torch.float32), torch.device("cuda:0")
    split.model.transformer.layers[1].cpu()
    arrange(split.model.transformer, Placement(cuda, (cuda, torch.device("cpu")), frozenset()))
    assert {device.type for device in split.model.transformer.devices} == {"cuda", "cpu"}
    torch.testing.assert_close(
        painted(split, pictures[0]).cpu(), painted(checkpoint, pictures[0]), rtol=2e-2, atol=2e-2
    )


@pytest.mark.gpu
def test_layers_that_visit_a_card_give_the_same(
    golden: Path, checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    away, cuda = load(golden, "cuda", torch.float32), torch.device("cuda:0")
    away.model.transformer.layers[1].cpu()
    arrange(away.model.transformer, Placement(cuda, (cuda,) * 2, frozenset({1})))
    torch.testing.assert_close(painted(away, pictures[0]).cpu(), painted(checkpoint, pictures[0]), rtol=2e-2, atol=2e-2)


@pytest.mark.gpu
@pytest.mark.parametrize(("parallel", "count"), [("tensor", 2), ("guidance", 2), ("guidance+tensor", 4), ("layers", 2)])
def test_several_cards_paint_what_one_card_paints(
    golden: Path, pictures: list[Image.Image], parallel: Parallel, count: int
) -> None:
    if torch.cuda.device_count() < count:
        pytest.skip(f"needs {count} cards")
    alone = painted(load(golden, "cuda", torch.float32), pictures[0]).cpu()
    how = Loading("float32", devices=tuple(f"cuda:{i}" for i in range(count)), parallel=parallel)
    crew = Crew(golden, None, how, as_it_is)
    try:
        torch.testing.assert_close(crew.run(painted, pictures[0]).cpu(), alone, rtol=2e-3, atol=2e-3)
    finally:
        crew.close()
