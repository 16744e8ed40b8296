"""The contract that every world keeps, and its plumbing. Importing registers `BagelWorld/Walk-v0` with Gymnasium."""

import gymnasium

ENV_ID = "BagelWorld/Walk-v0"

if ENV_ID not in gymnasium.registry:
    gymnasium.register(ENV_ID, entry_point="world.env:BagelWorldEnv")
