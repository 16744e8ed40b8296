"""The start screen and what a person takes along: through the real event loop."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pygame
import pytest
from PIL import Image

from tests import hand as hands
from tests.hand import Hand
from tests.world.toy_world import draw
from world import clipboard, models
from world.report import report
from world.start_screen import StartScreen
from world.types import Pose

at_window = hands.at_window  # the fixture


def screen(hand: Hand) -> StartScreen:
    assert isinstance(hand.player.panel, StartScreen)
    return hand.player.panel


def test_the_library_is_shown_and_arrows_and_enter_choose(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_TAB)
    assert [choice.address for choice in screen(hand).shown] == ["first", "second", "first:window", "second:window"]
    hand.tap(pygame.K_RIGHT, pygame.K_RIGHT, pygame.K_LEFT, pygame.K_RETURN)
    hand.rest()
    assert (hand.state.scene.name, hand.player.panel) == ("second", None)


def test_typing_searches_and_a_click_opens(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_TAB)
    hand.type("SECOND w")
    [choice] = screen(hand).shown
    assert choice.address == "second:window"
    [(rect, _)] = screen(hand)._under
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=rect.center))
    hand.player.tick()
    hand.rest()
    assert hand.game.scene.name.startswith("second")


def test_escape_leaves_the_start_screen_and_nothing_else(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_TAB)
    hand.type("xyz")
    hand.tap(pygame.K_BACKSPACE, pygame.K_ESCAPE)
    assert (hand.player.panel, hand.player.running, hand.state.step) == (None, True, 1)


def test_recent_sessions_are_offered(at_window: Callable[..., Hand]) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT)
    hand.chord(pygame.K_s)
    hand.chord(pygame.K_n)
    hand.walk(pygame.K_TAB)
    first, after = screen(hand).shown[:2]
    assert after.address == "first"  # what was saved and its journal are one walk
    assert (first.title, first.about.split(",")[0]) == ("first again", "2 steps by toy")
    hand.tap(pygame.K_RETURN)
    hand.until(lambda: hand.comparison is not None and not hand.game.doing)
    assert (hand.state.scene.name, hand.state.step) == ("first", 2)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_window: Callable[..., Hand]) -> Path:
    monkeypatch.setattr(models, "SCENES", "scenes.library:load_scene")
    path = tmp_path / "my harbour.png"
    Image.fromarray(draw(Pose(), 0, 0, 64)).save(path)
    return path


def test_a_picture_is_opened_by_its_path(at_window: Callable[..., Hand], photo: Path) -> None:
    hand = at_window()
    hand.player.surroundings = type(hand.player.surroundings)()
    hand.walk(pygame.K_TAB)
    hand.type(str(photo))
    hand.tap(pygame.K_RETURN)
    hand.rest()
    assert hand.state.scene.name == "my harbour"


def test_a_picture_is_opened_by_dropping_it_and_a_wrong_file_is_told(
    at_window: Callable[..., Hand], photo: Path, tmp_path: Path
) -> None:
    hand = at_window()
    pygame.event.post(pygame.event.Event(pygame.DROPFILE, file=str(photo)))
    hand.player.tick()
    hand.rest()
    assert hand.state.scene.name == "my harbour"
    (tmp_path / "notes.txt").write_text("no picture")
    pygame.event.post(pygame.event.Event(pygame.DROPFILE, file=str(tmp_path / "notes.txt")))
    hand.player.tick()
    assert "not a picture" in hand.game.problem
    assert hand.state.scene.name == "my harbour"


def test_a_path_in_the_clipboard_is_opened(at_window: Callable[..., Hand], photo: Path) -> None:
    hand = at_window()
    assert clipboard.put("no path")
    hand.chord(pygame.K_v)
    assert "neither a picture nor a path" in hand.player.overlay.notice
    assert clipboard.put(photo.as_uri() + "\r\n")
    hand.chord(pygame.K_v)
    assert hand.state.scene.name == "my harbour"
    hand.player.close()
    assert not pygame.display.get_init()  # SDL lets the screen go, whoever asked for the clipboard


def test_a_clipboard_that_cannot_be_read_is_told_with_its_cure(
    at_window: Callable[..., Hand], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")  # so none of the desktop's tools is there
    hand = at_window()
    clipboard.put("")
    hand.chord(pygame.K_v)
    hand.until(lambda: hand.game.problem or hand.player.overlay.notice)
    if sys.platform == "linux":
        assert "apt-get install xclip" in hand.game.problem
    hand.walk(pygame.K_UP)
    assert hand.state.step == 1


def test_a_path_may_be_written_in_several_ways(tmp_path: Path) -> None:
    path = tmp_path / "my harbour.png"
    assert clipboard.path_of(path.as_uri()) == clipboard.path_of(str(path)) == path
    assert clipboard.path_of("~/x.png") == Path.home() / "x.png"


def test_the_path_is_exported_as_gif_sheet_and_log(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP, pygame.K_LEFT, pygame.K_BACKSPACE, pygame.K_RIGHT)
    hand.chord(pygame.K_e)
    hand.until(lambda: len(hand.player.saved) == 3)
    with Image.open(tmp_path / "first-path.gif") as gif:
        assert getattr(gif, "n_frames", 0) == 3
    lines = [json.loads(line) for line in (tmp_path / "first-path.ndjson").read_text().splitlines()]
    assert [line["action"]["name"] for line in lines[1:]] == ["forward", "right"]
    assert (tmp_path / "first-path.png").stat().st_size > 1000


def test_a_video_may_show_the_whole_window(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    hand = at_window()
    hand.chord(pygame.K_r)
    assert hand.player.keepsakes.num_filmed == 1
    hand.walk(pygame.K_UP, pygame.K_r)
    hand.until(lambda: hand.player.saved)
    assert (tmp_path / "first.mp4").stat().st_size > 1000


def test_a_report_says_what_a_bug_report_needs(at_window: Callable[..., Hand], tmp_path: Path) -> None:
    hand = at_window()
    hand.walk(pygame.K_UP)
    text = report(hand.game)
    for word in ("python 3", "torch", "model toy, cpu, float32", "scene first, seed 5, step 1", "step time p50"):
        assert word in text
    assert str(tmp_path) not in text
    hand.chord(pygame.K_c)
    assert hand.player.overlay.notice == "Report copied"
    assert clipboard.text().startswith("python 3")
