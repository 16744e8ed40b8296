"""Which key does what: tables, read by the window's loop and by the legend that it shows; a person's own in a file.

The file is TOML: a list of keys for what a move or verb is called, and sentences by scene.

  [keys]
  strafe_left = ["f"]
  anchor = ["a"]

  [sentences.garden]
  "open the gate" = "f5"
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from world.errors import WorldError
from world.files import atomic_write_text
from world.scripting import nearest
from world.types import Scene
from world.words import understand

SENTENCE = "/"  # before the words of a sentence in the tables


@dataclass(frozen=True)
class Binding:
    """One line of the legend: `does[i]` is done by `keys[i]`, keys by their names in pygame, "ctrl+" before them."""

    caption: str
    does: tuple[str, ...]  # names of vocabulary actions, or verbs
    keys: tuple[tuple[str, ...], ...]

    def caps(self) -> list[str]:
        """What the keycaps say: the first key of each."""
        return [cap(names[0]) if names else "none" for names in self.keys]


MOVES: tuple[Binding, ...] = (
    Binding("forward, back", ("forward", "back"), (("up", "w"), ("down", "s"))),
    Binding("turn", ("left", "right"), (("left",), ("right",))),
    Binding("step aside", ("strafe_left", "strafe_right"), (("a",), ("d",))),
    Binding("look up, down", ("up", "down"), (("q", "page up"), ("e", "page down"))),
    Binding("rotate the object", ("object_left", "object_right"), (("z", ","), ("x", "."))),
    Binding("stay", ("stay",), (("space",),)),
)

VERBS: tuple[Binding, ...] = (
    Binding("say what to do", ("type",), (("/",),)),
    Binding("undo, redo", ("undo", "redo"), (("backspace",), ("y",))),
    Binding("see truth, walk in it", ("truth", "switch"), (("t",), ("k",))),
    Binding("map, look ahead", ("map", "look ahead"), (("m",), ("l",))),
    Binding("video, picture", ("video", "picture"), (("r", "v"), ("g", "f12"))),
    Binding("scenes, settings", ("scenes", "settings"), (("tab",), ("o",))),
    Binding("all keys, hide this", ("keys", "hide"), (("f1",), ("h",))),
    Binding("cancel or quit", ("quit",), (("escape",),)),
)

MORE: tuple[Binding, ...] = (  # on the sheet of all keys alone
    Binding("take a step early", ("accept",), (("return",),)),
    Binding("bookmark, next one", ("bookmark", "next bookmark"), (("b",), ("j",))),
    Binding("compare branches", ("compare",), (("c",),)),
    Binding("anchor on the truth", ("anchor",), (("ctrl+a",),)),
    Binding("again, next scene", ("reset", "next scene"), (("home",), ("ctrl+n",))),
    Binding("pause, one step", ("pause", "step"), (("p",), ("n",))),
    Binding("save the session", ("save",), (("ctrl+s",),)),
    Binding("export GIF, sheet, log", ("export",), (("ctrl+e",),)),
    Binding("video of the window", ("window video",), (("ctrl+r",),)),
    Binding("copy a report, paste", ("report", "paste"), (("ctrl+c",), ("ctrl+v",))),
)

_CAPS = {"left": "<", "right": ">", "up": "^", "down": "v", "escape": "Esc", "return": "Enter"}  # the first are arrows


def cap(key: str) -> str:
    """What a keycap says for the key of that name in pygame; "<", ">", "^" and "v" are arrows."""
    return _CAPS.get(key) or " ".join(part.capitalize() for part in key.split("+"))


@dataclass(frozen=True)
class KeyMap:
    """All bindings, and the sentences of each scene with the key that says them ("" for none)."""

    moves: tuple[Binding, ...] = MOVES
    verbs: tuple[Binding, ...] = VERBS
    more: tuple[Binding, ...] = MORE
    sentences: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def table(self, scene: str) -> dict[str, str]:
        """From a key's name to what it does in a scene: a move, a verb, or a sentence behind SENTENCE."""
        found = table((*self.moves, *self.verbs, *self.more))
        return found | {key: SENTENCE + words for words, key in self.sentences.get(scene, {}).items() if key}

    def keys(self, scene: str) -> dict[str, str]:
        """The first key of everything that one can do in a scene: the table read backwards."""
        return {does: key for key, does in reversed(self.table(scene).items())}

    def in_vocabulary(self, scene: Scene) -> Scene:
        """The scene with the sentences that were saved for it among its actions."""
        known = {action.text for action in scene.actions}
        new = [understand(w, scene.actions) for w in self.sentences.get(scene.name, {}) if w not in known]
        return replace(scene, actions=(*scene.actions, *new)) if new else scene

    def with_sentence(self, scene: str, words: str, key: str) -> KeyMap:
        """With a sentence said by a key. Raises ValueError where the key does something else."""
        taken = table((*self.moves, *self.verbs, *self.more)).get(key)
        if taken is not None:
            raise ValueError(f"{cap(key)} is the key for {taken!r}: take another one, F2 to F11 are free")
        others = {w: k for w, k in self.sentences.get(scene, {}).items() if k != key}
        return replace(self, sentences={**self.sentences, scene: {**others, words: key}})


def table(bindings: Iterable[Binding]) -> dict[str, str]:
    """From a key's name to what it does. Raises ValueError where one key is to do two things."""
    found: dict[str, str] = {}
    for binding in bindings:
        for does, keys in zip(binding.does, binding.keys, strict=True):
            for key in keys:
                if found.setdefault(key, does) != does:
                    raise ValueError(f"the key {key!r} is for both {found[key]!r} and {does!r}: give one another key")
    return found


def default_path() -> Path:
    """Where a person's own keys are kept."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bagel-world" / "keys.toml"


def read_keys(path: Path) -> KeyMap:
    """The bindings with those of the file in the place of the usual ones; the usual ones where there is no file.

    Raises WorldError that names the file, what is wrong in it and the cure.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return _changed(KeyMap(), found)
    except FileNotFoundError:
        return KeyMap()
    except (OSError, ValueError) as error:  # among them what TOML and UTF-8 raise
        raise WorldError(f"{path}: {error}") from error


def save_sentences(path: Path, keymap: KeyMap) -> None:
    """Writes the sentences of `keymap` into the file, whose keys stay as they are. Raises OSError."""
    kept = path.read_text(encoding="utf-8") if path.exists() else "[keys]\n"
    lines = [*_without_sentences(kept.splitlines())]
    for scene, sentences in keymap.sentences.items():
        lines += ["", f"[sentences.{json.dumps(scene)}]"]
        lines += [f"{json.dumps(words)} = {json.dumps(key)}" for words, key in sentences.items()]
    atomic_write_text(path, "\n".join(lines).strip() + "\n")


def _without_sentences(lines: list[str]) -> list[str]:
    kept, inside = [], False
    for line in lines:
        if line.lstrip().startswith("["):
            inside = line.lstrip().startswith("[sentences")
        if not inside:
            kept.append(line)
    return kept


def _changed(keymap: KeyMap, found: dict[str, object]) -> KeyMap:
    if unknown := [name for name in found if name not in ("keys", "sentences")]:
        raise ValueError(f"[{unknown[0]}] means nothing here: there are [keys] and [sentences.SCENE]")
    own, sentences = found.get("keys", {}), found.get("sentences", {})
    if not isinstance(own, dict) or not isinstance(sentences, dict):
        raise ValueError("[keys] and [sentences.SCENE] are tables")
    names = [does for b in (*keymap.moves, *keymap.verbs, *keymap.more) for does in b.does]
    for does, keys in own.items():
        if does not in names:
            guess = nearest(does, names)
            raise ValueError(f"nothing is called {does!r}: {f'did you mean {guess!r}?' if guess else ', '.join(names)}")
        if not isinstance(keys, list) or not all(isinstance(key, str) and key for key in keys):
            raise ValueError(f'{does} needs a list of keys, as in {does} = ["f"]')
    moves, verbs, more = (tuple(_rebound(b, own) for b in group) for group in (keymap.moves, keymap.verbs, keymap.more))
    table((*moves, *verbs, *more))
    changed = KeyMap(moves, verbs, more)
    for scene, words in sentences.items():
        if not isinstance(words, dict) or not all(isinstance(key, str) for key in words.values()):
            raise ValueError(f'[sentences.{scene}] holds lines as in "open the door" = "f5"')
        for sentence, key in words.items():
            changed = changed.with_sentence(scene, sentence, key.lower())
    return changed


def _rebound(binding: Binding, own: Mapping[str, list[str]]) -> Binding:
    keys = tuple(
        tuple(k.lower() for k in own.get(does, usual)) for does, usual in zip(binding.does, binding.keys, strict=True)
    )
    return replace(binding, keys=keys)
