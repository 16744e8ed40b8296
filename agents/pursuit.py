"""`python -m agents pursue`: who reaches a goal picture in the simulator, a planner or chance.

All play the held-out episodes of ReachGoal by which policies are scored. The planner may think with the simulator
itself (the best that planning can do) or with a dream, which is given nothing but what the eye sees.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from agents.base import Agent
from agents.casting import Role, caster
from agents.planner import Eyes, Method, Search
from agents.recipe import Recipe, numbers_of
from agents.scoring import TITLES, Chance, Player, cell, score
from world import cli, models
from world.looks import Looks
from world.types import Scene, WorldModel

_MEASURES = {name: title for name, title in TITLES.items() if name != "reward"}


class Alone:
    """A Player of agents that each play one episode: `make` makes them from its number. `numbers` are those that the
    agents' choices have in the scene's vocabulary; `tell` hears of every move."""

    def __init__(
        self, make: Callable[[int], Agent], numbers: NDArray[np.int64], tell: cli.Tell = lambda text: None
    ) -> None:
        self._make, self._numbers, self._tell, self._agents = make, numbers, tell, dict[int, Agent]()

    def act_all(self, observations: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
        return np.array([self._numbers[self._act(seen)] for seen in observations], np.int64)

    def _act(self, seen: Mapping[str, Any]) -> int:
        number = seen["number"]
        self._tell(f"move {seen['info']['step'] + 1} of episode {number + 1}")
        if number not in self._agents:
            self._agents[number] = self._make(number)
        return int(self._agents[number].act(seen, seen["info"]))


def planner(mind: WorldModel, eyes: Eyes, search: Search, scene: Scene, recipe: Recipe, tell: cli.Tell) -> Player:
    """Planners that think with `mind`, of the recipe's moves alone; `tell` as in `Alone`."""
    numbers = numbers_of(recipe.moves, scene)
    narrow = replace(scene, actions=tuple(scene.actions[number] for number in numbers))
    return Alone(caster(Role("planner", eyes=eyes, search=search), narrow, mind).agent, numbers, tell)


def add_pursue(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The parser of `pursue`."""
    defaults, recipe = Search(), Recipe()
    parser = commands.add_parser(
        "pursue", help="planner against chance at reaching a goal picture", formatter_class=cli.HelpFormatter
    )
    parser.add_argument("--scene", default=recipe.scene, metavar="SCENE", help="one that the simulator knows")
    parser.add_argument(
        "--dreams", nargs="+", default=["sim", "tiny"], metavar="ADDRESS", help="what the planner thinks with"
    )
    parser.add_argument("--likeness", choices=get_args(Eyes), nargs="+", default=["pixels"], help="by what")
    parser.add_argument("--episodes", type=cli.count, default=20, metavar="N", help="held out from training")
    parser.add_argument("--limit", type=cli.count, default=recipe.max_episode_steps, metavar="N", help="moves of each")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    parser.add_argument("--method", choices=get_args(Method), default=defaults.method)
    parser.add_argument("--depth", type=cli.count, default=defaults.depth, metavar="N", help="moves thought ahead")
    parser.add_argument("--width", type=cli.count, default=defaults.width, metavar="N", help="futures kept or drawn")
    parser.set_defaults(command_of=_pursue)


def _pursue(args: argparse.Namespace) -> None:
    scene = models.load_scene(args.scene)
    recipe = Recipe(scene=args.scene, max_episode_steps=args.limit)
    search = Search(args.method, args.depth, args.width, elites=min(Search().elites, args.width))
    truth = models.load("sim")
    table = Table("", *_MEASURES.values(), title=f"{args.episodes} goals in {scene.name}, {args.limit} moves", box=None)

    def play(name: str, make: Callable[[cli.Tell], Player]) -> None:
        tell(name)
        player = make(lambda text: tell(f"{name}: {text} of {args.episodes}"))
        found = score(player, truth, scene, recipe, args.episodes).estimates()
        table.add_row(name, *(cell(found[measure]) for measure in _MEASURES))

    with closing(truth), cli.telling() as tell:
        play("chance", lambda _: Chance(numbers_of(recipe.moves, scene)))
        for address in dict.fromkeys(args.dreams):
            dream = truth if address == "sim" else models.load(address, device=args.device)
            try:
                for eyes in dict.fromkeys(args.likeness):
                    if eyes == "pixels" or isinstance(dream, Looks):  # a simulator draws without latents
                        play(f"planner, {address}, {eyes}", partial(planner, dream, eyes, search, scene, recipe))
            finally:
                if dream is not truth:
                    dream.close()
    Console().print(table)
