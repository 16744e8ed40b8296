"""A model in a process of its own: real sockets, what travels, what is refused, what is survived."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import zmq

import world
from tests.world.conftest import ROOT, Host, Serve, until
from tests.world.toy_world import ToyWorld, toy_scene
from world import models, wire
from world.client import RemoteTrueWorld, RemoteWorldModel
from world.errors import CancelledError, LinkError, ModelError, SceneError, WorldError
from world.previews import OnPreview, Progress
from world.server import ServerOptions
from world.settings import SamplerConfig
from world.testing import check_world_model
from world.types import Action, Frame, Pose, Scene, Start, State, WorldSpec
from world.values import Names, Packer
from world.wire import Limits

FORWARD = Action("move forward", "forward", forward=0.3)


class Patient(ToyWorld):
    """Makes a step when the test says so, and remembers how many rows came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.go_on = threading.Semaphore(0)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.batches.append(len(states))
        assert self.go_on.acquire(timeout=30)
        return super().step(states, actions)


class Moody(ToyWorld):
    """Fails in every way that there is."""

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        for action in actions:
            match action.text:
                case "value":
                    raise ValueError("no such value")
                case "model":
                    raise ModelError("no such model")
                case "scene":
                    raise SceneError("no such scene")
                case "bug":
                    raise RuntimeError("a bug")
        return super().step(states, actions)


class Narrow(ToyWorld):
    """Has memory for two rows."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.batches.append(len(states))
        if len(states) > 2:
            raise MemoryError
        return super().step(states, actions)


class Sketching(ToyWorld):
    """Draws in 50 evaluations, and lets itself be watched."""

    def __init__(self, seconds: float = 0.01) -> None:
        """One evaluation takes `seconds`."""
        super().__init__(frozenset({"free_text", "preview"}))
        self.evaluations = 0
        self._seconds = seconds

    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        new = super().step(states, actions)
        for i in range(1, 51):
            time.sleep(self._seconds)
            self.evaluations += 1
            if on_preview is not None:
                on_preview(Progress(tuple(range(len(new))), i, 50, lambda: [state.frame for state in new]))
        return new


class Mirror(ToyWorld):
    """Shows what it was shown, left and right exchanged."""

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return [replace(state, frames=(state.frame[:, ::-1],), actions=()) for state in states]


class ToyTruth(ToyWorld):
    """Knows every pose."""

    def __init__(self) -> None:
        super().__init__(frozenset({"pose"}))

    def random_start(self, scene: Scene, seed: int) -> Start:
        return replace(scene.starts[1], pose=Pose(x=float(seed)))

    def view(self, scene: Scene, poses: Sequence[Pose]) -> list[Frame]:
        return [np.full((4, 4, 3), round(pose.x), np.uint8) for pose in poses]


def walk(model: ToyWorld | RemoteWorldModel, num_steps: int, seed: int = 3) -> list[bytes]:
    states = model.reset([toy_scene()], [seed])
    for _ in range(num_steps):
        states += model.step(states[-1:], [FORWARD])
    return [state.digest() for state in states]


@pytest.mark.parametrize("supports", [{"free_text"}, {"ask", "free_text"}, set()])
def test_a_served_world_keeps_the_contract(serve: Serve, supports: set[str]) -> None:
    check_world_model(serve(ToyWorld(frozenset(supports))).client(), toy_scene(), tolerance=0)


def test_a_world_in_a_process_of_its_own_keeps_the_contract(host: Callable[..., Host]) -> None:
    check_world_model(models.load(host().address), toy_scene(), tolerance=0)


def test_gymnasium_notices_nothing(serve: Serve) -> None:
    env = gymnasium.make(world.ENV_ID, model=serve().address, scene="studio")
    frame, _ = env.reset(seed=1)
    after, *_ = env.step(1)
    assert frame.shape == after.shape
    env.close()


def test_a_walk_over_the_link_is_the_walk(serve: Serve) -> None:
    assert walk(serve().client(), 6) == walk(ToyWorld(), 6)


def test_tcp_on_this_machine_needs_no_key(serve: Serve) -> None:
    assert walk(serve(bind="tcp://127.0.0.1:*").client(), 2) == walk(ToyWorld(), 2)


def test_a_true_world_stays_one(serve: Serve) -> None:
    truth = models.load(serve(ToyTruth()).address)
    assert isinstance(truth, RemoteTrueWorld)
    assert truth.random_start(toy_scene(), 4).pose == Pose(x=4.0)
    assert [frame[0, 0, 0] for frame in truth.view(toy_scene(), [Pose(x=7.0), Pose(x=9.0)])] == [7, 9]
    truth.close()


def test_a_frame_travels_once(serve: Serve) -> None:
    served = serve()
    client = served.client()
    (state,) = client.reset([toy_scene()], [0])
    needed = served.count("refused", "need")
    for _ in range(5):
        (state,) = client.step([state], [FORWARD])
    assert served.count("refused", "need") == needed
    assert served.server._store.misses <= 3  # what the scene and its starts brought along


def test_a_server_that_has_forgotten_the_frames_is_sent_them_again(serve: Serve) -> None:
    served = serve(options=ServerOptions(memo_bytes=0))
    assert walk(served.client(), 4) == walk(ToyWorld(), 4)
    assert served.count("refused", "need") >= 4


def test_an_array_of_the_callers_may_change_between_two_requests(serve: Serve) -> None:
    client = serve(Mirror()).client()
    (state,) = client.reset([toy_scene()], [0])
    mine = np.array(state.frame)
    bright = client.step([replace(state, frames=(mine,))], [FORWARD])[0].frame
    mine[:] = 0
    dark = client.step([replace(state, frames=(mine,))], [FORWARD])[0].frame
    assert bright.any()
    assert not dark.any()


@pytest.mark.parametrize(
    ("words", "error"),
    [("value", ValueError), ("model", ModelError), ("scene", SceneError), ("bug", LinkError)],
)
def test_what_the_model_raises_is_raised_here(serve: Serve, words: str, error: type[Exception]) -> None:
    client = serve(Moody()).client()
    states = client.reset([toy_scene()], [0])
    with pytest.raises(error, match=words if words == "bug" else f"no such {words}"):
        client.step(states, [Action(words)])
    assert client.step(states, [FORWARD])[0].step == 1


def test_what_waits_runs_as_one_batch(serve: Serve) -> None:
    world = Patient()
    served = serve(world)
    clients = [served.client() for _ in range(5)]
    states = [client.reset([toy_scene()], [i])[0] for i, client in enumerate(clients)]
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(clients[0].step, [states[0]], [FORWARD])
        until(lambda: world.batches)
        others = [pool.submit(clients[i].step, [states[i]], [FORWARD]) for i in range(1, 5)]
        until(lambda: len(served.server._queue) == 4)
        world.go_on.release(2)
        new = [future.result()[0] for future in (first, *others)]
    assert world.batches == [1, 4]
    assert [state.digest() for state in new] == [ToyWorld().step([s], [FORWARD])[0].digest() for s in states]


def test_a_failure_costs_only_whose_it_is(serve: Serve) -> None:
    class PatientAndMoody(Patient, Moody): ...

    world = PatientAndMoody()
    served = serve(world)
    clients = [served.client() for _ in range(3)]
    states = [client.reset([toy_scene()], [0]) for client in clients]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(clients[0].step, states[0], [FORWARD])
        until(lambda: world.batches)
        second = pool.submit(clients[1].step, states[1], [Action("model")])
        third = pool.submit(clients[2].step, states[2], [FORWARD])
        until(lambda: len(served.server._queue) == 2)
        world.go_on.release(9)
        assert first.result()[0].step == third.result()[0].step == 1
        with pytest.raises(ModelError, match="no such model"):
            second.result()


def test_a_batch_that_does_not_fit_into_memory_is_halved(serve: Serve) -> None:
    world = Narrow()
    client = serve(world).client()
    states = client.reset([toy_scene()] * 4, [0, 1, 2, 3])
    assert [s.digest() for s in client.step(states, [FORWARD] * 4)] == [
        s.digest() for s in ToyWorld().step(states, [FORWARD] * 4)
    ]
    assert world.batches == [4, 2, 2]


def test_more_rows_than_a_batch_has_are_done_one_batch_after_the_other(serve: Serve) -> None:
    client = serve(options=ServerOptions(max_batch=3)).client()
    states = client.reset([toy_scene()] * 8, list(range(8)))
    assert [state.seed for state in client.step(states, [FORWARD] * 8)] == list(range(8))


def test_a_step_given_up_is_dropped_and_the_next_one_is_made(serve: Serve) -> None:
    world = Patient()
    client = serve(world).client()
    states = client.reset([toy_scene()], [0])
    with ThreadPoolExecutor(1) as pool:
        step = pool.submit(client.step, states, [FORWARD])
        until(lambda: world.batches)
        client.cancel()
        with pytest.raises(CancelledError):
            step.result()
    world.go_on.release(2)
    assert client.step(states, [FORWARD])[0].step == 1


def test_a_step_in_the_making_can_be_watched(serve: Serve) -> None:
    client, seen = serve(Sketching()).client(), list[tuple[int, bytes]]()
    states = client.reset([toy_scene()], [0])
    (new,) = client.step(states, [FORWARD], on_preview=lambda p: seen.append((p.evaluation, p.draw()[0].tobytes())))
    assert 1 <= len(seen) < 49  # some are left out
    assert {picture for _, picture in seen} == {new.frame.tobytes()}


def test_a_step_given_up_stops_within_one_evaluation(serve: Serve) -> None:
    def give_up(progress: Progress) -> None:
        raise CancelledError("enough")

    world = Sketching()
    served = serve(world)
    client = served.client()
    states = client.reset([toy_scene()], [0])
    with pytest.raises(CancelledError, match="enough"):
        client.step(states, [FORWARD], on_preview=give_up)
    until(lambda: served.count("requests", "cancelled"))
    assert world.evaluations < 40
    done = world.evaluations
    assert client.step(states, [FORWARD])[0].step == 1
    assert world.evaluations <= done + 51


def test_a_world_that_can_be_watched_keeps_the_contract(serve: Serve) -> None:
    check_world_model(Sketching(0.0), toy_scene(), tolerance=0)
    check_world_model(serve(Sketching(0.005)).client(), toy_scene(), tolerance=0)


class Raw:
    """A client without any manners: it sends what it is told, as often as it is told."""

    def __init__(self, address: str) -> None:
        self._dealer = zmq.Context.instance().socket(zmq.DEALER)
        self._dealer.linger = 0
        self._dealer.connect(address)
        self._packer = Packer(Names(), ())
        (state,) = ToyWorld().reset([toy_scene()], [5])
        self._state = self._packer.state(state)

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

    def replies(self, number: int) -> list[wire.Reply]:
        return [wire.decode_reply(self._dealer.recv_multipart()) for _ in range(number)]

    def close(self) -> None:
        self._dealer.close()


def test_a_request_that_is_sent_again_is_computed_once(serve: Serve) -> None:
    world = Patient()
    raw = Raw(serve(world).address)
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
    raw.close()


def test_a_request_whose_time_is_over_is_not_begun(serve: Serve) -> None:
    world = Patient()
    served = serve(world)
    raw = Raw(served.address)
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
    raw.close()


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


def test_rows_wait_for_company_where_that_is_wished(serve: Serve) -> None:
    world = Patient()
    world.go_on.release(9)
    served = serve(world, ServerOptions(max_batch=2, max_wait_ms=10_000))
    raw = Raw(served.address)
    raw.step(1)
    raw.step(2)
    until(lambda: world.batches)
    assert world.batches == [2]  # full, so it waited no longer
    raw.close()


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
        (Limits(rows=2), "rows = 2"),
        (Limits(text=10), "text = 10"),
        (Limits(side=40), "side = 40"),
        (Limits(frames=1), "limit is 1"),
    ],
)
def test_a_refusal_names_the_limit(serve: Serve, limits: Limits, words: str) -> None:
    client = serve(options=ServerOptions(limits=limits)).client()
    states = ToyWorld().reset([toy_scene()] * 3, [0, 1, 2])
    for _ in range(3):
        states = ToyWorld().step(states, [FORWARD] * 3)
    with pytest.raises(ValueError, match=words):
        client.step(states, [FORWARD] * 3)


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
