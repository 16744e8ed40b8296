from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.world.toy_world import ToyWorld, toy_scene
from world.recall import MOST, passed, way_back
from world.types import Action, Pose, Start, State

SCENE = toy_scene()
BY_NAME = {action.name: action for action in SCENE.actions}
FORWARD, BACK, LEFT, RIGHT = (BY_NAME[name] for name in ("forward", "back", "left", "right"))


def walked(*actions: Action) -> State:
    """Where a model that remembers its places has come by the actions."""
    [state] = ToyWorld().reset([SCENE], [1])
    for action in actions:
        state = gone(state, action)
    return state


def gone(state: State, action: Action) -> State:
    [after] = ToyWorld().step([state], [action])
    return replace(after, places=passed(state, action, after.frame))


def test_a_step_back_between_known_places_finds_the_picture_from_before_and_the_move_that_led_away() -> None:
    state = walked(FORWARD, FORWARD, BACK)
    found = way_back(state, BACK)
    assert found is not None
    place, move = found
    assert (place.pose, move) == (SCENE.starts[0].pose, FORWARD)
    assert np.array_equal(place.frame, walked().frame)
    assert way_back(state, LEFT) is None
    assert way_back(walked(FORWARD, FORWARD), BACK) is None  # whether one has come so far is not known yet


def test_a_place_that_looks_otherwise_ends_the_trust_in_all_of_them() -> None:
    state = walked(FORWARD, FORWARD, BACK)
    strange = replace(state, frames=(*state.frames[:-1], 255 - state.frame))
    assert way_back(strange, BACK) is None
    [place] = gone(strange, BACK).places
    assert place.pose == state.pose
    assert np.array_equal(place.frame, strange.frame)


def test_the_last_step_of_a_full_turn_finds_the_start() -> None:
    state = walked(*[LEFT] * 23)
    found = way_back(state, LEFT)
    assert found is not None
    place, move = found
    assert (place.pose, move) == (SCENE.starts[0].pose, RIGHT)


def test_what_the_own_past_ends_with_is_not_read_twice() -> None:
    state = walked(LEFT, LEFT)
    assert way_back(state, RIGHT) is None
    assert way_back(replace(state, frames=state.frames[-1:], actions=()), RIGHT) is not None


def test_a_place_without_a_single_move_from_there_is_no_way_back() -> None:
    assert way_back(walked(LEFT, LEFT), Action("turn right 30 degrees", yaw=-30.0)) is None


def test_who_stays_is_shown_what_was_seen_at_first() -> None:
    state = walked(BY_NAME["stay"], BY_NAME["stay"])
    found = way_back(state, BY_NAME["stay"])
    assert found is not None
    assert (found[0].pose, found[1]) == (state.pose, BY_NAME["stay"])
    assert way_back(state, Action("open the door")) is None


def test_a_place_stays_as_it_was_seen_first() -> None:
    returned = walked(FORWARD, BACK)
    faded = replace(returned, frames=(*returned.frames[:-1], np.maximum(returned.frame, 3) - 3))
    [start, _] = gone(faded, FORWARD).places
    assert start.pose == SCENE.starts[0].pose
    assert np.array_equal(start.frame, walked().frame)


def test_places_are_forgotten_after_words_that_nobody_can_reckon_with_and_after_a_wall() -> None:
    state = walked(FORWARD, FORWARD)
    assert len(state.places) == 2
    assert len(passed(state, BY_NAME["stay"], state.frame)) == 3
    assert passed(state, Action("open the door"), state.frame) == ()
    assert passed(state, FORWARD, state.frame) == ()


def test_the_oldest_places_make_room() -> None:
    state = walked()
    places = tuple(Start("", Pose(x=1.0 + i), state.frame) for i in range(MOST))
    kept = passed(replace(state, places=places), FORWARD, 255 - state.frame)
    assert len(kept) == MOST
    assert (kept[0].pose, kept[-1].pose) == (Pose(x=2.0), state.pose)
