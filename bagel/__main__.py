"""BAGEL on the command line: paint, ask, look into a checkpoint, prove parity."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bagel.cli import (
    add_inspect,
    add_loading_arguments,
    add_quantize,
    directory_of,
    loading_bar,
    loading_of,
    size_of,
)
from bagel.speed.command import add_bench
from bagel.train.cli import add_train
from world import cli
from world.errors import ModelError
from world.files import atomic_path

if TYPE_CHECKING:
    from PIL import Image

    from bagel.crew import Crew
    from bagel.sampler import Callback
    from bagel.weights import Checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; 0 when all is well, 1 when something was found wanting, 2 when it could not run."""
    parser = argparse.ArgumentParser(prog="python -m bagel", description=__doc__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (add_edit, add_imagine, add_ask, add_inspect, add_quantize, add_verify, add_train, add_bench):
        add(commands)
    chosen = parser.parse_args(arguments)
    return cli.run(lambda: _run(chosen))


def _run(chosen: argparse.Namespace) -> int:
    try:
        return chosen.run(chosen)
    except RuntimeError as error:
        if "out of memory" not in str(error):
            raise
        cure = "use a smaller picture, --precision nf4, more --devices, lower guidance scales, or --device cpu"
        raise ModelError(f"out of memory: {cure}") from None


def add_edit(commands: Any) -> None:
    parser = commands.add_parser("edit", help="change a picture as the words say")
    parser.add_argument("picture", metavar="PICTURE", help="a picture file")
    parser.add_argument("words", metavar="WORDS", help="what to do with it")
    _add_turns(parser)
    _add_painting(parser, None)
    parser.set_defaults(run=run_edit)


def add_imagine(commands: Any) -> None:
    parser = commands.add_parser("imagine", help="paint a picture from words")
    parser.add_argument("words", metavar="WORDS", help="what to paint")
    parser.add_argument("--size", metavar="WxH", help="width x height in pixels (default: the model's largest square)")
    _add_painting(parser, "text_to_image")
    parser.set_defaults(run=run_imagine)


def add_ask(commands: Any) -> None:
    parser = commands.add_parser("ask", help="ask about a picture")
    parser.add_argument("picture", metavar="PICTURE", help="a picture file")
    parser.add_argument("words", metavar="QUESTION", help="what to ask")
    _add_turns(parser)
    add_loading_arguments(parser)
    parser.add_argument("--max-length", type=int, default=512, help="longest answer, in tokens (default 512)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default 0)")
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the chance, at a temperature above 0 (default 0)")
    parser.add_argument("--think", action="store_true", help="let the model reason before it answers")
    parser.set_defaults(run=run_ask)


def add_verify(commands: Any) -> None:
    parser = commands.add_parser("verify", help="compute a parity bundle again and compare")
    parser.add_argument("bundle", metavar="BUNDLE", help="a checkpoint directory with expected.json")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.set_defaults(run=run_verify)


def run_edit(chosen: argparse.Namespace) -> int:
    return _paint(chosen, [("picture", chosen.picture), ("text", chosen.words), *chosen.turns], None)


def run_imagine(chosen: argparse.Namespace) -> int:
    return _paint(chosen, [("text", chosen.words)], size_of(chosen.size))


def run_ask(chosen: argparse.Namespace) -> int:
    from bagel.generate import ask

    if chosen.max_length < 2 or chosen.temperature < 0:
        raise ValueError(
            "--max-length is at least 2 (the first token only starts the answer) and --temperature 0 or more"
        )
    turns = _read_turns([("picture", chosen.picture), ("text", chosen.words), *chosen.turns])
    with _model(chosen, writes=True) as crew:
        print(crew.run(ask, turns, chosen.max_length, chosen.think, chosen.temperature, chosen.seed))
    return 0


def run_verify(chosen: argparse.Namespace) -> int:
    from bagel.verify import verify

    results = []
    for result in verify(chosen.bundle):
        results.append(result)
        if not chosen.json:
            worst = result.worst
            figures = f"{worst.error:9.2e} of {worst.allowed:.2e}  {worst.what}" if worst else result.problem
            print(f"{'ok' if result.passed else 'FAILED':7}{result.name:24}{figures}", flush=True)
    failed = [result.name for result in results if not result.passed]
    if chosen.json:
        cases = [asdict(result) | {"passed": result.passed} for result in results]
        print(json.dumps({"passed": not failed, "cases": cases}, indent=2))
    else:
        print(
            f"{len(results) - len(failed)} of {len(results)} cases agree" + f", not: {', '.join(failed)}" * bool(failed)
        )
    return 1 if failed else 0


class _Turn(argparse.Action):
    """Collects --picture and --text in the order in which they are given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        kind = (option_string or "").lstrip("-")
        namespace.turns = [*namespace.turns, (kind, values)]


def _add_turns(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(turns=[])
    parser.add_argument("--picture", action=_Turn, metavar="FILE", help="one picture more, after what came before")
    parser.add_argument("--text", action=_Turn, metavar="WORDS", help="a text more, after what came before")


def _add_painting(parser: argparse.ArgumentParser, preset: str | None) -> None:
    add_loading_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("out.png"), metavar="FILE", help="default: out.png")
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the noise (default 0)")
    group = cli.add_sampler_arguments(parser)
    parser.set_defaults(default_preset=preset)
    group.add_argument("--taylor", action="store_true", help="skip most evaluations by extrapolation (TaylorSeer)")
    group.add_argument("--think", action="store_true", help="let the model plan in words first")
    group.add_argument(
        "--think-length", type=int, default=1024, metavar="N", help="longest plan, in tokens (default 1024)"
    )


def _paint(chosen: argparse.Namespace, turns: list[tuple[str, str]], size: tuple[int, int] | None) -> int:
    from bagel.generate import imagine

    config, out = cli.chosen_sampler(chosen, chosen.default_preset), _checked_out(chosen.out)
    if chosen.think_length < 2:
        raise ValueError(f"--think-length is at least 2, got {chosen.think_length}")
    read = _read_turns(turns)
    length = chosen.think_length if chosen.think else 0
    begun = time.perf_counter()
    with _model(chosen, writes=chosen.think) as crew, _progress(config.num_timesteps - 1) as callback:
        loaded = time.perf_counter()
        settings = (read, config, chosen.seed, size, length, chosen.taylor)
        image, thought = crew.run(imagine, *settings, callback=callback)
    if thought:
        print(thought)
    try:
        with atomic_path(out) as partial:
            image.save(partial)
    except OSError as error:
        raise ModelError(f"{out} cannot be written ({error}): give another --out") from None
    seconds = f"{loaded - begun:.1f} s loading, {time.perf_counter() - loaded:.1f} s painting"
    print(f"{out}: {image.width} x {image.height}, {seconds}")
    return 0


def _read_turns(turns: list[tuple[str, str]]) -> list[str | Image.Image]:
    from world.pictures import read_picture

    return [read_picture(value) if kind == "picture" else value for kind, value in turns]


@contextmanager
def _model(chosen: argparse.Namespace, writes: bool) -> Iterator[Crew[Checkpoint]]:
    """The model, on one device or several; ModelError where it `writes` and has not learned to."""
    from bagel.crew import Crew, as_it_is
    from bagel.generate import need_answers

    how = loading_of(chosen)
    with loading_bar():
        crew = Crew(directory_of(chosen.model), chosen.device, how, as_it_is)
    try:
        if writes:
            need_answers(crew.mine, chosen.model)
        yield crew
    finally:
        crew.close()


def _checked_out(path: Path) -> Path:
    """A place where a picture can be written, found out before the work and not after it."""
    from PIL import Image

    Image.init()
    if path.suffix.lower() not in Image.registered_extensions():
        raise ValueError(f"--out {path}: give a picture's name, such as out.png")
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"--out {path}: {'is a folder' if path.is_dir() else f'there is no folder {path.parent}'}")
    return path


@contextmanager
def _progress(total: int) -> Iterator[Callback]:
    """A bar on the terminal that grows with every evaluation."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("painting", total=total)
        yield lambda step, x_t, v_t: progress.update(task, completed=step + 1)


if __name__ == "__main__":
    sys.exit(main())
