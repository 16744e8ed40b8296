"""The table of BENCHMARKS.md on one card: precisions and sizes, compiled, beside the published code in the same run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image
from torch import Tensor

from bagel.compiled import use_compiled
from bagel.config import BagelConfig
from bagel.placement import Loading
from bagel.precision import Precision
from bagel.speed.exactness import inputs_for, relative, release, velocities, with_frame_size
from bagel.speed.frame import WORDS, FrameTime, measure_frame, noise
from bagel.speed.random import random_checkpoint
from bagel.speed.reference import Edit, measure_reference
from bagel.tiny import TINY
from bagel.tokenizer import Tokenizer
from world.settings import SamplerConfig

RUNS = 3
PUBLISHED, NO_TIME = "published", "no time left"

# Columns of the table and the part of a frame that each shows, in ms.
_PARTS = {
    "three branches": "evaluation, three branches",
    "one branch": "evaluation, one branch",
    "prefill": "prefill, ViT included",
    "ViT": "ViT",
    "encode": "VAE encode",
    "decode": "VAE decode",
}


@dataclass(frozen=True)
class Request:
    """What is measured: `sizes` are (H, W), `reference` is a clone of the published code.

    From `deadline` on (time.time) nothing new is begun.
    """

    config: BagelConfig
    device: str | None
    how: Loading
    precisions: Sequence[Precision]
    sizes: Sequence[tuple[int, int]]
    sampler: SamplerConfig
    reference: Path | None = None
    deadline: float = math.inf


@dataclass(frozen=True)
class TableRow:
    """A precision (or "published") at one size; `frame` are seconds, `time` all figures of ours.

    `error` is the velocity's relative difference from the first precision's without compiling, on the same inputs.
    `problem` says why there are no figures.
    """

    name: str
    size: str
    frame: float = math.nan
    error: float = math.nan
    time: FrameTime | None = None
    problem: str = ""


def measure_table(request: Request) -> Iterator[TableRow]:
    """Rows as they are found: the first precision, the published code, the other precisions; what fails says why."""
    exact: dict[tuple[int, int], Tensor] = {}
    for number, precision in enumerate(request.precisions):
        yield from _ours(request, precision, exact)
        release()
        if number == 0 and request.reference is not None:
            yield from _published(request, request.reference)
            release()


def as_markdown(rows: Sequence[TableRow]) -> list[str]:
    """One line a row; how many times as fast as the published code is told where that was measured in the same run."""
    columns = ("", "size", *(f"{name}, ms" for name in _PARTS), "of a large product", "GiB", "first, s", "frame, s")
    lines = ["| " + " | ".join((*columns, "times published", "off by")) + " |", "|---" * (len(columns) + 2) + "|"]
    published = {row.size: row.frame for row in rows if row.name == PUBLISHED}
    for row in rows:
        cells = [row.name, row.size]
        if row.time is None:
            cells += [row.problem] + [""] * (len(_PARTS) + 2)
        else:
            cells += [f"{1e3 * row.time.parts[part]:.1f}" for part in _PARTS.values()]
            cells += [f"{row.time.rate / row.time.matmul_rate:.0%}", f"{row.time.peak_memory:.1f}"]
            cells += [f"{row.time.first_frame:.1f}"]
        cells += [_figure(row.frame, ".3f"), _figure(published.get(row.size, math.nan) / row.frame, ".2f")]
        lines.append("| " + " | ".join((*cells, _figure(row.error, ".1e"))) + " |")
    return lines


def _ours(request: Request, precision: Precision, exact: dict[tuple[int, int], Tensor]) -> Iterator[TableRow]:
    begun = time.perf_counter()
    try:
        how = replace(request.how, precision=precision, compile=False)
        checkpoint = random_checkpoint(request.config, request.device, how)
        made = time.perf_counter() - begun
        inputs = {size: inputs_for(checkpoint, size) for size in request.sizes}
        for size in request.sizes:  # before anything is compiled
            if size not in exact:
                exact[size] = velocities(checkpoint, inputs[size])[0]
    except Exception as error:  # noqa: BLE001 - whatever it is, the table goes on and says it
        yield from (TableRow(precision, _named(size), problem=_in_a_line(error)) for size in request.sizes)
        return
    if request.how.compile:
        use_compiled(checkpoint.model, one_device=True)
    for size in request.sizes:
        row = TableRow(precision, _named(size))
        if time.time() > request.deadline:
            yield replace(row, problem=NO_TIME)
            continue
        try:
            sized = replace(checkpoint, config=with_frame_size(checkpoint.config, size))
            found = measure_frame(sized, request.sampler, 1, RUNS, precision, walk=False)
            error = relative(velocities(checkpoint, inputs[size])[0], exact[size])
        except Exception as problem:  # noqa: BLE001 - as above
            yield replace(row, problem=_in_a_line(problem))
            continue
        found, made = replace(found, first_frame=made + found.first_frame), 0.0
        yield replace(row, frame=found.frame, error=error, time=found)


def _published(request: Request, repository: Path) -> Iterator[TableRow]:
    tokenizer = Tokenizer.from_directory(TINY)
    edits = [Edit(Image.fromarray(noise(size)), WORDS, tokenizer) for size in request.sizes]
    found = measure_reference(repository, request.config, request.sampler, edits, RUNS, request.deadline)
    problem = NO_TIME
    for size in request.sizes:
        row, one = TableRow(PUBLISHED, _named(size)), None
        try:
            one = next(found, None)
        except Exception as error:  # noqa: BLE001 - as above
            problem = _in_a_line(error)
        yield replace(row, problem=problem) if one is None else replace(row, frame=one.frame, problem=one.attention)


def _named(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"


def _in_a_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0].replace("|", "/")


def _figure(value: float, form: str) -> str:
    return "" if math.isnan(value) else format(value, form)
