"""Servers for the tests of the link: in a thread of this process, or in a process that may be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from tests.world.toy_world import ToyWorld, toy_scene
from world import wire
from world.client import RemoteWorldModel
from world.endpoints import read_endpoint
from world.server import Server, ServerOptions
from world.types import Action, WorldModel
from world.values import Names, Packer

ROOT = Path(__file__).parent.parent.parent


class Served:
    """A server in a thread, and its clients."""

    def __init__(self, model: WorldModel, bind: str, options: ServerOptions, keys: Path | None = None) -> None:
        self.server = Server(lambda tell: model, read_endpoint(bind), options, keys)
        self.address = self.server.endpoint
        self.clients: list[RemoteWorldModel] = []
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()

    def client(self, timeout: float = 20.0) -> RemoteWorldModel:
        self.clients.append(RemoteWorldModel(self.address, timeout))
        return self.clients[-1]

    def count(self, what: str, kind: str) -> int:
        return self.server.metrics.counts[what, kind]

    def end(self) -> None:
        for client in self.clients:
            client.close()
        self.server.leave()
        self._thread.join(20)
        assert not self._thread.is_alive()


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves a model, a toy unless another is given."""
    all_served: list[Served] = []

    def start(
        model: WorldModel | None = None,
        options: ServerOptions | None = None,
        bind: str = "",
        keys: Path | None = None,
    ) -> Served:
        bind = bind or f"ipc://{tmp_path}/{len(all_served)}"
        all_served.append(Served(model or ToyWorld(), bind, options or ServerOptions(), keys))
        return all_served[-1]

    yield start
    for served in all_served:
        served.end()


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
            actions=(Action("move forward", "forward", forward=0.3),),
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


class Host:
    """A server in a process of its own, with a toy in it unless another model is named."""

    def __init__(self, folder: Path, seconds: float, *flags: str, model: str = "toy", bind: str = "") -> None:
        self.address = bind or f"ipc://{folder}/host"
        self.log = folder / "computed"
        self._command = [sys.executable, "-m", "tests.world.link_host", str(self.log), str(seconds), "serve"]
        self._command += ["--model", model, "--bind", self.address, *flags]
        self.process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            self._command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def kill(self) -> None:
        """SIGKILL; may be called twice."""
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def start_again(self) -> None:
        self.process = self._started()

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    @property
    def num_open(self) -> int:
        """File descriptors of the process."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    @property
    def resident_bytes(self) -> int:
        """Memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Starts a server in a process of its own: seconds a step, then flags of `serve`."""
    hosts: list[Host] = []

    def start(seconds: float = 0.0, *flags: str, model: str = "toy") -> Host:
        hosts.append(Host(tmp_path, seconds, *flags, model=model))
        return hosts[-1]

    yield start
    for one in hosts:
        one.kill()


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
