"""What a server refuses, each time with the limit or the reason."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.world.conftest import Serve, Speak, until
from tests.world.odd_worlds import FORWARD, Patient
from tests.world.toy_world import ToyWorld, toy_scene
from world import models, wire
from world.client import RemoteWorldModel
from world.errors import LinkError, ModelError, WorldError
from world.server import ServerOptions
from world.settings import SamplerConfig
from world.types import Action
from world.wire import Limits


def test_another_version_is_refused(serve: Serve, speak: Speak) -> None:
    raw = speak(serve().address)
    raw.send(wire.encode(wire.Hello(session=bytes(16), number=1, version=2)))
    (refused,) = raw.replies(1)
    assert isinstance(refused, wire.Refused)
    assert (refused.reason, refused.words) == (
        "version",
        "this server speaks version 1 of the link, you speak 2: update one",
    )


def test_a_full_queue_says_so_and_the_clients_come_again(serve: Serve) -> None:
    world = Patient()
    served = serve(world, ServerOptions(max_batch=1, max_waiting=1))
    clients = [served.client() for _ in range(3)]
    states = [client.reset([toy_scene()], [0]) for client in clients]
    with ThreadPoolExecutor(3) as pool:
        steps = [pool.submit(c.step, s, [FORWARD]) for c, s in zip(clients, states, strict=True)]
        until(lambda: served.count("refused", "busy"))
        world.go_on.release(3)
        assert [step.result()[0].step for step in steps] == [1, 1, 1]


def test_nobody_there_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="nobody listens there: start a server with python -m world serve"):
        RemoteWorldModel(f"ipc://{tmp_path}/nobody", connect_timeout=0.2)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(message_bytes=20_000), "message_bytes = 20000"),
        (Limits(header_bytes=1000), "header_bytes = 1000"),
        (Limits(buffers=2), "buffers = 2"),
        (Limits(rows=2), "rows = 2"),
        (Limits(text=10), "text = 10"),
        (Limits(side=40), "side = 40"),
        (Limits(frames=1), "frames = 1"),
    ],
)
def test_a_refusal_names_the_limit(serve: Serve, limits: Limits, words: str) -> None:
    client = serve(options=ServerOptions(limits=limits)).client()
    states = ToyWorld().reset([toy_scene()] * 3, [0, 1, 2])
    for _ in range(3):
        states = ToyWorld().step(states, [FORWARD] * 3)
    with pytest.raises(ValueError, match=words):
        client.step(states, [FORWARD] * 3)


def test_places_are_limited_as_frames_are(serve: Serve) -> None:
    client = serve(options=ServerOptions(limits=Limits(frames=2))).client()
    [state] = ToyWorld().reset([toy_scene()], [0])
    crowded = replace(state, places=state.scene.starts[:1] * 3)
    with pytest.raises(ValueError, match="a state of 3 places: the limit is frames = 2"):
        client.step([crowded], [FORWARD])
    assert len(client.step([replace(state, places=state.scene.starts[:1])], [FORWARD])[0].places) == 1


@pytest.mark.parametrize(
    ("limits", "words"), [(Limits(sessions=1), "sessions = 1"), (Limits(waiting_bytes=1), "waiting_bytes = 1")]
)
def test_one_who_finds_no_room_is_told_the_limit(serve: Serve, speak: Speak, limits: Limits, words: str) -> None:
    world = Patient()
    served = serve(world, ServerOptions(max_batch=1, limits=limits))
    raw, client = speak(served.address), served.client(timeout=0.5)
    raw.step(1)
    until(lambda: world.batches)
    raw.step(2)
    raw.replies(1)
    with pytest.raises(LinkError, match=f"the limit is {words}"):
        client.step(ToyWorld().reset([toy_scene()], [0]), [FORWARD])
    world.go_on.release(9)


@pytest.mark.parametrize(
    ("limits", "words"), [(Limits(header_bytes=100), "header_bytes = 100"), (Limits(buffers=0), "buffers = 0")]
)
def test_a_server_does_not_rely_on_its_clients_manners(serve: Serve, speak: Speak, limits: Limits, words: str) -> None:
    raw = speak(serve(options=ServerOptions(limits=limits)).address)
    raw.step(1)
    (refused,) = raw.replies(1)
    assert isinstance(refused, wire.Refused)
    assert refused.words.endswith(f"the limit is {words}")


@pytest.mark.parametrize("bad", [Action("x", forward=float("nan")), Action("x", yaw=float("inf"))])
def test_numbers_are_finite(serve: Serve, bad: Action) -> None:
    client = serve().client()
    with pytest.raises(ValueError, match="finite"):
        client.step(client.reset([toy_scene()], [0]), [bad])


def test_a_sampler_belongs_to_the_server(serve: Serve) -> None:
    with pytest.raises(ModelError, match="give these flags to python -m world serve"):
        models.load(serve().address, sampler=SamplerConfig())


def test_a_socket_file_is_its_owners_alone(serve: Serve, tmp_path: Path) -> None:
    serve(bind=f"ipc://{tmp_path}/mine")
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o600


def test_two_servers_do_not_share_an_address(serve: Serve, tmp_path: Path) -> None:
    serve(bind=f"ipc://{tmp_path}/mine")
    with pytest.raises(WorldError, match="another server listens there"):
        serve(bind=f"ipc://{tmp_path}/mine")


def test_a_file_is_not_overwritten(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ValueError, match="is a file, and not a socket"):
        serve(bind=f"ipc://{tmp_path}/mine")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ipc:///" + "x" * 120, "has 121 bytes, sockets take 107"),
        ("ipc://", "give the path of a socket file"),
        ("ipc://@name", "give the path of a socket file"),
        ("tcp://127.0.0.1", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:99999", "expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:1?password=x", "there is only key=FILE"),
        ("ipc:///nowhere/at/all?key=none.toml", "no keys could be read from 'none.toml'"),
    ],
)
def test_an_address_that_cannot_be_is_told(address: str, words: str) -> None:
    with pytest.raises(WorldError, match=words):
        models.load(address)


def test_a_folder_that_is_not_there_is_told(serve: Serve) -> None:
    with pytest.raises(ValueError, match="there is no folder '/nowhere'"):
        serve(bind="ipc:///nowhere/mine")
