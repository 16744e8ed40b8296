"""What is installed, what worlds are made of, whether a model obeys; a model in a process of its own."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from world import ENV_ID, checkup, cli, link_bench, models, serving
from world.settings import PRESETS
from world.types import Scene, WorldSpec

PACKAGES = ("bagel-world", "torch", "gymnasium", "numpy", "pygame", "mujoco")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m world", description=__doc__, formatter_class=cli.HelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    info = commands.add_parser(
        "info", help="versions, model, scene, actions, presets", formatter_class=cli.HelpFormatter
    )
    info.add_argument("--model", metavar="ADDRESS", help=cli.MODEL_HELP)
    info.add_argument("--scene", metavar="SCENE", default="studio", help="a scene, SCENE:START, or a picture's path")
    info.set_defaults(run=_info)
    checkup.add_doctor(commands)
    serving.add_serve(commands)
    serving.add_route(commands)
    serving.add_keygen(commands)
    link_bench.add_bench(commands)
    args = parser.parse_args(argv)
    return cli.run(lambda: args.run(args))


def _info(args: argparse.Namespace) -> None:
    scene = models.load_scene(args.scene)
    spec = None
    if args.model is not None:
        model = models.load(args.model)
        spec = model.spec
        model.close()
    console = Console()
    console.print(_versions())
    if spec is not None:
        console.print(_model(spec))
    console.print(_scene(scene))
    console.print(_actions(scene))
    console.print(_presets())


def _table(title: str, *columns: str) -> Table:
    """A plain table; without columns it is a list of names and values."""
    table = Table(title=f"\n{title}", title_justify="left", title_style="bold", header_style="dim", box=None)
    table.show_header = bool(columns)
    for column in columns or ("", ""):
        table.add_column(column, no_wrap=not table.columns, justify="left", overflow="fold")
    table.padding = (0, 2)
    return table


def _versions() -> Table:
    table = _table("Versions")
    table.add_row("python", platform.python_version())
    for package in PACKAGES:
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "not installed")
    return table


def _model(spec: WorldSpec) -> Table:
    table = _table("Model")
    table.add_row("name", spec.model)
    table.add_row("device", f"{spec.device}, {spec.dtype}")
    table.add_row("supports", ", ".join(sorted(spec.supports)) or "the vocabulary alone")
    return table


def _scene(scene: Scene) -> Table:
    table = _table("Scene")
    height, width = scene.starts[0].frame.shape[:2]
    table.add_row("name", scene.name)
    table.add_row("caption", scene.caption)
    table.add_row("starts", ", ".join(start.name for start in scene.starts))
    table.add_row("start frame", f"{width} x {height}")
    table.add_row("camera", f"{scene.fov:g}° vertical, eye {scene.eye_height:g} m above the floor")
    table.add_row("simulator", "knows this scene" if scene.simulated else "does not know this scene")
    return table


def _actions(scene: Scene) -> Table:
    table = _table(f"Actions (numbers are those of {ENV_ID})", "number", "name", "words", "moves")
    units = {"forward": "m", "left": "m", "yaw": "°", "pitch": "°", "object_yaw": "°"}
    for i, action in enumerate(scene.actions):
        moves = [f"{name} {getattr(action, name):+g} {unit}" for name, unit in units.items() if getattr(action, name)]
        table.add_row(str(i), action.name, action.text, ", ".join(moves))
    return table


def _presets() -> Table:
    """All published settings of every preset."""
    table = _table("Presets (--preset)", "setting", *PRESETS)
    table.caption = "num_timesteps counts the points of the time grid: num_timesteps 50 = 49 evaluations of the model."
    table.caption_justify = "left"
    table.add_row("num_timesteps", *(str(s.num_timesteps) for s in PRESETS.values()))
    table.add_row("  evaluations", *(str(s.num_timesteps - 1) for s in PRESETS.values()))
    for name in ("timestep_shift", "cfg_text_scale", "cfg_image_scale", "cfg_renorm_min"):
        table.add_row(name, *(f"{getattr(s, name):g}" for s in PRESETS.values()))
    table.add_row("cfg_interval", *("{:g} to {:g}".format(*s.cfg_interval) for s in PRESETS.values()))
    table.add_row("cfg_renorm_type", *(s.cfg_renorm_type for s in PRESETS.values()))
    return table


if __name__ == "__main__":
    sys.exit(main())
