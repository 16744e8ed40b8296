"""`python -m agents convert`: recorded sessions as a Minari dataset, for learning from what a person did.

A session is a session.json, a journal that the window kept, or the log of a walk or film. It holds actions and seeds,
few pictures: its lines, one from the start to every end of its tree, are walked again once for each seed, and become
one episode each. A walk has no goal, so rewards are 0 and the end is a truncation.

An episode is what was seen: where other pictures are drawn than were recorded, nothing is written, unless --model asks
for another world's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
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
from world.moves import MAX_TEXT, TEXT_CHARACTERS
from world.plan import Plan, Step
from world.recording import LOG
from world.replay import Comparison, again
from world.session import Session, action_from_row, load_session, sampler_from_row, to_json
from world.types import Action, Frame, Pose, WorldModel


def recorded(path: Path) -> Session:
    """What was recorded in a file. Raises SceneError that says what is wrong with it."""
    if path.suffix != SUFFIX:
        return load_session(path)
    try:
        header, *steps = path.read_text(encoding="utf-8").splitlines()
        if (begun := json.loads(header))["kind"] != LOG:
            return reopened(path)  # whose last line may be cut off
        return _logged(begun, [json.loads(step) for step in steps])
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SceneError(f"{path} tells of no walk ({error}): give the walk's journal or session.json") from None


def _logged(begun: dict[str, Any], lines: list[dict[str, Any]]) -> Session:
    """The session of a log's header and its other lines."""
    try:
        scene = models.load_scene(f"{begun['scene']}:{begun['start']}")
    except SceneError as error:
        raise ValueError(f"its scene is not found: {error}") from None
    if Pose(**begun["pose"]) != scene.starts[0].pose:
        raise ValueError(f"it begins elsewhere than at the start {begun['start']!r}, and a log holds no pictures")
    steps, depths = [Step(0, None)], [0]
    for i, line in enumerate(lines, 1):
        steps.append(Step(line.get("parent", i - 1), action_from_row(line["action"])))
        depths.append(line["step"])
        if steps[i].action is not None and depths[i] != depths[steps[i].parent] + 1:
            raise ValueError(f"its line {i + 1} is step {depths[i]} and follows step {depths[steps[i].parent]}")
    digests = (begun["frame"], *(line["frame"] for line in lines))
    sampler = begun["sampler"] and sampler_from_row(begun["sampler"])
    plan = Plan(tuple(steps), len(lines))
    return Session(begun["model"], scene, plan, (begun["seed"],), sampler, (digests,))


def lines(session: Session) -> list[list[int]]:
    """The steps of the session's plan to each of its ends, from the start or from the last picture from elsewhere.

    Steps that hold a picture are left out.
    """
    plan = session.plan
    moves = [step.action is not None for step in plan.steps]
    begins = {i for i, made in session.made.items() if made.given is not None and not moves[i]}
    parents = {step.parent for i, step in enumerate(plan.steps) if i and i not in begins}
    found = []
    for end in (i for i in range(len(plan.steps)) if i not in parents):
        line = plan.line(end)
        first = max((k for k, i in enumerate(line) if i in begins), default=0)
        found.append([line[first], *(i for i in line[first + 1 :] if moves[i])])
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
    parser.add_argument(
        "--model",
        metavar="ADDRESS",
        help="what they are walked with, whatever it draws (default: what made the first, which must draw the same)",
    )
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder of datasets (Minari's root)")
    parser.set_defaults(command_of=_convert)


def _convert(args: argparse.Namespace) -> None:
    sessions = [recorded(path) for path in args.sessions]
    first = sessions[0]
    if any(session.scene.actions != first.scene.actions or session.sampler != first.sampler for session in sessions):
        raise ValueError("one dataset has one vocabulary and one sampler: convert these sessions one by one")
    address = args.model or first.model
    num = sum(len(lines(session)) * len(session.seeds) for session in sessions)
    if num == 0:
        raise ValueError("nothing moves in these sessions: there is no episode to make")
    request = {"model": address, "sessions": [to_json(session.unwalked()) for session in sessions]}
    dataset = Dataset(args.out, name_of(first.scene.name, "sessions", address), request, num)
    if not dataset.is_complete:
        model = models.load(address, sampler=first.sampler, device=args.device)
        try:
            _walk(dataset, model, sessions, args.model is not None)
        finally:
            model.close()
    Console().print(loading(dataset), soft_wrap=True, markup=False, highlight=False)


def _walk(dataset: Dataset, model: WorldModel, sessions: Sequence[Session], may_differ: bool) -> None:
    moves = {step.action for session in sessions for step in session.plan.steps if step.action is not None}
    words = not moves <= set(sessions[0].scene.actions)
    made: list[Episode] = []
    console = Console(stderr=True)
    with cli.telling(console=console) as tell:
        for i, session in enumerate(sessions, 1):
            if session.model != model.spec.model:  # another world makes all of it, in its own way
                session = replace(session, made={})
            walked = _walked(model, session, lambda text, i=i: tell(f"session {i} of {len(sessions)}: {text}"))
            if not (comparison := _compared(session, walked)).matched:
                told = f"session {i}: {comparison.verdict(session.model, model.spec.model)}"
                if not may_differ:
                    raise ValueError(
                        f"{told}. Convert the journal of the walk, or take what is drawn: name its --model"
                    )
                console.print(told, soft_wrap=True, markup=False, highlight=False)
            made += episodes(session, walked, words)
    for i, episode in enumerate(made):
        dataset.keep(i, episode)
    shape = made[0].frames.shape[1:]
    actions = _sentences(moves) if words else spaces.Discrete(len(sessions[0].scene.actions))
    words_of = f"what a person did in {sessions[0].scene.name}, as {model.spec.model} shows it"
    dataset.finish(Kind(spaces.Box(0, 255, shape, np.uint8), actions, None, "human", words_of))


def _walked(model: WorldModel, session: Session, tell: cli.Tell) -> Walked:
    """By the very calls that made it: one by one where a person walked, in batches where a script had several seeds."""
    if len(session.seeds) > 1:
        return sequence.walk(model, session, tell=tell)
    frames, poses = list[Frame](), list[Pose]()
    for state in again(model, session):
        frames.append(state.frame)
        poses.append(state.pose)
        tell(f"{len(frames)} of {len(session.plan.steps)}")
    return Walked((tuple(frames),), (tuple(poses),))


def _compared(session: Session, walked: Walked) -> Comparison:
    """With what was recorded, as far as it was."""
    recorded = [digest for row in session.digests for digest in row]
    drawn = [digest for row in walked.digests() for digest in row]
    told = [old == new for old, new in zip(recorded, drawn, strict=bool(recorded)) if old]
    return Comparison(len(told), sum(told))


def _sentences(moves: Iterable[Action]) -> spaces.Text:
    """The environment's space of sentences, wider where a person wrote otherwise."""
    texts = [move.text for move in moves]
    return spaces.Text(max(MAX_TEXT, *map(len, texts)), charset=TEXT_CHARACTERS.union(*texts))
