"""`python -m world doctor`: the examination of a model as one table, or as JSON."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from world import cli, models
from world.doctor import Finding, examine
from world.types import WorldSpec

_STYLES = {"pass": "green", "fail": "bold red", "skipped": "dim", "measured": "cyan"}


def add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The command `doctor`."""
    doctor = commands.add_parser(
        "doctor",
        help="whether a model obeys words, picture, seed and settings, and what it costs",
        description="Checks a model and measures it; exit status 1 when a check fails.",
        formatter_class=cli.HelpFormatter,
    )
    cli.add_model_arguments(doctor)
    doctor.add_argument("--steps", type=cli.count, default=20, metavar="N", help="how many steps are timed")
    doctor.add_argument("--json", action="store_true", help="the findings as JSON, for machines")
    doctor.set_defaults(run=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    sampler = cli.sampler_of(args)
    scene = models.load_scene(args.scene)
    open_model = partial(models.load, args.model, sampler=sampler, device=args.device)
    console = Console(highlight=False)
    with Console(stderr=True).status(f"Examining {args.model}") as status:
        spec, findings = examine(
            open_model, scene, args.seed, args.steps, lambda what: status.update(f"Examining {args.model}: {what}")
        )
    healthy = all(finding.outcome != "fail" for finding in findings)
    if args.json:
        about = {"scene": scene.name, "seed": args.seed, "healthy": healthy}
        console.print_json(json.dumps(_described(spec) | about | {"findings": [asdict(f) for f in findings]}))
    else:
        console.print(_table(f"{spec.model} in {scene.name}, {spec.device}, {spec.dtype}", findings))
    return 0 if healthy else 1


def _described(spec: WorldSpec) -> dict[str, Any]:
    return asdict(spec) | {"supports": sorted(spec.supports)}


def _table(title: str, findings: list[Finding]) -> Table:
    """Every finding; under a failed one its cause and its cure."""
    table = Table("", "check", "finding", box=None, padding=(0, 2), header_style="dim")
    table.title, table.title_justify, table.title_style = f"\n{title}", "left", "bold"
    table.caption, table.caption_justify = "\nFrames change and differ in grey levels of 0 to 255, the mean.", "left"
    for finding in findings:
        told = Text(finding.figure, "dim" if finding.outcome == "skipped" else "")
        if finding.cause:
            told.append(f"\n{finding.cause}", "red").append(f"\ncure: {finding.cure}", "yellow")
        table.add_row(Text(finding.outcome, _STYLES[finding.outcome]), finding.name, told)
    table.columns[1].no_wrap = True
    return table
