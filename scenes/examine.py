"""`python -m scenes evaluate` and `compare`: from addresses to figures, files and pages."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_args

from rich.console import Console

from scenes import compare, evaluation_page, library, report
from scenes.estimates import ALL, Figures
from scenes.evaluate import measure, measure_copying
from scenes.report import Evaluation
from scenes.simulator import SimulatorWorld
from scenes.trial import SUITES, Trial, prepare
from world import cli, models
from world.cli import Tell
from world.errors import SceneError
from world.files import atomic_write_text
from world.settings import PRESETS, SamplerConfig
from world.tasks import PIXELS, JudgedBy, TaskName, TaskSettings
from world.types import Scene, WorldModel
from world.walks import HELD_OUT

PAGE = "evaluation.html"


@dataclass(frozen=True)
class Contender:
    """A model to be measured: its address as a person typed it, and the sampler that was asked for."""

    label: str
    address: str
    sampler: SamplerConfig | None
    device: str | None


@dataclass(frozen=True)
class Exam:
    """A trial, drawn once for frames of one size, with the simulator that drew it and the baseline's figures."""

    setup: dict  # what comparable evaluations share
    trial: Trial
    truth: SimulatorWorld
    copying: Figures


def add_commands(command: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    """Adds `evaluate` and `compare` to the parser's commands."""
    one = command("evaluate", evaluate, "measures a model against the simulator: JSON, CSV, and a page to read")
    one.add_argument("--model", default="tiny", metavar="ADDRESS", help="tiny, sim, or a checkpoint directory")
    several = command("compare", compare_models, "measures several models on one trial: a table and a page")
    several.add_argument(
        "models", nargs="+", metavar="MODEL", help="an address, ADDRESS@PRESET, or a folder that evaluate has filled"
    )
    for parser in (one, several):
        parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
        parser.add_argument(
            "--scenes", nargs="+", metavar="SCENE", help="scenes or pictures, which have no truth (default: all scenes)"
        )
        parser.add_argument("--suite", choices=list(SUITES), default="quick", help="how much is measured")
        parser.add_argument(
            "--task", choices=get_args(TaskName), help="judge a task too: its rewards and verdicts against true poses"
        )
        parser.add_argument("--judged-by", choices=get_args(JudgedBy), help="by what (default: as the task says)")
        parser.add_argument("--eyes", metavar="ADDRESS", help="whose features or answers judge pictures (pixels)")
        parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    cli.add_sampler_arguments(one)


def evaluate(args: argparse.Namespace) -> None:
    """One model: its table on the terminal, its files in --out."""
    contender = Contender(args.model, args.model, cli.sampler_of(args), args.device)
    console, scenes, task = Console(), load_scenes(args.scenes), task_of(args)
    with cli.telling(every=0) as tell, ExitStack() as opened:
        model, frame = load(contender, scenes)
        opened.callback(model.close)
        args.out.mkdir(parents=True, exist_ok=True)  # told now rather than after all the measuring
        exam = draw(scenes, args.suite, frame, tell, task)
        opened.callback(exam.truth.close)
        evaluation = examine(contender, model, exam, args.out, tell)
    console.print(report.table(evaluation))
    if evaluation.confusion is not None:
        console.print(report.actions_table(evaluation.confusion))
    for gate in report.gates(evaluation.figures):
        console.print(f"{'pass' if gate.passed else 'FAIL'}  {gate.name}: {gate.value:.2f}, at least {gate.least}")
    for note in evaluation.notes:
        console.print(note, markup=False, soft_wrap=True)
    console.print(f"{args.out / PAGE} shows it all; figures in {report.FILE} and {report.CSV}", soft_wrap=True)


def compare_models(args: argparse.Namespace) -> None:
    """Several models: what is not measured yet is measured on one trial, into a folder of --out each."""
    if len(set(args.models)) < max(2, len(args.models)):
        raise ValueError(f"compare takes two or more different models, got {' '.join(args.models)}")
    done = {label: read for label in args.models if (read := _measured_before(label)) is not None}
    contenders = [contender(label, args.device) for label in args.models if label not in done]
    scenes, task, exam = load_scenes(args.scenes), task_of(args), None
    with cli.telling(every=0) as tell, ExitStack() as opened:
        for c in contenders:
            model, frame = load(c, scenes)
            with closing(model):
                compare.need_one_trial([*done.values()], trial_of(scenes, args.suite, frame, task))
                if exam is None:
                    args.out.mkdir(parents=True, exist_ok=True)
                    exam = draw(scenes, args.suite, frame, tell, task)
                    opened.callback(exam.truth.close)
                done[c.label] = examine(c, model, exam, args.out / folder_name(c.label), tell)
    evaluations = [done[label] for label in args.models]
    compare.need_one_trial(evaluations, evaluations[0].trial)
    console = Console()
    console.print(compare.table(evaluations))
    console.print(*compare.save(args.out, evaluations), sep="\n", soft_wrap=True)


def _measured_before(label: str) -> Evaluation | None:
    folder = Path(label)
    return replace(report.read(folder), label=label) if (folder / report.FILE).is_file() else None


def contender(label: str, device: str | None) -> Contender:
    """The model that "ADDRESS" or "ADDRESS@PRESET" names. Raises ModelError or ValueError where there is none such."""
    address, _, preset = label.rpartition("@")
    if not address or Path(label).is_dir():
        address, preset = label, ""
    models.entry_of(address)
    if preset and preset not in PRESETS:
        near = difflib.get_close_matches(preset, PRESETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"no preset {preset!r} in {label!r}: {hint}the presets are {', '.join(PRESETS)}")
    return Contender(label, address, PRESETS.get(preset), device)


def load_scenes(addresses: Sequence[str] | None) -> list[Scene]:
    """The scenes and pictures, by default all scenes. Raises SceneError where two have one name."""
    scenes = [library.load_scene(address) for address in addresses or library.scene_names()]
    names = [scene.name for scene in scenes]
    for name in names:
        if names.count(name) > 1 or name == ALL:
            raise SceneError(f"figures are kept by the scene's name, and {name!r} is there already: give it another")
    return scenes


def load(contender: Contender, scenes: Sequence[Scene]) -> tuple[WorldModel, tuple[int, int]]:
    """The model, and the (height, width) of its frames. Raises SceneError where the simulator cannot draw such."""
    model = models.load(contender.address, sampler=contender.sampler, device=contender.device)
    height, width = model.reset(scenes[:1], [HELD_OUT])[0].frame.shape[:2]
    if height != width and any(scene.simulated for scene in scenes):
        model.close()
        raise SceneError(f"the simulator draws square frames, but {contender.label} dreams {width} x {height}")
    return model, (height, width)


def task_of(args: argparse.Namespace) -> TaskSettings | None:
    """The task that is to be judged, where one is given. Raises ValueError where it cannot be judged so."""
    if args.task is None:
        if args.judged_by or args.eyes:
            raise ValueError("--judged-by and --eyes say how a task is judged: give --task as well")
        return None
    return TaskSettings(args.task, judged_by=args.judged_by, eyes=args.eyes or PIXELS)


def trial_of(scenes: Sequence[Scene], suite: str, frame: tuple[int, int], task: TaskSettings | None = None) -> dict:
    """What a trial depends on, as plain values."""
    judged = {"task": {"name": task.task, "judged_by": task.way, "eyes": task.eyes}} if task else {}
    return {
        "suite": {"name": suite, **asdict(SUITES[suite])},
        "scenes": [scene.name for scene in scenes],
        "frame": list(frame),
        "first_seed": HELD_OUT,
        **judged,
    }


def draw(
    scenes: Sequence[Scene], suite: str, frame: tuple[int, int], tell: Tell, task: TaskSettings | None = None
) -> Exam:
    """Draws the trial and measures the baseline on it."""
    truth = SimulatorWorld(frame[0]) if frame[0] == frame[1] else SimulatorWorld()
    trial = prepare(truth, scenes, SUITES[suite], tell, task)
    tell("copying the last frame")
    return Exam(trial_of(scenes, suite, frame, task), trial, truth, measure_copying(trial))


def examine(contender: Contender, model: WorldModel, exam: Exam, folder: Path, tell: Tell) -> Evaluation:
    """Measures the model and leaves its files in `folder`."""
    measured = measure(model, exam.trial, exam.truth, lambda text: tell(f"{contender.label}: {text}"))
    spec = {**asdict(model.spec), "supports": sorted(model.spec.supports)}
    evaluation = Evaluation(
        contender.label,
        report.setup(spec, None if "pose" in model.spec.supports else _sampler(contender), exam.setup),
        measured.figures,
        exam.copying,
        measured.confusion,
        measured.notes,
    )
    report.save(folder, evaluation, measured.dreams)
    atomic_write_text(folder / PAGE, evaluation_page.evaluation_page(evaluation, measured))
    return evaluation


def _sampler(contender: Contender) -> SamplerConfig:
    return contender.sampler or PRESETS[cli.default_preset(contender.address)]


def folder_name(label: str) -> str:
    """The label as the name of a folder."""
    return "".join(c if c.isalnum() or c in "-_.@" else "-" for c in label).strip("-.") or "model"
