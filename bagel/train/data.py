"""Walks to learn from: many processes step a true world from seeds and write frames side by side on disk.

The world is any address of `world.models` whose model is a NamingWorld. Seeds below HELD_OUT are for training, seeds
from it on for measuring: the places they draw never meet.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from bagel.config import WalkConfig
from world import models
from world.errors import ModelError
from world.phrases import MOVES, PHRASES, move_in, sayable
from world.questions import THINGS
from world.types import NamingWorld, Pose, State
from world.walks import HELD_OUT, Stroll, bumped, onlook

CHUNK = 16  # walks a task
ASKED = 4  # of so many pictures of a walk it is kept what is seen, of the first: it is drawn once more for that
LAYOUTS = 4  # so many times as many layouts as seeds alone would draw, of scenes that have them
_ARRAYS = ("frames", "actions", "poses", "aims", "sights", "starts", "things")
_HIGHEST = 25.0  # degrees, the most that a said move makes one look up or down


@dataclass(frozen=True)
class DataConfig:
    """`num_walks` walks of `length` frames, spread evenly over `scenes`; the same config gives the same walks.

    Walk i starts at the place that seed `first_seed + i` draws, `first_seed + LAYOUTS i` where the scene is drawn anew.
    `said` is the share of steps that are one of the longer moves that can be said ("turn left 90 degrees", "forward and
    look up") instead of a stroll's, and `even` of the others the share in which the scene's level moves come equally
    often: a stroll seldom steps to the side. `looked` is the share of walks around an object that mostly look at it.
    """

    scenes: tuple[str, ...]
    num_walks: int
    length: int = 32
    first_seed: int = 0
    world: str = "sim"
    said: float = 0.0
    even: float = 0.0
    looked: float = 0.0

    def __post_init__(self) -> None:
        last = self.first_seed + self.num_walks * LAYOUTS
        if self.first_seed < 0 or self.first_seed < HELD_OUT < last:
            raise ValueError(f"seeds {self.first_seed} to {last} reach into the held-out ones (from {HELD_OUT})")
        for name, share in (("said", self.said), ("even", self.even), ("looked", self.looked)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is a share in [0, 1], got {share}")


@dataclass(frozen=True)
class Walks:
    """W walks of L frames through the places `names`, with one of the actions `wordings` between two frames.

    What a true world knows besides is None where only pictures and words are recorded: poses [W, L, 5], aims
    [W, L - 1, 5] where the actions would lead if nothing stood in the way, sights [W, S, T, 4] in every ASKED-th
    picture of the T things that one may ask about, and the names [W] of the starts and of the objects that stand there
    (empty where none does).
    """

    names: tuple[str, ...]
    wordings: tuple[tuple[str, ...], ...]  # what is said for an action, the usual words first
    frames: NDArray[np.uint8]  # [W, L, height, width, 3]
    actions: NDArray[np.int64]  # [W, L - 1] into wordings
    scenes: NDArray[np.int64]  # [W] into names
    poses: NDArray[np.float32] | None = None  # x, y, yaw, pitch, object_yaw
    sights: NDArray[np.float32] | None = None  # of THINGS: share of the picture (0 where unseen), x, distance, reached
    starts: NDArray[np.str_] | None = None
    things: NDArray[np.str_] | None = None
    aims: NDArray[np.float32] | None = None

    def called(self, walk: WalkConfig) -> list[str]:
        """What the words of `walk` call the place of each walk."""
        names = [self.names[scene] for scene in self.scenes]
        things = [""] * len(names) if self.things is None else self.things
        return [walk.place(name, f"{name} {thing}".rstrip()) for name, thing in zip(names, things, strict=True)]


def aims_to_tell(walks: Walks, walk: WalkConfig) -> NDArray[np.float32] | None:
    """The aims [W, L - 1, 5] that the words of `walk` tell of; None where they tell of none in these scenes.

    Raises ValueError where nobody knows them.
    """
    if not any(map(walk.knows, walks.called(walk))):
        return None
    if walks.aims is None:
        raise ValueError(
            f"the words {walk.prompt!r} tell where a move leads, which recorded walks do not know: "
            'take {aim} out of "prompt" in bagel_config.json, or give the place a name that is not among its "scenes"'
        )
    return walks.aims


def generate(config: DataConfig, directory: Path, workers: int) -> Walks:
    """The walks of `config`, made in `directory` (kept there, and read again when they are there already).

    Raises ModelError when the world is no true world.
    """
    done = directory / "walks.json"
    there = all((directory / f"{name}.npy").exists() for name in _ARRAYS)
    wanted = json.dumps(asdict(config) | {"asked": ASKED})
    if there and done.exists() and json.loads(done.read_text()) == json.loads(wanted):
        return _open(config, directory)
    directory.mkdir(parents=True, exist_ok=True)
    done.unlink(missing_ok=True)
    shape = _first(config).frame.shape
    w, length = config.num_walks, config.length
    kinds: dict[str, tuple[str, tuple[int, ...]]] = {
        "frames": ("u1", (w, length, *shape)),
        "actions": ("i8", (w, length - 1)),
        "poses": ("f4", (w, length, 5)),
        "aims": ("f4", (w, length - 1, 5)),
        "sights": ("f4", (w, -(-length // ASKED), len(THINGS), 4)),
        "starts": ("U32", (w,)),
        "things": ("U32", (w,)),
    }
    for name in _ARRAYS:
        np.lib.format.open_memmap(directory / f"{name}.npy", "w+", *kinds[name])
    tasks = [(config, directory, i) for i in range(0, config.num_walks, CHUNK)]
    if workers <= 1:
        for _ in track(map(_walk_chunk, tasks), "walks", total=len(tasks)):
            pass
    else:
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for _ in track(pool.imap_unordered(_walk_chunk, tasks), "walks", total=len(tasks)):
                pass
    done.write_text(wanted)
    return _open(config, directory)


def _open(config: DataConfig, directory: Path) -> Walks:
    names = tuple(models.load_scene(address).name for address in config.scenes)
    scenes = np.arange(config.num_walks) % len(names)
    return Walks(names, tuple(PHRASES.values()), scenes=scenes, **_arrays(config, directory, "c"))


def _arrays(config: DataConfig, directory: Path, mode: Literal["r+", "c"]) -> dict[str, NDArray[Any]]:
    return {name: np.load(directory / f"{name}.npy", mmap_mode=mode) for name in _ARRAYS}


_worlds: dict[str, NamingWorld] = {}  # one a process: its renderer is costly to make


def _world(address: str) -> NamingWorld:
    if address not in _worlds:
        model = models.load(address)
        if not isinstance(model, NamingWorld):
            raise ModelError(
                f"training needs a world that knows every pose and names what is seen, unlike {address!r}: use sim"
            )
        _worlds[address] = model
    return _worlds[address]


def _start(config: DataConfig, index: int) -> State:
    world = _world(config.world)
    scene = models.load_scene(config.scenes[index % len(config.scenes)])
    seed = config.first_seed + index * (LAYOUTS if scene.has_layouts else 1)
    return world.reset([scene.starting_at(world.random_start(scene, seed))], [seed])[0]


def _first(config: DataConfig) -> State:
    return _start(config, 0)


def _walk_chunk(task: tuple[DataConfig, Path, int]) -> None:
    config, directory, begin = task
    arrays = _arrays(config, directory, "r+")
    for index in range(begin, min(begin + CHUNK, config.num_walks)):
        state = _start(config, index)
        rng, other = (np.random.default_rng(seed) for seed in (config.first_seed + index, (config.first_seed, index)))
        stroll, said = Stroll(rng, state.scene), sayable(state.scene)
        level = [action.name for action in state.scene.actions if not action.pitch]
        looks = bool(state.scene.thing) and other.random() < config.looked
        states, moves, aims, stopped = [state], [], [], False
        while len(states) < config.length:
            move = (onlook(other, states[-1].pose) if looks else None) or stroll.next(stopped).name
            if other.random() < config.said:
                move = str(
                    other.choice([m for m, a in said.items() if abs(states[-1].pose.pitch + a.pitch) <= _HIGHEST])
                )
            elif other.random() < config.even:
                move = str(other.choice(level))
            action = move_in(state.scene, move)
            states.append(_world(config.world).step([states[-1]], [action])[0])
            aims.append(_numbers(states[-2].pose.moved(action)))
            stopped = bumped(states[-2].pose, action, states[-1].pose)
            moves.append(MOVES.index(move))
        arrays["frames"][index] = np.stack([s.frame for s in states])
        arrays["poses"][index] = [_numbers(s.pose) for s in states]
        arrays["aims"][index] = aims
        arrays["actions"][index] = moves
        arrays["starts"][index] = state.scene.starts[0].name
        arrays["things"][index] = state.scene.thing
        arrays["sights"][index] = _sights(_world(config.world), states[::ASKED])


def _numbers(pose: Pose) -> tuple[float, ...]:
    return pose.x, pose.y, pose.yaw, pose.pitch, pose.object_yaw


def _sights(world: NamingWorld, states: Sequence[State]) -> NDArray[np.float32]:
    found = np.zeros((len(states), len(THINGS), 4), np.float32)
    for row, seen in zip(found, world.sights(states[0].scene, [s.pose for s in states]), strict=True):
        for name, sight in seen.items():
            reached = -1 if sight.reached is None else sight.reached
            row[THINGS.index(name)] = (sight.share, sight.x, sight.distance, reached)
    return found


def all_simulated(names: Sequence[str]) -> tuple[str, ...]:
    """`names` checked to be scenes that a simulator knows."""
    for name in names:
        if not models.load_scene(name).simulated:
            raise ModelError(f"scene {name!r} is a picture, not a simulated scene: training needs the truth")
    return tuple(names)
