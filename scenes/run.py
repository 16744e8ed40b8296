"""`python -m scenes run`: a script or a session, walked; and `scripts`, which shows what there is to run."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from scenes import library
from scenes.fidelity import Outcome, measure, summary
from scenes.results import save_results
from scenes.scripts import Script, find, shipped
from scenes.sequence import Album, Tell, Walked, walk
from scenes.simulator import SimulatorWorld
from scenes.views import make_views, need_views
from world import cli, models
from world.errors import RenderError, SceneError
from world.scripting import need_words
from world.session import Session, load_session
from world.types import WorldModel

MAX_PICTURES = 2000  # steps times seeds: they are all held in memory, and drawn on one sheet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `run`."""
    parser.add_argument(
        "script", metavar="SCRIPT", help="a script's name, FILE.toml[:NAME], moves in quotes, or a session.json"
    )
    cli.add_model_arguments(parser)
    parser.set_defaults(model=None, scene=None, seed=None)
    parser.epilog = "Defaults: tiny, studio and seed 0; a session brings its own."
    parser.add_argument(
        "--variants", type=cli.count, metavar="N", help="walk with N seeds from --seed on, as one batch"
    )
    parser.add_argument("--views", action="store_true", help="make all views from the start picture as well")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="a folder; a run that was cut off goes on in it"
    )


def run(args: argparse.Namespace) -> int:
    """Runs the command; 1 where a session did not come out as it was recorded."""
    script, session = _replay(args) if args.script.endswith(".json") else _new(args)
    plan = session.plan
    if (num := len(plan.steps) * len(session.seeds)) > MAX_PICTURES:
        raise ValueError(f"the script makes {num} pictures over all seeds, and a run at most {MAX_PICTURES}")
    model = models.load(session.model, sampler=session.sampler, device=args.device)
    try:
        need_words(model.spec, [step.action for step in plan.steps if step.action is not None])
        if args.views:
            need_views(model.spec, plan)
        recorded, session = session, Session(model.spec.model, session.scene, plan, session.seeds, session.sampler)
        album = Album(args.out, session)
        kept = album.kept()
        with cli.telling() as tell:
            outcome = _walk(args, model, script, album, tell)
    finally:
        model.close()
    figures = measure(outcome)
    paths = save_results(album, outcome, figures)
    lines = summary(figures)
    if session.scene.simulated and outcome.truth is None and not outcome.exact:
        lines.append("no truth beside: the simulator draws square pictures, and needs MuJoCo and OpenGL")
    if kept is not None:
        lines.append(
            f"{kept[0]} of {len(plan.levels())} batches were kept from an earlier run: remove {args.out} to walk anew"
        )
    different = 0
    if recorded.digests:
        pairs = zip(recorded.digests, outcome.walked.digests(), strict=True)
        different = sum(a != b for row, seen in pairs for a, b in zip(row, seen, strict=True))
        total = len(plan.steps) * len(session.seeds)
        lines.append(f"{total - different} of {total} pictures came out as recorded by {recorded.model}")
    Console(highlight=False).print(*lines, *paths, sep="\n", soft_wrap=True, markup=False)
    return int(different > 0)


def show(args: argparse.Namespace) -> None:
    """The scripts of a scene, with what they are about."""
    scene = library.load_scene(args.scene)
    table = Table(box=None, header_style="dim")
    for column in ("script", "pictures", "about", "moves"):
        table.add_column(column, overflow="fold", no_wrap=column == "script")
    for script in shipped(scene).values():
        try:
            pictures = str(sum(len(level) for level in script.plan(scene).levels()))
        except ValueError:
            continue  # not for this scene
        table.add_row(script.name, pictures, script.about, escape(" ".join(script.moves.split())))
    Console().print(table)


def _walk(args: argparse.Namespace, model: WorldModel, script: Script, album: Album, tell: Tell) -> Outcome:
    session = album.session
    walked = walk(model, session, album, tell)
    album.finish(walked)
    views = make_views(model, session, args.out / "views", tell) if args.views else None
    exact = "pose" in model.spec.supports
    truth = None if exact else _truth(session, walked, tell)
    return Outcome(script, session, walked, truth, views, exact)


def _truth(session: Session, walked: Walked, tell: Tell) -> Walked | None:
    """The same moves in the simulator, where it knows the scene and can draw."""
    height, width = walked.frames[0][0].shape[:2]
    if not session.scene.simulated or height != width:
        return None
    world = SimulatorWorld(height)
    try:
        return walk(
            world, Session("sim", session.scene, session.plan, session.seeds[:1]), tell=lambda t: tell(f"truth {t}")
        )
    except RenderError:
        return None
    finally:
        world.close()


def _new(args: argparse.Namespace) -> tuple[Script, Session]:
    address, seed = args.scene or "studio", args.seed or 0
    args.model = args.model or "tiny"
    scene = models.load_scene(address)
    script = find(args.script, scene)
    if not (scene.simulated and ":" in address):  # a start that a person names counts more than the script's
        scene = script.place_in(scene)
    plan = script.plan(scene)
    models.entry_of(args.model)
    seeds = tuple(range(seed, seed + (args.variants or 1)))
    return script, Session(args.model, scene, plan, seeds, cli.sampler_of(args))


def _replay(args: argparse.Namespace) -> tuple[Script, Session]:
    if given := [f"--{n}" for n in ("scene", "seed", "variants") if getattr(args, n) is not None]:
        raise ValueError(f"a session brings its own start and seeds: leave {' and '.join(given)} out")
    session = load_session(args.script)
    if session.made:
        cure = f"python play.py {args.script} --replay walks it again exactly"
        raise ValueError(f"{args.script} was walked by hand, with steps that no script has: {cure}")
    if session.scene.simulated and session.scene.name not in library.scene_names():
        raise SceneError(f"{args.script} begins in a scene {session.scene.name!r} that is not here")
    args.model = args.model or session.model
    models.entry_of(args.model)
    sampler = cli.sampler_of(args) or session.sampler
    name = Path(args.script).stem
    return Script(name, "a session walked again", ""), Session(
        args.model, session.scene, session.plan, session.seeds, sampler, session.digests
    )
