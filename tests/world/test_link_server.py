"""What a server computes once, waits for, tells and survives: real sockets and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from tests.world.conftest import ROOT, Host, Serve, Speak, until
from tests.world.odd_worlds import FORWARD, Patient, Sketching, walk
from tests.world.toy_world import ToyWorld, toy_scene
from world import server, wire
from world.client import RemoteWorldModel
from world.endpoints import read_endpoint
from world.errors import LinkError
from world.link import Dealer
from world.server import ServerOptions
from world.types import WorldSpec


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


def test_time_that_is_over_is_told_in_words(serve: Serve) -> None:
    world = Patient()
    client = serve(world).client(timeout=1.0)
    states = client.reset([toy_scene()], [0])
    with pytest.raises(LinkError, match=r"no answer from ipc://.* within 1 s: it is busy"):
        client.step(states, [FORWARD])
    world.go_on.release(9)


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


def test_what_a_server_answers_before_it_leaves_can_be_read_afterwards(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/brief"
    with zmq.Context() as here, zmq.Context() as there:
        router = there.socket(zmq.ROUTER)
        router.bind(address)
        dealer = Dealer(here, read_endpoint(address))
        until(lambda: zmq.Event.HANDSHAKE_SUCCEEDED in dealer.events())
        assert dealer.send([b"asked"])
        route, _ = router.recv_multipart()
        router.send_multipart([route, b"answered"])
        router.close()
        until(lambda: zmq.Event.DISCONNECTED in dealer.events())
        assert dealer.socket.recv() == b"answered"
        dealer.close()


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
