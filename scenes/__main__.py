"""`python -m scenes`: the scenes, pictures of them, walks and scripts through them, and how true a dream of them is."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from scenes import examine, library
from scenes import run as script_run
from scenes.simulator import SimulatorWorld
from world import cli, models
from world.errors import SceneError
from world.recording import save_png, save_walk
from world.scripting import need_words, parse_script
from world.types import Scene
from world.walks import random_actions


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    args = _parser().parse_args(argv)
    return cli.run(lambda: args.run(args))


def _list(args: argparse.Namespace) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("scene", "starts", "caption"):
        table.add_column(column, overflow="fold", no_wrap=column == "scene")
    for name in library.scene_names():
        scene = library.load_scene(name)
        table.add_row(name, ", ".join(start.name for start in scene.starts), scene.caption)
    Console().print(table)


def _render(args: argparse.Namespace) -> None:
    scene = _simulated(args.scene)
    world = SimulatorWorld(args.size)
    if args.seed is not None:
        scene = scene.starting_at(world.random_start(scene, args.seed))
    [frame] = world.view(scene, [scene.starts[0].pose])
    save_png(args.out, frame)
    print(args.out)


def _walk(args: argparse.Namespace) -> None:
    scene = models.load_scene(args.scene)
    if args.script is not None:
        actions = parse_script(args.script, scene.actions)
    else:
        actions = random_actions(np.random.default_rng(args.seed), scene, args.random)
    model = models.load(args.model, sampler=cli.sampler_of(args), device=args.device)
    try:
        need_words(model.spec, actions)
        states = model.reset([scene], [args.seed])
        with cli.telling() as tell:
            for t, action in enumerate(actions):
                tell(f"step {t + 1} of {len(actions)}: {action.text}")
                states += model.step(states[-1:], [action])
        paths = save_walk(args.out, model.spec, states, actions, cli.sampler_of(args))
    finally:
        model.close()
    print(*paths, sep="\n")


def _frames(args: argparse.Namespace) -> None:
    world = SimulatorWorld(library.FRAME_SIZE)
    for name in args.scenes or library.scene_names():
        scene = library.read_scene(name, with_frames=False)
        for start in scene.starts:
            [frame] = world.view(scene.starting_at(start), [start.pose])
            save_png(library.frame_path(name, start.name), frame)
            print(library.frame_path(name, start.name))


def _simulated(address: str) -> Scene:
    scene = library.load_scene(address)
    if not scene.simulated:
        raise SceneError(f"{address!r} is a picture: only scenes can be drawn anew")
    return scene


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m scenes", description=__doc__, formatter_class=cli.HelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, formatter_class=cli.HelpFormatter)
        added.set_defaults(run=run)
        return added

    command("list", _list, "the scenes, their starts and captions")
    render = command("render", _render, "a picture of a scene, drawn by the simulator")
    render.add_argument("--scene", default="studio", metavar="SCENE", help="a scene or SCENE:START")
    render.add_argument("--seed", type=cli.seed, metavar="N", help="a random place instead of the start")
    render.add_argument("--size", type=int, default=512, metavar="PIXELS", help="the side of the picture")
    render.add_argument("--out", type=Path, required=True, metavar="FILE.png")
    walk = command("walk", _walk, "a walk through a scene: a video, a contact sheet, a log with poses")
    how = walk.add_mutually_exclusive_group(required=True)
    how.add_argument("--script", metavar="TEXT", help='as in "forward*4 left*2 /open the door/ object_left*3"')
    how.add_argument("--random", type=cli.count, metavar="N", help="N random steps")
    cli.add_model_arguments(walk)
    walk.set_defaults(model="sim")
    walk.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    run = command("run", script_run.run, "walks a script or a session: sheets, video, poses, figures, cameras")
    script_run.add_arguments(run)
    scripts = command("scripts", script_run.show, "the scripts of a scene or picture, and what they are about")
    scripts.add_argument("--scene", default="studio", metavar="SCENE", help="a scene, or a picture's path")
    frames = command("frames", _frames, "draws the shipped start frames anew")
    frames.add_argument("--scenes", nargs="+", metavar="NAME", choices=library.scene_names(), help="default: all")
    examine.add_commands(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
