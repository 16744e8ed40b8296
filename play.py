"""You, in a world: a window where keys walk, or without a display a scripted walk with video, contact sheet and log.

  python play.py                                     choose a scene, a session or a picture, and walk
  python play.py --scene photo.jpg --model DIR       your own picture, any checkpoint in BAGEL's release layout
  python play.py session.json                        a saved session again (--replay: does it come out the same?)
  python play.py --headless --script "forward*4 left*2"

The keys are shown in the window.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from rich.console import Console
from rich.progress import track

from scenes.floor import floor_of
from scenes.library import scene_names
from world import cli, models
from world.endpoints import is_endpoint
from world.errors import ModelError
from world.headless import HeadlessWalk, Replay
from world.journal import reopened
from world.keys import default_path, read_keys
from world.plan import Plan
from world.quest import Quest
from world.scripting import need_words, parse_plan
from world.session import Session
from world.settings import SamplerConfig
from world.surroundings import Likeness, Surroundings
from world.tasks import TaskName, TaskSettings
from world.types import Frame, Scene, TrueWorld, WorldModel

TOUR = "forward*3 left*4 forward*2 right*6 strafe_left*2 forward*3 up down back*3 strafe_right*2"
OBJECT_TOUR = "object_left*6 strafe_left*2 right object_right*4 forward*2 left*2 object_left*5 back*3 up down"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("play.py", description=__doc__, formatter_class=cli.HelpFormatter)
    parser.add_argument(
        "session", nargs="?", metavar="SESSION", help="a session.json, or the journal of a walk cut off"
    )
    cli.add_model_arguments(parser)
    parser.set_defaults(model=None, scene=None, seed=None)
    parser.add_argument(
        "--size", type=int, default=768, metavar="N", help="longest side of the frame on screen, pixels"
    )
    parser.add_argument("--out", type=Path, default=Path("out/walk"), metavar="DIR", help="for pictures and videos")
    parser.add_argument("--headless", action="store_true", help="no window: a scripted walk, recorded")
    parser.add_argument("--script", metavar="TEXT", help="e.g. 'forward*4 left*2 /open the door/'; implies --headless")
    parser.add_argument("--replay", action="store_true", help="no window: SESSION again; 1 where its pictures differ")
    parser.add_argument("--keys", type=Path, default=default_path(), metavar="FILE", help="your own keys and sentences")
    parser.add_argument(
        "--look-ahead", type=int, default=3, metavar="N", help="likely next frames imagined; 0 for none"
    )
    parser.add_argument("--truth", action="store_true", help="the simulator beside the dream, and how far it drifts")
    task = parser.add_argument_group("task", "judged as in the environments: a person is paid like a policy")
    task.add_argument("--task", choices=get_args(TaskName), help="what is wanted")
    task.add_argument("--goal", default="", metavar="TEXT", help="a start, a picture or a thing; else --seed draws it")
    cli.add_task_arguments(task)
    parser.add_argument("--in-process", action="store_true", help="never the model in a process of its own")
    parser.epilog = "Defaults: tiny, the start screen (studio without a window) and seed 0; a session brings its own."
    args = parser.parse_args(argv)
    return cli.run(lambda: _play(args))


def _play(args: argparse.Namespace) -> int:
    if not 128 <= args.size <= 8192:
        raise ValueError(f"--size is the frame's longest side in pixels, 128 to 8192, got {args.size}")
    if not 0 <= args.look_ahead <= 32:
        raise ValueError(f"--look-ahead is how many next frames are imagined, 0 to 32, got {args.look_ahead}")
    session = _session(args)
    args.model = args.model or (session.model if session else "tiny")
    sampler = cli.sampler_of(args)
    if session is not None and not is_endpoint(args.model):  # a server samples as it was started
        sampler = sampler or session.sampler
    if session is not None and args.model == session.model and not _is_address(args.model):
        raise ModelError(f"{args.session} was walked by a model called {args.model!r}: say where it is, with --model")
    models.entry_of(args.model)  # a wrong address is told before a window opens
    quest_of(args)  # and so is a wrong task
    if session is not None and (args.replay or args.headless):
        if args.truth:
            raise ValueError(
                "--truth is for a walk or a window: without --replay and --headless a session is shown there"
            )
        return replay(args, session, sampler)
    scene = session.scene if session else models.load_scene(args.scene or "studio")
    scene = read_keys(args.keys).in_vocabulary(scene)
    if args.truth and not scene.simulated:
        raise ValueError(f"--truth is for scenes that the simulator knows, and {scene.name} is none: leave it out")
    if args.headless or args.script is not None:
        walk(args, scene, sampler)
    elif not has_display():
        print("There is no display here, so this is a scripted walk; with a display, a window opens.")
        if session is not None:
            return replay(args, session, sampler)
        walk(args, scene, sampler)
    else:
        play(args, scene, session, sampler)
    return 0


def _session(args: argparse.Namespace) -> Session | None:
    """The session that the command line names, or None."""
    if args.session is None:
        if args.replay:
            raise ValueError("--replay walks a session again: name its file, as in play.py session.json --replay")
        return None
    given = [f"--{name}" for name in ("scene", "seed", "script", "task") if getattr(args, name) is not None]
    if given:
        raise ValueError(f"a session brings its own start, seed and steps: leave {' and '.join(given)} out")
    return reopened(args.session)


def _is_address(model: str) -> bool:
    try:
        models.entry_of(model)
    except ModelError:
        return False
    return True


def play(args: argparse.Namespace, scene: Scene, session: Session | None, sampler: SamplerConfig | None) -> None:
    """The window."""
    from world import window  # noqa: F401 (before pygame is: it names the window, and asks for no greeting)
    from world.game import Game
    from world.making import Options, begun
    from world.player import Player  # pygame, which a walk without a window does not need

    stages = deque([""], maxlen=1)

    def opened(address: str) -> WorldModel:
        stages.append("")  # what was told of another model's loading
        return open_model(args, sampler, address, stages.append)

    surroundings = Surroundings(tuple(scene_names()), args.keys, open_truth, likeness, floor_of)
    quest = quest_of(args)
    begin = quest.begin if quest else begun
    game = Game(opened, args.model, scene, args.seed or 0, lambda: stages[-1], begin)
    game.options = Options(look_ahead=args.look_ahead)
    player = Player(game, surroundings, args.out, args.size, quest)
    player.hud.truth.shown = args.truth
    if session is not None:
        player.open(args.session)
    elif args.scene is None:
        player.show_scenes()
    player.run()
    for path in player.saved:
        print(f"saved {path}")


def quest_of(args: argparse.Namespace) -> Quest | None:
    """The task that the command line names, or None. Raises ValueError where its flags do not go together."""
    given = cli.task_settings_of(args)
    if args.task is None:
        if names := [*(["goal"] if args.goal else []), *given]:
            flag = names[0].replace("_", "-")
            raise ValueError(f"--{flag} is about a task: say which, with --task {', '.join(get_args(TaskName))}")
        return None
    if Path(args.goal).is_file():  # nobody knows where such a picture was taken
        given = {"judged_by": "picture", **given}
    return Quest(TaskSettings(args.task, **given), args.goal)


def open_truth() -> TrueWorld:
    """The simulator, for the truth beside a dream."""
    from scenes.simulator import SimulatorWorld

    return SimulatorWorld()


def likeness(predicted: Frame, true: Frame) -> Likeness:
    """How near two frames of one size are. Raises WorldError where scikit-image is missing."""
    from scenes.metrics import psnr, ssim

    return Likeness(float(psnr(predicted[None], true[None])[0]), float(ssim(predicted[None], true[None])[0]))


def open_model(
    args: argparse.Namespace, sampler: SamplerConfig | None, address: str, on_stage: Callable[[str], None]
) -> WorldModel:
    """The model at `address`; a checkpoint that goes to a GPU gets a process of its own, which ends with this one.

    `on_stage` is told how far the loading is.
    """
    from world.serving import overheard  # ZMQ, which is not needed to be told what is wrong with a command line

    if not args.in_process and models.entry_of(address) == models.DIRECTORY and _on_gpu(args.device):
        from world.supervisor import open_supervised

        return open_supervised(address, sampler, args.device, on_stage)
    with overheard(models.entry_of(address).partition(".")[0], on_stage):
        return models.load(address, sampler=sampler, device=args.device)


def _on_gpu(device: str | None) -> bool:
    import torch

    return device.startswith("cuda") if device is not None else torch.cuda.is_available()


def has_display() -> bool:
    """Whether a window can be expected to open."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))


def tour(scene: Scene) -> Plan:
    """A walk that shows what `scene` has."""
    names = {action.name: action for action in scene.actions}
    script = OBJECT_TOUR if "object_left" in names else TOUR
    return parse_plan(" ".join(word for word in script.split() if word.partition("*")[0] in names), scene.actions)


def walk(args: argparse.Namespace, scene: Scene, sampler: SamplerConfig | None) -> None:
    """The walk without a window: recorded into args.out."""
    plan = tour(scene) if args.script is None else parse_plan(args.script, scene.actions)
    seed, quest = args.seed or 0, quest_of(args)
    console = Console(highlight=False)
    with console.status(f"Loading {args.model}") as status:
        model = open_model(args, sampler, args.model, status.update)
        need_words(model.spec, [step.action for step in plan.steps if step.action is not None])
        scene = quest.begin(model, scene, seed).scene if quest else scene
        session = Session(model.spec.model, scene, plan, (seed,), sampler)
        walked = HeadlessWalk(model, session, args.out, quest)
    for _ in track(plan.steps[1:], description=f"Walking through {scene.name}", console=console):
        walked.step()
    beside = None
    if args.truth:
        with console.status("The same steps in the simulator"):
            beside = walked.beside(open_truth(), likeness)
    with console.status("Writing video, contact sheet, log and session"):
        paths = walked.finish(beside)
    num, num_branches = len(walked.seconds), len(plan.branches())
    told = f" on {num_branches} branches" if num_branches > 1 else ""
    median = statistics.median(walked.seconds or [0.0])
    speed = f": {1000 * median:.0f} ms each, {1 / median:.1f} frames/s" if num else ""
    console.print(f"{num} steps{told} by {model.spec.model}{speed}")
    for branch in plan.branches() if walked.scores else []:
        console.print(f"  to step {branch[-1]}: {walked.scores[branch[-1]]}", soft_wrap=True)
    for branch in plan.branches():
        if beside is not None:
            console.print(f"  to step {branch[-1]}: {beside.told(branch)}", soft_wrap=True)
    _print_paths(console, paths)
    if quest is not None:
        quest.close()
    model.close()


def replay(args: argparse.Namespace, session: Session, sampler: SamplerConfig | None) -> int:
    """A session again, without a window; 1 where a picture did not come out as it was recorded."""
    console = Console(highlight=False)
    with console.status(f"Loading {args.model}") as status:
        model = open_model(args, sampler, args.model, status.update)
    walked = Replay(model, session)
    num = len(session.plan.steps)
    for _ in track(range(num), description=f"Walking through {session.scene.name} again", console=console):
        walked.step()
    paths, spec = walked.finish(args.out), model.spec
    model.close()
    console.print(walked.comparison.verdict(session.model, spec.model), soft_wrap=True)
    _print_paths(console, paths)
    return int(not walked.comparison.matched)


def _print_paths(console: Console, paths: dict[str, Path]) -> None:
    for what, path in paths.items():
        console.print(f"  {what:<14} {path}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
