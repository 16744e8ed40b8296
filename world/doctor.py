"""The doctor: examines a world from load to restart, and measures what it costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np

from world.checks import CHECKS, RESTART, Check, NotForThisError, Sampled, Subject
from world.errors import WorldError
from world.gauges import difference, in_words, peak_gpu_bytes, resident_bytes
from world.settings import PRESETS
from world.types import Scene, WorldModel, WorldSpec

Outcome = Literal["pass", "fail", "skipped", "measured"]
_T = TypeVar("_T")

_WALK = ("forward", "left", "forward", "right")  # what is timed, again and again
_NUM_RESETS = 5


class _Timings(Protocol):
    """Of one step at a server, in ms."""

    @property
    def queue(self) -> float: ...

    @property
    def compute(self) -> float: ...


@runtime_checkable
class Served(Protocol):
    """A model in another process, which tells where the time of the last call went."""

    @property
    def last_timings(self) -> _Timings: ...


@dataclass(frozen=True)
class Finding:
    """One line of the report; `numbers` are those of the figure, for machines."""

    name: str
    outcome: Outcome
    figure: str
    cause: str = ""
    cure: str = ""
    numbers: dict[str, float] = field(default_factory=dict)


def examine(
    open_model: Callable[[], WorldModel],
    scene: Scene,
    seed: int = 0,
    num_steps: int = 20,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[WorldSpec, list[Finding]]:
    """Opens the model, examines it from `scene`'s first start, and closes it; `tell` hears what is being done.

    `num_steps` are timed. What another failure makes meaningless (no frame obeys anything when all are grey), or what
    does not apply to the model's `spec.supports`, is skipped with the reason.
    Raises what `open_model` raises: without a model there is nothing to examine.
    """
    tell("loading")
    before = resident_bytes()
    subject = Subject(open_model, open_model(), scene, seed)
    loaded = resident_bytes()
    spec = subject.model.spec
    findings: list[Finding] = []
    costs: list[Finding] = []
    try:
        for check in CHECKS:
            tell(check.name)
            findings.append(_judged(check, subject, findings))
        if findings[0].outcome == "pass":
            costs += _measured("speed", lambda: _speed(subject, num_steps, tell))
            costs += _measured("presets", lambda: _presets(subject, tell))
        costs.append(_memory(before, loaded, served=isinstance(subject.model, Served)))
        tell(RESTART.name)
        findings.append(_judged(RESTART, subject, findings))
    finally:
        subject.model.close()
    return spec, findings + costs


def _judged(check: Check, subject: Subject, earlier: list[Finding]) -> Finding:
    failed = {finding.name for finding in earlier if finding.outcome == "fail"}
    if missing := [name for name in check.needs if name in failed]:
        return Finding(check.name, "skipped", f"tells nothing until {missing[0]!r} is mended")
    try:
        passed, figure, numbers = check.judge(subject)
    except NotForThisError as why:
        return Finding(check.name, "skipped", str(why))
    except Exception as error:  # noqa: BLE001 (a stranger's model may raise anything: the report says what)
        return _raised(check.name, error)
    if passed:
        return Finding(check.name, "pass", figure, numbers=numbers)
    return Finding(check.name, "fail", figure, check.cause, check.cure, numbers)


def _measured(name: str, measure: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return measure()
    except Exception as error:  # noqa: BLE001 (as above)
        return [_raised(name, error)]


def _raised(name: str, error: Exception) -> Finding:
    told = " ".join(str(error).split())
    cause = told if isinstance(error, WorldError | ValueError) else f"{type(error).__name__}: {told}"
    return Finding(name, "fail", "raised an error", cause, "make the step that failed by hand and read its traceback")


def _speed(subject: Subject, num_steps: int, tell: Callable[[str], None]) -> list[Finding]:
    model, state = subject.model, subject.start
    seconds: list[float] = []
    elsewhere: list[float] = []  # s of a step that a server spent on it
    for i in range(num_steps):
        tell(f"speed, step {i + 1} of {num_steps}")
        begun = time.perf_counter()
        (state,) = model.step([state], [subject.move(_WALK[i % len(_WALK)])])
        seconds.append(time.perf_counter() - begun)
        if isinstance(model, Served):
            elsewhere.append((model.last_timings.queue + model.last_timings.compute) / 1000)
    median, slow = float(np.median(seconds)), float(np.quantile(seconds, 0.99))
    calls = [_timed(lambda: model.reset([subject.scene], [subject.seed]))[0] for _ in range(_NUM_RESETS)]
    call = float(np.median(calls))
    findings = [
        Finding(
            "speed",
            "measured",
            f"{_ms(median)} a step, p99 {_ms(slow)}, {1 / median:.3g} frames/s over {num_steps} steps",
            numbers={"median_s": median, "p99_s": slow, "num_steps": num_steps},
        ),
        Finding(
            "call",
            "measured",
            f"{_ms(call)} a reset: what a call costs, its link included, without a step",
            numbers={"median_s": call},
        ),
    ]
    if elsewhere:
        link = float(np.median(np.subtract(seconds, elsewhere)))
        figure = f"{_ms(link)} of a step, {100 * link / median:.2g}%: what the server did not spend on it"
        findings.append(Finding("link", "measured", figure, numbers={"median_s": link}))
    return findings


def _presets(subject: Subject, tell: Callable[[str], None]) -> list[Finding]:
    """One step under each preset; a model that walks without guidance is spared the guided ones, made for the other.

    The fastest preset that changes the frame less than another seed does is recommended.
    """
    model = subject.model
    if not isinstance(model, Sampled) or "pose" in model.spec.supports:
        return []
    own = model.sampler
    guided = own.cfg_text_scale > 1 or own.cfg_image_scale > 1
    presets = {name: s for name, s in PRESETS.items() if guided or s.cfg_text_scale <= 1}
    left = subject.move("left")
    (other,) = model.reset([subject.scene], [subject.seed ^ 1])
    by_seed = difference(subject.after(other, left), subject.left)
    own_seconds, _ = _timed(lambda: subject.after(subject.start, left))
    findings: list[Finding] = []
    best, best_seconds = "", own_seconds
    try:
        for name, sampler in presets.items():
            tell(f"preset {name}")
            model.sampler = sampler
            seconds, frame = _timed(lambda: subject.after(subject.start, left))
            off = difference(frame, subject.left)
            figure = f"{_ms(seconds)} a step, differs by {off:.2g} from the settings in use"
            figure = f"{_ms(seconds)} a step: the settings in use" if sampler == own else figure
            numbers = {"seconds": seconds, "difference": off}
            findings.append(Finding(f"preset {name}", "measured", figure, numbers=numbers))
            if seconds < best_seconds and off <= by_seed and sampler != own:
                best, best_seconds = name, seconds
    finally:
        model.sampler = own
    if best:
        faster = f"{own_seconds / best_seconds:.2g} times as fast as the settings in use"
        advice = f"--preset {best}: {faster}; its first frame differs less than another seed's ({by_seed:.2g})"
    else:
        advice = f"the settings in use: no faster preset comes as near as another seed does ({by_seed:.2g})"
    return [*findings, Finding("recommended", "measured", advice, numbers={"seed_difference": by_seed})]


def _memory(before: int | None, loaded: int | None, *, served: bool) -> Finding:
    now, gpu = resident_bytes(), peak_gpu_bytes()
    numbers: dict[str, float] = {"gpu_peak_bytes": gpu}
    figure = "this system does not tell"
    if before is not None and loaded is not None and now is not None:
        numbers |= {"before_bytes": before, "loaded_bytes": loaded, "now_bytes": now}
        figure = f"{in_words(before)} before loading, {in_words(loaded)} after, {in_words(now)} now"
        figure += "; this process alone, the server counts its own at --metrics-port" if served else ""
    return Finding(
        "memory", "measured", figure + (f"; at most {in_words(gpu)} on the GPU" if gpu else ""), numbers=numbers
    )


def _timed(work: Callable[[], _T]) -> tuple[float, _T]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def _ms(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
