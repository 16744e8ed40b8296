"""One training run: a step repeated until the time is up, its log, its saves, and going on where it stopped.

On CUDA a small step is captured once as a single graph and replayed: it costs less than its launches.
"""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from safetensors.torch import load_file, save_file
from torch import Tensor

from bagel.train.optimizer import Optimizer
from bagel.train.parallel import Team
from world.files import atomic_path

Step = Callable[[Tensor], dict[str, Tensor]]  # rate scale -> "loss" and what else log.csv tells, 0-dim on the device
STRIKES = 3  # lines of the log in a row whose loss is not finite, after which a run ends


@dataclass(frozen=True)
class RunConfig:
    """`minutes` run from `began` (time.monotonic()), so that rendering and compiling count."""

    out: Path
    minutes: float
    began: float
    warmup: int = 300  # steps
    decay: float = 0.3  # last share of the training time, over which the rates fall to 0; 0 keeps them
    max_steps: int | None = None
    log_every: int = 20  # steps
    save_every: float = 240.0  # seconds
    resume: bool = False
    graph: bool = True  # on CUDA: every step is the same work, and can be one graph
    team: Team = field(default_factory=Team)

    def __post_init__(self) -> None:
        if self.minutes <= 0:
            raise ValueError(f"minutes must be above 0, got {self.minutes}")
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay is a share of the time in [0, 1], got {self.decay}")


def run(step: Step, optimizer: Optimizer, config: RunConfig, sample: Callable[[int], None]) -> int:
    """Steps until the time is up and returns how many steps were made.

    Writes log.csv as it goes and state.safetensors at each save, when `sample(step)` is called too (for sheets and
    the checkpoint). In a team the first process does that, and says what time it is.
    """
    team = config.team
    config.out.mkdir(parents=True, exist_ok=True)
    state = config.out / "state.safetensors"
    if config.resume and state.exists():
        optimizer.load(load_file(state, device=str(optimizer.device)))
    start = int(optimizer.tensors["steps"].item())
    scale = torch.zeros((), device=optimizer.device)
    call = _graphed(step, scale, optimizer) if config.graph and optimizer.device.type == "cuda" else lambda: step(scale)
    began, end = time.monotonic(), config.began + 60 * config.minutes
    num, strikes, saved, spent = 0, 0, began, 0.0
    log_path = config.out / "log.csv" if team.first else Path(os.devnull)
    with _progress(team) as progress, _Log(log_path, resume=start > 0) as log:
        bar = progress.add_task("training", total=max(end - began, 1e-3))
        while True:
            now = time.monotonic()
            if team.size == 1 or num % config.log_every == 0:  # asking costs a message
                spent = team.agree((now - began) / max(end - began, 1e-3))
            done = max(spent, num / (config.max_steps or math.inf))
            if done >= 1:
                break
            scale.fill_(rate(num, done, config))
            told = call()
            num += 1
            if num % config.log_every == 0:
                numbers = {name: value.item() for name, value in told.items()}
                row = {"step": start + num, "seconds": round(now - began, 1)} | numbers
                strikes = 0 if math.isfinite(row["loss"]) else strikes + 1
                if strikes == STRIKES:
                    since = start + num - (STRIKES - 1) * config.log_every
                    raise FloatingPointError(f"the loss is {row['loss']} since step {since}: lower the rates")
                log.write(row)
                progress.update(bar, completed=now - began, description=f"step {start + num} loss {row['loss']:.4f}")
            if team.first and now - saved > config.save_every:
                _save(optimizer, state)
                sample(start + num)
                saved = now
    if team.first:
        _save(optimizer, state)
        sample(start + num)
    return start + num


def rate(step: int, done: float, config: RunConfig) -> float:
    """Scale of the rates: linear warm-up by steps, flat, cosine to 0 over the last `decay` of the time."""
    warm = min(1.0, (step + 1) / config.warmup)
    if config.decay == 0 or done < 1 - config.decay:
        return warm
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - 1 + config.decay) / config.decay)))


def _graphed(step: Step, scale: Tensor, optimizer: Optimizer) -> Callable[[], dict[str, Tensor]]:
    """The step as one CUDA graph. The warm-up steps run at rate 0 and are undone in the moments by a reload."""
    before = {k: v.clone() for k, v in optimizer.tensors.items()}
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step(scale)
    torch.cuda.current_stream().wait_stream(stream)
    optimizer.load(before)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # NCCL's watchdog asks about events meanwhile
        told = step(scale)

    def replay() -> dict[str, Tensor]:
        graph.replay()
        return told

    return replay


def _save(optimizer: Optimizer, path: Path) -> None:
    """All at once: a save that is cut off leaves the last one."""
    with atomic_path(path) as partial:
        save_file({k: v.contiguous() for k, v in optimizer.tensors.items()}, partial)


def _progress(team: Team) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), disable=not team.first)


class _Log:
    """log.csv, a line at a time; a resumed run goes on below the old lines."""

    def __init__(self, path: Path, resume: bool) -> None:
        self.file = path.open("a" if resume else "w", newline="")
        self.writer: csv.DictWriter[str] | None = None

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, row: dict[str, float]) -> None:
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, list(row))
            if self.file.tell() == 0:
                self.writer.writeheader()
        self.writer.writerow(row)
        self.file.flush()
