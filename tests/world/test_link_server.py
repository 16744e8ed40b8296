"""What a server refuses, computes once, waits for and survives: real sockets and processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from tests.world.conftest import ROOT, Host, Serve, until
from tests.world.odd_worlds import FORWARD, Patient, Sketching, walk
from tests.world.toy_world import ToyWorld, toy_scene
from world import models, server, wire
from world.client import RemoteWorldModel
from world.endpoints import read_endpoint
from world.errors import LinkError, ModelError, WorldError
from world.server import ServerOptions
from world.settings import SamplerConfig
from world.types import Action, WorldSpec
from world.values import Names, Packer
from world.wire import Limits


class Raw:
    """A client without any manners: it sends what it is told, as often as it is told."""

    def __init__(self, address: str) -> None:
        self._dealer = zmq.Context.instance().socket(zmq.DEALER)
        self._dealer.linger = 0
        self._dealer.connect(address)
        self._packer = Packer(Names(), ())
        (state,) = ToyWorld().reset([toy_scene()], [5])
        self._state = self._packer.state(state)
        until(self._is_ready)

    def _is_ready(self) -> bool:
        self.send(wire.encode(wire.Health(session=bytes(range(16)), number=0)))
        (welcome,) = self.replies(1)
        return isinstance(welcome, wire.Welcome) and welcome.ready

    def step(self, number: int, timeout_ms: int = 20_000) -> None:
        call = wire.Call(
            session=bytes(range(16)),
            number=number,
            verb="step",
            model="toy",
            timeout_ms=timeout_ms,
            states=(self._state,),
            actions=(FORWARD,),
            scenes=self._packer.scenes,
            attached=tuple(self._packer.attached),
        )
        self._dealer.send_multipart([wire.encode(call), *self._packer.buffers()])

    def send(self, *parts: bytes) -> None:
        self._dealer.send_multipart(parts)

    def replies(self, number: int) -> list[wire.Reply]:
        return [wire.decode_reply(self._dealer.recv_multipart()) for _ in range(number)]

    def close(self) -> None:
        self._dealer.close()


Speak = Callable[[str], Raw]


@pytest.fixture
def speak() -> Iterator[Speak]:
    """Raw clients of the addresses that it is given."""
    raws: list[Raw] = []

    def start(address: str) -> Raw:
        raws.append(Raw(address))
        return raws[-1]

    yield start
    for raw in raws:
        raw.close()


def test_a_request_that_is_sent_again_is_computed_once(serve: Serve, speak: Speak) -> None:
    world = Patient()
    raw = speak(serve(world).address)
    raw.step(1)
    until(lambda: world.batches)
    raw.step(1)
    raw.step(1)
    assert [type(reply) for reply in raw.replies(2)] == [wire.Queued, wire.Queued]
    world.go_on.release(9)
    (done,) = raw.replies(1)
    raw.step(1)
    assert raw.replies(1) == [done]
    assert world.batches == [1]


def test_who_waits_is_told_how_many_go_before(serve: Serve, speak: Speak) -> None:
    world = Patient()
    raw = speak(serve(world, ServerOptions(max_batch=1)).address)
    raw.step(1)
    until(lambda: world.batches)
    raw.step(1)
    raw.step(2)
    raw.step(3)
    queued = raw.replies(3)
    assert [(reply.number, reply.position) for reply in queued if isinstance(reply, wire.Queued)] == [
        (1, 0),
        (2, 1),
        (3, 2),
    ]
    world.go_on.release(9)
    raw.replies(3)


def test_who_shakes_hands_learns_what_is_served(serve: Serve) -> None:
    class Wide(ToyWorld):
        @property
        def spec(self) -> WorldSpec:
            return WorldSpec("wide", frozenset({"ask", "free_text"}), "cuda:0", "bfloat16", (48, 64))

    client = serve(Wide(), ServerOptions(max_batch=5)).client()
    assert client.spec == Wide().spec
    assert (client.health().max_batch, client.health().limits["side"]) == (5, 8192)


def test_another_version_is_refused(serve: Serve, speak: Speak) -> None:
    raw = speak(serve().address)
    raw.send(wire.encode(wire.Hello(session=bytes(16), number=1, version=2)))
    (refused,) = raw.replies(1)
    assert isinstance(refused, wire.Refused)
    assert (refused.reason, refused.words) == (
        "version",
        "this server speaks version 1 of the link, you speak 2: update one",
    )


def test_all_figures_are_told(serve: Serve) -> None:
    client = serve().client()
    states = client.reset([toy_scene()] * 3, [0, 1, 2])
    client.step(client.step(states, [FORWARD] * 3), [FORWARD] * 3)
    told = client.metrics()
    for span in ("queue", "compute", "transfer"):
        for quantile in ("0.5", "0.95", "0.99"):
            assert f'bagel_world_{span}_seconds{{quantile="{quantile}"}} 0.' in told
    for line in (
        'requests_total{kind="step"} 2',
        'batch_rows_bucket{le="4"} 3',
        "batch_rows_count 3",
        "waiting 0",
        "sessions 1",
    ):
        assert f"bagel_world_{line}\n" in told
    assert float(told.split("\nbagel_world_memo_hits ")[1].split()[0]) >= 6


def test_a_model_that_breaks_ends_its_server(tmp_path: Path) -> None:
    class Broken(ToyWorld):
        @property
        def spec(self) -> WorldSpec:
            raise SystemExit("broken")

    broken = server.Server(lambda tell: Broken(), read_endpoint(f"ipc://{tmp_path}/broken"), ServerOptions())
    with pytest.raises(SystemExit, match="broken"):
        broken.run()


def test_a_request_whose_time_is_over_is_not_begun(serve: Serve, speak: Speak) -> None:
    world = Patient()
    served = serve(world)
    raw = speak(served.address)
    raw.step(1)
    until(lambda: world.batches)
    raw.step(2, timeout_ms=1)
    queued, late = raw.replies(2)
    assert isinstance(queued, wire.Queued)
    assert isinstance(late, wire.Refused)
    assert (late.reason, late.number) == ("late", 2)
    world.go_on.release(9)
    assert isinstance(raw.replies(1)[0], wire.Done)
    assert world.batches == [1]


def test_rows_whose_time_is_over_leave_their_batch(serve: Serve, speak: Speak, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GRACE", 0.0)
    world = Sketching(0.02)
    raw = speak(serve(world, ServerOptions(max_batch=2, max_wait_ms=10_000)).address)
    raw.step(1, timeout_ms=100)
    raw.step(2)
    late, done = (reply for reply in raw.replies(3) if not isinstance(reply, wire.Queued))
    assert isinstance(late, wire.Refused)
    assert (late.reason, late.number, type(done), done.number) == ("late", 1, wire.Done, 2)
    assert (world.rows[0], world.rows[-1]) == (2, 1)


def test_a_server_that_comes_back_with_another_model_refuses_the_walk(serve: Serve, tmp_path: Path) -> None:
    class Other(ToyWorld):
        @property
        def spec(self) -> WorldSpec:
            return WorldSpec("other", frozenset())

    first = serve(bind=f"ipc://{tmp_path}/one")
    client = RemoteWorldModel(first.address, timeout=20)
    states = client.reset([toy_scene()], [0])
    first.end()
    serve(Other(), bind=f"ipc://{tmp_path}/one")
    with pytest.raises(LinkError, match="has 'other' now, and no longer 'toy'"):
        client.step(states, [FORWARD])
    client.close()


def test_rows_wait_for_company_where_that_is_wished(serve: Serve, speak: Speak) -> None:
    world = Patient()
    world.go_on.release(9)
    served = serve(world, ServerOptions(max_batch=2, max_wait_ms=10_000))
    raw = speak(served.address)
    raw.step(1)
    raw.step(2)
    until(lambda: world.batches)
    assert world.batches == [2]  # full, so it waited no longer


def test_nobody_waits_for_company_longer_than_is_wished(serve: Serve, speak: Speak) -> None:
    raw = speak(serve(options=ServerOptions(max_wait_ms=100)).address)
    raw.step(1)
    (done,) = raw.replies(1)
    assert isinstance(done, wire.Done)
    assert 100 <= done.queue_ms < 1000


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


def test_time_that_is_over_is_told_in_words(serve: Serve) -> None:
    world = Patient()
    client = serve(world).client(timeout=1.0)
    states = client.reset([toy_scene()], [0])
    with pytest.raises(LinkError, match=r"no answer from ipc://.* within 1 s: it is busy"):
        client.step(states, [FORWARD])
    world.go_on.release(9)


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


def test_a_killed_server_that_comes_back_is_not_noticed(host: Callable[..., Host]) -> None:
    one = host()
    client = RemoteWorldModel(one.address, timeout=30)
    states = client.reset([toy_scene()], [3])
    digests = [states[0].digest()]
    for i in range(6):
        if i in (2, 4):
            one.kill()
            one.start_again()
        states = client.step(states, [FORWARD])
        digests.append(states[0].digest())
    client.close()
    assert digests == walk(ToyWorld(), 6)


def test_a_server_that_is_asked_to_end_finishes_what_waits(host: Callable[..., Host]) -> None:
    one = host(0.5)
    client, visitor = RemoteWorldModel(one.address, timeout=30), RemoteWorldModel(one.address)
    states = client.reset([toy_scene()], [0])
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(client.step, states, [FORWARD])
        until(lambda: visitor.health().num_open)
        assert one.end() == 0
        assert step.result()[0].step == 1
    client.close()
    visitor.close()
    assert not Path(one.address.removeprefix("ipc://")).exists()


def test_a_model_that_cannot_be_loaded_ends_the_server_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "world", "serve", "--model", str(tmp_path / "empty")]
    done = subprocess.run(
        [*command, "--bind", f"ipc://{tmp_path}/x"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
