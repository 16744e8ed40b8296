"""One model over several cards: every way to divide it, beside one card, on the same inputs.

C branches of guidance, B pictures, N latent tokens, P numbers of a token.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from bagel.crew import Crew, as_it_is
from bagel.placement import GIB, Loading, Parallel
from bagel.sampler import Velocity
from bagel.speed.exactness import TIMES, conditions_of, inputs_for, with_frame_size
from bagel.speed.frame import WORDS, noise, synchronize
from bagel.weights import Checkpoint
from bagel.world_model import BagelWorldModel
from world.settings import SamplerConfig
from world.types import Action, Pose, Scene, Start

# Ways and on how many cards, the most telling first; "one" is what all compare with.
WAYS = (
    "one:1",
    "tensor:2",
    "guidance:3",
    "guidance:2",
    "tensor:4",
    "guidance+tensor:4",
    "layers:2",
    "layers:3",
    "layers:4",
)
PATIENCE = 150  # seconds that a way may be silent


@dataclass(frozen=True)
class CardsTime:
    """A way at one size: ms of an evaluation of three branches, seconds of a frame, GiB at the peak on each card.

    `gain` is how many times as fast an evaluation is as on one card, `error` the velocity's relative difference from
    it, where that was measured. `problem` says why there are no figures.
    """

    way: str
    size: str
    evaluation: float = 0.0
    frame: float = 0.0
    memory: tuple[float, ...] = ()
    gain: float = math.nan
    error: float = math.nan
    problem: str = ""

    @property
    def num_cards(self) -> int:
        return int(self.way.partition(":")[2])


@dataclass(frozen=True)
class Trial:
    """What every way is tried with: `read(what, device, how=...)` makes the model, sizes are (H, W).

    From `deadline` on (time.time) nothing new is begun.
    """

    what: Any
    read: Callable[..., Checkpoint]
    how: Loading  # with all devices
    sizes: tuple[tuple[int, int], ...]
    sampler: SamplerConfig
    deadline: float


@dataclass(frozen=True)
class _Found:
    v: np.ndarray  # float32 [times, C, N, P]
    evaluation: float  # seconds
    frame: float
    memory: tuple[float, ...]


def compare_cards(trial: Trial, ways: Sequence[str] = WAYS) -> Iterator[CardsTime]:
    """Every way that the devices allow, at each size; what fails or hangs is a row with its reason."""
    alone: dict[tuple[int, int], _Found] = {}
    for way in ways:
        if CardsTime(way, "").num_cards > len(trial.how.devices):
            continue
        for size, found in zip(trial.sizes, _apart(trial, way), strict=True):
            row = CardsTime(way, f"{size[1]}x{size[0]}")
            if isinstance(found, str):
                yield replace(row, problem=found)
                continue
            row = replace(row, evaluation=1e3 * found.evaluation, frame=found.frame, memory=found.memory)
            if way == WAYS[0]:
                alone[size] = found
            if size in alone:
                error = float(np.linalg.norm(found.v - alone[size].v) / np.linalg.norm(alone[size].v))
                row = replace(row, gain=alone[size].evaluation / found.evaluation, error=error)
            yield row


def as_markdown(rows: Sequence[CardsTime]) -> list[str]:
    """The table of BENCHMARKS.md."""
    lines = ["| way:cards | size | an evaluation | gain | share of the cards | a frame | GiB at the peak | off by |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for r in rows:
        memory, frame = " + ".join(f"{m:.1f}" for m in r.memory), f"{r.frame:.2f} s" if r.frame else "no time left"
        figures = (f"{r.evaluation:.1f} ms", f"{r.gain:.2f}", f"{r.gain / r.num_cards:.0%}", frame, memory)
        cells = (r.problem, "", "", "", "", "") if r.problem else (*figures, f"{r.error:.1e}")
        lines.append("| " + " | ".join((r.way, r.size, *cells)) + " |")
    return lines


def _apart(trial: Trial, way: str) -> Iterator[_Found | str]:
    """What a way finds at each size, or why nothing, from a process that can be ended with all that it has begun."""
    context = mp.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_try, args=(trial, way, theirs))
    process.start()
    theirs.close()
    lost = ""
    try:
        for _ in trial.sizes:
            patience = min(PATIENCE, max(30.0, trial.deadline + 60 - time.time()))
            try:
                if not lost and not ours.poll(patience):
                    lost = f"nothing heard for {patience:.0f} s"
                yield lost or ours.recv()
            except EOFError:
                lost = "its process died"
                yield lost
    finally:
        process.kill()
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()


def _try(trial: Trial, way: str, connection: Connection) -> None:
    """A process's life: divide the model, then measure size by size. It and its mates are one group of processes."""
    os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    crew: Crew[Checkpoint] | str = "no time left"
    if time.time() < trial.deadline:
        try:
            crew = _crew(trial, way)
        except Exception as error:  # noqa: BLE001 - whatever it is, the table goes on and says it
            crew = _in_a_line(error)
    for size in trial.sizes:
        if isinstance(crew, str) or time.time() > trial.deadline:
            connection.send(crew if isinstance(crew, str) else "no time left")
            continue
        try:
            connection.send(crew.run(_measure, size, trial.sampler, trial.deadline))
        except Exception as error:  # noqa: BLE001 - as above
            connection.send(_in_a_line(error))


def _end_with_parent() -> None:
    """Ends this group of processes once the bench has ended, even where it was killed: cards must not stay taken."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)


def _in_a_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0].replace("|", "/")


def _crew(trial: Trial, way: str) -> Crew[Checkpoint]:
    name, _, count = way.partition(":")
    devices = trial.how.devices[: int(count)]
    if name == "one":
        how = replace(trial.how, devices=(), parallel="auto")
        return Crew(trial.what, devices[0], how, as_it_is, trial.read)
    parallel: Parallel = name  # pyright: ignore[reportAssignmentType] - Loading checks it
    return Crew(trial.what, None, replace(trial.how, devices=devices, parallel=parallel), as_it_is, trial.read)


@torch.inference_mode()
def _measure(checkpoint: Checkpoint, size: tuple[int, int], sampler: SamplerConfig, deadline: float) -> _Found:
    """What each process of a crew does; the first one's result counts."""
    for card in range(torch.cuda.device_count()):
        torch.cuda.reset_peak_memory_stats(card)
    inputs, markers = inputs_for(checkpoint, size), checkpoint.tokenizer.image_markers
    conditions = conditions_of(checkpoint, inputs)
    contexts = [*conditions.gen, *(conditions.cfg_text or ()), *(conditions.cfg_image or ())]
    velocity = Velocity(checkpoint.model, markers, contexts, inputs.grid)
    x_t = inputs.noise.to(checkpoint.model.device)
    found, seconds = [], []
    for t in (TIMES[0], *TIMES):
        synchronize(checkpoint)
        begun = time.perf_counter()
        found.append(velocity.of_branches(x_t, torch.tensor(t), len(contexts), None)[:, 0])
        synchronize(checkpoint)
        seconds.append(time.perf_counter() - begun)
    evaluation = statistics.median(seconds[1:])
    del velocity
    left = deadline - time.time() - 2 * evaluation * sampler.num_timesteps
    frame = _frame(checkpoint, size, sampler) if _first_says(left > 0) else 0.0
    return _Found(torch.stack(found[1:]).float().cpu().numpy(), evaluation, frame, _memory())


def _frame(checkpoint: Checkpoint, size: tuple[int, int], sampler: SamplerConfig) -> float:
    """Seconds of one whole step of a walk, after one of a single evaluation."""
    walked = replace(checkpoint, config=with_frame_size(checkpoint.config, size))
    scene = Scene("bench", "noise", (Start("here", Pose(), noise(size)),), (Action(WORDS),))
    begun = 0.0
    for settings in (replace(sampler, num_timesteps=2), sampler):
        model = BagelWorldModel(walked, "bench", settings)
        starts = model.reset([scene], [0])
        synchronize(checkpoint)
        begun = time.perf_counter()
        model.step(starts, [Action(WORDS)])
        synchronize(checkpoint)
    return time.perf_counter() - begun


def _first_says(mine: bool) -> bool:
    """What the first process of a crew says: all must do the same."""
    if not dist.is_initialized():
        return mine
    said = [mine]
    dist.broadcast_object_list(said, src=0)
    return said[0]


def _memory() -> tuple[float, ...]:
    """GiB at the peak on each card that the model uses; none on a CPU."""
    peaks = [torch.cuda.max_memory_allocated(card) / GIB for card in range(torch.cuda.device_count())]
    if not dist.is_initialized():
        return tuple(peak for peak in peaks if peak > 1e-3)
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, max(peaks, default=0.0))
    return tuple(everyone) if any(everyone) else ()
