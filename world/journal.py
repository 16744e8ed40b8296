"""A session that is written while it is walked, a line a step: whenever the process ends, the steps so far are there.

The first line is a session before its first step; every other line is a step, or says where one is now. A line that
was cut off by the end is left out.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from world.errors import SceneError
from world.plan import Plan, Step
from world.session import PLAIN, Made, Session, action_from_row, from_json, load_session, made_from_row, made_to_row
from world.session import to_json as session_to_json

KIND = "bagel-world journal"
SUFFIX = ".ndjson"
KEPT = 32  # journals of a folder; when the next window opens, older ones go


class Journal:
    """A file that grows by a line a step."""

    def __init__(self, path: Path, session: Session) -> None:
        """Begins the file with what `session` holds so far. Raises OSError where it cannot be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("w", encoding="utf-8")
        _lock(self._file)
        plan = session.plan
        digests = session.digests[0] if session.digests else ("",) * len(plan.steps)
        beginning = replace(session, plan=Plan((Step(0, None),), 0), digests=((digests[0],),), made={})
        self._write({"kind": KIND, "session": json.loads(session_to_json(beginning))})
        for i, step in enumerate(plan.steps[1:], 1):
            self.add(i, step, digests[i], session.made.get(i, PLAIN))
        self.be(plan.end, plan.checkpoints)

    def add(self, number: int, step: Step, digest: str, made: Made) -> None:
        """A step; one of the same number before it counts no more."""
        action = None if step.action is None else asdict(step.action)
        line = {"step": number, "parent": step.parent, "action": action, "digest": digest}
        self._write(line | ({} if made.plainly else {"made": made_to_row(made)}))

    def be(self, here: int, checkpoints: Mapping[str, int]) -> None:
        """Where one is now, and the bookmarks by name."""
        self._write({"here": here, "checkpoints": dict(checkpoints)})

    def close(self) -> None:
        """No further lines; may be called twice."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()  # to the system, which keeps it when this process is killed


def forget_old(folder: Path, kept: int = KEPT) -> list[Path]:
    """Removes all but the newest journals of a folder, and none that another process still writes; what was removed.

    What cannot be removed stays: it is in nobody's way.
    """
    removed: list[Path] = []
    try:
        journals = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:  # one that another window removes meanwhile
        return removed
    for path in journals[kept:]:
        with contextlib.suppress(OSError):
            if not _is_written(path):
                path.unlink()
                removed.append(path)
    return removed


def _is_written(path: Path) -> bool:
    """Whether another process has the journal open."""
    if sys.platform == "win32":
        return False  # there, a file that is open cannot be removed
    with path.open("rb") as file:
        return not _lock(file)


def _lock(file: IO[Any]) -> bool:
    """Whether the file is this process's own from now on, until it is closed; Windows needs no lock."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def reopened(path: str | Path) -> Session:
    """The session of a session.json or of a journal, up to its last whole line.

    Raises SceneError that says what is wrong with the file.
    """
    if Path(path).suffix != SUFFIX:
        return load_session(path)
    try:
        lines = Path(path).read_bytes().split(b"\n")[:-1]  # what follows the last line's end was cut off
    except FileNotFoundError:
        raise SceneError(f"there is no journal {path}: check the path") from None
    except OSError as error:
        raise SceneError(f"{path} cannot be read ({error}): give a session.json or a journal") from None
    try:
        return _told([json.loads(line) for line in lines])
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise SceneError(f"{path} is no journal of a walk: {error}") from None


def _told(lines: list[dict[str, Any]]) -> Session:
    if not lines or lines[0].get("kind") != KIND:
        raise ValueError(f'it lacks "kind": "{KIND}"')
    beginning = from_json(json.dumps(lines[0]["session"]))
    steps, digests = [Step(0, None)], [beginning.digests[0][0]]
    made: dict[int, Made] = {}
    end, checkpoints = 0, {}
    for line in lines[1:]:
        if "here" in line:
            end, checkpoints = line["here"], line["checkpoints"]
            continue
        number, step = line["step"], Step(line["parent"], action_from_row(line["action"]))
        if not 0 < number <= len(steps):
            raise ValueError(f"step {number} comes after step {len(steps) - 1}")
        steps[number:] = [step, *steps[number + 1 :]]
        digests[number:] = [str(line["digest"]), *digests[number + 1 :]]
        made.pop(number, None)
        if "made" in line:
            made[number] = made_from_row(line["made"])
        end = number
    return replace(beginning, plan=Plan(tuple(steps), end, checkpoints), digests=(tuple(digests),), made=made)
