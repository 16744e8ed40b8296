"""The doctor finds exactly what is broken: healthy worlds, each with one defect."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.world.broken_worlds import BROKEN, Broken, Copies, Dreamer, Forgets, IgnoresWords
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.__main__ import main
from world.checks import CHECKS, RESTART
from world.doctor import Finding, examine
from world.errors import ModelError
from world.types import Action, State

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
