"""Rollouts on Ray clusters of which something is killed meanwhile, in processes of their own, never in the tests'.

python -m tests.agents.cluster_host server OUT MODEL PID
python -m tests.agents.cluster_host late OUT MODEL
python -m tests.agents.cluster_host node OUT FLAGS...
python -m tests.agents.cluster_host doomed FLAGS...

Each plays into OUT, and prints a line of JSON last, but for the last: see the functions.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import ray
from ray.cluster_utils import Cluster as Nodes
from ray.exceptions import RayError

from agents import cluster
from agents.__main__ import main
from agents.casting import Role
from agents.cluster import HERE, Cluster, ClusterTroupe, Worker
from agents.dataset import Dataset
from agents.episode import Episode
from agents.replicas import Dispatcher
from agents.rollout import Rollout, Stage
from tests.world.conftest import Host

EPISODES, STEPS = 6, 6
DOOMED = 2


class Doomed(Worker):
    """One of its episodes ends its process, as one does that finds no memory."""

    def play(self, index: int) -> Episode:
        if index == DOOMED:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().play(index)


def server(out: str, model: str, pid: str) -> dict[str, Any]:
    """Two workers, replicas behind two servers, of which the first has the process PID, which is killed.

    Tells what a dispatcher gives out after that. A worker that found no room is the first to be asked for the kind.
    """
    rollout = Rollout(Stage(model=model), Role(), EPISODES, STEPS)
    dataset = Dataset(Path(out), rollout.name, rollout.request(), EPISODES)
    with closing(ClusterTroupe(rollout, Cluster(HERE, workers=2))) as troupe:
        for index, episode in troupe.play_all(dataset.missing()):
            if len(dataset.missing()) == EPISODES:
                os.kill(int(pid), signal.SIGKILL)
            dataset.keep(index, episode)
        cluster.SILENCE = 20.0  # s, which the one without room would wait for
        troupe._workers.insert(0, ray.remote(Worker).options(num_cpus=1).remote(rollout, "outside", "", []))
        dataset.finish(troupe.kind())
        return {"lost": troupe.num_lost, **dispatched()}


def dispatched() -> dict[str, Any]:
    """Which of two replicas each worker is given; the server behind the first is dead, which nobody knows yet."""
    names = sorted(name for name in ray.util.list_named_actors() if "replica" in name)
    dispatcher = Dispatcher(names)
    least_busy = [dispatcher.take(worker) for worker in "abcd"]
    dispatcher.give_back("a")
    least_busy += [dispatcher.take(worker) for worker in "eb"]
    alone = [dispatcher.take("b", failed=0)]
    time.sleep(1.0)  # what would say that it is ready without a look at its server has said so
    alone.append(dispatcher.take("a"))
    ray.kill(ray.get_actor(names[1]), no_restart=False)
    none = dispatcher.take("a", failed=1)
    while (back := dispatcher.take("a")) is None:
        time.sleep(0.05)
    return {"least busy": least_busy, "alone": alone, "none": none, "back": back}


def late(out: str, model: str) -> dict[str, Any]:
    """One worker, a replica behind a server that starts when the replica has already looked for it in vain.

    Tells what the replica said to that.
    """
    rollout = Rollout(Stage(model=model), Role(), EPISODES, STEPS)
    dataset = Dataset(Path(out), rollout.name, rollout.request(), EPISODES)
    with closing(ClusterTroupe(rollout, Cluster(HERE, workers=1, replicas=1))) as troupe:
        answer = ""
        try:
            ray.get(troupe._kept[0].ready.remote())
        except RayError as error:
            answer = str(error).splitlines()[-1]
        server = Host(Path(out), 0.0, bind=model)
        try:
            for index, episode in troupe.play_all(dataset.missing()):
                dataset.keep(index, episode)
            dataset.finish(troupe.kind())
        finally:
            server.kill()
        return {"lost": troupe.num_lost, "answer": answer}


def node(out: str, *flags: str) -> dict[str, int]:
    """`rollout FLAGS` on the cluster that runs here, three nodes of two CPUs: the one with the first replica is killed.

    Tells how many episodes were there when it was.
    """
    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    others = {node.node_id: node for node in [nodes.add_node(num_cpus=2) for _ in range(3)]}
    ray.init(nodes.address, log_to_driver=False, logging_level=logging.ERROR)
    command = [sys.executable, "-m", "agents", "rollout", "--cluster", "auto", "--out", out, *flags]
    rollout = subprocess.Popen(command, env={**os.environ, "RAY_ADDRESS": str(nodes.address)})
    while not (kept := list(Path(out).glob(".*.partial/episodes/[0-9]*.npz"))):
        assert rollout.poll() is None
        time.sleep(0.05)
    actors: list[Any] = ray.util.list_named_actors(all_namespaces=True)
    (named,) = (actor for actor in actors if actor["name"].endswith("replica-0"))
    where = ray.get_actor(**named).__ray_call__.remote(lambda replica: ray.get_runtime_context().get_node_id())
    nodes.remove_node(others[ray.get(where)], allow_graceful=False)
    assert rollout.wait(300) == 0
    while sum(node["Alive"] for node in ray.nodes()) > len(others):  # a death is noticed after a few seconds
        time.sleep(0.1)
    ray.shutdown()
    nodes.shutdown()
    return {"kept": len(kept)}


def doomed(*flags: str) -> NoReturn:
    """`rollout FLAGS` of a doomed worker."""
    cluster.Worker = Doomed
    sys.exit(main(["rollout", "--cluster", HERE, "--workers", "1", *flags]))


if __name__ == "__main__":
    told = {"server": server, "late": late, "node": node, "doomed": doomed}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.write("\n" + json.dumps(told) + "\n")
