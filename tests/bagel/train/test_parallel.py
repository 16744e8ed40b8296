"""Processes that PyTorch's launcher starts train one model, as one process would on all their rows."""

import os
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from bagel.train.optimizer import Optimizer, OptimizerConfig
from bagel.train.parallel import joined
from bagel.train.run import RunConfig, run

STEPS = 30
ROOT = Path(__file__).parents[3]


def learn(out: Path, rows: slice | None) -> dict[str, Tensor]:
    """Trains on this process's half of the rows, or on `rows`; the weights, kept in `out` too."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    optimizer = Optimizer(model, OptimizerConfig(), {"0.weight", "2.weight"})
    x = torch.randn(64, 8)
    with joined() as team:
        mine = rows or slice(32 * team.rank, 32 * team.rank + 32)

        def step(scale: Tensor) -> dict[str, Tensor]:
            model.zero_grad()
            loss = (model(x[mine]) - x[mine, :4]).square().mean()
            loss.backward()
            team.average_([p.grad for p in model.parameters() if p.grad is not None])
            return {"loss": loss.detach(), "norm": optimizer.step(scale)}

        runs = RunConfig(out, 1.0, time.monotonic(), warmup=5, max_steps=STEPS, log_every=10, team=team)
        assert run(step, optimizer, runs, lambda _: None) == STEPS
        weights = {name: p.detach() for name, p in model.named_parameters()}
        save_file(weights, out / f"weights{team.rank}.safetensors")
    return weights


def test_two_processes_learn_what_one_learns_from_all_rows(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    two = tmp_path / "two"
    done = subprocess.run([*command, str(two)], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    alone = learn(tmp_path / "one", slice(0, 64))
    first, second = (load_file(two / f"weights{rank}.safetensors") for rank in range(2))
    for name, weight in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], weight, atol=2e-2, rtol=0)  # Muon iterates in bf16
    assert (two / "log.csv").read_text().count("\n") == 1 + STEPS // 10  # only the first process writes


if __name__ == "__main__":
    learn(Path(sys.argv[1]), None)
