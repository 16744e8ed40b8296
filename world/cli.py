"""What all command lines share: the published sampler flags under their published names, how far a command
is, and errors as one sentence."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias, get_args

from rich.console import Console
from rich.markup import escape

from world import models
from world.errors import WorldError
from world.settings import PRESETS, RenormType, SamplerConfig
from world.tasks import JudgedBy, PlacesKind

MODEL_HELP = (
    "tiny, sim, a checkpoint directory (as in DIR?precision=nf4&devices=cuda:0,cuda:1), a hub's OWNER/NAME, "
    "or where one is served: ipc://PATH, tcp://HOST:PORT, http://HOST:PORT"
)

Tell: TypeAlias = Callable[[str], None]  # hears how far a command is

SAID = 30.0  # s between two lines about it where there is no terminal
_MOST = 10_000_000  # of anything that is counted


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the text as written and shows defaults, except empty ones."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False, "") else super()._get_help_string(action)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """--model, --scene, --seed, --device and the sampler's flags."""
    parser.add_argument("--model", default="tiny", metavar="ADDRESS", help=MODEL_HELP)
    parser.add_argument("--scene", default="studio", metavar="SCENE", help="a scene, SCENE:START, or a picture's path")
    parser.add_argument("--seed", type=seed, default=0, metavar="N", help="of the noise; equal seeds, equal walks")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    add_sampler_arguments(parser)


def add_task_arguments(parser: argparse._ActionsContainer) -> None:
    """--judged-by, --eyes and --places: how a task is judged, and where it is played."""
    parser.add_argument("--judged-by", choices=get_args(JudgedBy), help="what rewards and endings look at")
    parser.add_argument("--eyes", metavar="ADDRESS", help="who compares or judges: pixels, or a BAGEL")
    parser.add_argument("--places", choices=get_args(PlacesKind), help="where episodes begin and goals lie")


def task_settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the flags of `add_task_arguments` say, as keywords of `world.tasks.TaskSettings`; nothing for the others."""
    given = {name: getattr(args, name) for name in ("judged_by", "eyes", "places")}
    return {name: value for name, value in given.items() if value is not None}


def add_sampler_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The sampler's flags alone, as the group that is returned."""
    group = parser.add_argument_group(
        "sampler", "published names and meanings; what is not given comes from the preset"
    )
    group.add_argument("--preset", metavar="NAME", help=f"{', '.join(PRESETS)} (default: the model's own)")
    group.add_argument(
        "--num-timesteps", type=int, metavar="N", help="points of the time grid: 50 means 49 evaluations of the model"
    )
    group.add_argument("--timestep-shift", type=float, metavar="X", help="above 1 spends more points on high noise")
    group.add_argument("--cfg-text-scale", type=float, metavar="X", help="how strictly words are followed; 1 is off")
    group.add_argument("--cfg-image-scale", type=float, metavar="X", help="how strictly the frame is kept; 1 is off")
    group.add_argument(
        "--cfg-interval", type=float, nargs=2, metavar=("LOW", "HIGH"), help="guidance is on where low < t <= high"
    )
    group.add_argument("--cfg-renorm-type", metavar="TYPE", help=f"{', '.join(get_args(RenormType))}")
    group.add_argument("--cfg-renorm-min", type=float, metavar="X", help="0 against blur, 1 turns the renorm off")
    return group


def sampler_of(args: argparse.Namespace) -> SamplerConfig | None:
    """The sampler that the flags of `add_sampler_arguments` ask for; None when none was given: the model knows its own.

    Raises ValueError for an unknown preset or an impossible setting.
    """
    if args.preset is None and not _given(args):
        return None
    return chosen_sampler(args)


def flags_of(sampler: SamplerConfig) -> list[str]:
    """The flags that ask for `sampler`, for another command line."""
    flags = []
    for name, value in asdict(sampler).items():
        values = value if isinstance(value, tuple) else (value,)
        flags += [f"--{name.replace('_', '-')}", *map(str, values)]
    return flags


def chosen_sampler(args: argparse.Namespace, preset: str | None = None) -> SamplerConfig:
    """The flags upon --preset, else upon `preset`, else upon the preset of the model at `args.model`."""
    name = args.preset or preset or default_preset(args.model)
    if name not in PRESETS:
        raise ValueError(f"no preset {name!r}: the presets are {', '.join(PRESETS)}")
    return replace(PRESETS[name], **_given(args))


def default_preset(address: str) -> str:
    """The preset of the model at `address`: what its checkpoint names, else that of the published editing app."""
    if address in models.MODELS:
        return "walk"
    try:
        return json.loads((Path(address.partition("?")[0]) / "bagel_config.json").read_text(encoding="utf-8"))["walk"][
            "preset"
        ]
    except (OSError, ValueError, LookupError, TypeError):
        return "edit"


def _given(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in SamplerConfig.__dataclass_fields__}
    given["cfg_interval"] = tuple(args.cfg_interval) if args.cfg_interval else None
    return {name: value for name, value in given.items() if value is not None}


def seed(text: str) -> int:
    """The type of a flag: a seed."""
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, got {text!r}")
    return int(text)


def count(text: str) -> int:
    """The type of a flag: how many of something there are, at least one."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _MOST:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {_MOST}, got {text!r}")
    return int(text)


def minutes(text: str) -> float:
    """The type of a flag: a stretch of time."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected minutes above 0, got {text!r}")
    return value


@contextmanager
def telling(every: float = SAID, console: Console | None = None) -> Iterator[Tell]:
    """Says how far a command is, on stderr unless a console is given: in place on a terminal, elsewhere as `lines`."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lines(console, every)
        return
    with console.status("") as status:
        yield lambda text: status.update(escape(text))


def lines(console: Console, every: float = SAID) -> Tell:
    """Says it only where the console is no terminal (a CI's log), in which nothing moves: a line with the time, and
    then none for `every` s."""
    begun = due = time.monotonic()

    def say(text: str) -> None:
        nonlocal due
        if console.is_terminal or (now := time.monotonic()) < due:
            return
        due = now + every
        console.print(f"{now - begun:.0f} s: {text}", soft_wrap=True, markup=False, highlight=False)

    return say


def run(main: Callable[[], int | None]) -> int:
    """The exit status of `main`: what a person can mend ends it with one sentence on stderr and status 2."""
    # For OpenMP, which reads both when torch is first imported: threads that spin for a moment, then sleep. Measured on
    # two cores against no spinning: a step takes 0.87 of the time on an idle machine (0.66 in the preset fast), and 1.2
    # times as long beside two busy programs, where longer spins take twice as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        return main() or 0
    except (WorldError, ValueError, OSError) as error:
        told = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            told = f"{error.filename}: {error.strerror}: give another path"
        print(f"error: {' '.join(told.split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
