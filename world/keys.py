"""Which key does what: one table, read by the window's loop and by the legend that it shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Binding:
    """One line of the legend: `does[i]` is done by `keys[i]`, keys by their names in pygame."""

    caption: str
    caps: tuple[str, ...]  # what the keycaps say; "<", ">", "^" and "v" are arrows
    does: tuple[str, ...]  # names of vocabulary actions, or verbs
    keys: tuple[tuple[str, ...], ...]


MOVES: tuple[Binding, ...] = (
    Binding("forward, back", ("^", "v"), ("forward", "back"), (("up", "w"), ("down", "s"))),
    Binding("turn", ("<", ">"), ("left", "right"), (("left",), ("right",))),
    Binding("step aside", ("A", "D"), ("strafe_left", "strafe_right"), (("a",), ("d",))),
    Binding("look up, down", ("Q", "E"), ("up", "down"), (("q", "page up"), ("e", "page down"))),
    Binding("rotate the object", ("Z", "X"), ("object_left", "object_right"), (("z", ","), ("x", "."))),
    Binding("stay", ("Space",), ("stay",), (("space",),)),
)

VERBS: tuple[Binding, ...] = (
    Binding("undo, redo", ("Backspace", "Y"), ("undo", "redo"), (("backspace",), ("y",))),
    Binding("bookmark, next", ("B", "J"), ("bookmark", "next bookmark"), (("b",), ("j",))),
    Binding("compare branches", ("C",), ("compare",), (("c",),)),
    Binding("again, next scene", ("R", "Tab"), ("reset", "scene"), (("r",), ("tab",))),
    Binding("dream, truth", ("T",), ("switch",), (("t",),)),
    Binding("pause, one step", ("P", "N"), ("pause", "step"), (("p",), ("n",))),
    Binding("picture, video", ("G", "V"), ("picture", "video"), (("g", "f12"), ("v",))),
    Binding("hide this, quit", ("H", "Esc"), ("hide", "quit"), (("h",), ("escape",))),
)


def table(bindings: tuple[Binding, ...]) -> dict[str, str]:
    """From a key's name to what it does."""
    return {
        key: does for binding in bindings for does, keys in zip(binding.does, binding.keys, strict=True) for key in keys
    }
