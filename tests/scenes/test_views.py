"""Views from the start picture: from which view each is made, and that all the pictures of its context are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenes.views import distance, make_views, need_views, view_tree
from tests.world.toy_world import ToyWorld, toy_scene
from world import models
from world.errors import ModelError
from world.scripting import parse_plan
from world.session import Session
from world.types import Action, Frame, State, WorldModel, WorldSpec, vocabulary

GOLDEN = "tests/golden/a"  # as the published BAGEL-7B, it keeps one picture by itself
MOVES = WorldSpec("mover", frozenset({"free_text", "context"}))
MOTIONS = WorldSpec("editor", MOVES.supports | {"motions"})
RING = parse_plan("(left*90deg @view)*4", vocabulary())


def test_a_ring_of_views_grows_on_both_sides_of_the_start() -> None:
    tree = view_tree(MOVES, RING, toy_scene())
    assert len(tree) == 23  # the last of the 24 steps shows the start again
    assert max(view.depth for view in tree.values()) == 12
    assert {view.action.name for view in tree.values()} == {"left", "right"}
    assert tree[1].parent == tree[23].parent == 0


def test_a_model_that_is_told_motions_makes_the_views_alone() -> None:
    tree = view_tree(MOTIONS, RING, toy_scene())
    assert {i: (view.parent, view.action.yaw) for i, view in tree.items()} == {6: (0, 90), 18: (0, -90), 12: (6, 90)}
    assert tree[12].action.text == "turn left 90 degrees"


def test_where_the_scene_has_no_single_move_the_words_of_the_script_lead_on() -> None:
    plan = parse_plan("/turn left 20 degrees/*3 @end", vocabulary())
    tree = view_tree(MOVES, plan, toy_scene())
    assert [(i, tree[i].parent, tree[i].action.text) for i in sorted(tree)] == [
        (i, i - 1, "turn left 20 degrees") for i in (1, 2, 3)
    ]


def test_a_model_of_one_picture_at_a_time_is_refused() -> None:
    with pytest.raises(ModelError, match="one picture at a time"):
        need_views(WorldSpec("engine", frozenset({"free_text"})), RING)


class Asked(ToyWorld):
    """Notes the states that it is asked to go on from."""

    def __init__(self) -> None:
        super().__init__(MOTIONS.supports)
        self.states: list[State] = []

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.states += states
        return super().step(states, actions)


def test_the_context_of_a_view_tells_where_each_of_its_moves_began(tmp_path: Path) -> None:
    model = Asked()
    make_views(model, Session("toy", toy_scene(), RING, (3,)), tmp_path)
    assert {len(state.actions) for state in model.states} == {0, 1}
    for state in model.states:
        ends = (*state.origins, state.pose)
        for origin, action, end in zip(state.origins, state.actions, ends[1:], strict=True):
            assert distance(origin.moved(action), end) < 1e-6


@pytest.fixture(scope="module")
def golden() -> WorldModel:
    return models.load(GOLDEN, device="cpu")


def test_a_model_that_keeps_one_picture_reads_every_view_of_a_whole_context(golden: WorldModel) -> None:
    """The start, the newest and the one between them: each changes what comes, and none does where it is not asked."""
    assert {"context", "motions"} <= golden.spec.supports
    [begun] = golden.reset([toy_scene(size=64)], [3])
    row = [np.roll(begun.frame, shift, axis=1) for shift in (0, 20, 40)]

    def seen(frames: list[Frame], *, whole: bool) -> Frame:
        left = Action("turn left 90 degrees", yaw=90.0)
        state = replace(begun, frames=tuple(frames), actions=(left, left), whole=whole)
        [after] = golden.step([state], [left])
        assert (len(after.frames), after.whole) == (1, False)
        return after.frame

    for k in (0, 1):
        other = [255 - frame if i == k else frame for i, frame in enumerate(row)]
        assert (seen(other, whole=True) != seen(row, whole=True)).any()
        assert (seen(other, whole=False) == seen(row, whole=False)).all()
