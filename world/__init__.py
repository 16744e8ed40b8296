"""The contract that every world keeps, and its plumbing. Importing registers the environments with Gymnasium:
`BagelWorld/Walk-v0` and, for every task, e.g. `BagelWorld/ReachGoal-v0`."""

import gymnasium

ENV_ID = "BagelWorld/Walk-v0"
_MAX_STEPS = {"Explore": 100, "ReachGoal": 60, "FindObject": 60, "RotateObject": 24}
TASK_IDS = {task: f"BagelWorld/{task}-v0" for task in _MAX_STEPS}

if ENV_ID not in gymnasium.registry:
    gymnasium.register(
        ENV_ID, entry_point="world.env:BagelWorldEnv", vector_entry_point="world.vector_env:WalkVectorEnv"
    )
    for _task, _id in TASK_IDS.items():
        gymnasium.register(
            _id,
            entry_point="world.task_env:TaskEnv",
            vector_entry_point="world.vector_env:TaskVectorEnv",
            max_episode_steps=_MAX_STEPS[_task],
            kwargs={"task": _task},
        )
