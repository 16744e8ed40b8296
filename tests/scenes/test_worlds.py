"""The shipped worlds: one can walk everywhere, and nothing in the building of them is random."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from scenes import mjcf
from scenes.ground import Ground
from scenes.library import load_scene, scene_names

_GRID = 0.15  # m
DRAWN_ANEW = ("maze", "anywhere")


def ground_of(name: str, layout: str = "") -> Ground:
    build = importlib.import_module(f"scenes.{name}.build").build
    return (build(int(layout)) if layout.isdigit() else build()).ground


@pytest.mark.parametrize("name", scene_names())
def test_every_start_stands_free(name: str) -> None:
    starts = load_scene(name).starts
    assert [s.name for s in starts if not ground_of(name, s.name).is_free(s.pose.x, s.pose.y)] == []


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, "") for name in scene_names() if name not in DRAWN_ANEW]
    + [(name, str(k)) for name in DRAWN_ANEW for k in range(8)],
)
def test_every_free_place_can_be_reached(name: str, layout: str) -> None:
    ground = ground_of(name, layout)
    x, y = (np.arange(low, high, _GRID) for low, high in zip(ground.low, ground.high, strict=True))
    waiting = {(i, j) for i in range(len(x)) for j in range(len(y)) if ground.is_free(x[i], y[j])}
    assert len(waiting) > 200
    reached = [waiting.pop()]
    while reached:
        i, j = reached.pop()
        for near in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if near in waiting:
                waiting.remove(near)
                reached.append(near)
    assert len(waiting) <= 2, sorted(waiting)[:5]  # the grid may cut off the tip of a corner


def test_building_twice_gives_the_same_world() -> None:
    def built(name: str, *layout: int) -> tuple[str, dict[str, bytes], Ground]:
        mjcf._sky_files.cache_clear()  # which would keep the first one's
        blueprint = importlib.import_module(f"scenes.{name}.build").build(*layout)
        return blueprint.xml, blueprint.assets, blueprint.ground

    assert built("tabletop") == built("tabletop")
    for name in DRAWN_ANEW:
        assert built(name, 3) == built(name, 3) != built(name, 4)
