"""You, in a world: a window where keys walk, or without a display a scripted walk with video, contact sheet and log.

  python play.py                                     walk through the studio, dreamt by the tiny model
  python play.py --scene photo.jpg --model DIR       your own picture, any checkpoint in BAGEL's release layout
  python play.py --headless --script "forward*4 left*2"

The keys are shown in the window.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from scenes.library import scene_names
from world import cli, models
from world.game import Game
from world.recording import save_walk
from world.scripting import need_words, parse_script
from world.settings import SamplerConfig
from world.types import Action, Scene, WorldModel

TOUR = "forward*3 left*4 forward*2 right*6 strafe_left*2 forward*3 up down back*3 strafe_right*2"
OBJECT_TOUR = "object_left*6 strafe_left*2 right object_right*4 forward*2 left*2 object_left*5 back*3 up down"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("play.py", description=__doc__, formatter_class=cli.HelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument(
        "--size", type=int, default=768, metavar="N", help="longest side of the frame on screen, pixels"
    )
    parser.add_argument("--out", type=Path, default=Path("out/walk"), metavar="DIR", help="for pictures and videos")
    parser.add_argument("--headless", action="store_true", help="no window: a scripted walk, recorded")
    parser.add_argument("--script", metavar="TEXT", help="e.g. 'forward*4 left*2 /open the door/'; implies --headless")
    parser.add_argument("--in-process", action="store_true", help="never the model in a process of its own")
    args = parser.parse_args(argv)
    return cli.run(lambda: _play(args))


def _play(args: argparse.Namespace) -> None:
    if not 128 <= args.size <= 8192:
        raise ValueError(f"--size is the frame's longest side in pixels, 128 to 8192, got {args.size}")
    scene = models.load_scene(args.scene)
    sampler = cli.sampler_of(args)
    models.entry_of(args.model)  # a wrong address is told before a window opens
    if args.headless or args.script is not None:
        walk(args, scene, sampler)
    elif not has_display():
        print("There is no display here, so this is a scripted walk; with a display, a window opens.")
        walk(args, scene, sampler)
    else:
        from world.player import Player  # pygame, which a walk without a window does not need

        stages = deque([""], maxlen=1)
        opened = partial(open_model, args, sampler, on_stage=stages.append)
        game = Game(opened, args.model, scene, args.seed, stage=lambda: stages[-1])
        player = Player(game, scene_names(), args.out, args.size)
        player.run()
        for path in player.saved:
            print(f"saved {path}")


def open_model(
    args: argparse.Namespace, sampler: SamplerConfig | None, address: str, on_stage: Callable[[str], None]
) -> WorldModel:
    """The model at `address`; a checkpoint that goes to a GPU gets a process of its own, which ends with this one.

    `on_stage` is told how far the loading is.
    """
    if not args.in_process and models.entry_of(address) == models.DIRECTORY and _on_gpu(args.device):
        from world.supervisor import open_supervised

        return open_supervised(address, sampler, args.device, on_stage)
    return models.load(address, sampler=sampler, device=args.device)


def _on_gpu(device: str | None) -> bool:
    import torch

    return device.startswith("cuda") if device is not None else torch.cuda.is_available()


def has_display() -> bool:
    """Whether a window can be expected to open."""
    if not sys.platform.startswith("linux"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))


def tour(scene: Scene) -> list[Action]:
    """A walk that shows what `scene` has."""
    names = {action.name: action for action in scene.actions}
    script = OBJECT_TOUR if "object_left" in names else TOUR
    return parse_script(" ".join(word for word in script.split() if word.partition("*")[0] in names), scene.actions)


def walk(args: argparse.Namespace, scene: Scene, sampler: SamplerConfig | None) -> None:
    """The walk without a window: recorded into args.out."""
    actions = tour(scene) if args.script is None else parse_script(args.script, scene.actions)
    console = Console(highlight=False)
    with console.status(f"Loading {args.model}") as status:
        model = open_model(args, sampler, args.model, status.update)
        need_words(model.spec, actions)
        states = model.reset([scene], [args.seed])
    args.out.mkdir(parents=True, exist_ok=True)  # told now rather than after a long walk
    seconds: list[float] = []
    for action in track(actions, description=f"Walking through {scene.name}", console=console):
        begun = time.perf_counter()
        states += model.step(states[-1:], [action])
        seconds.append(time.perf_counter() - begun)
    with console.status("Writing video, contact sheet and log"):
        paths = save_walk(args.out, model.spec, states, actions, sampler)
    median = statistics.median(seconds)
    console.print(f"{len(actions)} steps by {model.spec.model}: {1000 * median:.0f} ms each, {1 / median:.1f} frames/s")
    for what, path in zip(("video", "contact sheet", "log"), paths, strict=True):
        console.print(f"  {what:<14} {path}", soft_wrap=True)
    model.close()


if __name__ == "__main__":
    sys.exit(main())
