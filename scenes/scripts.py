"""Scripts as data: TOML beside a scene (scripts.toml), a TOML file of one's own, or a line of moves.

    [orbit]
    about = "one sentence"
    start = "teapot"                        # a start of the scene; left out: its first
    moves = "(strafe_right left @view)*24"  # the language of world.scripting
    expect = { forward = 0.0, yaw = 0.0, within = 0.05, degrees = 1.0 }

`expect` is the pose at the end as one sees it from the start (m and degrees); what it does not name is not asked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from world.instructions import motion
from world.plan import Plan
from world.scripting import nearest, parse_plan
from world.types import Pose, Scene, vocabulary, wrap

_FOLDER = Path(__file__).parent
_KEYS = ("about", "start", "moves", "expect")


@dataclass(frozen=True)
class Expectation:
    """Where a script ends, seen from where it began: m ahead and to the left, degrees; None is not asked."""

    forward: float | None = None
    left: float | None = None
    yaw: float | None = None
    pitch: float | None = None
    object_yaw: float | None = None
    within: float = 0.05  # m
    degrees: float = 1.0

    def missed(self, start: Pose, end: Pose) -> list[str]:
        """What is not as expected, in words; empty where all is."""
        reached = motion(start, end)
        found = []
        for name in ("forward", "left", "yaw", "pitch", "object_yaw"):
            expected, got = getattr(self, name), getattr(reached, name)
            if expected is None:
                continue
            unit, most = ("m", self.within) if name in ("forward", "left") else ("°", self.degrees)
            error = abs(got - expected) if unit == "m" else abs(wrap(got - expected))
            if error > most:
                found.append(f"{name} is {got:.2f} {unit}, expected {expected:g} {unit}")
        return found


@dataclass(frozen=True)
class Script:
    """One script, not yet read for a scene: `moves` are words until `plan`."""

    name: str
    about: str
    moves: str
    start: str | None = None
    expect: Expectation | None = None
    place: tuple[str, int, int] = ("", 1, 1)  # the file ("" for none), line and column where `moves` begins

    def plan(self, scene: Scene) -> Plan:
        """The script with the moves of `scene`; raises ValueError with file, line, column, cause and a cure."""
        file, line, column = self.place
        try:
            return parse_plan(self.moves, scene.actions, (line, column))
        except ValueError as error:
            lacking = sorted({a.name for a in vocabulary()} - {a.name for a in scene.actions})
            if file and lacking and self._lives_elsewhere():
                what = "no object that can be turned" if "object_left" in lacking else f"no {' and no '.join(lacking)}"
                raise ValueError(f"{self.name!r} is not for scene {scene.name!r}, which has {what}") from None
            raise ValueError(f"{file}: {error}" if file else str(error)) from None

    def _lives_elsewhere(self) -> bool:
        try:
            parse_plan(self.moves, vocabulary())
        except ValueError:
            return False
        return True

    def place_in(self, scene: Scene) -> Scene:
        """`scene` beginning where the script begins."""
        try:
            return scene if self.start is None else scene.starting_at(self.start)
        except ValueError as error:
            raise ValueError(f"script {self.name!r}: {error}") from None


def shipped(scene: Scene) -> dict[str, Script]:
    """The scripts of a scene by name: those for every scene, and what its own scripts.toml adds or replaces."""
    own = _FOLDER / scene.name / "scripts.toml"
    files = [_FOLDER / "scripts.toml", *([own] if scene.simulated and own.exists() else [])]
    return _read(*files)


def find(text: str, scene: Scene) -> Script:
    """The script called `text`: a shipped one, FILE.toml (or FILE.toml:NAME where it holds several), or moves.

    Raises ValueError that says what is wrong with it, with file, line and the nearest valid word.
    """
    path, _, name = text.partition(":")
    if path.endswith(".toml"):
        scripts = _read(Path(path))
        if not name and len(scripts) == 1:
            return next(iter(scripts.values()))
        if name in scripts:
            return scripts[name]
        raise ValueError(
            f"{path} holds {', '.join(scripts) or 'no script'}: name one, as in {path}:NAME{_near(name, scripts)}"
        )
    known = shipped(scene)
    if text in known:
        return known[text]
    if re.fullmatch(r"[\w-]+", text) and text not in {a.name for a in scene.actions} | {"wait"}:
        names = [*known, *(a.name for a in scene.actions)]
        raise ValueError(f"no script {text!r} (there are {', '.join(known)}; or write moves){_near(text, names)}")
    return Script("moves", "moves of one's own", text)


def _near(word: str, names: Mapping[str, Any] | list[str]) -> str:
    guess = nearest(word, list(names)) if word else None
    return f": did you mean {guess!r}?" if guess else ""


def _read(*files: Path) -> dict[str, Script]:
    """The scripts of files of which later ones replace single lines of earlier ones."""
    found: dict[str, dict[str, Any]] = {}
    places: dict[str, tuple[str, int, int]] = {}
    for file in files:
        text, tables = _tables(file)
        for name, table in tables.items():
            if not isinstance(table, dict):
                raise ValueError(f"{file}, line {_line(text, name)}: {name!r} stands outside of a script's [name]")
            for key in table:
                if key not in _KEYS:
                    raise ValueError(
                        f"{file}, line {_line(text, key, name)}: a script has {', '.join(_KEYS)}, not {key!r}"
                        f"{_near(key, list(_KEYS))}"
                    )
                _check(table, key, f"{file}, line {_line(text, key, name)}")
            if "moves" in table:
                places[name] = (str(file), *_where(text, name, table["moves"]))
            elif name not in found:
                raise ValueError(f'{file}, line {_line(text, name)}: script {name!r} has no moves = "..."')
            found[name] = found.get(name, {}) | table
    return {
        name: Script(
            name,
            table.get("about", name),
            table["moves"],
            table.get("start"),
            Expectation(**table["expect"]) if "expect" in table else None,
            places[name],
        )
        for name, table in found.items()
    }


def _tables(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8").replace("\r\n", "\n")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        raise ValueError(f"there is no script file {file}: check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read ({error})") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not TOML: {error}") from None


def _check(table: dict[str, Any], key: str, where: str) -> None:
    """Raises ValueError where a value has the wrong kind."""
    value = table[key]
    if key != "expect":
        if not isinstance(value, str):
            raise ValueError(f'{where}: {key} is text, as in {key} = "...", got {value!r}')
        return
    names = [f.name for f in fields(Expectation)]
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expect is a table, as in expect = {{ yaw = 0.0 }}, got {value!r}")
    for name, number in value.items():
        if name not in names:
            raise ValueError(f"{where}: expect has {', '.join(names)}, not {name!r}{_near(name, names)}")
        if type(number) not in (int, float) or not abs(number) < 1e6:
            raise ValueError(f"{where}: expect.{name} is a number, got {number!r}")


def _line(text: str, key: str, table: str = "") -> int:
    """The line where a key (or a table's head) stands, found without a TOML parser that tells it."""
    begun = _head(text, table) if table else 0
    match = re.compile(rf'^[ \t]*\[?[ \t]*["\']?{re.escape(key)}["\']?[ \t]*[\]=.]', re.MULTILINE).search(text, begun)
    return text.count("\n", 0, match.start() if match else begun) + 1


def _where(text: str, table: str, moves: str) -> tuple[int, int]:
    """Line and column where the moves of a script begin; the line of their key where they are written with escapes."""
    begun = text.find(moves, _head(text, table))
    if begun < 0:
        return _line(text, "moves", table), 1
    return text.count("\n", 0, begun) + 1, begun - text.rfind("\n", 0, begun)


def _head(text: str, table: str) -> int:
    match = re.search(rf'^[ \t]*\[[ \t]*["\']?{re.escape(table)}["\']?[ \t]*\]', text, re.MULTILINE)
    return match.end() if match else 0
