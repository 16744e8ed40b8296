"""A model in a process of its own: real sockets, what travels, what runs together, what is given up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

import play
import world
from agents.__main__ import main as agents_main
from bagel.world_model import BagelWorldModel
from scenes.__main__ import main as scenes_main
from tests.world.conftest import ROOT, Host, Serve, until
from tests.world.odd_worlds import FORWARD, Mirror, Moody, Narrow, Patient, Sketching, ToyTruth, walk
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.client import RemoteTrueWorld
from world.errors import CancelledError, LinkError, ModelError, SceneError
from world.previews import OnPreview, Progress
from world.server import ServerOptions
from world.settings import SamplerConfig
from world.testing import check_world_model
from world.types import Action, Pose, State

GOLDEN = ROOT / "tests" / "golden" / "a"  # a tiny BAGEL of random weights


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


def test_every_command_line_takes_a_served_world(serve: Serve, tmp_path: Path) -> None:
    served = serve(bind="tcp://127.0.0.1:*")
    common = ["--scene", "studio", "--model", served.address, "--out"]
    for main, *words in (
        (play.main, "--headless", "--script", "forward left"),
        (agents_main, "walk", "--steps", "2"),
        (scenes_main, "run", "forward left"),
    ):
        before = served.count("requests", "step")
        assert main([*words, *common, str(tmp_path / f"out{before}")]) == 0
        assert served.count("requests", "step") >= before + 2


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


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_batch_that_does_not_fit_into_memory_is_halved(serve: Serve, error: Exception) -> None:
    world = Narrow(error)
    client = serve(world).client()
    states = client.reset([toy_scene()] * 4, [0, 1, 2, 3])
    assert [s.digest() for s in client.step(states, [FORWARD] * 4)] == [
        s.digest() for s in ToyWorld().step(states, [FORWARD] * 4)
    ]
    assert world.batches == [4, 2, 2]


@pytest.mark.gpu
def test_a_batch_that_does_not_fit_on_the_card_is_halved(serve: Serve) -> None:
    class Hungry(ToyWorld):
        """Takes two fifths of the card for a row."""

        def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
            rows.append(len(states))
            room = torch.cuda.mem_get_info()[1] * 2 // 5
            held = [torch.empty(room, dtype=torch.uint8, device="cuda") for _ in states]
            return super().step(states, actions) if held else []

    rows: list[int] = []
    client = serve(Hungry()).client()
    new = client.step(ToyWorld().reset([toy_scene()] * 4, [0, 1, 2, 3]), [FORWARD] * 4)
    assert [state.seed for state in new] == [0, 1, 2, 3]
    assert rows == [4, 2, 2]


def test_what_does_not_fit_alone_fails_and_says_why(serve: Serve) -> None:
    world = Narrow(torch.OutOfMemoryError("CUDA out of memory"), rows=0)
    client = serve(world).client()
    states = client.reset([toy_scene()] * 2, [0, 1])
    with pytest.raises(LinkError, match="refused: OutOfMemoryError: CUDA out of memory"):
        client.step(states, [FORWARD] * 2)
    assert world.batches == [2, 1, 1]


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

    world = Sketching(0.03)
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


def test_a_row_given_up_leaves_its_batch_at_the_next_evaluation(serve: Serve) -> None:
    world = models.load(str(GOLDEN), device="cpu", sampler=SamplerConfig(num_timesteps=20))
    assert isinstance(world, BagelWorldModel)
    told, go_on = list[Progress](), threading.Event()
    plain = world.step

    def step(states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None) -> list[State]:
        def look(progress: Progress) -> Collection[int] | None:
            told.append(progress)
            assert go_on.wait(20)
            return on_preview(progress) if on_preview else None

        return plain(states, actions, look)

    world.step = step
    served = serve(world, ServerOptions(max_batch=2, max_wait_ms=10_000))
    clients = [served.client() for _ in range(2)]
    states = world.reset([toy_scene()] * 2, [0, 1])
    with ThreadPoolExecutor(2) as pool:
        steps = [pool.submit(c.step, [s], [FORWARD]) for c, s in zip(clients, states, strict=True)]
        until(lambda: told)
        clients[0].cancel()
        until(lambda: served.count("requests", "cancelled"))
        go_on.set()
        with pytest.raises(CancelledError):
            steps[0].result()
        kept = steps[1].result()[0]
    assert [len(progress.rows) for progress in told] == [2, *[1] * 18]
    alone = plain([states[1]], [FORWARD])[0]
    assert np.abs(kept.frame.astype(int) - alone.frame.astype(int)).max() <= 2


def test_a_world_that_can_be_watched_keeps_the_contract(serve: Serve) -> None:
    check_world_model(Sketching(0.0), toy_scene(), tolerance=0)
    check_world_model(serve(Sketching(0.005)).client(), toy_scene(), tolerance=0)
