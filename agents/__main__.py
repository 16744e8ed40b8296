"""`python -m agents`: who acts in worlds: filmed walks, datasets, learning, planning, and what they are worth."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.progress import track

from agents import convert, learning, pursuit, rollout, throughput
from agents.base import Agent
from agents.simple import RandomAgent, ScriptedAgent
from world import cli, models
from world.env import BagelWorldEnv
from world.recording import save_walk
from world.scripting import parse_script
from world.types import Action, Scene, State


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m agents", description=__doc__, formatter_class=cli.HelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    walk = commands.add_parser("walk", help="let an agent walk", formatter_class=cli.HelpFormatter)
    walk.add_argument("--agent", choices=("random", "script"), default="random", help="who acts")
    walk.add_argument("--script", metavar="TEXT", help="for --agent script, e.g. 'forward*4 left*2 /open the door/'")
    walk.add_argument("--steps", type=cli.count, metavar="N", help="default: 24, or the length of the script")
    walk.add_argument("--out", type=Path, default=Path("out/agent"), metavar="DIR", help="for the recordings")
    cli.add_model_arguments(walk)
    walk.set_defaults(command_of=_walk)
    learning.add_commands(commands)
    rollout.add_rollout(commands)
    convert.add_convert(commands)
    throughput.add_throughput(commands)
    pursuit.add_pursue(commands)
    args = parser.parse_args(argv)
    return cli.run(lambda: args.command_of(args))


def _walk(args: argparse.Namespace) -> None:
    scene = models.load_scene(args.scene)
    script = _script(args, scene)
    steps = args.steps if args.steps is not None else len(script) or 24
    sampler = cli.sampler_of(args)
    model = models.load(args.model, sampler=sampler, device=args.device)
    words = any(not action.name for action in script)
    env = BagelWorldEnv(model, scene, action_type="text" if words else "discrete")
    agent = _agent(args, scene, script, words)
    frame, info = env.reset(seed=args.seed, options={"start": scene.starts[0].name})
    states, actions = [_state(env)], list[Action]()
    for _ in track(range(steps), description=f"{args.agent} in {scene.name}"):
        choice = agent.act(frame, info)
        actions.append(env.action_of(choice))
        frame, _, _, _, info = env.step(choice)
        states.append(_state(env))
    env.close()
    paths = save_walk(args.out, model.spec, states, actions, sampler)
    model.close()
    print(f"{steps} steps: " + ", ".join(str(path) for path in paths))


def _script(args: argparse.Namespace, scene: Scene) -> list[Action]:
    if (args.agent == "script") != (args.script is not None):
        raise ValueError("--agent script and --script TEXT go together")
    return parse_script(args.script, scene.actions) if args.script is not None else []


def _agent(args: argparse.Namespace, scene: Scene, script: list[Action], words: bool) -> Agent:
    if not script:
        return RandomAgent(len(scene.actions), args.seed)
    return ScriptedAgent([action.text if words else scene.actions.index(action) for action in script])


def _state(env: BagelWorldEnv) -> State:
    if env.state is None:
        raise AssertionError("an environment has a state after reset")
    return env.state


if __name__ == "__main__":
    sys.exit(main())
