"""Episodes played by many processes on many machines, by Ray: workers, and replicas of the model.

A worker that dies costs its episode a retry, a replica that dies costs a step a retry; Ray starts both anew where there
is room. Episodes depend on their seeds alone, so who dies when does not change what the dataset holds. (A replica that
merges steps of several workers into one batch may round them differently: BAGEL's frames then differ by a grey level
or two from those of one process, the simulator's never.)
"""

from __future__ import annotations

import contextlib
import importlib
import os
import uuid
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from agents.dataset import Kind
from agents.episode import Episode
from agents.replicas import Dispatcher, PooledWorldModel, Replica, ReplicaConfig
from agents.rollout import Player, Rollout
from world import models
from world.errors import WorldError

HERE = "here"
SILENCE = 600.0  # s in which some worker must have answered
_TRIES = 5  # of one episode: what kills every worker is not the workers' fault


@dataclass(frozen=True)
class Cluster:
    """How many play, and where."""

    address: str  # Ray's, "auto" for the one that runs on this machine, or HERE: one of its own, which ends with it
    workers: int = 2
    replicas: int = 0  # of the model; 0: every worker has its own
    gpus_per_replica: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 1 or self.replicas < 0 or not 0 <= self.gpus_per_replica <= 64:
            raise ValueError(f"expected workers from 1, replicas and gpus_per_replica from 0 on, got {self}")
        if self.gpus_per_replica and not self.replicas:
            raise ValueError("GPUs are for replicas: add --replicas N")


class Worker:
    """Plays episodes: a Player, as an actor."""

    def __init__(self, rollout: Rollout, name: str, dispatcher: str, replicas: Sequence[str]) -> None:
        """The rest are names of actors."""
        self._player = Player(rollout, PooledWorldModel(name, dispatcher, replicas) if replicas else None)

    def ready(self) -> None:
        """Answers once everything is loaded."""

    def kind(self) -> Kind:
        return self._player.kind()

    def play(self, index: int) -> Episode:
        return self._player.play(index)


class ClusterTroupe:
    """Plays the episodes of a rollout on a cluster; `close` lets the actors go.

    The model may be an address, of which `replicas` are loaded, or several servers, "tcp://A:5555,tcp://B:5555".
    """

    def __init__(self, rollout: Rollout, cluster: Cluster) -> None:
        """Raises WorldError where there is no cluster, and what the rollout's scene or model address are at fault."""
        models.load_scene(rollout.stage.scene)
        addresses = _addresses(rollout, cluster)
        self._seed = rollout.seed
        self.num_lost = 0  # workers that died while they played
        self._ray = _connected(cluster, len(addresses))
        try:
            self._start(rollout, cluster, addresses)
        except BaseException:
            self.close()
            raise

    def play_all(self, indices: Sequence[int]) -> Iterator[tuple[int, Episode]]:
        """Episodes with their numbers, as they come. Raises WorldError when nobody answers, or none can play one."""
        ray, left = self._ray, deque(indices)
        tries: Counter[int] = Counter()
        idle: list[Any] = []
        pending: dict[Any, tuple[Any, int | None]] = {w.ready.remote(): (w, None) for w in self._workers}
        num_done = 0
        while num_done < len(indices):
            while idle and left:
                worker, index = idle.pop(), left.popleft()
                pending[worker.play.remote(index)] = worker, index
            answers, _ = ray.wait(list(pending), timeout=SILENCE)
            if not answers:
                raise WorldError(f"no worker answered for {SILENCE:g} s: is there room for them? see ray status")
            worker, index = pending.pop(answers[0])
            try:
                episode = ray.get(answers[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                if getattr(error, "actor_init_failed", False):
                    raise WorldError(f"a worker cannot start: {str(error).strip().splitlines()[-1]}") from None
                if index is not None:
                    self.num_lost += 1
                    tries[index] += 1
                    if tries[index] == _TRIES:
                        alone = f"--seed {self._seed + index} --episodes 1, another --out and no --cluster"
                        raise WorldError(
                            f"episode {index} ended {_TRIES} workers: play it alone to see why, with {alone}"
                        ) from None
                    left.appendleft(index)
                pending[worker.ready.remote()] = worker, None
                continue
            idle.append(worker)
            if index is not None:
                num_done += 1
                yield index, episode

    def kind(self) -> Kind:
        """What the episodes are of."""
        asked = [worker.kind.remote() for worker in self._workers]
        while asked:
            answers, asked = self._ray.wait(asked, timeout=SILENCE)
            if not answers:
                break
            with contextlib.suppress(self._ray.exceptions.RayActorError):
                return self._ray.get(answers[0])
        raise WorldError("no worker is left that found room: wait for some, or give fewer --workers")

    def close(self) -> None:
        """Ends the actors; a cluster that was started here ends too. May be called twice."""
        self._ray.shutdown()

    def _start(self, rollout: Rollout, cluster: Cluster, addresses: list[str]) -> None:
        ray, stage, gpus = self._ray, rollout.stage, cluster.gpus_per_replica
        run = f"bagel-world-{uuid.uuid4().hex[:8]}"
        dispatcher, replicas = f"{run}-dispatcher", [f"{run}-replica-{i}" for i in range(len(addresses))]
        spread = {"max_restarts": -1, "scheduling_strategy": "SPREAD"}
        room = {"num_gpus": gpus, "num_cpus": 0 if gpus else 1, **spread}
        node = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )  # beside this process: they live and die together
        replica, worker = ray.remote(Replica), ray.remote(Worker).options(num_cpus=1, **spread)
        dispatch = ray.remote(Dispatcher).options(name=dispatcher, num_cpus=0, scheduling_strategy=node)
        self._kept = [  # Ray ends actors that nobody holds
            replica.options(name=name, **room).remote(ReplicaConfig(address, stage.sampler, stage.device))
            for name, address in zip(replicas, addresses, strict=True)
        ]
        self._kept.append(dispatch.remote(replicas))
        self._workers = [worker.remote(rollout, str(i), dispatcher, replicas) for i in range(cluster.workers)]


def _addresses(rollout: Rollout, cluster: Cluster) -> list[str]:
    """Of the replicas: one model several times, or several servers."""
    model = rollout.stage.model
    servers = model.split(",") if model.startswith("tcp://") and "," in model else []
    found = servers or [model] * cluster.replicas
    for address in found or [model]:
        models.entry_of(address)
    return found


def _connected(cluster: Cluster, num_replicas: int) -> Any:
    """Ray, connected. Its own cluster has as many CPUs as there are actors: whoever asks for them may have them."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.util.scheduling_strategies")
    except ModuleNotFoundError as error:
        raise WorldError(f"a cluster needs {error.name}: pip install -e '.[cluster]' in the repository") from None
    quiet = {"log_to_driver": False, "logging_level": "error"}
    try:
        if cluster.address == HERE:
            num_cpus = cluster.workers + num_replicas
            ray.init("local", num_cpus=num_cpus, include_dashboard=False, **quiet)
        else:
            ray.init(address=cluster.address, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise WorldError(
            f"no Ray cluster at {cluster.address!r} ({' '.join(str(error).split())[:120]}): "
            "start one with ray start --head, or give --cluster here"
        ) from None
    return ray
