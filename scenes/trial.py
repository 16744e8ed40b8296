"""What a model is examined on: held-out walks, probes, galleries and starts, all drawn by the simulator once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scenes import answers, consistency, occlusion, wordings
from scenes.answers import Question
from scenes.judged import Attempts, attempts
from scenes.metrics import Frames
from scenes.occlusion import Sighting
from scenes.simulator import LAYOUT_SEEDS, SimulatorWorld, held_out, place_of
from scenes.wordings import Saying
from world.tasks import TaskSettings
from world.types import Action, Pose, Scene, State
from world.walks import HELD_OUT, Stroll, bumped

SCALES = (0.5, 0.75, 1.25, 1.5)  # times an action: what else a probe's action might have been
_GALLERY = HELD_OUT + 100_000
_PROBED = 50  # the steps of a walk from which probes are drawn; a long walk is probed all along


@dataclass(frozen=True)
class Suite:
    """How much is measured, for each scene."""

    walks: int
    steps: int  # of each walk
    probes: int  # of each walk
    gallery: int  # frames; at most LAYOUT_SEEDS - 1 of each layout
    loops: int  # starts of closed ways; also how often each object is looked away from
    located: int  # walks whose dreams are looked for in the simulator, some thirty pictures each time
    sentences: int = 0  # of either kind in each walk, said halfway
    questioned: int = 0  # states of each walk, one question of each kind
    long_walks: int = 0  # of the walks, how many go on to `long_steps`
    long_steps: int = 0


SUITES = {
    "quick": Suite(walks=4, steps=64, probes=10, gallery=200, loops=1, located=2, sentences=6, questioned=4),
    "full": Suite(
        walks=16,
        steps=64,
        probes=6,
        gallery=400,
        loops=4,
        located=8,
        sentences=6,
        questioned=4,
        long_walks=2,
        long_steps=200,
    ),
    "guard": Suite(walks=2, steps=16, probes=6, gallery=20, loops=0, located=0),  # what CI can afford
}


@dataclass(frozen=True)
class Walk:
    """A true walk: actions[t] led from states[t] to states[t + 1]."""

    scene: str
    states: tuple[State, ...]
    actions: tuple[Action, ...]

    @property
    def place(self) -> str:
        """The scene, or the layout of it, that is walked through."""
        return place_of(self.states[0].scene)


@dataclass(frozen=True)
class Probe:
    """A true state, an action, and what each of the scene's actions would show."""

    scene: str
    state: State
    action: Action
    outcomes: Frames  # [A, H, W, 3]
    truth: int  # the row of `outcomes` that is the action's
    scaled: Frames  # [4, H, W, 3], the action times each of SCALES; [0, ...] where it is "stay" or something is near

    @property
    def true_frame(self) -> Frames:
        return self.outcomes[self.truth]


@dataclass(frozen=True)
class Gallery:
    """Random places of one scene, or of one layout of it, and what is seen from them."""

    poses: tuple[Pose, ...]
    frames: Frames


@dataclass(frozen=True)
class Trial:
    """All that the measures need; one trial serves several models. Pictures that nobody can draw have `loops` alone."""

    suite: Suite
    walks: tuple[Walk, ...]
    probes: tuple[Probe, ...]
    galleries: dict[str, Gallery]  # by place
    loops: tuple[Scene, ...]  # each begins where nothing is in the way of the closed ways
    sightings: tuple[Sighting, ...]
    sayings: tuple[Saying, ...]
    questions: tuple[Question, ...]
    tried: tuple[Attempts, ...] = ()  # walks of a task, where one is given


def prepare(
    truth: SimulatorWorld,
    scenes: Sequence[Scene],
    suite: Suite,
    tell: Callable[[str], None],
    task: TaskSettings | None = None,
) -> Trial:
    """Draws the trial; `tell` hears what is being done. Equal arguments give equal trials. `task` is judged as well.

    Scenes that the simulator does not know (pictures) are walked from their own first start.
    """
    drawn = [scene for scene in scenes if scene.simulated]
    walks: list[Walk] = []
    for scene in drawn:
        tell(f"true walks through {scene.name}")
        walks += _walks(truth, scene, suite)
    tell("probes: what every action would show")
    probes = [probe for index, walk in enumerate(walks) for probe in _probes(truth, walk, suite, index)]
    tell("what sentences mean, and what there is to ask about")
    said = wordings.sayings(truth, [w.states[suite.steps // 2] for w in walks], suite.sentences)
    asked = answers.questions(truth, [s for w in walks for s in _spread(w, suite.questioned)])
    galleries, loops, sightings = {}, [], []
    for scene in scenes:
        if not scene.simulated:
            loops.append(scene)
            continue
        tell(f"gallery of {scene.name}")
        galleries |= _galleries(truth, scene, suite)
        tell(f"closed ways of {scene.name}")
        loops += consistency.starts(truth, scene, suite.loops)
        sightings += occlusion.sightings(truth, scene, suite.loops)
    tried = attempts(truth, scenes, task, 2 * suite.walks) if task else []
    return Trial(
        suite,
        tuple(walks),
        tuple(probes),
        galleries,
        tuple(loops),
        tuple(sightings),
        tuple(said),
        tuple(asked),
        tuple(tried),
    )


def _spread(walk: Walk, num: int) -> list[State]:
    """`num` states of a walk, from its start on."""
    return [walk.states[len(walk.actions) * k // num] for k in range(num)]


def _galleries(truth: SimulatorWorld, scene: Scene, suite: Suite) -> dict[str, Gallery]:
    """By place: one of the scene, or one of each layout that is walked through."""
    seeds = {scene.name: range(_GALLERY, _GALLERY + suite.gallery)}
    if scene.has_layouts:
        others = range(1, min(suite.gallery + 1, LAYOUT_SEEDS))
        begun = [held_out(scene, i) for i in range(suite.walks)]
        seeds = {f"{scene.name}:{seed // LAYOUT_SEEDS}": [seed + k for k in others] for seed in begun}
    found = {}
    for place, row in seeds.items():
        starts = [truth.random_start(scene, seed) for seed in row]
        found[place] = Gallery(tuple(s.pose for s in starts), np.stack([s.frame for s in starts]))
    return found


def _walks(truth: SimulatorWorld, scene: Scene, suite: Suite) -> list[Walk]:
    seeds = [held_out(scene, i) for i in range(suite.walks)]
    lengths = [suite.long_steps if i < suite.long_walks else suite.steps for i in range(suite.walks)]
    strolls = [Stroll(np.random.default_rng(seed), scene) for seed in seeds]
    begun = truth.reset([scene.starting_at(truth.random_start(scene, seed)) for seed in seeds], seeds)
    states, actions = [[state] for state in begun], [[stroll.next()] for stroll in strolls]
    for t in range(max(lengths)):
        going = [i for i in range(suite.walks) if t < lengths[i]]
        after = truth.step([states[i][-1] for i in going], [actions[i][t] for i in going])
        for i, state in zip(going, after, strict=True):
            actions[i].append(strolls[i].next(bumped(states[i][-1].pose, actions[i][-1], state.pose)))
            states[i].append(state)
    actions = [row[:length] for row, length in zip(actions, lengths, strict=True)]
    return [Walk(scene.name, tuple(s), tuple(a)) for s, a in zip(states, actions, strict=True)]


def _probes(truth: SimulatorWorld, walk: Walk, suite: Suite, index: int) -> list[Probe]:
    """Probes at places along the walk; over all walks each of the scene's actions is asked about equally often."""
    rng, num = np.random.default_rng(HELD_OUT + index), suite.probes
    states = walk.states if len(walk.actions) > suite.steps else walk.states[: _PROBED + 1]
    probes = []
    for k, t in enumerate(rng.choice(len(states), num, replace=len(states) < num)):
        state = states[t]
        actions = state.scene.actions
        asked = (index * num + k) % len(actions)
        frames = _outcomes(truth, state)
        scaled = _scaled(truth, state, actions[asked])
        probes.append(Probe(walk.scene, state, actions[asked], frames, asked, scaled))
    return probes


def _outcomes(truth: SimulatorWorld, state: State) -> Frames:
    """What is seen after each of the scene's actions; equal poses are drawn once."""
    poses = [truth.slide(state.scene, state.pose, action) for action in state.scene.actions]
    others = [pose for pose in dict.fromkeys(poses) if pose != state.pose]
    seen = {state.pose: state.frame, **dict(zip(others, truth.view(state.scene, others), strict=True))}
    return np.stack([seen[pose] for pose in poses])


def _scaled(truth: SimulatorWorld, state: State, action: Action) -> Frames:
    others = [times(action, scale) for scale in SCALES]
    farthest = truth.slide(state.scene, state.pose, others[-1])
    if size(action) == 0 or farthest != state.pose.moved(others[-1]):
        return np.empty((0, *state.frame.shape), np.uint8)
    return np.stack(truth.view(state.scene, [state.pose.moved(other) for other in others]))


def times(action: Action, scale: float) -> Action:
    """The same words with scaled numbers."""
    numbers = {name: scale * getattr(action, name) for name in ("forward", "left", "yaw", "pitch", "object_yaw")}
    return replace(action, **numbers)


def size(action: Action) -> float:
    """How large an action is: m where it steps, degrees where it turns; 0 for one that does nothing."""
    return float(np.hypot(action.forward, action.left) or abs(action.yaw) + abs(action.pitch) + abs(action.object_yaw))
