"""`python -m bagel bench`: a walk, or with --measure a frame's parts, whole tables, loading, what faster ways cost."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bagel.cli import add_loading_arguments, directory_of, loading_bar, loading_of, size_of
from world import cli, models
from world.errors import ModelError
from world.settings import PRESETS, SamplerConfig

if TYPE_CHECKING:
    import torch

    from bagel.precision import Precision
    from bagel.weights import Checkpoint

MEASURES = (
    "walk",
    "frame",
    "evaluation",
    "table",
    "cards",
    "replicas",
    "loading",
    "precision",
    "approximations",
    "batch",
)


COMPILED = ", compiled"
FLOAT32_MEMORY = 70e9  # bytes of a card on which the 7B in float32 leaves room to compute


def add_bench(commands: Any) -> None:
    parser = commands.add_parser("bench", help="how long things take, and what faster ways cost")
    add_loading_arguments(parser)
    parser.add_argument(
        "--config", dest="model", metavar="NAME", help="as --model; 7b and 7b:LAYERS have random weights"
    )
    parser.add_argument("--measure", choices=MEASURES, help="default: walk, and frame for 7b")
    parser.add_argument("--scene", default="studio", help="where to walk (default: studio)")
    parser.add_argument("--steps", type=cli.count, default=40, help="steps of a walk, runs of a part (default 40)")
    parser.add_argument(
        "--size",
        metavar="WxH",
        help="of pictures (default: the model's own, else 512x512); table, cards: several, by comma",
    )
    parser.add_argument("--ways", metavar="LIST", help="for cards: such as one:1,tensor:2 (default: all that fit)")
    parser.add_argument("--minutes", type=cli.minutes, default=math.inf, help="for table, cards: begin nothing after")
    parser.add_argument("--batch", type=cli.count, default=1, help="walks in one batch (default 1)")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="for frame, table: a clone of the published code")
    parser.add_argument("--write", type=Path, metavar="DIR", help="for loading: write the random model there first")
    parser.add_argument("--json", action="store_true", help="for machines")
    cli.add_sampler_arguments(parser)
    parser.set_defaults(run=run_bench)


def run_bench(chosen: argparse.Namespace) -> int:
    is_random = chosen.model.partition(":")[0] == "7b"
    measure = chosen.measure or ("frame" if is_random else "walk")
    if measure == "walk":
        return _walk(chosen)
    result, lines = _RUN[measure](chosen)
    print(json.dumps(result, indent=2) if chosen.json else "\n".join(lines))
    return 0


def _walk(chosen: argparse.Namespace) -> int:
    from bagel.bench import measure, start_up
    from bagel.world_model import BagelWorldModel

    scene = models.load_scene(chosen.scene)
    model = models.load(chosen.model, sampler=cli.sampler_of(chosen), device=chosen.device)
    if not isinstance(model, BagelWorldModel):
        raise ModelError(f"{chosen.model!r} is no BAGEL: bench takes tiny or a checkpoint directory")
    bench = measure(model, scene, chosen.steps)
    first = start_up(chosen.model, chosen.scene)
    if chosen.json:
        print(json.dumps(asdict(bench) | {"start_up": first}, indent=2))
        return 0
    print(", ".join(f"{name} {value}" for name, value in bench.settings.items()))
    for part in bench.parts:
        print(f"{part.name:36}{1e3 * part.median:8.1f} ms median {1e3 * part.p90:8.1f} ms p90   of {part.count}")
    for name, ratio in bench.ratios.items():
        print(f"{name:44}{ratio:6.2f} times")
    print(f"{first:.1f} s from the start of a process to its first frame")
    print(f"{bench.steps_per_second:.1f} frames/s")
    return 0


def _frame(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from PIL import Image

    from bagel.compiled import ONE_GRAPH
    from bagel.kernels import choose
    from bagel.speed.frame import WORDS, measure_frame, noise
    from bagel.speed.reference import Edit, check_reference, measure_reference

    if chosen.reference is not None:
        check_reference(chosen.reference)
    begun = time.perf_counter()
    checkpoint = _checkpoint(chosen)
    loaded = time.perf_counter() - begun
    found = measure_frame(checkpoint, _sampler(chosen), chosen.batch, max(3, chosen.steps // 4), chosen.model)
    share = found.rate / found.matmul_rate
    kernel = choose(chosen.attention, checkpoint.model.device, checkpoint.model.dtype, checkpoint.config.language)
    lines = [", ".join(f"{name} {value}" for name, value in found.settings.items())]
    lines += [f"attention: {kernel.name}", *(f"  not {name}: {why}" for name, why in kernel.passed_over.items())]
    if chosen.compile and checkpoint.model.device.type == "cuda":
        lines.append(f"  in graphs, of fewer than {ONE_GRAPH} latent rows: torch's FlashAttention-2 for packed rows")
    lines += [f"{name:30}{1e3 * seconds:10.1f} ms" for name, seconds in found.parts.items()]
    lines += [
        f"{'whole frame, picture read anew':30}{1e3 * found.frame:10.1f} ms",
        f"{'step of a walk, p50 / p99':30}{1e3 * found.p50:10.1f} / {1e3 * found.p99:.1f} ms",
        f"{found.rate / 1e12:.1f} TFLOP/s in a guided evaluation, {share:.0%} of a large product's "
        f"{found.matmul_rate / 1e12:.1f}",
        f"peak memory {found.peak_memory:.1f} GiB; first frame after {loaded + found.first_frame:.1f} s "
        f"({loaded:.1f} s of them making or loading the model)",
        f"{found.frames_per_second:.2f} frames/s",
    ]
    result = asdict(found) | {"share": share, "loaded": loaded, "attention": kernel.name}
    if chosen.reference is not None:
        edit = Edit(Image.fromarray(noise(_size(chosen))), WORDS, checkpoint.tokenizer)
        runs = max(3, chosen.steps // 8)
        other = next(measure_reference(chosen.reference, checkpoint.config, _sampler(chosen), [edit], runs))
        lines.append(
            f"published code ({other.attention}): {1e3 * other.frame:.1f} ms a frame, "
            f"ours is {other.frame / found.frame:.2f} times as fast"
        )
        result |= {"reference": asdict(other)}
    return result, lines


def _evaluation(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from bagel.speed.evaluation import kernel_times, measure_evaluations, product_rates

    if not chosen.compile:
        raise ValueError("a bench of evaluations is about compiled ones: add --compile")
    first = (chosen.size or "512x512").partition(",")[0]
    checkpoint = _checkpoint(argparse.Namespace(**vars(chosen) | {"size": first}))
    rows = []
    for row in measure_evaluations(checkpoint, _sizes(chosen)):
        rows.append(asdict(row))
        print(*rows[-1].values(), file=sys.stderr, flush=True)
    lines = [f"{'size':12}{'markers':16}{'one branch':>12}{'three':>12}"]
    lines += [f"{r['size']:12}{r['markers']:16}{r['one']:9.2f} ms{r['three']:9.2f} ms" for r in rows]
    lines += [*kernel_times(checkpoint, _sizes(chosen)[0]), *product_rates(checkpoint)]
    return {"evaluations": rows, "lines": lines}, lines


def _table(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from bagel.precision import check_precision
    from bagel.speed.random import config_of
    from bagel.speed.reference import check_reference
    from bagel.speed.table import Request, as_markdown, measure_table

    if chosen.reference is not None:
        check_reference(chosen.reference)
    precisions: list[Precision] = [check_precision(name) for name in (chosen.precision or "bfloat16").split(",")]
    how = loading_of(argparse.Namespace(**vars(chosen) | {"precision": None}))
    found = measure_table(
        Request(
            config_of(chosen.model),
            chosen.device,
            how,
            precisions,
            _sizes(chosen),
            _sampler(chosen),
            chosen.reference,
            time.time() + 60 * chosen.minutes,
        )
    )
    return _told(found, as_markdown)


def _cards(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from bagel.speed.cards import WAYS, Trial, as_markdown, compare_cards
    from bagel.speed.random import config_of, random_checkpoint

    how = loading_of(chosen)
    if not how.devices:
        raise ValueError("a bench of cards needs their names: --devices cuda:0,cuda:1")
    deadline = time.time() + 60 * chosen.minutes
    trial = Trial(config_of(chosen.model), random_checkpoint, how, _sizes(chosen), _sampler(chosen), deadline)
    return _told(compare_cards(trial, chosen.ways.split(",") if chosen.ways else WAYS), as_markdown)


def _replicas(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from bagel.speed.replicas import measure_replicas

    found = measure_replicas(chosen.model, loading_of(chosen).devices or ("cpu", "cpu"), _sampler(chosen))
    line = (
        f"{', '.join(found.devices)}: a step takes {found.undisturbed:.2f} s, {found.killed:.2f} s where its server is "
        f"killed half way; the frames differ by {found.apart} of 255"
    )
    return asdict(found), [line]


def _told(rows: Iterable[Any], as_markdown: Callable[[Sequence[Any]], list[str]]) -> tuple[Any, list[str]]:
    """All rows, each told at once on stderr: a long table that is cut off has not been in vain."""
    found = []
    for row in rows:
        found.append(row)
        print(as_markdown([row])[-1], file=sys.stderr, flush=True)
    known = [{name: None if value != value else value for name, value in asdict(row).items()} for row in found]
    return known, as_markdown(found)  # JSON has no word for what is no number


def _batch(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    """One walk beside `--batch` walks in one batch, with and without guidance."""
    from bagel.speed.frame import measure_frame

    checkpoint, guided = _checkpoint(chosen), _sampler(chosen)
    free = replace(guided, cfg_text_scale=1.0, cfg_image_scale=1.0)
    result, lines = {}, []
    for name, sampler in (("without guidance", free), ("as set", guided)):
        rates = {
            count: measure_frame(checkpoint, sampler, count, max(3, chosen.steps // 8), chosen.model).frames_per_second
            for count in dict.fromkeys((1, chosen.batch))
        }
        result[name] = rates
        gain = rates[chosen.batch] / rates[1]
        lines.append(
            f"{name:18}{rates[1]:8.2f} frames/s alone, {rates[chosen.batch]:8.2f} with {chosen.batch}: {gain:.2f} times"
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return result, lines


def _loading(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from bagel.speed.loading import measure_loading
    from bagel.speed.random import config_of, write_random

    if chosen.write is not None:
        write_random(chosen.write, config_of(chosen.model), chosen.device)
    directory = chosen.write or directory_of(chosen.model)
    found = measure_loading(directory, chosen.device, loading_of(chosen))
    line = (
        f"{found.gigabytes:.2f} GB onto {found.device} in {found.seconds:.1f} s: {found.rate:.2f} GB/s, "
        f"the disk alone gives {found.disk_rate:.2f}; at the peak {found.peak:.2f} GiB above program and model"
    )
    return asdict(found), [line]


def _precision(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from bagel.precision import PACKED, can_run
    from bagel.speed.exactness import compare_precisions
    from bagel.weights import choose_device

    device = choose_device(chosen.device)
    names = ["bfloat16"] if device.type == "cuda" and _memory(device) < FLOAT32_MEMORY else ["float32", "bfloat16"]
    names += [f"bfloat16{COMPILED}"] if chosen.compile else []
    refused = {name: why for name in PACKED if (why := can_run(name, device))}
    names += [name for name in PACKED if name not in refused]

    def make(name: str) -> Checkpoint:
        compiled = name.endswith(COMPILED)
        return _checkpoint(argparse.Namespace(**vars(chosen) | {"compile": compiled}), name.removesuffix(COMPILED))

    errors, lines = [], [f"{'precision':20}{'velocity error':>16}{'worst':>9}{'weights':>14}{'evaluation':>15}"]
    for e in compare_precisions(make, names, _size(chosen)):
        errors.append(asdict(e))
        lines.append(f"{e.name:20}{e.mean:16.4f}{e.worst:9.4f}{e.gigabytes:10.3f} GiB{e.milliseconds:12.1f} ms")
        print(lines[-1], file=sys.stderr, flush=True)
    lines += [f"{name:20}{why}" for name, why in refused.items()]
    return errors, lines


def _memory(device: torch.device) -> int:
    import torch

    return torch.cuda.get_device_properties(device).total_memory


def _approximations(chosen: argparse.Namespace) -> tuple[Any, list[str]]:
    from bagel.speed.exactness import compare_approximations

    rows, lines = [], [f"{'approximation':40}{'latents off by':>15}{'seconds':>10}{'times as fast':>15}"]
    for name, error, seconds in compare_approximations(_checkpoint(chosen), _sampler(chosen), _size(chosen)):
        rows.append({"name": name, "error": error, "seconds": seconds})
        lines.append(f"{name:40}{error:15.4f}{seconds:10.2f}{rows[0]['seconds'] / seconds:15.2f}")
        print(lines[-1], file=sys.stderr, flush=True)
    return rows, lines


def _checkpoint(chosen: argparse.Namespace, precision: str | None = None) -> Checkpoint:
    """The model that is measured, with walks of the size asked for where it has no size of its own."""
    from bagel.precision import check_precision
    from bagel.speed.exactness import with_frame_size
    from bagel.speed.random import config_of, random_checkpoint
    from bagel.weights import load

    how = loading_of(chosen)
    if precision is not None:
        how = replace(how, precision=check_precision(precision))
    if chosen.model.partition(":")[0] == "7b":
        return random_checkpoint(with_frame_size(config_of(chosen.model), _size(chosen)), chosen.device, how)
    with loading_bar():
        checkpoint = load(directory_of(chosen.model), chosen.device, how=how)
    return replace(checkpoint, config=with_frame_size(checkpoint.config, _size(chosen)))


def _size(chosen: argparse.Namespace) -> tuple[int, int]:
    from bagel.speed.random import config_of

    own = None if chosen.model.partition(":")[0] == "7b" else config_of(str(chosen.model)).walk.frame_size
    return size_of(chosen.size) or own or (512, 512)


def _sizes(chosen: argparse.Namespace) -> tuple[tuple[int, int], ...]:
    """Several, as --size of a table names them."""
    named = [size_of(text) for text in (chosen.size or "512x512").split(",")]
    return tuple(size for size in named if size is not None)


def _sampler(chosen: argparse.Namespace) -> SamplerConfig:
    return cli.sampler_of(chosen) or PRESETS[cli.default_preset(chosen.model)]


_RUN = {
    "frame": _frame,
    "evaluation": _evaluation,
    "table": _table,
    "cards": _cards,
    "replicas": _replicas,
    "loading": _loading,
    "precision": _precision,
    "approximations": _approximations,
    "batch": _batch,
}
