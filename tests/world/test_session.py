"""A session and states come back from their files as they were; a broken file says what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.world.toy_world import ToyWorld, toy_scene
from world.errors import SceneError
from world.replay import given
from world.scripting import parse_plan
from world.session import Made, Session, load_session, save_session, to_json
from world.settings import PRESETS
from world.states import load_states, save_states
from world.types import Action, Pose, Scene, Start, State


def session() -> Session:
    scene = toy_scene()
    plan = parse_plan("forward @door fork left wait return /open the door/ right", scene.actions)
    digests = tuple(tuple(f"{v}{i}" for i in range(len(plan.steps))) for v in range(2))
    return Session("toy", scene, plan, (3, 4), PRESETS["walk"], digests)


def test_a_session_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    save_session(path, session())
    read = load_session(path)
    assert to_json(read) == to_json(session()) == path.read_text(encoding="utf-8")
    assert (read.plan, read.seeds, read.sampler, read.digests) == (
        session().plan,
        session().seeds,
        session().sampler,
        session().digests,
    )
    assert (read.scene.starts[0].frame == session().scene.starts[0].frame).all()
    assert read.scene.actions == session().scene.actions
    assert read.unwalked().digests == ()


def test_how_steps_were_made_comes_back_as_well(tmp_path: Path) -> None:
    whole, scene = session(), toy_scene()
    picture = scene.starts[1].frame
    how = {1: Made(PRESETS["fast"]), 2: Made(batch=scene.actions[:3]), 3: Made(given=picture, pose=Pose(x=1.5, yaw=30))}
    save_session(tmp_path / "session.json", replace(whole, made=how))
    read = load_session(tmp_path / "session.json").made
    assert (read[1].sampler, read[2].batch, read[3].pose) == (PRESETS["fast"], scene.actions[:3], Pose(x=1.5, yaw=30))
    assert read[3].given is not None
    assert (read[3].given == picture).all()
    with pytest.raises(ValueError, match="step 99 was made"):
        replace(whole, made={99: Made(PRESETS["fast"])})


def changed(path: str, value: Any) -> str:
    content = json.loads(to_json(session()))
    *parents, last = path.split("/")
    place = content
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdigit() else last] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "bagel-world session"),
        (changed("version", 9), "version 9, and this program reads version 1"),
        (changed("seeds", None), "lacks 'seeds'"),
        (changed("seeds", []), "at least one seed"),
        (changed("seeds", [-1]), "a seed is a whole number"),
        (changed("steps/0/parent", 7), "step 1 follows step 7"),
        (changed("steps/0/parent", "x"), "expected a whole number, got 'x'"),
        (changed("steps/0/action/forward", "x"), "'steps' cannot be read"),
        (changed("scene/fov", 400), "fov lies between 1 and 179"),
        (changed("scene/start/pose/x", float("nan")), "expected a number, got nan"),
        (changed("end", 99), "the end is step 99"),
        (changed("digests", [["1"]]), "digests are 2 rows"),
        (changed("scene/start/png", "no picture"), "the start picture is no PNG"),
        (changed("scene/start/pose", {"z": 1}), "'scene' cannot be read"),
        (changed("sampler/num_timesteps", 1), "at least 2, got 1"),
    ],
)
def test_a_broken_session_says_what_is_wrong_with_it(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "session.json"
    path.write_text(text)
    with pytest.raises(SceneError, match=message):
        load_session(path)


def test_a_session_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match=r"no session .*check the path"):
        load_session(tmp_path / "nothing.json")


def test_states_come_back_as_they_were(tmp_path: Path) -> None:
    world, scene = ToyWorld(), toy_scene()
    states = world.reset([scene] * 2, [1, 2])
    states = world.step(states, [scene.actions[1], scene.actions[3]])
    states[1] = replace(states[1], memory=tuple(np.full((2, 3), k, np.float16) for k in range(2)))
    states[0] = replace(states[0], places=scene.starts, origins=(Pose(0.1, -1e-17, 1 / 3),))
    save_states(tmp_path / "states.npz", states, "a note")
    read, note = load_states(tmp_path / "states.npz", scene)
    assert [state.digest() for state in read] == [state.digest() for state in states]
    assert [state.origins for state in read] == [state.origins for state in states]
    assert note == "a note"


def test_states_of_before_there_were_origins_are_read(tmp_path: Path) -> None:
    path, scene = tmp_path / "states.npz", toy_scene()
    [state] = ToyWorld().step(ToyWorld().reset([scene], [1]), scene.actions[1:2])
    save_states(path, [state])
    with np.load(path) as arrays:
        old: dict[str, Any] = dict(arrays)
    told = json.loads(str(old["told"]))
    del told["states"][0]["origins"]
    old["told"] = np.array(json.dumps(told))
    np.savez(path, **old)
    assert load_states(path, scene)[0][0].digest() == state.digest()


def test_a_state_has_the_digest_that_it_had_before_there_were_origins() -> None:
    frame = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    scene, action = Scene("s", "c", (Start("d", Pose(), frame),)), Action("go on", forward=0.5)
    state = State(scene, (frame, frame + 1), (action,), Pose(0.1, -2.0, 90.0), 3, 1)
    told = [replace(state, origins=(Pose(x=x),)) for x in (0.0, 1e-17)]
    assert state.digest().hex() == "10c746ab2bd5d9b9cb8c378d2c46ea4c"
    assert len({one.digest() for one in (state, *told)}) == 3


def test_a_picture_from_elsewhere_has_no_past() -> None:
    [state] = ToyWorld().step(ToyWorld().reset([toy_scene()], [1]), [Action("go", forward=0.3)])
    after = given(replace(state, origins=(Pose(),)), 255 - state.frame, Pose(x=1.0))
    assert (len(after.frames), after.actions, after.origins) == (1, (), ())


def test_broken_states_are_told(tmp_path: Path) -> None:
    path = tmp_path / "states.npz"
    for content in (b"", b"no archive", b"PK\x03\x04 half an archive"):
        path.write_bytes(content)
        with pytest.raises(SceneError, match="holds no states"):
            load_states(path, toy_scene())
    np.savez(path, told=np.array('{"states": [{}], "note": ""}'))
    with pytest.raises(SceneError, match="holds no states"):
        load_states(path, toy_scene())
