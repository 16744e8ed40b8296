"""Previews, taking a step early, refining, and looking before one steps: through the real event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pygame
import pytest

from tests import hand as hands
from tests.hand import Hand
from tests.world.odd_worlds import Patient, Sketching
from tests.world.toy_world import ToyWorld
from world.journal import reopened
from world.lookahead import likely
from world.making import Options
from world.settings import PRESETS, SamplerConfig
from world.types import Action, State, vocabulary

at_window = hands.at_window  # the fixture
MOVES = {action.name: action for action in vocabulary()}


class Tunable(ToyWorld):
    """Draws the number of its evaluations into every frame, and remembers all steps."""

    def __init__(self, sampler: SamplerConfig = PRESETS["quality"], steps: list[int] | None = None) -> None:
        super().__init__()
        self.sampler = sampler
        self.steps = [] if steps is None else steps

    def with_sampler(self, sampler: SamplerConfig) -> Tunable:
        return Tunable(sampler, self.steps)

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        self.steps.append(self.sampler.num_timesteps)
        new = super().step(states, actions)
        for state in new:
            state.frame[:4, :4] = self.sampler.num_timesteps
        return new


def test_a_preview_is_shown_while_a_frame_is_drawn(at_window: Callable[..., Hand]) -> None:
    hand = at_window({"sketch": Sketching(0.02)})
    hand.tap(pygame.K_UP)
    hand.until(lambda: hand.game.watch.frame is not None)
    assert hand.game.doing == "step"
    assert 0 < hand.game.watch.share < 1
    hand.player.tick()
    assert hand.player.hud._shown["Here"][0] is hand.game.watch.frame
    hand.rest()
    assert hand.state.step == 1


def test_escape_cancels_a_step_at_its_next_evaluation(at_window: Callable[..., Hand]) -> None:
    world = Sketching(0.1)
    hand = at_window({"sketch": world})
    hand.tap(pygame.K_UP)
    hand.until(lambda: world.evaluations > 2)
    hand.tap(pygame.K_ESCAPE)
    hand.rest()
    assert (hand.state.step, hand.player.running, hand.game.problem) == (0, True, "")
    assert world.evaluations < 50


def test_enter_takes_a_step_as_it_is_and_the_session_keeps_it(at_window: Callable[..., Hand]) -> None:
    world = Sketching(0.1)
    hand = at_window({"sketch": world})
    hand.tap(pygame.K_UP)
    hand.until(lambda: world.evaluations > 2)
    hand.tap(pygame.K_RETURN)
    hand.rest()
    assert world.evaluations < 50
    assert (hand.state.step, hand.state.pose.x) == (1, 0.3)
    hand.player.tick()
    assert hand.game.history.journal is not None
    session = reopened(hand.game.history.journal.path)
    given = session.made[1].given
    assert given is not None
    assert np.array_equal(given, hand.state.frame)
    assert session.plan.steps[1].action == MOVES["forward"]


def test_enter_without_a_step_to_take_says_so(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_RETURN)
    assert "No step in the making" in hand.player.overlay.notice


def test_a_held_key_draws_roughly_and_its_last_frame_is_refined(at_window: Callable[..., Hand]) -> None:
    world = Tunable()
    hand = at_window({"tunable": world})
    hand.game.options = Options(refine=True)
    hand.down(pygame.K_UP)
    hand.until(lambda: hand.state.step >= 3)
    hand.up(pygame.K_UP)
    hand.until(lambda: not hand.game.doing and not hand.game.history.nodes[hand.game.timeline.here].rough)
    num = len(hand.game.timeline)
    assert world.steps[0] == 5  # the press itself; what is repeated is drawn roughly
    assert set(world.steps[1:-1]) == {2}
    assert world.steps[-1] == 5
    assert (hand.state.frame[0, 0] == 5).all()
    assert num == hand.state.step + 1
    digests = [node.state for node in hand.game.history.nodes]
    hand.player.open(str(hand.game.history.journal.path if hand.game.history.journal else ""))
    hand.until(lambda: hand.comparison is not None and not hand.game.doing)
    assert [node.state for node in hand.game.history.nodes] == digests
    assert hand.comparison is not None
    assert hand.comparison.matched


def imagined(hand: Hand) -> set[str]:
    node = hand.game.history.nodes[hand.game.timeline.here]
    return {action.name for action in hand.game.futures.at(node.state)}


def test_what_was_imagined_is_there_in_the_same_draw(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.game.options = Options(look_ahead=3)
    hand.until(lambda: imagined(hand))
    assert imagined(hand) == {"forward", "left", "right"}
    expected = ToyWorld().step([hand.state], [MOVES["left"]])[0].digest()
    hand.down(pygame.K_LEFT)
    hand.up(pygame.K_LEFT)
    hand.player.tick()
    assert hand.state.step == 1
    assert hand.state.digest() == expected
    hand.until(lambda: imagined(hand))
    hand.walk(pygame.K_a)
    assert hand.game.futures.hit_rate == 0.5


def test_asked_work_goes_first_and_a_wrong_guess_costs_nothing(at_window: Callable[..., Hand]) -> None:
    world = Sketching(0.04)
    hand = at_window({"sketch": world})
    hand.game.options = Options(look_ahead=3)
    hand.until(lambda: world.evaluations > 1)
    assert hand.game.looking
    assert hand.game.doing == ""
    hand.tap(pygame.K_a)
    hand.until(lambda: hand.game.doing == "step")
    assert world.evaluations < 25
    hand.rest()
    assert [a.name for a in hand.state.actions] == ["strafe_left"]


def test_futures_are_imagined_in_one_batch_and_stop_when_switched_off(at_window: Callable[..., Hand]) -> None:
    world = Patient()
    hand = at_window({"toy": world})
    hand.tap(pygame.K_l)
    hand.until(lambda: world.batches)
    world.go_on.release()
    hand.until(lambda: imagined(hand))
    assert world.batches == [3]
    hand.tap(pygame.K_l)
    world.go_on.release(2)
    hand.walk(pygame.K_UP)
    hand.until(lambda: not hand.game.looking)
    assert hand.game.options.look_ahead == 0
    assert world.batches == [3]


def test_a_session_with_imagined_steps_replays_exactly(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.game.options = Options(look_ahead=3)
    hand.until(lambda: imagined(hand))
    hand.walk(pygame.K_UP)
    [made] = hand.game.history.session(hand.game.worlds.walker(hand.game.seed)).made.values()
    assert [a.name for a in made.batch] == ["forward", "left", "right"]


def test_the_same_again_is_the_likeliest_and_then_what_followed_it_before() -> None:
    walked = [MOVES[name] for name in ("forward", "up", "forward", "up", "forward")]
    assert [a.name for a in likely(walked, vocabulary(), 3)] == ["forward", "up", "left"]
    assert [a.name for a in likely([], vocabulary(), 2)] == ["forward", "left"]
    assert likely([], vocabulary(), 0) == ()


def test_settings_count_from_the_next_step_on(at_window: Callable[..., Hand]) -> None:
    world = Tunable()
    hand = at_window({"tunable": world})
    hand.walk(pygame.K_UP, pygame.K_o)
    hand.tap(pygame.K_DOWN, pygame.K_RIGHT, pygame.K_ESCAPE)
    hand.walk(pygame.K_UP)
    assert world.steps == [5, 7]
    assert hand.game.worlds.sampler == SamplerConfig(7, 3.0, 1.0, 1.0)
    hand.walk(pygame.K_o)
    hand.tap(pygame.K_DOWN, pygame.K_LEFT, pygame.K_ESCAPE)
    assert hand.game.worlds.sampler is None


@pytest.mark.parametrize("world", [ToyWorld(), Tunable()])
def test_every_setting_is_drawn_and_none_can_be_set_wrong(at_window: Callable[..., Hand], world: ToyWorld) -> None:
    hand = at_window({"world": world})
    pygame.display.set_mode((1000, 800), pygame.RESIZABLE)
    hand.walk(pygame.K_o)
    for _ in range(13):  # once around
        for key in (pygame.K_LEFT, pygame.K_RIGHT):
            for _ in range(20):
                hand.down(key)
            hand.player.tick()
        hand.tap(pygame.K_DOWN)
    hand.tap(pygame.K_ESCAPE)
    hand.walk(pygame.K_UP)
    assert hand.game.problem == ""
    assert hand.player.panel is None
