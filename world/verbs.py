"""What a key does that is no move: one case for each verb of `world.keys`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from world import clipboard, keys, window
from world.keepsakes import NOTHING_TO_PASTE
from world.panels import KeySheet, SentencePanel
from world.prompt import Prompt
from world.report import report
from world.settings_panel import SettingsPanel
from world.timeline import Timeline

if TYPE_CHECKING:
    from world.player import Player

LEAVES = "once more leaves; the walk stays among the last sessions"
IMAGINED = 3  # likely actions, where looking ahead is switched on by its key


def do(player: Player, verb: str) -> None:
    """Does what `verb` says; nothing for a word that is none."""
    game, overlay, keepsakes = player.game, player.overlay, player.keepsakes
    match verb:
        case "save" | "anchor" | "switch" if game.reopens:
            player.tell("One moment: the session is still being walked again")
        case "undo":
            _tell_unless(player, game.undo(), "This is where the walk begins")
        case "redo":
            _tell_unless(player, game.go(Timeline.redone), "This is where the walk ends")
        case "bookmark":
            player.tell("Bookmark set" if game.bookmark() else "Bookmark taken away")
        case "next bookmark":
            _tell_unless(player, game.go(Timeline.at_next_bookmark), "No bookmark elsewhere: B sets one")
        case "accept":
            _tell_unless(player, game.accept(), "No step in the making that could be taken early")
        case "compare":
            _compare(player)
        case "reset":
            game.reset()
        case "scenes":
            player.show_scenes()
        case "next scene":
            scenes, here = player.surroundings.scenes, game.scene.name
            player.open(scenes[(scenes.index(here) + 1) % len(scenes) if here in scenes else 0])
        case "type":
            _type(player)
        case "truth":
            why = player.hud.truth.toggle(game)
            anchor = keys.cap(overlay.keymap.keys(game.scene.name).get("anchor", "none"))
            player.tell(why or (f"{anchor} sets the dream on the truth" if player.hud.truth.shown else ""))
        case "anchor":
            _anchor(player)
        case "switch":
            _tell_unless(player, game.switch(), "No truth to walk in: the simulator does not know this picture")
        case "map":
            player.hud.minimap.shown = not player.hud.minimap.shown
        case "look ahead":
            num = 0 if game.options.look_ahead else IMAGINED
            game.options = replace(game.options, look_ahead=num)
            player.tell(f"The {num} likeliest next frames are imagined" if num else "No frames are imagined ahead")
        case "settings":
            player.show(SettingsPanel(game))
        case "keys":
            player.show(KeySheet(overlay.keymap, player.surroundings.keys, game.scene.name, game.options.time_skip))
        case "pause":
            player.overlay = replace(overlay, paused=not overlay.paused, chosen="")
        case "step":
            if move := player.last_move or player.move_named("stay"):
                game.act(move)
        case "picture":
            keepsakes.picture()
        case "video":
            keepsakes.film()
        case "window video":
            keepsakes.film(window.shown())
        case "export":
            keepsakes.export()
        case "save":
            keepsakes.session()
        case "report":
            _report(player)
        case "paste":
            _paste(player)
        case "hide":
            player.overlay = replace(overlay, hidden=not overlay.hidden)
        case "quit":
            if not (game.doing == "step" and game.cancel()):
                _leave(player)


def _tell_unless(player: Player, done: bool, notice: str) -> None:
    if not done:
        player.tell(notice)


def _leave(player: Player) -> None:
    """At once where nothing was walked; else the key is asked for twice, because it gives up steps as well."""
    if len(player.game.timeline) <= 1 or player.overlay.notice.endswith(LEAVES):
        player.running = False
    else:
        key = keys.cap(player.overlay.keymap.keys(player.game.scene.name).get("quit", ""))
        player.tell(f"{key} {LEAVES}")


def _compare(player: Player) -> None:
    """The next of the frames that other branches have at this step; after the last one, none."""
    num, compared = len(player.game.timeline.peers()), player.overlay.compared
    if not num and not compared:
        player.tell("No other branch reaches this step: go back and walk another way")
    player.overlay = replace(player.overlay, compared=(compared + 1) % (num + 1))


def _type(player: Player) -> None:
    def bind(words: str, key: str) -> None:
        game, scene = player.game, player.game.scene
        try:
            keymap = player.overlay.keymap.with_sentence(scene.name, words, key)
            keys.save_sentences(player.surroundings.keys, keymap)
        except (ValueError, OSError) as error:
            game.problem = f"This key could not be kept: {error}"
            return
        player.overlay = replace(player.overlay, keymap=keymap)
        game.scene = keymap.in_vocabulary(scene)
        player.tell(f"{keys.cap(key)} now says: {words}")
        player.say(words)

    def remember(prompt: Prompt) -> None:
        player.prompt = prompt

    player.show(SentencePanel(player.prompt, player.say, bind, remember))


def _anchor(player: Player) -> None:
    """The dream goes on from what is really there."""
    game = player.game
    truth = player.hud.truth.at(game, game.timeline.here) if player.hud.truth.shown else None
    if truth is None:
        player.tell("Nothing to anchor on: T shows the truth beside the dream")
    else:
        game.anchor(truth.frame, truth.pose)
        player.tell("The dream goes on from the truth")


def _report(player: Player) -> None:
    """To the clipboard, and where that cannot be, into a file."""
    text = report(player.game)
    if clipboard.put(text):
        player.tell("Report copied")
        return
    player.keepsakes.note(text)


def _paste(player: Player) -> None:
    """A picture from the clipboard, or the path of one."""
    text = clipboard.text()
    if text and clipboard.path_of(text).is_file():
        player.open(str(clipboard.path_of(text)))
    elif text:
        player.tell(NOTHING_TO_PASTE)
    else:
        player.keepsakes.paste(player.open)
