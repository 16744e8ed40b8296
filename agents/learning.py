"""The command lines of learning: train, evaluate, calibrate, study."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agents.recipe import MOVES, Recipe, numbers_of
from scenes.library import calibration_path, scene_names
from world import cli, models
from world.errors import ModelError
from world.tasks import PIXELS, TaskName, TaskSettings
from world.types import Scene

ENDS = ("ReachGoal", "RotateObject", "FindObject")  # the tasks that end by what is seen, if they are judged so
_WIDE = 160  # columns of a table that is to be kept as it is


def add_commands(commands: Any) -> None:
    """Adds train, evaluate, calibrate and study; each sets `command_of` to what runs it."""
    train = _parser(commands, "train", "teach a policy in a dream or in the simulator", _train)
    train.add_argument("algorithm", choices=("ppo",), help="PPO of stable-baselines3")
    _add_recipe(train, 100_000)
    train.add_argument("--model", default="tiny", metavar="ADDRESS", help=cli.MODEL_HELP)
    train.add_argument("--seed", type=cli.seed, default=0, metavar="N", help="of weights, episodes and choices")
    train.add_argument("--out", type=Path, default=Path("out/policy"), metavar="DIR", help="goes on with what is there")

    evaluate = _parser(commands, "evaluate", "score a policy, beside chance and copying", _evaluate)
    evaluate.add_argument("checkpoint", metavar="CHECKPOINT", help="the policy.safetensors that train wrote")
    evaluate.add_argument("--model", default="sim", metavar="ADDRESS", help=cli.MODEL_HELP)
    evaluate.add_argument("--scene", metavar="SCENE", help="default: where it was trained")
    evaluate.add_argument("--episodes", type=cli.count, default=100, metavar="N", help="of each")
    cli.add_task_arguments(evaluate)

    calibrate = _parser(commands, "calibrate", "hold likeness or the judge against the simulator", _calibrate)
    calibrate.add_argument("--task", choices=ENDS, nargs="+", default=ENDS, help="what ends")
    calibrate.add_argument("--scene", nargs="+", default=scene_names(), metavar="SCENE", help="where")
    calibrate.add_argument("--model", default="sim", metavar="ADDRESS", help="whose pictures are looked at")
    calibrate.add_argument("--eyes", nargs="+", default=[PIXELS, "tiny"], metavar="ADDRESS", help="pixels, or a BAGEL")
    calibrate.add_argument("--walks", type=cli.count, default=48, metavar="N", help="half of them to check the rest")
    calibrate.add_argument("--out", type=Path, metavar="FILE", help="default: calibration.json beside each scene")

    study = _parser(commands, "study", "the claim: learnt in a dream, scored in the truth, over seeds", _study)
    _add_recipe(study, 100_000)
    study.add_argument("--model", default="tiny", metavar="ADDRESS", help="the dream")
    study.add_argument("--seeds", type=cli.count, default=5, metavar="N", help="runs in dream and simulator each")
    study.add_argument("--episodes", type=cli.count, default=200, metavar="N", help="by which each run is scored")
    study.add_argument(
        "--processes", type=cli.count, default=os.cpu_count(), metavar="N", help="runs at once; they share the cards"
    )
    study.add_argument(
        "--minutes",
        type=cli.minutes,
        default=math.inf,
        metavar="N",
        help="train for 3/4 of them, then score what there is",
    )
    study.add_argument("--out", type=Path, default=Path("out/study"), metavar="DIR", help="goes on with what is there")


def _parser(commands: Any, name: str, told: str, run: Any) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=told, description=told, formatter_class=cli.HelpFormatter)
    parser.set_defaults(command_of=run)
    return parser


def _add_recipe(parser: argparse.ArgumentParser, steps: int) -> None:
    r = Recipe()
    parser.add_argument("--task", choices=tuple(MOVES), default=r.task, help="what is learnt")
    parser.add_argument("--scene", default=r.scene, metavar="SCENE", help="where")
    parser.add_argument("--steps", type=cli.count, default=steps, metavar="N", help="of all rows together")
    parser.add_argument("--rows", type=cli.count, default=r.num_envs, metavar="N", help="episodes that share a batch")
    parser.add_argument("--rollout", type=cli.count, default=r.num_steps, metavar="N", help="steps of a row an update")
    parser.add_argument("--limit", type=cli.count, default=r.max_episode_steps, metavar="N", help="steps of an episode")
    cli.add_task_arguments(parser)


def _recipe(args: argparse.Namespace) -> Recipe:
    return Recipe(
        args.task,
        args.scene,
        args.model,
        num_envs=args.rows,
        num_steps=args.rollout,
        max_episode_steps=args.limit,
        **cli.task_settings_of(args),
    )


def _train(args: argparse.Namespace) -> None:
    need_packages()
    from agents.ppo import POLICY, train

    recipe = replace(_recipe(args), seed=args.seed)
    with _progress() as progress:
        task = progress.add_task(f"{recipe.task} in {recipe.model}", total=args.steps, told="")
        tell = cli.lines(progress.console)

        def watch(point: Any) -> None:
            told = f"success {point.success:.2f}, return {point.reward:+.2f}"
            progress.update(task, completed=point.steps, told=told)
            tell(f"{point.steps} of {args.steps}: {told}")

        train(recipe, args.out, args.steps, watch=watch)
    path = args.out / POLICY
    print(f"{path}\ntensorboard --logdir {args.out}\npython -m agents evaluate {path} --model sim")


def _evaluate(args: argparse.Namespace) -> None:
    need_packages()
    from agents.policy import PolicyAgent, read_checkpoint
    from agents.scoring import TITLES, Chance, CopyLast, cell, score

    recipe = replace(read_checkpoint(args.checkpoint)[0], **{"places": "held_out", **cli.task_settings_of(args)})
    scene = models.load_scene(args.scene or recipe.scene)
    numbers = numbers_of(recipe.moves, scene)
    players = {
        "policy": PolicyAgent(args.checkpoint, scene),
        "random": Chance(numbers),
        "copying": CopyLast(numbers),
    }
    table = Table("", *TITLES.values(), title=f"{recipe.task} in {scene.name}, {args.model}: {args.episodes} episodes")
    model = models.load(args.model)
    try:
        for name, player in players.items():
            found = score(player, model, scene, recipe, args.episodes, recipe.places).estimates()
            table.add_row(name, *(cell(found[measure]) for measure in TITLES))
    finally:
        model.close()
    Console().print(table)


def _calibrate(args: argparse.Namespace) -> None:
    from agents.calibrate import Calibration, calibrate, save, walked

    scenes = [models.load_scene(name) for name in args.scene]
    if photo := next((scene for scene in scenes if not scene.simulated), None):
        raise ValueError(f"nobody knows the truth about {photo.name!r}: calibrate in {', '.join(scene_names())}")
    if args.out and len(scenes) > 1:
        raise ValueError("a file is about one scene: give one --scene beside --out")
    names, console = [field.name for field in fields(Calibration)], Console(stderr=True)
    table = Table("scene", "task", "by", *(name.replace("_", " ") for name in names), box=box.MARKDOWN)
    model = models.load(args.model)

    def measure(scene: Scene, task: TaskName) -> None:
        way = "judge" if task == "FindObject" else "picture"
        who = [eyes for eyes in args.eyes if way == "picture" or eyes != PIXELS or len(args.eyes) == 1]
        asked = [TaskSettings(task, judged_by=way, eyes=eyes) for eyes in who]
        walks = walked(model, scene, task, args.walks)
        for settings in asked:
            found = calibrate(model, walks, settings)
            save(args.out or calibration_path(scene.name), settings, found)
            cells = (getattr(found, name) for name in names)
            told = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
            table.add_row(scene.name, task, settings.eyes, *told)

    pairs = [(scene, task) for scene in scenes for task in args.task]
    try:
        with cli.telling(console=console) as tell:
            for i, (scene, task) in enumerate(pairs, 1):
                tell(f"{i} of {len(pairs)}: {task} in {scene.name}")
                try:
                    measure(scene, task)
                except ValueError as error:  # most scenes have not something for every task
                    if len(pairs) == 1:
                        raise
                    console.print(f"left out: {task} in {scene.name}: {error}", soft_wrap=True, markup=False)
    finally:
        model.close()
    Console(width=_WIDE).print(table)


def _study(args: argparse.Namespace) -> None:
    need_packages()
    from agents.scoring import TITLES, cell
    from agents.study import Plan, study
    from agents.study_page import figure, progress_of, write_page

    plan = Plan(_recipe(args), tuple(range(args.seeds)), args.steps, args.episodes)
    begun = time.monotonic()
    with _progress() as progress:
        bars = {kind: progress.add_task(kind, total=plan.milestones[-1], told="") for kind in ("dream", "truth")}
        before = {kind: progress_of(plan, args.out, kind)[0] for kind in bars}
        tell = cli.lines(progress.console)

        def watch() -> None:
            seconds, told = time.monotonic() - begun, list[str]()
            for kind, bar in bars.items():
                steps, success = progress_of(plan, args.out, kind)
                told.append(f"success {success:.2f}, {(steps - before[kind]) / seconds:.0f} steps/s a run")
                progress.update(bar, completed=steps, told=told[-1])
            tell(f"dream {told[0]}; truth {told[1]}")

        result = study(plan, args.out, args.processes, args.minutes, watch)
    page = args.out / "study.html"
    write_page(page, plan, result)
    title = f"scored in the simulator after {result.steps} of {plan.milestones[-1]} steps"
    table = Table("", *TITLES.values(), title=title)
    for kind, row in result.table.items():
        table.add_row(kind, *(cell(row[measure]) for measure in TITLES))
    Console().print(table)
    print(f"dream / truth: {figure(result.share)}; rank correlation {result.rank_correlation:.2f}\n{page}")


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, TextColumn("{task.fields[told]}"), console=Console(file=sys.stderr))


def need_packages() -> None:
    """Raises ModelError with the cure where there is no stable-baselines3."""
    try:
        import stable_baselines3  # noqa: F401 (whether it is there)
    except ModuleNotFoundError as error:
        raise ModelError(f"learning needs {error.name}: pip install -e '.[agents]' in the repository") from error
