"""`python -m agents convert`: recorded sessions as a Minari dataset, for learning from what a person did.

A session is a session.json, a journal that the window kept, or the log of a walk. It holds actions and seeds, no
pictures: its lines, one from the start to every end of its tree, are walked again once for each seed, and become one
episode each. A walk has no goal, so rewards are 0 and the end is a truncation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from rich.console import Console

from agents.dataset import Dataset, Kind, loading, name_of
from agents.episode import Episode, columns
from scenes import sequence
from scenes.sequence import Walked
from world import cli, models
from world.errors import SceneError
from world.journal import SUFFIX, reopened
from world.moves import MAX_TEXT
from world.plan import Plan, Step
from world.recording import LOG
from world.session import Session, action_from_row, load_session, sampler_from_row, to_json
from world.types import WorldModel


def recorded(path: Path) -> Session:
    """What was recorded in a file. Raises SceneError that says what is wrong with it."""
    if path.suffix != SUFFIX:
        return load_session(path)
    try:
        begun, *steps = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        if begun["kind"] != LOG:
            return reopened(path)
        scene = models.load_scene(begun["scene"]).starting_at(begun["start"])
        moves = [Step(i, action_from_row(step["action"])) for i, step in enumerate(steps)]
        digests = (begun["frame"], *(step["frame"] for step in steps))
        sampler = begun["sampler"] and sampler_from_row(begun["sampler"])
        plan = Plan((Step(0, None), *moves), len(moves))
        return Session(begun["model"], scene, plan, (begun["seed"],), sampler, (digests,))
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SceneError(f"{path} tells of no walk ({error}): give a session.json, a journal or a log") from None


def lines(session: Session) -> list[list[int]]:
    """The steps of the session's plan from the start to each of its ends; steps that hold a picture are left out."""
    plan = session.plan
    parents = {step.parent for step in plan.steps[1:]}
    ends = [i for i in range(len(plan.steps)) if i not in parents]
    found = [[0, *(i for i in plan.line(end) if plan.steps[i].action is not None)] for end in ends]
    return [line for line in found if len(line) > 1]


def episodes(session: Session, walked: Walked, words: bool) -> Iterator[Episode]:
    """The session's lines, seed by seed; `words` says that actions are sentences rather than numbers."""
    actions = session.scene.actions
    for v, seed in enumerate(session.seeds):
        for line in lines(session):
            moves = [move for i in line if (move := session.plan.steps[i].action) is not None]
            infos = [
                {"pose": asdict(walked.poses[v][i]), "step": t, "action": move}
                for t, (i, move) in enumerate(zip(line, ["", *(m.text for m in moves)], strict=True))
            ]
            ended = [False] * (len(moves) - 1) + [True]
            arrays = columns("observations", [walked.frames[v][i] for i in line]) | columns("infos", infos)
            arrays["actions"] = np.array([m.text if words else actions.index(m) for m in moves])
            arrays |= {"rewards": np.zeros(len(moves)), "terminations": np.zeros(len(moves), bool)}
            yield Episode(seed, arrays | {"truncations": np.array(ended)})


def add_convert(commands: Any) -> None:
    """The parser of `convert`."""
    parser = commands.add_parser(
        "convert", help="recorded sessions, as a Minari dataset", formatter_class=cli.HelpFormatter
    )
    parser.add_argument(
        "sessions",
        nargs="+",
        type=Path,
        metavar="SESSION",
        help="session.json, journal or log, all of one scene",
    )
    parser.add_argument("--model", metavar="ADDRESS", help="what they are walked with (default: what made the first)")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder of datasets (Minari's root)")
    parser.set_defaults(command_of=_convert)


def _convert(args: argparse.Namespace) -> None:
    sessions = [recorded(path) for path in args.sessions]
    first = sessions[0]
    if any(session.scene.actions != first.scene.actions or session.sampler != first.sampler for session in sessions):
        raise ValueError("one dataset has one vocabulary and one sampler: convert these sessions one by one")
    address = args.model or first.model
    moves = {step.action for session in sessions for step in session.plan.steps if step.action is not None}
    words = not moves <= set(first.scene.actions)
    num = sum(len(lines(session)) * len(session.seeds) for session in sessions)
    if num == 0:
        raise ValueError("nothing moves in these sessions: there is no episode to make")
    request = {"model": address, "sessions": [to_json(session.unwalked()) for session in sessions]}
    dataset = Dataset(args.out, name_of(first.scene.name, "sessions", address), request, num)
    if not dataset.is_complete:
        model = models.load(address, sampler=first.sampler, device=args.device)
        try:
            _walk(dataset, model, sessions, words)
        finally:
            model.close()
    Console().print(loading(dataset), soft_wrap=True, markup=False, highlight=False)


def _walk(dataset: Dataset, model: WorldModel, sessions: Sequence[Session], words: bool) -> None:
    made: list[Episode] = []
    console = Console(stderr=True)
    for i, session in enumerate(sessions):
        with console.status(f"session {i + 1} of {len(sessions)}"):
            walked = sequence.walk(model, session)
        if session.digests and walked.digests() != session.digests:
            console.print(f"session {i + 1}: {model.spec.model} draws other pictures than were recorded")
        made += episodes(session, walked, words)
    for i, episode in enumerate(made):
        dataset.keep(i, episode)
    shape = made[0].frames.shape[1:]
    actions = spaces.Text(MAX_TEXT) if words else spaces.Discrete(len(sessions[0].scene.actions))
    words_of = f"what a person did in {sessions[0].scene.name}, as {model.spec.model} shows it"
    dataset.finish(Kind(spaces.Box(0, 255, shape, np.uint8), actions, None, "human", words_of))
