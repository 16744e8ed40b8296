"""One model in several processes, as one world model: each call goes to the replica with the fewest calls under way.

These are plain classes that Ray turns into actors (`agents.cluster`). A state is a value and a step depends on nothing
else, so a replica that dies costs a retry on another one, and a retry changes nothing.
"""

from __future__ import annotations

import asyncio
import importlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from world import models
from world.client import RemoteWorldModel
from world.endpoints import is_endpoint
from world.errors import LinkError
from world.settings import SamplerConfig
from world.types import Action, Scene, State, WorldModel, WorldSpec

T = TypeVar("T")

PATIENCE = 120.0  # s without any replica that lives
GONE = 3.0  # s without a connection to a served model until it counts as dead: longer than links take to reconnect
MAX_BATCH = 64  # rows in one call of the model

_PAUSE = 0.2  # s between two looks at replicas of which none lives
_TRIES = 5  # of one call by one replica that is there and yet fails


@dataclass(frozen=True)
class ReplicaConfig:
    """What a replica holds."""

    address: str
    sampler: SamplerConfig | None = None
    device: str | None = None


@dataclass
class _Waiting:
    """A step that has not run yet."""

    states: list[State]
    actions: list[Action]
    done: asyncio.Future[list[State]]


class Replica:
    """Holds a model; steps that come while it is busy are its next batch."""

    def __init__(self, config: ReplicaConfig) -> None:
        self._config = config
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None
        if not is_endpoint(config.address):  # a server may come later, but Ray buries an actor that fails here
            _ = self.model

    @cached_property
    def model(self) -> WorldModel:
        """Loaded when first asked for; raises LinkError where it is served, and its server has not come yet."""
        model = models.load(self._config.address, sampler=self._config.sampler, device=self._config.device)
        if isinstance(model, RemoteWorldModel):
            model.bear(GONE)
        return model

    async def ready(self) -> WorldSpec:
        """Answers once the model is loaded; raises LinkError where it is served, and its server is not there."""
        model = await self._run(lambda: self.model)
        if isinstance(model, RemoteWorldModel):
            server = await self._run(model.health)
            if not server.ready:
                raise LinkError(f"{model.address} is not ready: {server.stage}")
        return model.spec

    async def reset(self, scenes: list[Scene], seeds: list[int]) -> list[State]:
        return await self._run(lambda: self.model.reset(scenes, seeds))

    async def ask(self, states: list[State], question: str) -> list[str]:
        return await self._run(lambda: self.model.ask(states, question))

    async def step(self, states: list[State], actions: list[Action]) -> list[State]:
        waiting = _Waiting(states, actions, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_all())
        return await waiting.done

    async def _run_all(self) -> None:
        while self._waiting:
            batch = [self._waiting.pop(0)]
            while self._waiting and sum(len(w.states) for w in [*batch, self._waiting[0]]) <= MAX_BATCH:
                batch.append(self._waiting.pop(0))
            await self._run_batch(batch)

    async def _run_batch(self, batch: list[_Waiting]) -> None:
        """One call of the model; where it fails, each request alone, so that a bad one costs only its sender.

        A server that is gone is nobody's fault: all are told at once, and go elsewhere.
        """
        states, actions = [s for w in batch for s in w.states], [a for w in batch for a in w.actions]
        try:
            after = iter(await self._run(lambda: self.model.step(states, actions)))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is for whoever asked)
            for waiting in batch:
                if len(batch) == 1 or isinstance(error, LinkError):
                    waiting.done.set_exception(error)
                else:
                    await self._run_batch([waiting])
            return
        for waiting in batch:
            waiting.done.set_result([next(after) for _ in waiting.states])

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class Dispatcher:
    """Knows how many calls each replica has under way, and which replicas are away."""

    def __init__(self, replicas: Sequence[str]) -> None:
        """`replicas` are the names of Replica actors."""
        self._replicas = actors(replicas)
        self._leases: dict[str, int] = {}  # worker -> replica: a worker has one call under way at most
        self._away: dict[int, Any] = {}  # replica -> the answer that will say that it is back

    def take(self, worker: str, failed: int | None = None) -> int | None:
        """The replica that `worker` should ask; `failed` is one that died under it. None: none lives just now."""
        self._leases.pop(worker, None)
        if failed is not None:
            self._away.setdefault(failed, self._replicas[failed].ready.remote())
        self._look()
        calls = Counter(self._leases.values())
        present = [i for i in range(len(self._replicas)) if i not in self._away]
        if not present:
            return None
        self._leases[worker] = min(present, key=lambda i: calls[i])
        return self._leases[worker]

    def give_back(self, worker: str) -> None:
        """The call is over."""
        self._leases.pop(worker, None)

    def _look(self) -> None:
        """Welcomes replicas that are back."""
        import ray
        from ray.exceptions import RayError

        for i, answer in list(self._away.items()):
            done, _ = ray.wait([answer], timeout=0)
            if not done:
                continue
            try:
                ray.get(answer)
                del self._away[i]
            except RayError:
                self._away[i] = self._replicas[i].ready.remote()


class PooledWorldModel:
    """The replicas as one WorldModel, for one worker. Raises LinkError when none lived for PATIENCE s on end."""

    def __init__(self, worker: str, dispatcher: str, replicas: Sequence[str]) -> None:
        """`dispatcher` and `replicas` are names of actors."""
        self._worker = worker
        self._dispatcher, *self._replicas = actors([dispatcher, *replicas])
        self._spec: WorldSpec = self._call("ready")

    @property
    def spec(self) -> WorldSpec:
        return self._spec

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        """States at the scenes' first starts."""
        return self._call("reset", list(scenes), list(seeds))

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        """The states after one action each."""
        return self._call("step", list(states), list(actions))

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        """Answers about what is seen now."""
        return self._call("ask", list(states), question)

    def close(self) -> None:
        """Nothing is held here: the replicas belong to the cluster."""

    def _call(self, verb: str, *arguments: Any) -> Any:
        ray: Any = importlib.import_module("ray")
        from ray.exceptions import RayError, RayTaskError

        failed, failures = None, Counter[int]()
        waits_since, why = None, "none could be reached"
        while True:
            replica: int | None = ray.get(self._dispatcher.take.remote(self._worker, failed))
            failed = None
            if replica is None:
                waits_since = waits_since or time.monotonic()
                if time.monotonic() - waits_since > PATIENCE:
                    raise LinkError(f"no replica of the model lived for {PATIENCE:g} s, look after the cluster: {why}")
                time.sleep(_PAUSE)
                continue
            waits_since = None
            try:
                answer: Any = getattr(self._replicas[replica], verb).remote(*arguments)
                return ray.get(answer)
            except RayTaskError as error:
                if not isinstance(error.cause, LinkError):
                    raise error.cause from None
                failed, why = replica, str(error.cause)  # a server behind it that is gone
            except RayError as error:
                failed, why = replica, str(error).strip().splitlines()[-1]
            finally:
                self._dispatcher.give_back.remote(self._worker)
            failures[replica] += 1
            if failures[replica] == _TRIES:
                raise LinkError(f"a replica of the model failed {_TRIES} times in one {verb}, look after it: {why}")


def actors(names: Sequence[str]) -> list[Any]:
    """The handles of named actors. Names travel and survive restarts, where handles would have to be kept alive."""
    ray: Any = importlib.import_module("ray")
    return [ray.get_actor(name) for name in names]
