"""The doctor finds exactly what is broken: healthy worlds, each with one defect."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np
import pytest

from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.__main__ import main
from world.checks import CHECKS, RESTART
from world.doctor import Finding, examine
from world.errors import ModelError
from world.settings import PRESETS, SamplerConfig
from world.types import Action, Frame, Scene, State, WorldModel, WorldSpec


class Dreamer(ToyWorld):
    """A toy that obeys: the words shift the picture that it was given, seed, step and settings decide its grain."""

    def __init__(self) -> None:
        super().__init__()
        self.sampler = PRESETS["walk"]

    def _after(self, state: State, action: Action) -> State:
        new = super()._after(state, action)
        shift = 1 + blake2b(action.text.encode(), digest_size=1).digest()[0] % (state.frame.shape[1] - 1)
        grain = np.random.default_rng((state.seed, state.step)).normal(0, 1, state.frame.shape)
        seen = np.roll(state.frame, shift, axis=1) + (1 + 4 / self.sampler.num_timesteps) * grain
        return replace(new, frames=(*new.frames[:-1], seen.clip(0, 255).astype(np.uint8)))


class Broken:
    """A real world with one defect; this one has none yet."""

    def __init__(self, world: WorldModel, scene: Scene) -> None:
        self.world, self.scene = world, scene

    @property
    def spec(self) -> WorldSpec:
        return self.world.spec

    @property
    def sampler(self) -> SamplerConfig:
        return self.world.sampler  # pyright: ignore[reportAttributeAccessIssue]

    @sampler.setter
    def sampler(self, sampler: SamplerConfig) -> None:
        self.world.sampler = sampler  # pyright: ignore[reportAttributeAccessIssue]

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        return self.world.reset(scenes, seeds)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        new = self.world.step([self.given(s) for s in states], [self.heard(a) for a in actions])
        return [self.kept(replace(n, seed=s.seed, step=s.step + 1), s) for n, s in zip(new, states, strict=True)]

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        return self.world.ask(states, question)

    def close(self) -> None:
        self.world.close()

    def given(self, state: State) -> State:
        return state

    def heard(self, action: Action) -> Action:
        return action

    def kept(self, new: State, old: State) -> State:
        return replace(new, frames=(*new.frames[:-1], self.shown(new.frame, old.frame)))

    def shown(self, frame: Frame, last: Frame) -> Frame:
        return frame


class Crashes(Broken):
    def given(self, state: State) -> State:
        raise RuntimeError("out of memory")


class ReturnsHalfTheSize(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return frame[::2, ::2]


class ReturnsFloats(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return frame.astype(np.float32) / 255  # pyright: ignore[reportReturnType]


class ReturnsGrey(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return 120 + frame // 32


class ReturnsNoise(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        rng = np.random.default_rng(int(frame.sum()))
        return rng.integers(0, 256, frame.shape, dtype=np.uint8)


class Copies(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return last


class NearlyCopies(Broken):
    def shown(self, frame: Frame, last: Frame) -> Frame:
        return np.round(0.99 * last + 0.01 * frame).astype(np.uint8)


class DrawsFromTheClock(Broken):
    num_steps = itertools.count(100)

    def given(self, state: State) -> State:
        return replace(state, seed=next(self.num_steps))


class IgnoresWords(Broken):
    def heard(self, action: Action) -> Action:
        return Action("move forward", "forward")


class IgnoresSentences(Broken):
    def heard(self, action: Action) -> Action:
        return action if action.name else Action("stay", "stay")


class IgnoresThePicture(Broken):
    def given(self, state: State) -> State:
        return replace(state, frames=(self.scene.starts[1].frame,), actions=(), memory=())


class IgnoresTheSeed(Broken):
    def given(self, state: State) -> State:
        return replace(state, seed=3)


class FeedsOneNoiseBack(Broken):
    def given(self, state: State) -> State:
        return replace(state, step=0)


class IgnoresSettings(Broken):
    @property
    def sampler(self) -> SamplerConfig:
        return getattr(self, "told", PRESETS["walk"])

    @sampler.setter
    def sampler(self, sampler: SamplerConfig) -> None:
        self.told = sampler


class Forgets(Broken):
    """Keeps what it needs in itself: a state that it did not make begins in the dark."""

    def __init__(self, world: WorldModel, scene: Scene) -> None:
        super().__init__(world, scene)
        self.known: set[bytes] = set()

    def given(self, state: State) -> State:
        if state.step == 0 or state.digest() in self.known:
            return state
        return replace(state, frames=(np.zeros_like(state.frame),), actions=(), memory=())

    def kept(self, new: State, old: State) -> State:
        self.known.add(new.digest())
        return new


class Tires(Broken):
    def given(self, state: State) -> State:
        if state.step == 4:
            raise ModelError("the walk is too long: begin again")
        return state


BROKEN: list[tuple[str, type[Broken]]] = [
    ("steps", Crashes),
    ("size", ReturnsHalfTheSize),
    ("size", ReturnsFloats),
    ("contrast", ReturnsGrey),
    ("noise", ReturnsNoise),
    ("copy", Copies),
    ("copy", NearlyCopies),
    ("repeats", DrawsFromTheClock),
    ("words", IgnoresWords),
    ("sentences", IgnoresSentences),
    ("picture", IgnoresThePicture),
    ("seed", IgnoresTheSeed),
    ("fresh noise", FeedsOneNoiseBack),
    ("settings", IgnoresSettings),
    ("restart", Forgets),
    ("speed", Tires),
]
each_broken = pytest.mark.parametrize(("check", "broken"), BROKEN, ids=[broken.__name__ for _, broken in BROKEN])  # pyright: ignore


def failed(findings: Sequence[Finding]) -> list[str]:
    return [finding.name for finding in findings if finding.outcome == "fail"]


def outcomes(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.name: finding.outcome for finding in findings}


def test_a_world_that_obeys_passes_every_check() -> None:
    spec, findings = examine(Dreamer, toy_scene(), num_steps=6)
    outcome = outcomes(findings)
    assert spec.model == "toy"
    assert {outcome[check.name] for check in (*CHECKS, RESTART)} == {"pass"}
    assert {name for name, what in outcome.items() if what == "measured"} == {
        *("speed", "call", "memory", "recommended"),
        *("preset fast", "preset walk", "preset quality"),
    }


@each_broken
def test_a_defect_fails_exactly_its_check(check: str, broken: type[Broken]) -> None:
    scene = toy_scene()
    _, findings = examine(lambda: broken(Dreamer(), scene), scene, num_steps=6)
    assert failed(findings) == [check]
    [finding] = [finding for finding in findings if finding.outcome == "fail"]
    assert finding.figure
    assert finding.cause
    assert finding.cure
    for skipped in (finding for finding in findings if finding.outcome == "skipped"):
        assert repr(check) in skipped.figure  # it alone stands in the way


@pytest.mark.parametrize(("check", "broken"), [("words", IgnoresWords), ("restart", Forgets)])
def test_a_defect_of_the_tiny_model_fails_exactly_its_check(check: str, broken: type[Broken]) -> None:
    scene, tiny = models.load_scene("studio"), models.load("tiny", device="cpu")
    _, findings = examine(lambda: broken(tiny, scene), scene, num_steps=1)
    assert failed(findings) == [check]


@dataclass(frozen=True)
class Timings:
    queue: float = 0.0
    compute: float = 0.0


class Elsewhere(Broken):
    """As if at the other end of a slow link."""

    last_timings = Timings()

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        begun = time.perf_counter()
        new = self.world.step(states, actions)
        self.last_timings = Timings(0.0, 1000 * (time.perf_counter() - begun))
        time.sleep(0.02)
        return new


def test_the_link_is_told_apart_from_the_model() -> None:
    scene = toy_scene()
    _, findings = examine(lambda: Elsewhere(Dreamer(), scene), scene, num_steps=4)
    by_name = {finding.name: finding.numbers for finding in findings}
    assert 0.02 <= by_name["link"]["median_s"] <= by_name["speed"]["median_s"]
    assert "link" not in outcomes(examine(Dreamer, scene, num_steps=1)[1])


def test_every_check_is_shown_to_fail() -> None:
    assert {check for check, _ in BROKEN} == {*(check.name for check in (*CHECKS, RESTART)), "speed"}


def test_what_a_world_does_not_claim_is_not_asked_of_it() -> None:
    _, findings = examine(lambda: ToyWorld(frozenset({"pose"})), toy_scene(), num_steps=2)
    assert failed(findings) == []
    skipped = {finding.name: finding.figure for finding in findings if finding.outcome == "skipped"}
    assert set(skipped) == {"sentences", "picture", "seed", "fresh noise", "settings"}
    assert skipped["seed"] == "its frames are true: nothing is sampled"


def test_a_picture_that_looks_the_same_upside_down_proves_nothing() -> None:
    scene = toy_scene()
    one, two = (start.frame for start in scene.starts)
    both = np.concatenate([one[:24], one[:24][::-1, ::-1]])
    scene = scene.starting_at(replace(scene.starts[0], frame=both))
    _, findings = examine(Dreamer, scene, num_steps=2)
    assert outcomes(findings)["picture"] == "skipped"
    assert two.shape == both.shape


def test_a_model_that_cannot_be_opened_again_fails_at_the_restart() -> None:
    opened: list[Dreamer] = []

    def open_model() -> Dreamer:
        if opened:
            raise ModelError("the card is still in use: wait a minute")
        opened.append(Dreamer())
        return opened[0]

    _, findings = examine(open_model, toy_scene(), num_steps=2)
    assert failed(findings) == ["restart"]
    assert "the card is still in use" in findings[len(CHECKS)].cause


@pytest.mark.gl
def test_the_simulator_is_healthy() -> None:
    _, findings = examine(lambda: models.load("sim"), models.load_scene("tabletop"), num_steps=2)
    assert failed(findings) == []


def open_dreamer(address: str, **settings: object) -> Dreamer:
    return Dreamer()


def open_copier(address: str, **settings: object) -> Broken:
    return Copies(Dreamer(), toy_scene())


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "dreamer", f"{__name__}:open_dreamer")
    monkeypatch.setitem(models.MODELS, "copier", f"{__name__}:open_copier")


@pytest.mark.usefixtures("toys")
def test_the_command_prints_a_table_and_the_cure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", "dreamer", "--steps", "3"]) == 0
    assert "restart" in capsys.readouterr().out
    assert main(["doctor", "--model", "copier", "--steps", "3"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "turning left gives the last frame again" in told
    assert "cure: lower cfg_image_scale" in told


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(("model", "status"), [("dreamer", 0), ("copier", 1)])
def test_json_holds_the_same_findings(model: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", model, "--steps", "3", "--json"]) == status
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] == (status == 0)
    by_name = {finding["name"]: finding for finding in told["findings"]}
    assert by_name["copy"]["outcome"] == ("fail" if status else "pass")
    assert by_name["copy"]["numbers"]["limit"] == 1.0


@pytest.mark.parametrize("flags", [["--model", "nowhere"], ["--preset", "slow"], ["--scene", "nowhere"]])
def test_what_cannot_be_examined_is_told_in_a_sentence(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *flags]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_tiny_model_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--model", "tiny", "--device", "cpu", "--steps", "3", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert failed([Finding(**finding) for finding in told["findings"]]) == []
    assert status == 0
