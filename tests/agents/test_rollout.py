"""Rollouts as datasets: loadable, repeatable, and whole even where a run was killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pytest

from agents.__main__ import main
from agents.casting import Role
from agents.dataset import Dataset, name_of
from agents.episode import load_episode, play, same, save_episode
from agents.rollout import Player, Rollout, Stage
from agents.simple import ScriptedAgent
from agents.throughput import steps_per_second
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.env import BagelWorldEnv

ROOT = Path(__file__).parent.parent.parent
NAME = "toy-random-toy-v0"
ROLLOUT = ["rollout", "--model", "toy", "--scene", "toy", "--steps", "5"]


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(models.MODELS, "toy", "tests.agents.toy_host:load")
    monkeypatch.setattr(models, "SCENES", "tests.agents.toy_host:load_scene")


def loaded(root: Path, name: str = NAME) -> minari.MinariDataset:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        return minari.load_dataset(name)


def content(root: Path, name: str = NAME) -> list[list[Any]]:
    """Everything that the episodes hold, to be compared."""
    episodes = loaded(root, name).iterate_episodes()
    return [
        [e.observations.tolist(), list(e.actions), e.rewards.tolist(), e.infos["pose"]["x"].tolist()] for e in episodes
    ]


def hidden(root: Path) -> list[str]:
    return [path.name for path in root.iterdir() if path.name.startswith(".")]


def test_a_rollout_is_a_minari_dataset_that_holds_what_was_seen_and_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ROLLOUT, "--episodes", "3", "--seed", "7", "--out", str(tmp_path)]) == 0
    assert "s: 1 of 3: random in toy\n" in capsys.readouterr().err
    dataset = loaded(tmp_path)
    assert (dataset.total_episodes, dataset.total_steps) == (3, 15)
    env = BagelWorldEnv(ToyWorld(), toy_scene())
    for i, episode in enumerate(dataset.iterate_episodes()):
        frame, info = env.reset(seed=7 + i)
        assert episode.infos["pose"]["x"][0] == info["pose"]["x"]
        for t, action in enumerate(episode.actions):
            assert np.array_equal(episode.observations[t], frame)
            frame, *_ = env.step(int(action))
        assert np.array_equal(episode.observations[5], frame)
        assert episode.truncations.tolist() == [False] * 4 + [True]
    assert [m["seed"] for m in dataset.storage.get_episode_metadata(range(3))] == [7, 8, 9]
    assert hidden(tmp_path) == []


def test_a_dataset_knows_the_environment_that_made_it(tmp_path: Path) -> None:
    assert main([*ROLLOUT, "--episodes", "1", "--out", str(tmp_path)]) == 0
    env = loaded(tmp_path).recover_environment()
    assert env.spec is not None
    assert env.spec.max_episode_steps == 5
    assert env.spec.kwargs == {"model": "toy", "scene": "toy"}


def test_a_task_is_played_as_the_flags_say(tmp_path: Path) -> None:
    flags = ["--env", "BagelWorld/Explore-v0", "--judged-by", "pose", "--agent", "script", "--script", "forward*5"]
    assert main([*ROLLOUT, *flags, "--episodes", "1", "--out", str(tmp_path)]) == 0
    dataset = loaded(tmp_path, "toy-script-toy-v0")
    assert next(dataset.iterate_episodes()).rewards.max() == pytest.approx(1 - 0.02)  # pictures would all be a bit new
    env = dataset.recover_environment()
    assert env.spec is not None
    assert env.spec.kwargs["judged_by"] == "pose"
    env.close()


def test_it_is_told_how_often_a_task_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--env", "BagelWorld/RotateObject-v0", "--places", "named", "--agent", "script"]
    command = [*ROLLOUT, *flags, "--script", "object_left", "--steps", "6", "--episodes", "8", "--out", str(tmp_path)]
    assert main(command) == 0
    episodes = list(loaded(tmp_path, "toy-script-toy-v0").iterate_episodes())
    reached = np.mean([episode.terminations[-1] for episode in episodes])
    moves = np.mean([len(episode.rewards) for episode in episodes])
    assert 0 < reached < 1  # one way in two is right, and the goal six turns away at most
    told = capsys.readouterr().err
    assert re.search(rf"reached in {reached:.2f} ± \d\.\d\d of 8 episodes, {moves:.2f} ± \d\.\d\d moves, return", told)


def test_sentences_are_kept_as_text_and_a_video_lies_beside_each_episode(tmp_path: Path) -> None:
    script = ["--agent", "script", "--script", "forward /open the door/", "--video"]
    assert main([*ROLLOUT, *script, "--episodes", "2", "--out", str(tmp_path)]) == 0
    first = loaded(tmp_path, "toy-script-toy-v0")[0]
    assert list(first.actions)[:3] == ["move forward", "open the door", "move forward"]
    videos = sorted(path.name for path in (tmp_path / "toy-script-toy-v0" / "videos").iterdir())
    assert videos == ["episode-00000.mp4", "episode-00001.mp4"]


def test_a_run_that_is_killed_goes_on_and_leaves_what_an_unbroken_one_leaves(tmp_path: Path) -> None:
    flags = [*ROLLOUT, "--episodes", "4", "--out"]
    command = [sys.executable, "-m", "tests.agents.toy_host", "0.03", *flags, str(tmp_path / "killed")]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    kept = tmp_path / "killed" / f".{NAME}.partial" / "episodes"
    while not list(kept.glob("[0-9]*.npz")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert not (tmp_path / "killed" / NAME).exists()
    (kept / ".000003.1.partial.npz").write_bytes(b"torn")  # what a writer that is killed leaves
    first = kept / "000000.npz"
    written = first.stat().st_mtime_ns
    assert main([*flags, str(tmp_path / "whole")]) == 0
    assert main([*flags, str(tmp_path / "killed")]) == 0
    assert not first.exists() or first.stat().st_mtime_ns == written
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert hidden(tmp_path / "killed") == []


def test_what_is_complete_is_not_played_again_and_another_request_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "[bold] is a name that is longer than what is left of a line in a terminal of 80 columns"
    rollout = [*ROLLOUT, "--episodes", "1", "--out", str(out)]
    assert main(rollout) == 0
    assert main(rollout) == 0
    assert f"{out / NAME} is complete: nothing to play" in capsys.readouterr().err
    assert main([*rollout, "--seed", "1"]) == 2
    assert "holds another toy-random-toy-v0, of other seed: give another --out" in capsys.readouterr().err


def test_steps_a_second_are_counted_over_all_episodes_and_told_on_the_way() -> None:
    told: list[str] = []
    rollout = Rollout(Stage(model="toy", scene="toy"), Role(), 2, 5)
    assert steps_per_second(lambda: Player(rollout), rollout, 1, told.append) > 0
    assert told == ["loading", "1 of 2 episodes", "2 of 2 episodes"]


def test_an_episode_in_a_file_is_the_same_and_a_torn_file_says_so(tmp_path: Path) -> None:
    env = BagelWorldEnv(ToyWorld(), toy_scene())
    one, other = (play(env, ScriptedAgent([a]), 3, 4) for a in (1, 2))
    save_episode(tmp_path / "one.npz", one)
    assert same(load_episode(tmp_path / "one.npz"), one)
    assert not same(one, other)
    (tmp_path / "one.npz").write_bytes((tmp_path / "one.npz").read_bytes()[:100])
    with pytest.raises(ValueError, match="holds no episode"):
        load_episode(tmp_path / "one.npz")


def test_a_dataset_is_finished_only_when_it_is_whole(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path, name_of("a b", "runs/mine", "tcp://host:5555,tcp://host:5556"), {}, 2)
    assert dataset.name == "a_b-mine-tcp-v0"
    assert dataset.missing() == [0, 1]
    with pytest.raises(ValueError, match="lacks 2 of 2 episodes"):
        dataset.finish(None)  # pyright: ignore[reportArgumentType]


def test_what_was_cloned_from_a_dataset_acts_as_its_author(tmp_path: Path) -> None:
    """The example of behaviour cloning, on somebody whose every move can be told from what is seen."""
    flags = ["--agent", "script", "--script", "left*2 forward*2 back", "--episodes", "16"]
    assert main([*ROLLOUT, *flags, "--out", str(tmp_path)]) == 0
    command = [sys.executable, "-W", "error", str(ROOT / "agents" / "examples" / "behaviour_cloning.py")]
    environment = {**os.environ, "MINARI_DATASETS_PATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "toy-script-toy-v0"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["held out"] >= 0.8 > figures["commonest action"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--eyes", "tiny"], "--eyes is about a task: give one, as in --env BagelWorld/ReachGoal-v0"),
        (["--agent", "script"], "--agent script and --script TEXT go together"),
        (["--agent", "planner"], "shows no goal: give a picture, --goal PICTURE.png"),
        (["--agent", "vlm"], "tells no goal: give one"),
        (["--goal", "x"], "neither has a goal nor thinks"),
        (["--env", "Nowhere-v0"], "no environment 'Nowhere-v0'"),
        (["--replicas", "2"], "belong to a cluster"),
        (["--model", "nowhere"], "no model at 'nowhere'"),
    ],
)
def test_wrong_flags_get_one_sentence_and_leave_nothing(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ROLLOUT, *flags, "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert list(tmp_path.iterdir()) == []
