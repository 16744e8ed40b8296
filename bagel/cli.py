"""What bagel's commands share: the flags of loading and its bar; and the commands about files: inspect, quantize."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bagel.tiny import TINY

if TYPE_CHECKING:
    from bagel.placement import Loading
    from bagel.plan import Option


def add_loading_arguments(parser: argparse.ArgumentParser) -> None:
    """--model and everything of `placement.Loading`."""
    parser.add_argument("--model", default="tiny", metavar="DIR", help="a checkpoint directory (default: tiny)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 ... (default: cuda where there is one)")
    group = parser.add_argument_group("memory and cards")
    group.add_argument(
        "--precision",
        "--dtype",
        metavar="NAME",
        help="float32, bfloat16, float16, or matrices packed as fp8, int8 or nf4 (default: the file's own; "
        "float32 on the CPU, bfloat16 elsewhere)",
    )
    group.add_argument("--devices", metavar="LIST", help="several, such as cuda:0,cuda:1,cuda:2")
    group.add_argument(
        "--parallel", default="auto", metavar="HOW", help="layers, guidance, tensor, guidance+tensor or auto (default)"
    )
    group.add_argument("--attention", default="auto", metavar="KERNEL", help="default: the best that runs here")
    group.add_argument("--config-from", type=Path, metavar="DIR", help="configs, tokenizer and autoencoder from there")
    group.add_argument("--lora", type=Path, metavar="DIR", help="an adapter of `train lora`, added to the matrices")
    group.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=False, help="slower to start, faster ever after"
    )


def loading_of(chosen: argparse.Namespace) -> Loading:
    """The flags of `add_loading_arguments`. Raises ValueError for an impossible choice."""
    from bagel.placement import Loading
    from bagel.precision import check_precision

    precision = None if chosen.precision is None else check_precision(chosen.precision)
    devices = tuple(name.strip() for name in (chosen.devices or "").split(",") if name.strip())
    return Loading(
        precision,
        chosen.config_from,
        devices,
        chosen.parallel,
        chosen.attention,
        chosen.compile,
        lora=chosen.lora,
    )


def directory_of(name: str) -> Path:
    """The directory of an address: the shipped one, a folder, or one that a hub's client downloads first."""
    if name == "tiny":
        return TINY
    if not Path(name).exists():
        from bagel.hub import download, is_hub

        if is_hub(name):
            return download(name, lambda line: print(line, file=sys.stderr))
    return Path(name)


@contextmanager
def loading_bar() -> Iterator[None]:
    """A bar on the terminal with a stage for each file that is read."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        tasks: dict[str, TaskID] = {}

        class Bar(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if record.levelno == logging.INFO and isinstance(record.args, tuple) and len(record.args) == 2:
                    file, percent = str(record.args[0]), record.args[1]
                    for other in tasks.keys() - {file}:
                        progress.update(tasks[other], completed=100)
                    if file not in tasks:
                        tasks[file] = progress.add_task(f"reading {file}", total=100)
                    progress.update(tasks[file], completed=float(str(percent)))

        bar, logger = Bar(), logging.getLogger("bagel.weights")
        level = logger.level
        logger.addHandler(bar)
        logger.setLevel(logging.INFO)
        try:
            yield
        finally:
            logger.removeHandler(bar)
            logger.setLevel(level)


def add_inspect(commands: Any) -> None:
    parser = commands.add_parser("inspect", help="what a checkpoint holds, what is wrong with it, where it fits")
    parser.add_argument("directory", metavar="DIR", help="a checkpoint directory, tiny, or 7b for a plan alone")
    parser.add_argument("--keys", action="store_true", help="list every tensor")
    parser.add_argument("--deep", action="store_true", help="read every number, looking for NaN and infinities")
    parser.add_argument("--config-from", type=Path, metavar="DIR", help="configs, tokenizer and autoencoder from there")
    parser.add_argument("--gpus", metavar="LIST", help="plan for cards of so many GiB, such as 24,24,24")
    parser.add_argument("--size", default="512x512", metavar="WxH", help="pictures of the plan (default 512x512)")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run_inspect)


def run_inspect(chosen: argparse.Namespace) -> int:
    from bagel.config import RELEASE
    from bagel.inspection import Inspection, inspect
    from bagel.plan import plan

    if chosen.directory == "7b":
        found = Inspection([], [], [], RELEASE)
    else:
        found = inspect(directory_of(chosen.directory), chosen.config_from, chosen.deep)
    options: list[Option] = []
    if chosen.gpus is not None and found.config is not None:
        options = plan(found.config, _memories(chosen.gpus), size_of(chosen.size) or (512, 512), chosen.directory)
    if chosen.json:
        print(json.dumps(asdict(found) | {"plan": [asdict(option) for option in options]}, indent=2))
        return 2 if found.wrong else 0
    if chosen.keys:
        for file, name, shape, stored_as in found.keys:
            print(f"{file}  {name}  {list(shape)}  {stored_as}")
    if found.keys:
        for part in found.parts:
            print(f"{part.part:26} {part.num_tensors:6} tensors {part.num_parameters:16,} numbers  {part.stored_as}")
        total = sum(part.num_parameters for part in found.parts)
        print(f"{'all':26} {len(found.keys):6} tensors {total:16,} numbers")
    for line in _kernels(found.config):
        print(line)
    if chosen.gpus is not None and found.config is not None:
        _print_plan(options, chosen.gpus, chosen.size)
    for line in found.wrong:
        print(f"wrong: {line}", file=sys.stderr)
    return 2 if found.wrong else 0


def _kernels(config: Any) -> Iterator[str]:
    """Which attention runs on this machine, and why the better ones do not."""
    if config is None:
        return
    import torch

    from bagel.kernels import choose
    from bagel.weights import choose_device

    device = choose_device()
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    choice = choose("auto", device, dtype, config.language)
    yield f"attention on {device.type}: {choice.name}"
    for name, why in choice.passed_over.items():
        yield f"  not {name}: {why}"


def _print_plan(options: list[Option], gpus: str, size: str) -> None:
    print(f"\nplan for {gpus} GiB, contexts of {size} pictures, guided:")
    if not options:
        print("  nothing fits: a card needs room for embeddings, heads and one layer")
    for option in options:
        weights = " + ".join(f"{w:.1f}" for w in option.weights)
        print(f"  {option.precision:9}{option.parallel:15} {weights} GiB of weights, room for {option.frames} pictures")
        if option.away:
            print(
                f"{'':20}{option.away:.1f} GiB stay in the computer's memory: an evaluation waits about "
                f"{option.wait:.1f} s more (at 20 GB/s)"
            )
        print(f"{'':20}{option.command}")


def add_quantize(commands: Any) -> None:
    parser = commands.add_parser("quantize", help="write a checkpoint again with packed matrices; it loads directly")
    parser.add_argument("directory", metavar="DIR", help="a checkpoint directory, or tiny")
    parser.add_argument("out", metavar="OUT", type=Path, help="an empty or new directory")
    parser.add_argument("--to", required=True, choices=("fp8", "int8", "nf4"), help="how matrices are kept")
    parser.add_argument("--config-from", type=Path, metavar="DIR", help="configs, tokenizer and autoencoder from there")
    parser.set_defaults(run=run_quantize)


def run_quantize(chosen: argparse.Namespace) -> int:
    from bagel.quantize import quantize

    with loading_bar():
        before, after = quantize(directory_of(chosen.directory), chosen.out, chosen.to, chosen.config_from)
    print(f"{chosen.out}: {after / 1e9:.2f} GB of weights, {before / 1e9:.2f} GB before")
    return 0


def _memories(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--gpus are memories in GiB, such as 24,24,24, got {text!r}") from None


def size_of(text: str | None) -> tuple[int, int] | None:
    """ "640x480" to (480, 640). Raises ValueError for anything else."""
    if text is None:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ValueError(f"--size is width x height in pixels, such as 640x480, got {text!r}")
    return int(height), int(width)
