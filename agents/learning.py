"""The command lines of learning: train, evaluate, calibrate, study."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from agents.recipe import MOVES, Recipe, numbers_of
from scenes.library import calibration_path, scene_names
from world import cli, models
from world.errors import ModelError
from world.tasks import PIXELS, JudgedBy, TaskSettings

_SAID = 30  # s between two lines about a study where there is no terminal


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
    evaluate.add_argument("--episodes", type=cli.count, default=100, metavar="N", help="held out from training")

    calibrate = _parser(commands, "calibrate", "hold likeness or the judge against the simulator", _calibrate)
    calibrate.add_argument(
        "--task", choices=("ReachGoal", "RotateObject", "FindObject"), default="ReachGoal", help="ends"
    )
    calibrate.add_argument("--scene", default="gallery", metavar="SCENE", help=f"of {', '.join(scene_names())}")
    calibrate.add_argument("--model", default="sim", metavar="ADDRESS", help="whose pictures are looked at")
    calibrate.add_argument("--eyes", default=PIXELS, metavar="ADDRESS", help="pixels, or a BAGEL")
    calibrate.add_argument("--walks", type=cli.count, default=48, metavar="N", help="half of them to check the rest")
    calibrate.add_argument("--out", type=Path, metavar="FILE", help="default: calibration.json beside the scene")

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
    ways = [way for way in get_args(JudgedBy) if way != "judge"]
    parser.add_argument("--judged-by", choices=ways, default=r.judged_by, help="what the reward looks at")
    parser.add_argument("--eyes", default=r.eyes, metavar="ADDRESS", help="who compares pictures: pixels, or a BAGEL")


def _recipe(args: argparse.Namespace) -> Recipe:
    return Recipe(
        args.task,
        args.scene,
        args.model,
        judged_by=args.judged_by,
        eyes=args.eyes,
        num_envs=args.rows,
        num_steps=args.rollout,
        max_episode_steps=args.limit,
    )


def _train(args: argparse.Namespace) -> None:
    need_packages()
    from agents.ppo import POLICY, train

    recipe = replace(_recipe(args), seed=args.seed)
    with _progress() as progress:
        task = progress.add_task(f"{recipe.task} in {recipe.model}", total=args.steps, told="")

        def watch(point: Any) -> None:
            told = f"success {point.success:.2f}, return {point.reward:+.2f}"
            progress.update(task, completed=point.steps, told=told)

        train(recipe, args.out, args.steps, watch=watch)
    path = args.out / POLICY
    print(f"{path}\ntensorboard --logdir {args.out}\npython -m agents evaluate {path} --model sim")


def _evaluate(args: argparse.Namespace) -> None:
    need_packages()
    from agents.policy import PolicyAgent, read_checkpoint
    from agents.scoring import TITLES, Chance, CopyLast, cell, score

    recipe = read_checkpoint(args.checkpoint)[0]
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
            found = score(player, model, scene, recipe, args.episodes).estimates()
            table.add_row(name, *(cell(found[measure]) for measure in TITLES))
    finally:
        model.close()
    Console().print(table)


def _calibrate(args: argparse.Namespace) -> None:
    from agents.calibrate import calibrate, save

    way = "judge" if args.task == "FindObject" else "picture"
    settings = TaskSettings(args.task, judged_by=way, eyes=args.eyes)
    scene = models.load_scene(args.scene)
    if not scene.simulated:
        raise ValueError(f"nobody knows the truth about {args.scene!r}: calibrate in {', '.join(scene_names())}")
    model = models.load(args.model)
    try:
        found = calibrate(model, scene, settings, args.walks)
    finally:
        model.close()
    path = args.out or calibration_path(scene.name)
    save(path, settings, found)
    table = Table(f"{args.task} in {scene.name}", f"{args.eyes} on pictures of {found.model}")
    for name in ("auc", "calibration_error", "threshold", "precision", "recall", "share"):
        table.add_row(name.replace("_", " "), f"{getattr(found, name):.3f}")
    Console().print(table)
    print(f"{found.num} pictures: {path}")


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
        told = 0

        def watch() -> None:
            nonlocal told
            seconds, lines = time.monotonic() - begun, list[str]()
            for kind, bar in bars.items():
                steps, success = progress_of(plan, args.out, kind)
                lines.append(f"success {success:.2f}, {(steps - before[kind]) / seconds:.0f} steps/s a run")
                progress.update(bar, completed=steps, told=lines[-1])
            if not progress.console.is_terminal and seconds > told:  # where bars do not move
                told += _SAID
                progress.console.print(f"{seconds:.0f} s: dream {lines[0]}; truth {lines[1]}", highlight=False)

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
