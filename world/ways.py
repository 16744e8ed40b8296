"""The fewest moves that lead to a goal, by looking through the floor plan breadth first: what a perfect agent needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from world.types import Action, Pose

Slide = Callable[[Pose, Action], Pose]


def fewest_moves(
    start: Pose, moves: Sequence[Action], slide: Slide, is_there: Callable[[Pose], bool], most: int
) -> int:
    """How many of the moves it takes from `start` to a pose that is there; `most` + 1 where so many do not suffice.

    Poses that differ by less than a centimetre or a degree count as one.
    """
    if is_there(start):
        return 0
    edge, known = [start], {_key(start)}
    for count in range(1, most + 1):
        new: list[Pose] = []
        for pose in edge:
            for move in moves:
                after = slide(pose, move)
                if (key := _key(after)) in known:
                    continue
                if is_there(after):
                    return count
                known.add(key)
                new.append(after)
        edge = new
    return most + 1


def _key(pose: Pose) -> tuple[int, ...]:
    return (
        round(pose.x * 100),
        round(pose.y * 100),
        round(pose.yaw) % 360,
        round(pose.pitch),
        round(pose.object_yaw) % 360,
    )
