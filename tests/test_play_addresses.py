"""The window on models from elsewhere: behind a socket, and in a directory in the release's layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pygame
import pytest

import play
from tests import hand as hands
from tests.hand import Hand
from tests.test_play_words import say, texts
from tests.world.conftest import Served
from tests.world.toy_world import ToyWorld
from world import models, overlays
from world.making import Options
from world.server import ServerOptions
from world.session import load_session
from world.settings import PRESETS, SamplerConfig
from world.types import WorldModel

ROOT = Path(play.__file__).parent
at_window = hands.at_window  # the fixture


class Address(dict[str, WorldModel]):
    """One address, whose model is loaded where the game asks for it: in its thread."""

    def __init__(self, address: str, sampler: SamplerConfig | None = None) -> None:
        super().__init__({address: ToyWorld()})
        self._sampler = sampler

    def __getitem__(self, address: str) -> WorldModel:
        return models.load(address, sampler=self._sampler)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[WorldModel], Served]]:
    running: list[Served] = []

    def serve(model: WorldModel) -> Served:
        running.append(Served(model, f"ipc://{tmp_path}/model", ServerOptions()))
        return running[-1]

    yield serve
    for server in running:
        server.end()


def test_a_served_world_is_walked_like_any_other(
    served: Callable[[WorldModel], Served], at_window: Callable[..., Hand]
) -> None:
    hand = at_window(Address(served(ToyWorld()).address))
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_BACKSPACE, pygame.K_RIGHT)
    say(hand, "open the gate")
    hand.game.options = Options(look_ahead=3)
    node = hand.game.history.nodes[hand.game.timeline.here].state
    hand.until(lambda: hand.game.futures.at(node))
    hand.walk(pygame.K_o, pygame.K_ESCAPE)
    assert texts(hand) == ["move forward", "turn left", "turn right", "open the gate"]
    assert hand.game.problem == ""


def test_a_server_that_is_gone_is_told_on_a_card(
    served: Callable[[WorldModel], Served], at_window: Callable[..., Hand]
) -> None:
    server = served(ToyWorld())
    hand = at_window(Address(server.address))
    hand.walk(pygame.K_UP)
    model = hand.game.model
    assert model is not None
    model.timeout = 1.0  # pyright: ignore[reportAttributeAccessIssue]
    server.end()
    hand.tap(pygame.K_UP)
    hand.until(lambda: "nobody listens" in overlays.way_out(hand.game))
    hand.rest()
    assert hand.state.step == 1
    assert hand.game.problem
    hand.walk(pygame.K_BACKSPACE)
    assert (hand.state.step, hand.player.running) == (0, True)


def test_what_was_walked_at_a_served_tiny_comes_out_the_same_at_the_tiny_itself(
    served: Callable[[WorldModel], Served], at_window: Callable[..., Hand], tmp_path: Path
) -> None:
    address = served(models.load("tiny")).address
    hand = at_window(Address(address))
    hand.game.options = Options(time_skip=2)
    hand.chord(pygame.K_LEFT, pygame.KMOD_LSHIFT)
    hand.until(lambda: hand.state.step == 2 and not hand.game.doing, seconds=120)
    hand.chord(pygame.K_s)
    session = hand.player.saved[-1]
    assert load_session(session).model == "tiny"
    assert play.main([str(session), "--replay", "--model", "tiny", "--out", str(tmp_path / "again")]) == 0


def test_a_checkpoint_directory_is_walked_and_its_session_asks_where_it_is(
    at_window: Callable[..., Hand], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(ROOT / "tests" / "golden" / "a", folder)
    hand = at_window(Address(str(folder), PRESETS["fast"]))
    hand.walk(pygame.K_r, pygame.K_UP, pygame.K_LEFT)
    hand.tap(pygame.K_r)
    hand.until(lambda: hand.player.saved)
    lines = [json.loads(line) for line in (tmp_path / "first.ndjson").read_text().splitlines()]
    assert [line["action"]["name"] for line in lines[1:]] == ["forward", "left"]  # one picture is all its context
    assert hand.game.history.words(2) == "2 · turn left"
    hand.chord(pygame.K_s)
    session = str(hand.player.saved[-1])
    again = ["--replay", "--out", str(tmp_path / "again")]
    assert play.main([session, *again]) == 2
    assert "was walked by a model called 'mine': say where it is, with --model" in capsys.readouterr().err
    assert play.main([session, *again, "--model", str(folder), "--in-process"]) == 0
    assert "3 of 3 pictures came out as recorded: it matched" in capsys.readouterr().out


def test_how_far_a_checkpoint_is_read_is_told_in_the_window(tmp_path: Path) -> None:
    told: list[str] = []
    args = play.argparse.Namespace(in_process=True, device="cpu")
    play.open_model(args, None, str(ROOT / "tests" / "golden" / "a"), told.append).close()
    assert any(line.startswith("reading ") and line.endswith("%") for line in told)
