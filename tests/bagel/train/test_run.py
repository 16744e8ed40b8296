"""A run keeps its time, its log and its place; the optimizer learns and averages."""

import csv
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bagel.train.optimizer import Optimizer, OptimizerConfig, add_gradient_, orthogonal
from bagel.train.run import STRIKES, RunConfig, rate, run


def setup(seed: int = 0) -> tuple[nn.Module, Optimizer, object]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    optimizer = Optimizer(model, OptimizerConfig(ema=0.9), {"0.weight", "2.weight"})
    x = torch.randn(64, 8)
    target = x[:, :4] * 0.5

    def step(scale: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        return {"loss": loss.detach(), "norm": optimizer.step(scale)}

    return model, optimizer, step


def test_the_loss_falls_and_the_average_is_close_behind(tmp_path: Path) -> None:
    model, optimizer, step = setup()
    config = RunConfig(tmp_path, 1.0, time.monotonic(), warmup=5, max_steps=200, log_every=10)
    steps = run(step, optimizer, config, lambda _: None)  # pyright: ignore[reportArgumentType]
    with (tmp_path / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert steps == 200
    assert losses[-1] < 0.2 * losses[0]
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(optimizer.ema_state()[name], parameter.detach(), atol=0.05, rtol=0)


def test_a_resumed_run_goes_on_where_the_first_one_stopped(tmp_path: Path) -> None:
    _, optimizer, step = setup()
    saves: list[int] = []
    first = RunConfig(tmp_path, 1.0, time.monotonic(), decay=0.0, max_steps=20, log_every=10)
    run(step, optimizer, first, saves.append)  # pyright: ignore[reportArgumentType]
    _, again, step = setup(seed=1)
    second = RunConfig(tmp_path, 1.0, time.monotonic(), decay=0.0, max_steps=10, log_every=10, resume=True)
    run(step, again, second, saves.append)  # pyright: ignore[reportArgumentType]
    assert saves == [20, 30]
    assert int(again.tensors["steps"]) == 30
    assert (tmp_path / "log.csv").read_text().count("\n") == 4  # a header and three rows


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    _, optimizer, _ = setup()
    other = Optimizer(nn.Linear(3, 3), OptimizerConfig(), {"weight"})
    with pytest.raises(ValueError, match="belongs to another model"):
        other.load(optimizer.tensors)


def test_the_time_limit_ends_a_run(tmp_path: Path) -> None:
    _, optimizer, step = setup()
    began = time.monotonic()
    run(step, optimizer, RunConfig(tmp_path, 0.01, began), lambda _: None)  # pyright: ignore[reportArgumentType]
    assert time.monotonic() - began < 5


def test_a_bad_batch_adds_no_gradient() -> None:
    layer = nn.Linear(2, 1, bias=False)
    good = layer(torch.ones(1, 2)).sum()
    assert add_gradient_(layer.parameters(), good)
    assert layer.weight.grad is not None
    assert not add_gradient_(layer.parameters(), layer(torch.full((1, 2), torch.inf)).sum() * 0)
    assert not add_gradient_(layer.parameters(), (layer.weight * 0).sum().sqrt())  # a sound loss, no sound gradient
    assert layer.weight.grad.tolist() == [[1, 1]]


@pytest.mark.parametrize("bad", [range(10, 30), range(10, 60)])
def test_a_run_ends_when_its_loss_stays_bad(bad: range, tmp_path: Path) -> None:
    _, optimizer, step = setup()
    num = 0

    def sometimes(scale: Tensor) -> dict[str, Tensor]:
        nonlocal num
        num += 1
        told = step(scale)  # pyright: ignore[reportCallIssue]
        return told | ({"loss": torch.tensor(torch.nan)} if num in bad else {})

    config = RunConfig(tmp_path, 1.0, time.monotonic(), max_steps=80, log_every=10)
    if len(bad) < STRIKES * 10:
        assert run(sometimes, optimizer, config, lambda _: None) == 80
    else:
        with pytest.raises(FloatingPointError, match="the loss is nan since step 10: lower the rates"):
            run(sometimes, optimizer, config, lambda _: None)


def test_the_rate_warms_up_stays_and_falls_to_nothing() -> None:
    config = RunConfig(Path(), 1.0, 0.0, warmup=10, decay=0.5)
    assert rate(0, 0.0, config) == pytest.approx(0.1)
    assert rate(50, 0.4, config) == 1.0
    assert rate(50, 0.75, config) == pytest.approx(0.5)
    assert rate(50, 1.0, config) == pytest.approx(0.0)


def test_orthogonal_evens_out_the_singular_values() -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(2, 24, 8, generator=torch.Generator().manual_seed(0))).float())
    assert values.min() > 0.5
    assert values.max() < 1.3
