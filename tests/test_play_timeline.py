"""The window's timeline: forks, bookmarks and the filmstrip, by keys and clicks through the real event loop."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pygame

from tests import hand as hands
from tests.hand import Hand
from tests.world.odd_worlds import Patient
from world import shelf
from world.game import Game

at_window = hands.at_window  # the fixture


def click(hand: Hand, node: int) -> None:
    """Clicks in the middle of where a node is drawn."""
    hand.until(lambda: any(n == node for _, n in hand.player.hud.strip._under))
    [rect] = [rect for rect, n in hand.player.hud.strip._under if n == node]
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=rect.center))
    hand.player.tick()


def test_walking_from_the_past_forks_and_nothing_is_lost(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT)
    left = hand.state.digest()
    hand.walk(pygame.K_BACKSPACE, pygame.K_RIGHT)
    assert [state.actions[-1].name for state in hand.walked[1:]] == ["forward", "right"]
    assert hand.game.timeline.branches() == [(2,)]
    click(hand, 2)
    assert hand.state.digest() == left
    assert hand.game.timeline.branches() == [(3,)]


def test_the_same_step_again_leads_to_the_same_place_and_makes_no_fork(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_BACKSPACE, pygame.K_LEFT)
    assert (len(hand.game.timeline), hand.game.timeline.here) == (3, 2)


def test_redo_goes_forth_as_far_as_one_has_been(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_BACKSPACE, pygame.K_BACKSPACE, pygame.K_y)
    assert hand.state.step == 1
    hand.walk(pygame.K_y, pygame.K_y)
    assert hand.state.step == 2
    assert "walk ends" in hand.player.overlay.notice


def test_a_click_on_a_small_frame_goes_there(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_UP)
    click(hand, 1)
    assert (hand.state.step, hand.game.timeline.line()) == (1, (0, 1, 2, 3))
    click(hand, 3)
    assert hand.state.step == 3
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(1, 1)))
    hand.player.tick()
    assert hand.state.step == 3


def test_the_strip_shows_what_was_seen(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_LEFT, pygame.K_LEFT)
    hand.until(lambda: len(hand.player.hud.strip._small) == 5)
    hand.player.tick()
    window = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    for rect, node in hand.player.hud.strip._under:
        inner = window[rect.top + 12 : rect.bottom - 12, rect.left + 12 : rect.right - 12].mean((0, 1))
        assert np.abs(inner - hand.game.shelf.frame(node).mean((0, 1))).max() < 25  # its middle, so roughly


def test_the_frame_under_the_mouse_is_shown_large(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_BACKSPACE, pygame.K_RIGHT)
    [dot] = [rect for rect, node in hand.player.hud.strip._under if node == 2]
    above = pygame.Rect(dot.centerx - 20, dot.top - 150, 40, 60)  # in the frame, where nothing else is drawn

    def seen() -> bytes:
        hand.player.tick()
        return pygame.image.tobytes(pygame.display.get_surface().subsurface(above), "RGB")

    before = seen()
    pygame.event.post(pygame.event.Event(pygame.MOUSEMOTION, pos=dot.center, rel=(0, 0), buttons=(0, 0, 0)))
    assert seen() != before
    assert hand.game.history.words(2) == "2 · turn left"
    pygame.event.post(pygame.event.Event(pygame.WINDOWLEAVE))
    assert seen() == before


def test_a_click_gives_up_the_step_in_the_making(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    world.go_on.release()
    hand.walk(pygame.K_UP)
    hand.tap(pygame.K_LEFT)
    click(hand, 0)
    world.go_on.release(9)
    hand.rest()
    assert (hand.state.step, len(hand.game.timeline)) == (0, 2)


def test_branches_are_compared_side_by_side(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_c)
    assert "No other branch" in hand.player.overlay.notice
    hand.walk(pygame.K_LEFT, pygame.K_BACKSPACE, pygame.K_RIGHT, pygame.K_BACKSPACE, pygame.K_UP, pygame.K_c)
    shown = hand.player.hud._shown
    assert np.array_equal(shown["Here"][0], hand.game.shelf.frame(4))
    assert np.array_equal(shown["There"][0], hand.game.shelf.frame(3))
    hand.walk(pygame.K_c)
    assert np.array_equal(shown["There"][0], hand.game.shelf.frame(2))
    half = shown["Here"][1].get_width()
    hand.walk(pygame.K_UP)  # where no other branch is
    assert shown["Here"][1].get_width() > half
    hand.walk(pygame.K_BACKSPACE, pygame.K_c)
    assert hand.player.overlay.compared == 0


def test_bookmarks_are_set_and_gone_to(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_j)
    assert "No bookmark" in hand.player.overlay.notice
    hand.walk(pygame.K_UP, pygame.K_b, pygame.K_LEFT, pygame.K_UP, pygame.K_b, pygame.K_j)
    assert hand.state.step == 1
    hand.walk(pygame.K_j)
    assert hand.state.step == 3
    hand.walk(pygame.K_b, pygame.K_j, pygame.K_j)
    assert hand.state.step == 1
    assert hand.game.timeline.bookmarks == {1}


def test_starting_again_keeps_what_was_walked(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_HOME, pygame.K_UP, pygame.K_RIGHT)
    assert [state.step for state in hand.walked] == [0, 1, 2]
    assert hand.game.timeline.branches() == [(2,)]


def test_another_scene_has_a_timeline_of_its_own(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_b)
    hand.chord(pygame.K_n)
    assert (len(hand.game.timeline), hand.game.timeline.bookmarks) == (1, frozenset())
    hand.walk(pygame.K_LEFT, pygame.K_BACKSPACE, pygame.K_BACKSPACE)
    assert hand.state.scene.name == "second"


def walk_far(game: Game, num_steps: int) -> None:
    actions = {action.name: action for action in game.scene.actions}
    for i in range(num_steps):
        game.act(actions["left" if i % 3 else "forward"])
        while game.doing:
            game.poll()
            time.sleep(0.0002)


def test_two_thousand_states_keep_the_window_whole(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    walk_far(hand.game, 1200)
    hand.game.go(lambda tree: tree.at(600))
    walk_far(hand.game, 1)
    hand.game.undo()
    hand.tap(pygame.K_RIGHT)
    hand.rest()
    walk_far(hand.game, 800)
    assert len(hand.game.timeline) > 2000
    assert len(hand.game.shelf._recent) <= shelf.IN_MEMORY
    assert hand.state.step == 1401
    hand.player.tick()
    pygame.event.post(pygame.event.Event(pygame.MOUSEWHEEL, x=-5000, y=0))
    click(hand, 3)
    assert hand.state.step == 3
    assert hand.state.actions[-1].name == "left"
    hand.walk(pygame.K_DOWN)
    assert hand.state.step == 4
