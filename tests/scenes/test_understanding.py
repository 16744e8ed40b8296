"""Sentences and questions: who knows everything is always right, and who mishears is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from scenes import answers, wordings
from scenes.answers import Question
from scenes.dreaming import CopyLastFrame
from scenes.estimates import ALL
from scenes.library import load_scene
from scenes.simulator import SimulatorWorld
from scenes.wordings import Saying
from world.phrases import MOVES, PHRASES
from world.questions import QUESTIONS, THINGS, truth
from world.testing import check_world_model
from world.types import Action, State, WorldSpec
from world.walks import HELD_OUT

pytestmark = pytest.mark.gl


@pytest.fixture(scope="module")
def world() -> Iterator[SimulatorWorld]:
    world = SimulatorWorld(size=32)
    yield world
    world.close()


def test_a_world_in_which_nothing_moves_keeps_the_contract() -> None:
    check_world_model(CopyLastFrame(), load_scene("studio"), tolerance=0)


@pytest.fixture(scope="module")
def states(world: SimulatorWorld) -> list[State]:
    scenes = [load_scene(name) for name in ("garden", "tabletop") for _ in range(10)]
    begun = [scene.starting_at(world.random_start(scene, HELD_OUT + i)) for i, scene in enumerate(scenes)]
    return world.reset(begun, range(len(begun)))


@pytest.fixture(scope="module")
def said(world: SimulatorWorld, states: list[State]) -> list[Saying]:
    return wordings.sayings(world, states[8:12], 40)


@pytest.fixture(scope="module")
def asked(world: SimulatorWorld, states: list[State]) -> list[Question]:
    return answers.questions(world, states)


class Deaf(SimulatorWorld):
    """Knows the moves, but hears no numbers."""

    def step(self, states: Sequence[State], actions: Sequence[Action]) -> list[State]:
        return super().step(states, [self._heard(s, a) for s, a in zip(states, actions, strict=True)])

    def _heard(self, state: State, action: Action) -> Action:
        turned = next((a for a in state.scene.actions if a.yaw * action.yaw > 0), action)
        return turned if action.yaw and not action.forward else action


class Teller(SimulatorWorld):
    """A simulator that answers out of what it knows."""

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec("teller", frozenset({"pose", "ask"}))

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        kind, thing = next(
            (kind, thing)
            for kind, phrases in QUESTIONS.items()
            for phrase in phrases
            for thing in THINGS
            if phrase.format(thing=thing) == question
        )
        if kind == "place":
            return [state.scene.name for state in states]
        seen = [self.sights(state.scene, [state.pose])[0].get(thing) for state in states]
        return [str(truth(kind, thing, sight)).capitalize() + "." for sight in seen]


class Nodding(CopyLastFrame):
    """Says yes to everything."""

    @property
    def spec(self) -> WorldSpec:
        return WorldSpec("nodding", frozenset({"ask"}))

    def ask(self, states: Sequence[State], question: str) -> list[str]:
        return ["yes"] * len(states)


def test_the_simulator_understands_every_sentence(world: SimulatorWorld, said: list[Saying]) -> None:
    figures = wordings.measure(world, said)
    assert figures["wording_accuracy"][ALL].value == figures["sentence_accuracy"][ALL].value == 1


def test_who_hears_no_numbers_does_the_single_moves_alone(said: list[Saying]) -> None:
    deaf = Deaf(size=32)
    figures = wordings.measure(deaf, said[::4])
    deaf.close()
    assert figures["wording_accuracy"][ALL].value == 1
    assert figures["sentence_accuracy"][ALL].value < 0.9


def test_sentences_are_of_all_moves_and_in_other_words(said: list[Saying]) -> None:
    texts = {s.action.text for s in said}
    assert not texts & {PHRASES[action.name][0] for s in said for action in s.state.scene.actions}
    moves = {move for move in MOVES for words in PHRASES[move] if words in texts}
    assert len(moves) > 0.8 * len(MOVES)
    assert all((s.action.object_yaw == 0) for s in said if s.state.scene.name == "garden")


def test_who_knows_what_is_seen_answers_every_question(asked: list[Question]) -> None:
    teller = Teller(size=32)
    figures = answers.measure(teller, asked)
    teller.close()
    assert figures["answers"][ALL].value == 1
    assert {f"answers_{kind}" for kind in QUESTIONS} < figures.keys()


def test_who_always_says_yes_is_right_half_of_the_time(asked: list[Question]) -> None:
    figures = answers.measure(Nodding(), asked)
    assert 0.1 < figures["answers_see"][ALL].value < 0.9
    assert figures["answers_place"][ALL].value == 0


def test_a_model_without_answers_has_no_such_figures(world: SimulatorWorld, asked: list[Question]) -> None:
    assert answers.measure(world, asked) == {}
