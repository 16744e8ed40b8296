"""Who acts in a world: anything that turns what is seen into the next action."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

from world.types import Frame

Choice: TypeAlias = int | str  # the number of an action in the scene's vocabulary, or a sentence


class Stopped(Exception):
    """Whoever acts wants no more: what was finished before counts, the episode under way does not."""


class Agent(Protocol):
    """Acts in `BagelWorld/Walk-v0`, and in the tasks as far as it can tell what they are about."""

    def act(self, observation: Any, info: dict[str, Any]) -> Choice:
        """The next action, from the frame, uint8 [H, W, 3], and the environment's info.

        Where the environment shows more than the frame, the observation is a dict: "frame", "goal" (a picture),
        "words".
        """
        ...


def frame_of(observation: Any) -> Frame:
    """What is seen, in whichever form it comes."""
    return observation["frame"] if isinstance(observation, dict) else observation
