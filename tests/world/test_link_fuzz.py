"""Hostile messages, made up or real ones with something wrong: one bad message costs only its sender."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.world.conftest import Host
from tests.world.toy_world import toy_scene
from world import wire
from world.client import RemoteWorldModel
from world.types import Action, State
from world.values import Names, Packer

FORWARD = Action("move forward", "forward", forward=0.3)
MANY = 20_000


class Hostile:
    """A raw socket beside a client that behaves."""

    def __init__(self, address: str) -> None:
        self.good = RemoteWorldModel(address, timeout=30)
        self.states = self.good.reset([toy_scene()], [0])
        self.num_sent, self.slowest = 0, 0.0
        self._dealer = zmq.Context.instance().socket(zmq.DEALER)
        self._dealer.linger = 0
        self._dealer.sndtimeo = 10_000
        self._dealer.connect(address)

    def send(self, *parts: bytes) -> None:
        self._dealer.send_multipart(parts)
        while self._dealer.poll(0):
            self._dealer.recv_multipart()
        self.num_sent += 1
        if self.num_sent % 50 == 0:
            self.all_is_well()

    def all_is_well(self) -> None:
        begun = time.monotonic()
        self.states = self.good.step(self.states, [FORWARD])
        self.slowest = max(self.slowest, time.monotonic() - begun)

    def close(self) -> None:
        self.good.close()
        self._dealer.close()


@contextmanager
def attacked(host: Callable[..., Host]) -> Iterator[Hostile]:
    one = host()
    hostile = Hostile(one.address)
    yield hostile
    hostile.all_is_well()
    assert one.process.poll() is None
    assert hostile.states[0].step == hostile.num_sent // 50 + 1
    sys.stdout.write(  # for pytest -s
        f"\n{hostile.num_sent} hostile messages; beside them {hostile.states[0].step} steps were served, the slowest "
        f"in {1000 * hostile.slowest:.0f} ms\n"
    )
    hostile.close()


def real_messages() -> list[list[bytes]]:
    """One of each kind that a client sends."""
    key: dict[str, Any] = {"session": bytes(range(16)), "number": 7}
    packer = Packer(Names(), ())
    scene = toy_scene()
    here = scene.starts[0]
    state = State(scene, (here.frame,) * 2, (FORWARD,), here.pose, 3, 1, (np.zeros(3),) * 2, origins=(here.pose,))
    states = (packer.state(state),)
    call = {"model": "toy", "timeout_ms": 5000, "scenes": packer.scenes, "attached": tuple(packer.attached), **key}
    buffers = [bytes(buffer) for buffer in packer.buffers()]
    messages = [
        wire.Hello(version=1, **key),
        wire.Cancel(**key),
        wire.Health(**key),
        wire.Metrics(**key),
        wire.Call(verb="step", states=states, actions=(FORWARD,), **call),
        wire.Call(verb="reset", seeds=(1,), **call),
        wire.Call(verb="ask", states=states, question="?", **call),
        wire.Call(verb="view", poses=(state.pose,), **call),
        wire.Call(verb="reconstruct", frames=states[0].frames, **call),
        wire.Call(verb="random_start", seeds=(1,), **call),
    ]
    return [[wire.encode(m), *(buffers if isinstance(m, wire.Call) else [])] for m in messages]


REAL = real_messages()
ODD: list[Any] = [None, -1, 2**62, 1e308, float("nan"), "", "x" * 9000, b"", b"\0" * 16, [], {}, [[]], True, "step"]


def spoiled(draw: random.Random) -> list[bytes]:
    """A real message with bits turned over, cut, with parts too many or too few, or with odd values in odd places."""
    header, *buffers = draw.choice(REAL)
    match draw.randrange(5):
        case 0:
            turned = bytearray(header)
            for _ in range(draw.randint(1, 4)):
                turned[draw.randrange(len(turned))] ^= 1 << draw.randrange(8)
            header = bytes(turned)
        case 1:
            header = header[: draw.randrange(len(header))]
        case 2:
            buffers = buffers[: draw.randrange(len(buffers) + 1)] + [b"?"] * draw.randrange(3)
        case 3:
            buffers = [draw.choice((buffer, buffer[:-1], bytes(len(buffer)))) for buffer in buffers]
        case 4:
            value = msgspec.msgpack.decode(header)
            _spoil(value, draw)
            value["number"] = draw.choice((value["number"], draw.randrange(2**40)))
            header = msgspec.msgpack.encode(value)
    return [header, *buffers]


def _spoil(value: Any, draw: random.Random) -> None:
    """Something odd, some way down."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = draw.choice(keys)
    if isinstance(value[key], dict | list) and draw.random() < 0.8:
        _spoil(value[key], draw)
    else:
        value[key] = draw.choice(ODD)


def test_real_messages_with_something_wrong_cost_only_their_sender(host: Callable[..., Host]) -> None:
    with attacked(host) as hostile:
        _send_spoiled(hostile, 400)


@pytest.mark.slow
def test_10000_real_messages_with_something_wrong_cost_only_their_sender(host: Callable[..., Host]) -> None:
    with attacked(host) as hostile:
        _send_spoiled(hostile, MANY // 2)


def test_made_up_messages_cost_only_their_sender(host: Callable[..., Host]) -> None:
    with attacked(host) as hostile:
        _send_made_up(hostile, 200)


@pytest.mark.slow
def test_10000_made_up_messages_cost_only_their_sender(host: Callable[..., Host]) -> None:
    with attacked(host) as hostile:
        _send_made_up(hostile, MANY // 2)


def _send_spoiled(hostile: Hostile, number: int) -> None:
    draw = random.Random(0)
    for _ in range(number):
        hostile.send(*spoiled(draw))


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
keyed = st.fixed_dictionaries(
    {"kind": st.sampled_from(["hello", "call", "cancel", "health", "metrics", "done"]), "number": st.integers(0, 9)},
    optional={
        "session": st.just(bytes(16)) | anything,
        "verb": st.sampled_from(["step", "reset", "ask", "view"]) | anything,
        "timeout_ms": st.integers(1, 9) | anything,
        "model": st.just("toy") | anything,
        **dict.fromkeys(("states", "scenes", "actions", "seeds", "poses", "frames", "attached", "version"), anything),
    },
)
headers = (
    st.binary(max_size=60) | st.builds(msgspec.msgpack.encode, keyed) | st.builds(msgspec.msgpack.encode, anything)
)
messages = st.tuples(headers, st.lists(st.binary(max_size=40), max_size=3))


def _send_made_up(hostile: Hostile, number: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(max_examples=number, deadline=None, database=None, derandomize=True, suppress_health_check=checks)
    @given(messages)
    def send(message: tuple[bytes, list[bytes]]) -> None:
        hostile.send(message[0], *message[1])

    send()
