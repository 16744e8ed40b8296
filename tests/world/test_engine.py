"""Engines behind http://, against a real server in a process of its own that obeys, or fails as reported."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.world import engine_host
from tests.world.engine_host import LATE
from tests.world.toy_world import toy_scene
from world import models
from world.doctor import examine
from world.engine import TOKEN, EngineWorldModel, read_address
from world.errors import LinkError, ModelError
from world.settings import PRESETS, SamplerConfig
from world.testing import check_world_model

ROOT = Path(__file__).parent.parent.parent
SCENE = toy_scene()
FORWARD, LEFT = SCENE.actions[1], SCENE.actions[3]


class Hosted:
    """An engine's process, its address, and what it was asked."""

    def __init__(self, folder: Path, fault: str, *certificate: str) -> None:
        folder.mkdir()
        self.log, port = folder / "log", folder / "port"
        command = [sys.executable, "-m", "tests.world.engine_host", str(port), str(self.log), fault, *certificate]
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        while not port.exists():
            assert self.process.poll() is None
            time.sleep(0.01)
        self.address = f"{'https' if certificate else 'http'}://127.0.0.1:{port.read_text()}"

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


Host = Callable[..., Hosted]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    hosts: list[Hosted] = []

    def start(fault: str = "", *certificate: str) -> Hosted:
        hosts.append(Hosted(tmp_path / str(len(hosts)), fault, *certificate))
        return hosts[-1]

    yield start
    for hosted in hosts:
        hosted.process.terminate()
        hosted.process.wait(10)


@pytest.fixture
def opened() -> Iterator[Callable[..., EngineWorldModel]]:
    all_opened: list[EngineWorldModel] = []

    def start(address: str, num_timesteps: int | None = None) -> EngineWorldModel:
        all_opened.append(EngineWorldModel(read_address(address), num_timesteps))
        return all_opened[-1]

    yield start
    for model in all_opened:
        model.close()


@pytest.mark.parametrize("route", ["edits", "chat"])
def test_an_engine_keeps_the_contract_on_both_routes(host: Host, route: str) -> None:
    check_world_model(models.load(f"{host().address}/v1?route={route}"), SCENE)


def test_a_step_says_size_words_and_a_seed_of_its_own(host: Host, opened: Callable[..., EngineWorldModel]) -> None:
    engine = host()
    model = opened(engine.address, 12)
    state = model.reset([SCENE], [5])
    for action in (FORWARD, FORWARD):
        state = model.step(state, [action])
    one, two = engine.asked
    assert one["size"] == "48x48"
    assert one["prompt"] == "Move the camera 0.3 meters forward."
    assert one["num_inference_steps"] == "12"
    assert one["model"] == model.spec.model == "ByteDance-Seed/BAGEL-7B-MoT"
    assert one["seed"] != two["seed"]
    assert one["key"] != two["key"]
    assert state[0].pose.x == pytest.approx(0.6)
    assert state[0].step == 2


def test_a_step_from_a_state_of_another_world_leaves_its_past_behind(
    host: Host, opened: Callable[..., EngineWorldModel]
) -> None:
    model = opened(host().address)
    [state] = model.reset([SCENE], [5])
    longer = replace(state, frames=state.frames * 2, actions=(LEFT,), origins=(state.pose,))
    [after] = model.step([longer], [FORWARD])
    assert (len(after.frames), after.actions, after.origins) == (1, (), ())


@pytest.mark.parametrize("fault", ["late", "torn", "busy"])
def test_what_passes_costs_a_try_with_the_same_key(
    host: Host, opened: Callable[..., EngineWorldModel], fault: str
) -> None:
    engine, sound = host(fault), host()
    model, truth = opened(f"{engine.address}?timeout={LATE / 4}"), opened(sound.address)
    states = model.reset([SCENE] * 2, [1, 2])
    after = model.step(states, [FORWARD, LEFT])
    assert [state.digest() for state in after] == [s.digest() for s in truth.step(states, [FORWARD, LEFT])]
    keys = [asked["key"] for asked in engine.asked]
    assert len(keys) == 4
    assert len(set(keys)) == 2


def test_a_failing_server_is_left_for_a_sound_one(host: Host, opened: Callable[..., EngineWorldModel]) -> None:
    down, sound = host("down"), host()
    model = opened(f"{down.address},{sound.address}")
    states = model.reset([SCENE] * 3, [1, 2, 3])
    for _ in range(3):
        states = model.step(states, [FORWARD] * 3)
    assert len(sound.asked) == 9
    assert 1 <= len(down.asked) <= 3


def test_a_server_that_nobody_keeps_is_left_too(host: Host, opened: Callable[..., EngineWorldModel]) -> None:
    gone, sound = host(), host("")
    gone.process.kill()
    gone.process.wait(10)
    model = opened(f"{gone.address},{sound.address}")
    assert model.step(model.reset([SCENE], [1]), [FORWARD])[0].step == 1


def test_a_picture_of_another_size_is_fitted_and_said_once(
    host: Host, opened: Callable[..., EngineWorldModel], caplog: pytest.LogCaptureFixture
) -> None:
    model = opened(host("small").address)
    states = model.reset([SCENE], [1])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            states = model.step(states, [FORWARD])
    assert states[0].frame.shape == SCENE.starts[0].frame.shape
    assert [record.message for record in caplog.records] == [
        "ByteDance-Seed/BAGEL-7B-MoT draws 24 x 24 where 48 x 48 was asked for: fitted"
    ]


def test_of_a_picture_of_other_proportions_the_middle_is_taken(
    host: Host, opened: Callable[..., EngineWorldModel], caplog: pytest.LogCaptureFixture
) -> None:
    model, truth = opened(host("wide").address), opened(host().address)
    states = model.reset([SCENE], [1])
    with caplog.at_level(logging.WARNING):
        after = model.step(states, [FORWARD])
    assert after[0].digest() == truth.step(states, [FORWARD])[0].digest()
    assert "draws 96 x 48 where 48 x 48 was asked for" in caplog.text


def test_a_start_whose_sides_are_no_multiple_of_16_is_aligned(
    host: Host, opened: Callable[..., EngineWorldModel]
) -> None:
    engine = host()
    model = opened(engine.address)
    after = model.step(model.reset([toy_scene(size=50)], [1]), [FORWARD])
    assert engine.asked[0]["size"] == "48x48"
    assert after[0].frame.shape == (48, 48, 3)


def test_a_refusal_is_final_and_told_in_the_engines_words(host: Host, opened: Callable[..., EngineWorldModel]) -> None:
    engine = host("refusing")
    model = opened(engine.address)
    with pytest.raises(ModelError, match="answered 400: Failed to apply OmniBagelProcessor") as caught:
        model.step(model.reset([SCENE], [1]), [FORWARD])
    assert not isinstance(caught.value, LinkError)
    assert len(engine.asked) == 1


@pytest.mark.parametrize(("fault", "message"), [("down", "500: EngineCore died"), ("wordless", "holds no words")])
def test_patience_ends_with_the_last_trouble(
    host: Host, opened: Callable[..., EngineWorldModel], fault: str, message: str
) -> None:
    model = opened(f"{host(fault).address}?tries=2")
    with pytest.raises(LinkError, match=f"after 2 tries: .*{message}"):
        model.ask(model.reset([SCENE], [1]), "where are you?")


def test_an_engine_answers_questions_in_the_prompt_that_bagel_reads(
    host: Host, opened: Callable[..., EngineWorldModel]
) -> None:
    model, other = opened(host().address), opened(f"{host().address}?model=gpt-vision")
    states = model.reset([SCENE] * 2, [1, 2])
    prompt = "<|im_start|>user\n<|image_pad|>\nwhere to?<|im_end|>\n<|im_start|>assistant\n"
    assert model.ask(states, "where to?") == [f"{prompt} forward"] * 2
    assert other.spec.model == "gpt-vision"


def test_the_doctor_finds_an_engine_that_ignores_the_prompt(host: Host) -> None:
    def found(fault: str) -> dict[str, str]:
        address = host(fault).address
        _, findings = examine(lambda: models.load(address), SCENE, num_steps=2)
        return {finding.name: finding.outcome for finding in findings}

    sound, deaf = found(""), found("deaf")
    assert sound["words"] == "pass"
    assert deaf["words"] == "fail"


def test_a_walk_at_an_engine_that_ignores_the_prompt_shows_it_and_goes_on(
    host: Host, opened: Callable[..., EngineWorldModel]
) -> None:
    model = opened(host("deaf").address)
    [state] = model.reset([SCENE], [1])
    ahead, aside = model.step([state] * 2, [FORWARD, LEFT])
    assert np.array_equal(ahead.frame, aside.frame)  # whatever was said, of one seed
    [after] = model.step([ahead], [FORWARD])
    assert not np.array_equal(after.frame, ahead.frame)  # the next step's seed is another
    assert (after.step, after.pose) == (2, ahead.pose.moved(FORWARD))


def test_a_guarded_engine_wants_the_token_with_every_request(
    host: Host, opened: Callable[..., EngineWorldModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    address = host("guarded").address
    with pytest.raises(ModelError, match="/v1/models answered 401: Unauthorized") as caught:
        opened(address)
    assert not isinstance(caught.value, LinkError)  # trying again would not help
    monkeypatch.setenv(TOKEN, engine_host.TOKEN)
    model = opened(address)
    assert model.step(model.reset([SCENE], [1]), [FORWARD])[0].step == 1
    monkeypatch.setenv(TOKEN, "wr0ng")
    with pytest.raises(ModelError, match="401") as caught:
        opened(f"{address}?model=bagel").step(model.reset([SCENE], [1]), [FORWARD])
    assert "wr0ng" not in str(caught.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl: apt-get install openssl")
def test_an_engine_behind_https_is_believed_where_its_certificate_is_known(
    host: Host, opened: Callable[..., EngineWorldModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=engine -addext"
    names = ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    address = host("", str(both)).address
    with pytest.raises(LinkError, match="certificate verify failed"):
        opened(f"{address}?tries=1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    model = opened(address)
    assert model.step(model.reset([SCENE], [1]), [FORWARD])[0].step == 1


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://", "expected http://HOST:PORT"),
        ("http://a:1,b:2", "expected http://HOST:PORT"),
        ("http://a:1?route=best", "route is edits or chat, got 'best'"),
        ("http://a:1?tries=0", "1 to 100 tries"),
        ("http://a:1?timeout=soon", "could not convert"),
        ("http://a:1?size=3", "has size: after the \\? there are model, route, timeout and tries"),
    ],
)
def test_a_wrong_address_gets_one_sentence(address: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        models.load(address)


def test_settings_that_no_route_takes_are_refused_before_anything_is_sent() -> None:
    with pytest.raises(ModelError, match="--num-timesteps alone"):
        models.load("http://127.0.0.1:9", sampler=PRESETS["walk"])
    with pytest.raises(ModelError, match="leave out --device"):
        models.load("http://127.0.0.1:9", device="cpu")
    with pytest.raises(LinkError, match="nobody listens there: check the address"):
        models.load("http://127.0.0.1:9?tries=1", sampler=SamplerConfig(num_timesteps=20))


def test_frames_travel_as_they_are(host: Host, opened: Callable[..., EngineWorldModel]) -> None:
    model = opened(host("deaf").address)
    states = model.reset([SCENE], [1])
    after = model.step(states, [FORWARD])
    difference = after[0].frame.astype(int) - states[0].frame
    assert np.abs(difference).mean() < 4  # the noise that this engine adds
