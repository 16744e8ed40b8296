"""Truth beside dream and the map: by keys through the real event loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pygame

from scenes.floor import floor_of
from tests import hand as hands
from tests.hand import Hand, ToyTruth, likeness
from tests.world.toy_world import ToyWorld, draw, toy_scene
from world import models
from world.closure import returned_to
from world.errors import RenderError
from world.recording import frame_digest
from world.replay import again
from world.surroundings import Surroundings
from world.truth import TruthBeside
from world.types import Pose, TrueWorld

at_window = hands.at_window  # the fixture


def truth_of(hand: Hand) -> TruthBeside:
    return hand.player.hud.truth


def pixels(hand: Hand) -> bytes:
    """What is seen left of the panel, whose figures change by themselves."""
    hand.player.tick()
    hand.player.tick()
    window = pygame.display.get_surface()
    return pygame.image.tobytes(window.subsurface((0, 0, window.get_width() * 7 // 10, window.get_height())), "RGB")


def test_t_shows_the_truth_under_the_same_actions(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT)
    before = pixels(hand)
    hand.walk(pygame.K_t)
    hand.until(lambda: truth_of(hand).at(hand.game, 2))
    found = truth_of(hand).at(hand.game, 2)
    assert found is not None
    assert found.pose == hand.state.pose
    assert np.array_equal(found.frame, ToyTruth().step([hand.walked[1]], [hand.state.actions[-1]])[0].frame)
    assert found.likeness == likeness(hand.state.frame, found.frame)
    assert pixels(hand) != before
    assert hand.state.step == 2
    hand.walk(pygame.K_t)
    assert not truth_of(hand).shown


def test_the_drift_curve_follows_the_walk_and_the_fork(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_t, pygame.K_UP, pygame.K_UP, pygame.K_LEFT)
    hand.until(lambda: len(truth_of(hand).drift(hand.game)) == 4)
    hand.walk(pygame.K_BACKSPACE, pygame.K_BACKSPACE, pygame.K_RIGHT)
    hand.until(lambda: len(truth_of(hand).drift(hand.game)) == 3)


def test_anchoring_sets_the_dream_on_the_truth(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.chord(pygame.K_a)
    assert "Nothing to anchor on" in hand.player.overlay.notice
    hand.walk(pygame.K_UP, pygame.K_t)
    hand.until(lambda: truth_of(hand).at(hand.game, 1))
    true = truth_of(hand).at(hand.game, 1)
    assert true is not None
    hand.chord(pygame.K_a)
    assert len(hand.game.timeline) == 3
    assert np.array_equal(hand.state.frame, true.frame)
    assert (hand.state.frames[:-1], hand.state.memory, hand.state.step) == ((), (), 1)
    hand.until(lambda: len(truth_of(hand).drift(hand.game)) == 3)
    assert truth_of(hand).drift(hand.game)[-1] > 35  # the toy's noise is another one, nothing else


def test_a_picture_has_no_truth(at_window: Callable[..., Hand]) -> None:
    hand = at_window(scene=toy_scene("photo"))
    hand.walk(pygame.K_t)
    assert "does not know this picture" in hand.player.overlay.notice
    assert not truth_of(hand).shown


def test_the_simulator_itself_has_no_truth_beside(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"sim": ToyTruth()})
    hand.walk(pygame.K_t)
    assert "the truth already" in hand.player.overlay.notice


def test_a_simulator_that_cannot_draw_leaves_the_dream_as_it_is(at_window: Callable[..., Hand]) -> None:
    def broken() -> TrueWorld:
        raise RenderError("the simulator cannot draw: apt-get install libegl1")

    hand = at_window()
    truth_of(hand)._surroundings = Surroundings(open_truth=broken)
    hand.walk(pygame.K_t)
    hand.until(lambda: hand.game.problem)
    assert hand.game.problem == "the simulator cannot draw: apt-get install libegl1"
    hand.walk(pygame.K_UP)
    assert (hand.state.step, hand.game.problem, truth_of(hand).shown) == (1, "", False)


def test_the_map_is_shown_and_hidden_and_grows(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    pygame.display.set_mode((1200, 900), pygame.RESIZABLE)
    hand.walk(pygame.K_UP)
    hand.until(lambda: hand.player.hud.minimap._drawn_for and hand.player.hud.minimap._drawn_for[3])
    before = pixels(hand)
    hand.walk(pygame.K_m)
    without = pixels(hand)
    assert without != before
    hand.walk(pygame.K_m)
    assert pixels(hand) == before
    hand.walk(pygame.K_b)
    assert pixels(hand) != before


def test_the_map_tells_how_the_place_looks_to_which_one_returns(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    pygame.display.set_mode((1200, 900), pygame.RESIZABLE)
    hand.walk(*[pygame.K_LEFT] * 4)
    assert hand.player.hud.minimap.closure == ""
    hand.walk(*[pygame.K_RIGHT] * 4)
    hand.player.tick()
    assert hand.player.hud.minimap.closure.startswith("seen at step 0 too:\n4")


def test_a_return_needs_that_one_has_been_away() -> None:
    away = [Pose(), Pose(x=0.3), Pose(x=0.6), Pose(x=0.3), Pose(x=0.01)]
    assert returned_to(away) == 0
    assert returned_to(away[:4]) is None
    assert returned_to([Pose(), Pose(x=0.1)]) is None
    assert returned_to([Pose(yaw=-179.0), Pose(yaw=90.0), Pose(yaw=179.0)]) == 0
    assert returned_to([]) is None


def test_the_floor_of_a_scene_is_its_walls_and_what_stands_there() -> None:
    floor = floor_of(models.load_scene("tabletop"))
    assert floor is not None
    assert len(floor.outlines) > 3
    (left, bottom), (right, top) = floor.outlines[0][0], floor.outlines[0][2]
    assert any(left < x < right and bottom < y < top for outline in floor.outlines[1:] for x, y in outline)
    assert floor_of(toy_scene("photo")) is None


def test_the_map_has_walls_where_the_simulator_knows_them(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    pygame.display.set_mode((1200, 900), pygame.RESIZABLE)
    hand.player.tick()
    hand.until(lambda: hand.player.hud.minimap._drawn_for and hand.player.hud.minimap._drawn_for[3])


def test_one_key_goes_on_in_the_truth_and_another_time_back_in_the_dream(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"toy": ToyWorld(), "sim": ToyTruth()})
    hand.walk(pygame.K_UP, pygame.K_k)
    assert hand.game.address == "sim"
    np.testing.assert_array_equal(hand.state.frame, draw(hand.state.pose, 0, 0))
    hand.walk(pygame.K_LEFT, pygame.K_k, pygame.K_UP)
    assert hand.game.address == "toy"
    assert hand.state.step == 3
    session = hand.game.history.session(hand.game.worlds.walker(hand.game.seed))
    assert session.model == "toy"
    drawn = list(again(ToyWorld(), session))
    assert [frame_digest(state.frame) for state in drawn] == list(session.digests[0])


def test_walking_anew_is_walking_at_home(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"toy": ToyWorld(), "sim": ToyTruth()})
    hand.walk(pygame.K_k, pygame.K_HOME)
    assert (hand.game.address, hand.state.step) == ("toy", 0)


def test_a_picture_has_no_truth_to_walk_in(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"toy": ToyWorld(), "sim": ToyTruth()}, toy_scene())
    hand.walk(pygame.K_k)
    assert "does not know this picture" in hand.player.overlay.notice
    assert hand.game.address == "toy"
