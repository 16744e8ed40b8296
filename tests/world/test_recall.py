from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.world.toy_world import ToyWorld, draw, toy_scene
from world.recall import MOST, Reckon, passed, unhindered, way_back
from world.types import Action, Pose, Scene, Start, State

SCENE = toy_scene()
BY_NAME = {action.name: action for action in SCENE.actions}
FORWARD, BACK, LEFT, RIGHT = (BY_NAME[name] for name in ("forward", "back", "left", "right"))


def walked(*actions: Action, reckon: Reckon = unhindered) -> State:
    """Where a model that remembers its places has come by the actions."""
    [state] = ToyWorld().reset([SCENE], [1])
    for action in actions:
        state = gone(state, action, reckon)
    return state


def gone(state: State, action: Action, reckon: Reckon = unhindered) -> State:
    [after] = ToyWorld().step([state], [action])
    pose = reckon(state.scene, state.pose, action)
    frames = (*after.frames[:-1], draw(pose, after.seed, after.step))
    return replace(after, frames=frames, pose=pose, places=passed(state, action, frames[-1], reckon))


def at_a_wall(scene: Scene, pose: Pose, action: Action) -> Pose:
    """The plan of a room that ends at x = 0.4."""
    aim = pose.moved(action)
    return replace(aim, x=min(aim.x, 0.4))


def begun_anew(state: State) -> State:
    """With its newest picture alone in context."""
    return replace(state, frames=state.frames[-1:], actions=())


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
    state = walked(FORWARD, FORWARD)
    there = 255 - gone(state, BACK).frame
    assert passed(state, BACK, there) == ()
    strange = replace(gone(state, BACK), frames=(there,), actions=(), places=())
    [place] = gone(strange, BACK).places
    assert place.pose == strange.pose
    assert np.array_equal(place.frame, there)


def test_nothing_speaks_against_a_turn() -> None:
    state = walked(LEFT, LEFT, RIGHT)
    strange = replace(
        state, frames=(*state.frames[:-1], 255 - state.frame)
    )  # what was never seen is drawn anew each time
    found = way_back(strange, RIGHT)
    assert found is not None
    assert found[0].pose == SCENE.starts[0].pose
    assert gone(strange, RIGHT).places == state.places
    assert len(passed(state, RIGHT, state.frame)) == len(state.places)  # no change to be seen


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


def test_on_a_plan_a_wall_makes_nobody_forget_and_a_walk_along_it_is_known_where_it_is() -> None:
    state = walked(*[FORWARD] * 4, reckon=at_a_wall)
    assert [round(place.pose.x, 3) for place in state.places] == [0.0, 0.3, 0.4]
    assert passed(state, FORWARD, state.frame, at_a_wall) == state.places
    assert passed(state, FORWARD, state.frame) == ()
    found = way_back(gone(state, BACK, at_a_wall), FORWARD, at_a_wall)
    assert found is not None
    assert (found[0].pose.x, found[1]) == (0.4, BACK)


def test_on_a_plan_a_step_over_the_floor_leads_back_from_a_place_that_is_new() -> None:
    state = begun_anew(walked(FORWARD, FORWARD, BACK, reckon=at_a_wall))  # at x = 0.1, where one was not before
    found = way_back(state, FORWARD, at_a_wall)
    assert found is not None
    assert (found[0].pose.x, found[1]) == (0.4, BACK)
    assert way_back(begun_anew(walked(FORWARD, FORWARD)), BACK) is None


def test_on_a_plan_a_place_that_looks_otherwise_has_only_faded() -> None:
    state = begun_anew(walked(FORWARD, FORWARD, BACK, BACK, FORWARD, reckon=at_a_wall))
    strange = replace(state, frames=(255 - state.frame,))
    found = way_back(strange, BACK, at_a_wall)
    assert found is not None
    assert found == way_back(state, BACK, at_a_wall)
    assert gone(strange, BACK, at_a_wall).places == gone(state, BACK, at_a_wall).places


def test_who_pushes_against_a_wall_is_shown_the_place_unless_the_own_past_ends_with_it() -> None:
    state = walked(FORWARD, FORWARD, FORWARD, reckon=at_a_wall)
    assert way_back(state, FORWARD, at_a_wall) is None
    found = way_back(gone(state, FORWARD, at_a_wall), FORWARD, at_a_wall)
    assert found is not None
    assert (found[0].pose, found[1]) == (state.pose, BY_NAME["stay"])


def test_words_that_nobody_can_reckon_with_make_forget_on_a_plan_too() -> None:
    state = walked(FORWARD, reckon=at_a_wall)
    assert way_back(state, Action("open the door"), at_a_wall) is None
    assert passed(state, Action("open the door"), state.frame, at_a_wall) == ()
