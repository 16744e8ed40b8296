"""A client to be killed: walks for ever at the address that it is given."""

from __future__ import annotations

import sys

from tests.world.toy_world import toy_scene
from world.client import RemoteWorldModel
from world.types import Action

if __name__ == "__main__":
    model = RemoteWorldModel(sys.argv[1], connect_timeout=60)
    states = model.reset([toy_scene("walker")], [99])
    while True:
        states = model.step(states, [Action("move forward", "forward", forward=0.3)])
