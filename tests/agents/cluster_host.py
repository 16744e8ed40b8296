"""A Ray cluster of several node processes, one of which is killed while a rollout runs on it.

python -m tests.agents.cluster_host OUT EPISODES

Prints one line of JSON: how many episodes were missing when the node was killed, how many workers were lost with it
while they played, and how many nodes lived at the end.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

from agents.casting import Role
from agents.cluster import Cluster, ClusterTroupe
from agents.dataset import Dataset
from agents.rollout import Rollout, Stage, collect

ROLLOUT = Rollout(Stage(model="sim"), Role(), episodes=0, steps=8, seed=3)


def main(out: Path, episodes: int) -> None:
    import ray
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    others = [nodes.add_node(num_cpus=2) for _ in range(3)]
    dataset = Dataset(out, ROLLOUT.name, ROLLOUT.request(), episodes)
    figures: dict[str, int] = {}

    def kill() -> None:
        while len(dataset.missing()) > episodes - 2:
            time.sleep(0.05)
        figures["missing when killed"] = len(dataset.missing())
        nodes.remove_node(others[0], allow_graceful=False)

    killer = threading.Thread(target=kill)
    troupe = ClusterTroupe(ROLLOUT, Cluster(str(nodes.address), workers=3, replicas=2))
    killer.start()
    collect(dataset, troupe)
    killer.join()
    while sum(node["Alive"] for node in ray.nodes()) > len(others):  # a death is noticed after a few seconds
        time.sleep(0.1)
    figures["nodes"] = sum(node["Alive"] for node in ray.nodes())
    figures["workers lost"] = troupe.num_lost
    troupe.close()
    nodes.shutdown()
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
