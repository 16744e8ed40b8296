"""Keys: who has none, a wrong one or a revoked one gets nothing, and neither does a recording of one who has."""

from __future__ import annotations

import contextlib
import socket
import stat
import threading
import time
from pathlib import Path

import pytest
import zmq

from tests.world.conftest import Serve, Served, until
from tests.world.toy_world import ToyWorld, toy_scene
from world import wire
from world.__main__ import main
from world.client import RemoteWorldModel
from world.curve import make_keys
from world.endpoints import read_endpoint
from world.errors import LinkError, WorldError
from world.server import Server, ServerOptions
from world.types import Action

FORWARD = Action("move forward", "forward", forward=0.3)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    make_keys(tmp_path / "keys", ["alice", "bob"])
    return tmp_path / "keys"


@pytest.fixture
def guarded(serve: Serve, keys: Path) -> Served:
    return serve(bind="tcp://127.0.0.1:*", keys=keys)


def num_asked(served: Served) -> int:
    return served.server.metrics.counts["requests", "reset"] + served.server.metrics.counts["requests", "step"]


def test_who_has_a_key_walks(guarded: Served, keys: Path) -> None:
    for name in ("alice", "bob"):
        model = RemoteWorldModel(f"{guarded.address}?key={keys}/{name}.toml")
        assert model.step(model.reset([toy_scene()], [0]), [FORWARD])[0].step == 1
        model.close()


def test_without_a_key_one_gets_nothing_and_is_told_so(guarded: Served) -> None:
    with pytest.raises(LinkError, match=r"within 1 s: it wants a key: add \?key=FILE"):
        RemoteWorldModel(guarded.address, connect_timeout=1)
    assert num_asked(guarded) == 0


def test_with_a_key_that_is_not_on_the_list_one_gets_nothing(guarded: Served, keys: Path, tmp_path: Path) -> None:
    make_keys(tmp_path / "other", ["mallory"])
    text = (tmp_path / "other" / "mallory.toml").read_text().splitlines()
    server = (keys / "alice.toml").read_text().splitlines()[0]  # the right server, a client that nobody knows
    (tmp_path / "mallory.toml").write_text("\n".join([server, *text[1:]]))
    with pytest.raises(LinkError, match="does not take the key"):
        RemoteWorldModel(f"{guarded.address}?key={tmp_path}/mallory.toml", connect_timeout=1)
    assert num_asked(guarded) == 0


def test_with_the_key_of_another_server_one_gets_nothing(guarded: Served, tmp_path: Path) -> None:
    make_keys(tmp_path / "other", ["alice"])
    with pytest.raises(LinkError, match="within 1 s: "):
        RemoteWorldModel(f"{guarded.address}?key={tmp_path}/other/alice.toml", connect_timeout=1)
    assert num_asked(guarded) == 0


def test_a_revoked_key_is_worth_nothing_even_on_an_open_connection(guarded: Served, keys: Path) -> None:
    alice = RemoteWorldModel(f"{guarded.address}?key={keys}/alice.toml", timeout=1.0)
    bob = RemoteWorldModel(f"{guarded.address}?key={keys}/bob.toml", timeout=5.0)
    states = alice.reset([toy_scene()], [0])
    (keys / "clients" / "alice.pub").unlink()
    with pytest.raises(LinkError, match="no answer"):
        alice.step(states, [FORWARD])
    with pytest.raises(LinkError, match="does not take the key"):
        RemoteWorldModel(f"{guarded.address}?key={keys}/alice.toml", connect_timeout=1)
    assert bob.step(states, [FORWARD])[0].step == 1
    alice.close()
    bob.close()


def test_a_recording_of_a_walk_is_worth_nothing(guarded: Served, keys: Path) -> None:
    port = int(guarded.address.rpartition(":")[2])
    sent: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as tap:
        thread = threading.Thread(target=_pass_on, args=(tap, port, sent))
        thread.start()
        model = RemoteWorldModel(f"tcp://127.0.0.1:{tap.getsockname()[1]}?key={keys}/alice.toml")
        model.step(model.reset([toy_scene()], [0]), [FORWARD])
        model.close()
        thread.join(10)
    asked = num_asked(guarded)
    assert asked == 2
    with socket.create_connection(("127.0.0.1", port)) as replay:
        replay.settimeout(0.3)
        with contextlib.suppress(TimeoutError, ConnectionError):  # the server hangs up
            for chunk in sent:
                replay.sendall(chunk)
                time.sleep(0.01)
            while replay.recv(4096):
                pass
    assert num_asked(guarded) == asked


def test_keys_are_their_owners_alone(keys: Path) -> None:
    for name in ("server.toml", "alice.toml"):
        assert stat.S_IMODE((keys / name).stat().st_mode) == 0o600
    assert "secret" not in (keys / "clients" / "alice.pub").read_text()


def test_a_key_is_not_made_twice(keys: Path) -> None:
    with pytest.raises(ValueError, match="alice has a key"):
        make_keys(keys, ["alice"])
    with pytest.raises(ValueError, match="letters, digits"):
        make_keys(keys, ["../evil"])


def test_a_file_that_holds_no_keys_is_named(tmp_path: Path) -> None:
    (tmp_path / "alice.toml").write_text('server = "short"')
    with pytest.raises(WorldError, match="has no good server key"):
        RemoteWorldModel(f"tcp://127.0.0.1:1?key={tmp_path}/alice.toml")


@pytest.mark.parametrize("bind", ["tcp://*:0", "tcp://0.0.0.0:0", "tcp://192.0.2.1:5555", "tcp://[::]:0"])
def test_beyond_this_machine_nobody_listens_without_keys(bind: str) -> None:
    with pytest.raises(ValueError, match="python -m world keygen"):
        Server(lambda tell: ToyWorld(), read_endpoint(bind), ServerOptions())


def test_a_list_with_a_broken_file_keeps_the_others_in(guarded: Served, keys: Path) -> None:
    (keys / "clients" / "carol.pub").write_text("nonsense")
    model = RemoteWorldModel(f"{guarded.address}?key={keys}/bob.toml")
    assert model.spec.model == "toy"
    model.close()


def test_keygen_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "alice", "--out", str(tmp_path / "keys")]) == 0
    assert "hand " in capsys.readouterr().out
    assert main(["keygen", "alice", "--out", str(tmp_path / "keys")]) == 2
    assert "alice has a key" in capsys.readouterr().err


def test_plain_talk_to_a_guarded_port_gets_nothing(guarded: Served) -> None:
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(guarded.address)
    dealer.send(wire.encode(wire.Hello(session=bytes(16), number=0, version=1)))
    assert not dealer.poll(500)
    dealer.close()
    until(lambda: num_asked(guarded) == 0)


def _pass_on(tap: socket.socket, port: int, sent: list[bytes]) -> None:
    """Stands between one client and the server, and keeps what the client sends."""
    client, _ = tap.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        back = threading.Thread(target=_pour, args=(server, client, None))
        back.start()
        _pour(client, server, sent)
        back.join(5)


def _pour(source: socket.socket, target: socket.socket, kept: list[bytes] | None) -> None:
    try:
        while chunk := source.recv(65536):
            if kept is not None:
                kept.append(chunk)
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
