"""States in a file: what an interrupted walk goes on from."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import numpy as np

from world.errors import SceneError
from world.files import atomic_path
from world.types import Action, Pose, Scene, Start, State


def save_states(path: str | Path, states: Sequence[State], note: str = "") -> None:
    """Writes states and a note as one npz; the file appears whole or not at all. Scenes are not written."""
    rows = [
        {"actions": [asdict(a) for a in s.actions], "pose": astuple(s.pose), "seed": s.seed, "step": s.step}
        | {"frames": len(s.frames), "memory": len(s.memory)}
        | {"places": [(place.name, astuple(place.pose)) for place in s.places]}
        | {"origins": [astuple(origin) for origin in s.origins]}
        for s in states
    ]
    arrays: dict[str, Any] = {"told": np.array(json.dumps({"note": note, "states": rows}))}
    arrays |= {f"frame {i} {k}": frame for i, s in enumerate(states) for k, frame in enumerate(s.frames)}
    arrays |= {f"memory {i} {k}": array for i, s in enumerate(states) for k, array in enumerate(s.memory)}
    arrays |= {f"place {i} {k}": place.frame for i, s in enumerate(states) for k, place in enumerate(s.places)}
    with atomic_path(path) as partial:
        np.savez(partial, **arrays)


def load_states(path: str | Path, scene: Scene) -> tuple[list[State], str]:
    """The states, all in `scene`, and the note. Raises SceneError where the file is none of `save_states`."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            told = json.loads(str(arrays["told"]))
            states = [
                State(
                    scene,
                    tuple(arrays[f"frame {i} {k}"] for k in range(row["frames"])),
                    tuple(Action(**action) for action in row["actions"]),
                    Pose(*row["pose"]),
                    row["seed"],
                    row["step"],
                    tuple(arrays[f"memory {i} {k}"] for k in range(row["memory"])),
                    places=tuple(
                        Start(name, Pose(*pose), arrays[f"place {i} {k}"])
                        for k, (name, pose) in enumerate(row["places"])
                    ),
                    origins=tuple(Pose(*origin) for origin in row.get("origins", ())),  # none in older files
                )
                for i, row in enumerate(told["states"])
            ]
            return states, told["note"]
    except (OSError, EOFError, ValueError, TypeError, LookupError, zipfile.BadZipFile) as error:
        raise SceneError(f"{path} holds no states ({error}): remove it, and the walk begins anew") from None
