"""BAGEL as a WorldModel: the frames and words so far are the context, the next frame is sampled.

A step depends on its state alone. The context of a state is [picture] [words] [picture] [words] ... [picture]; what
was read of it is kept as a memo under the state's digest, and read again where the memo has forgotten. When
`history` pictures are in context, the next state starts again from its newest picture, so no past is ever read twice.
A step that leads back to a remembered place has the picture of that place for its past instead.

B states, N latent tokens, P numbers of a token.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bagel.columns import in_columns
from bagel.context import EMPTY, Context
from bagel.generate import decode_tokens, encode_latent, grid_of, need_answers, see_picture
from bagel.judge import chances
from bagel.pose_words import pose_words
from bagel.prefill import Block, LatentPicture, SeenPicture, Words, prefill
from bagel.rounding import rounded
from bagel.sampler import Callback, Conditions, num_branches, sample, schedule
from bagel.tiny import TINY
from bagel.transforms import fit, frame_size, resize, to_pixels
from bagel.vae import patchify, to_bytes
from bagel.weights import Checkpoint, load
from bagel.write import write
from world import models
from world.looks import SIDE
from world.previews import OnPreview, Progress
from world.recall import Reckon, passed, unhindered, way_back
from world.settings import PRESETS, SamplerConfig
from world.types import Action, Frame, Pose, Scene, State, WorldSpec

MEMO = 128  # states whose context is kept
ANSWER = 64  # tokens of an answer at most


def load_tiny(address: str, *, sampler: SamplerConfig | None = None, device: str | None = None) -> BagelWorldModel:
    """The model that ships with the project, under the protocol of world.models."""
    return BagelWorldModel(load(TINY, device), "tiny", sampler)


@dataclass(frozen=True)
class _Past:
    """What was read before a state's newest picture: with the pictures and, where guidance asks for it, without."""

    gen: Context = EMPTY
    texts: Context = EMPTY


@dataclass(frozen=True)
class _Window:
    """A state as the model reads it: latents [N, P] and frames of the pictures in context, the actions between."""

    state: State
    latents: tuple[Tensor, ...]
    frames: tuple[Frame, ...]
    actions: tuple[Action, ...]
    poses: tuple[Pose | None, ...]  # before each of the actions, and now; all None where some are not known
    key: bytes  # of what stands before the newest picture, in the memo
    recalls: bool  # whether that is a remembered place and not the state's own past


class BagelWorldModel:
    """`sampler` None takes the preset that the checkpoint names (the published editing preset where it names none).

    With a single evaluation a picture, as in the preset `fast`, products are rounded where that is faster.
    """

    def __init__(self, checkpoint: Checkpoint, name: str, sampler: SamplerConfig | None = None) -> None:
        self.walk = checkpoint.config.walk
        self.sampler = sampler or PRESETS[self.walk.preset]
        if checkpoint.model.device.type == "cpu":  # a card is slower so: half as fast at 1024 x 1024 (H100)
            checkpoint.autoencoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._exact = checkpoint
        rounds = rounded(checkpoint) if self.sampler.num_timesteps == 2 else checkpoint
        self.checkpoint = in_columns(rounds)
        supports = {"free_text", "reconstruct", "preview", "context"} | ({"ask"} if self.walk.ask else set())
        supports |= {"motions"} if "{instruction}" in self.walk.prompt else set()
        device, dtype = str(checkpoint.model.device), str(checkpoint.model.dtype).removeprefix("torch.")
        dtype = dtype if rounds is checkpoint else "int8"
        self._spec = WorldSpec(name, frozenset(supports), device, dtype, self.walk.frame_size)
        self._memo: OrderedDict[bytes, _Past] = OrderedDict()

    @property
    def spec(self) -> WorldSpec:
        return self._spec

    def reset(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[State]:
        """States at the scenes' first starts, their frames fitted to the model's size."""
        if len(scenes) != len(seeds):
            raise ValueError(f"one seed for each scene: got {len(scenes)} scenes and {len(seeds)} seeds")
        pairs = zip(scenes, seeds, strict=True)
        return [State(s, (self._fit(s.starts[0].frame),), (), s.starts[0].pose, seed) for s, seed in pairs]

    @torch.inference_mode()
    def step(
        self, states: Sequence[State], actions: Sequence[Action], on_preview: OnPreview | None = None
    ) -> list[State]:
        """The next frame of each state; states of one picture size are one batch. `on_preview` as in world.previews."""
        if len(states) != len(actions):
            raise ValueError(f"one action for each state: got {len(states)} states and {len(actions)} actions")
        sizes = [frame_size(state.frame, self.checkpoint.config) for state in states]
        after: dict[int, State] = {}
        for size in dict.fromkeys(sizes):
            rows = [i for i, s in enumerate(sizes) if s == size]
            new = self._step([states[i] for i in rows], [actions[i] for i in rows], size, rows, on_preview)
            after |= dict(zip(rows, new, strict=True))
        return [after[i] for i in range(len(states))]

    @torch.inference_mode()
    def ask(self, states: Sequence[State], question: str) -> list[str]:
        """Answers to a question about the newest frames, which the ViT sees; greedy."""
        need_answers(self.checkpoint, self._spec.model)
        c, tokenizer = self.checkpoint, self.checkpoint.tokenizer
        words = Words(tokenizer.prompt(question))
        blocks = [[self._seen(self._fit(state.frame)), words] for state in states]
        contexts = prefill(c.model, tokenizer.image_markers, [EMPTY] * len(states), blocks)
        return [tokenizer.answer(ids) for ids in write(c.model, contexts, tokenizer.start, tokenizer.end, ANSWER)]

    @torch.inference_mode()
    def reconstruct(self, frames: Sequence[Frame]) -> list[Frame]:
        """Frames through the autoencoder and back: the best that any prediction can look."""
        c = self.checkpoint
        pixels = torch.stack([to_pixels(Image.fromarray(self._fit(frame))) for frame in frames]).to(c.model.device)
        return list(to_bytes(c.autoencoder.decode(encode_latent(c, pixels))).cpu().numpy())

    def with_sampler(self, sampler: SamplerConfig) -> BagelWorldModel:
        """The same checkpoint with other settings, as in world.tuning."""
        return BagelWorldModel(self._exact, self._spec.model, sampler)

    @torch.inference_mode()
    def features(self, frames: Sequence[Frame]) -> NDArray[np.float32]:
        """The autoencoder's latents of the frames, [B, SIDE, SIDE, C] of `world.looks`, less the mean of each channel:
        what BAGEL paints with, and so what two of its pictures have in common."""
        fitted = [self._fit(frame) for frame in frames]
        if len({frame.shape for frame in fitted}) > 1:
            raise ValueError("frames of one size have features of one size: got several sizes")
        pixels = torch.stack([to_pixels(Image.fromarray(frame)) for frame in fitted])
        latent = encode_latent(self.checkpoint, pixels.to(self.checkpoint.model.device)).float()  # [B, C, h, w]
        grid = torch.nn.functional.adaptive_avg_pool2d(latent - latent.mean(dim=(2, 3), keepdim=True), SIDE)
        return grid.permute(0, 2, 3, 1).cpu().numpy()

    @torch.inference_mode()
    def chances(self, frames: Sequence[Frame], question: str, answers: Sequence[str]) -> NDArray[np.float64]:
        """As in world.looks.Judge; raises ModelError where the model has not learned to answer."""
        need_answers(self.checkpoint, self._spec.model)
        pictures = [self._seen(self._fit(frame)) for frame in frames]
        return chances(self.checkpoint, pictures, question, answers).double().cpu().numpy()

    def words(self, scene: Scene, action: Action, pose: Pose | None) -> Words:
        """What the model reads of an action at `pose`, which is told where the model knows its way about."""
        called = self.walk.place(scene.name, scene.called)
        return Words(self.checkpoint.tokenizer.prompt(self.walk.words(called, action, self._aim(scene, action, pose))))

    def close(self) -> None:
        self._memo.clear()

    def _callback(
        self, on_preview: OnPreview, rows: Sequence[int], staying: list[int], grid: tuple[int, int]
    ) -> Callback:
        """Tells of every evaluation; a straight line to t = 0 is what the picture would be by then.

        Places of `rows` that are given up are taken out of `staying`.
        """
        times = schedule(self.sampler.num_timesteps, self.sampler.timestep_shift)

        def callback(step: int, x_t: Tensor, v_t: Tensor) -> list[int]:
            def draw() -> list[Frame]:
                return list(decode_tokens(self.checkpoint, x_t - v_t * times[step].item(), grid).cpu().numpy())

            told = tuple(rows[place] for place in staying)
            gone = on_preview(Progress(told, step + 1, len(times) - 1, draw)) or ()
            kept = [i for i, row in enumerate(told) if row not in gone]
            staying[:] = [staying[i] for i in kept]
            return kept

        return callback

    def _step(
        self,
        states: Sequence[State],
        actions: Sequence[Action],
        size: tuple[int, int],
        rows: Sequence[int],
        on_preview: OnPreview | None,
    ) -> list[State]:
        """States of one size; `rows` are what `on_preview` calls them."""
        c, markers = self.checkpoint, self.checkpoint.tokenizer.image_markers
        grid = grid_of(c, size)
        windows = self._windows(states, actions)
        pasts = self._pasts(windows)
        words = [self.words(w.state.scene, a, w.poses[-1]) for w, a in zip(windows, actions, strict=True)]
        gen = self._read(
            [past.gen for past in pasts], [[*self._picture(w, -1), x] for w, x in zip(windows, words, strict=True)]
        )
        conditions = Conditions(gen)
        texts = [past.texts for past in pasts]
        if num_branches(self.sampler) > 1:
            before = [Context(g.segments[:-1], g.position - len(x.ids)) for g, x in zip(gen, words, strict=True)]
            conditions = Conditions(gen, before)
        if num_branches(self.sampler) > 2:
            texts = self._read(texts, [[x] for x in words])
            conditions = replace(conditions, cfg_image=texts)
        shares = torch.tensor([self._anchor(w, a) for w, a in zip(windows, actions, strict=True)])
        if shares.any():
            conditions = replace(conditions, anchors=(self._read([EMPTY] * len(words), [[x] for x in words]), shares))
        shape = (grid[0] * grid[1], c.config.latent_channels)
        noise = torch.stack([_noise(state.seed, state.step, shape) for state in states])
        staying = list(range(len(states)))
        callback = on_preview and self._callback(on_preview, rows, staying, grid)
        tokens = sample(c.model, markers, conditions, noise, grid, self.sampler, callback=callback)
        tokens = tokens.half()  # kept so: a state repeats
        frames = decode_tokens(c, tokens.float(), grid).cpu().numpy() if staying else []
        new = list(states)
        for i, frame, latent in zip(staying, frames, tokens, strict=True):
            new[i] = self._after(windows[i], actions[i], frame, latent)
            if len(new[i].frames) > 1 and not windows[i].recalls:
                self._keep(new[i].digest(), _Past(gen[i], texts[i]))
        return new

    def _after(self, window: _Window, action: Action, frame: Frame, tokens: Tensor) -> State:
        """The state with one frame more, or with it alone where the context was full."""
        first = len(window.frames) - 1 if window.recalls else 0
        own = slice(first, None) if len(window.frames) - first < self.walk.history else slice(0)
        actions = (*window.actions[own], action) if window.frames[own] else ()
        state, reckon = window.state, self._reckoning(window.state.scene)
        return replace(
            state,
            frames=(*window.frames[own], frame),
            actions=actions,
            origins=tuple(pose for pose in window.poses[len(window.poses) - len(actions) :] if pose is not None),
            memory=(*(latent.half().cpu().numpy() for latent in window.latents[own]), tokens.cpu().numpy()),
            pose=reckon(state.scene, state.pose, action),
            step=state.step + 1,
            whole=False,
            places=passed(state, action, frame, reckon) if self.walk.recall else (),
        )

    def _reckoning(self, scene: Scene) -> Reckon:
        """On a known floor plan; but a model that is not told where it stands does not keep to one."""
        return models.reckon if self._is_told(scene) and models.has_plan(scene) else unhindered

    def _is_told(self, scene: Scene) -> bool:
        """Whether words tell where an action leads; nobody knows it of a picture."""
        return scene.simulated and self.walk.knows(scene.called)

    def _aim(self, scene: Scene, action: Action, pose: Pose | None) -> Pose | None:
        """Where `action` leads from `pose`; None where words do not tell it."""
        aim = pose.moved(action) if pose is not None and self._is_told(scene) else None
        return None if aim is None or pose_words(aim) is None else aim

    def _anchor(self, window: _Window, action: Action) -> float:
        """The share that words alone have where they tell a place: more with each picture since the last true one.

        None where the pictures are another's, and on the way back to a remembered place: it was held when it was drawn.
        """
        state = window.state
        drifts = bool(state.memory) and not window.recalls
        told = drifts and self._aim(state.scene, action, window.poses[-1]) is not None
        return self.walk.anchor * state.step / (state.step + 1) if told else 0.0

    def _windows(self, states: Sequence[State], actions: Sequence[Action]) -> list[_Window]:
        """What is in context; pictures without latents are encoded here, all in one batch."""
        windows, pairs = [], []
        for state, action in zip(states, actions, strict=True):
            frames, between, memory = state.frames, state.actions, state.memory or (None,) * len(state.frames)
            key, recalled = state.digest(), way_back(state, action, self._reckoning(state.scene))
            if recalled is not None:
                key = hashlib.blake2b(repr((state.scene.called, recalled[1])).encode(), key=recalled[0].digest).digest()
                frames, between, memory = frames[-1:], (), memory[-1:]
                if key not in self._memo:
                    place, move = recalled
                    frames, between, memory = (place.frame, *frames), (move,), (None, *memory)
            elif len(frames) > self.walk.history and not state.whole:
                frames, between, memory = frames[-1:], (), memory[-1:]
            poses: tuple[Pose | None, ...] = (*(state.origins if between else ()), state.pose)
            if recalled is not None:
                # A place's own pose and not the reckoned one, which may be near it: the memo knows only the place.
                poses = (recalled[0].pose, state.pose)
            elif len(poses) <= len(between):
                poses = (None,) * (len(between) + 1)
            frames = tuple(map(self._fit, frames))
            windows.append(_Window(state, (), frames, between, poses, key, recalled is not None))
            pairs += zip(windows[-1].frames, memory, strict=True)
        encoded = iter(self._encoded([frame for frame, latent in pairs if latent is None]))
        latents = iter([next(encoded) if m is None else torch.tensor(np.asarray(m)).float() for _, m in pairs])
        return [replace(w, latents=tuple(itertools.islice(latents, len(w.frames)))) for w in windows]

    def _encoded(self, frames: Sequence[Frame]) -> list[Tensor]:
        """The latents [N, P] of fitted frames of one size, as precise as a state keeps them."""
        if not frames:
            return []
        pixels = torch.stack([to_pixels(Image.fromarray(frame)) for frame in frames])
        latent = encode_latent(self.checkpoint, pixels.to(self.checkpoint.model.device))
        return list(patchify(latent, self.checkpoint.config.latent_patch_size).half().float())

    def _pasts(self, windows: Sequence[_Window]) -> list[_Past]:
        """What stands before the newest pictures: from the memo, or read again one picture at a time."""
        found = [self._memo.get(window.key) for window in windows]
        for i in (i for i, past in enumerate(found) if past is None):
            gen, texts, window = EMPTY, EMPTY, windows[i]
            for k, action in enumerate(window.actions):
                words = self.words(window.state.scene, action, window.poses[k])
                gen = self._read([gen], [[*self._picture(window, k), words]])[0]
                if num_branches(self.sampler) > 2:
                    texts = self._read([texts], [[words]])[0]
            found[i] = past = _Past(gen, texts)
            if window.recalls:
                self._keep(window.key, past)
        return [past or _Past() for past in found]

    def _keep(self, key: bytes, past: _Past) -> None:
        self._memo[key] = past
        while len(self._memo) > MEMO:
            self._memo.popitem(last=False)

    def _read(self, contexts: Sequence[Context], blocks: Sequence[Sequence[Block]]) -> list[Context]:
        return prefill(self.checkpoint.model, self.checkpoint.tokenizer.image_markers, contexts, blocks)

    def _picture(self, window: _Window, k: int) -> list[Block]:
        """Picture k as the blocks of a context: latents, and what the ViT sees where the model walks with it."""
        frame = window.frames[k]
        blocks: list[Block] = [LatentPicture(window.latents[k], grid_of(self.checkpoint, frame.shape[:2]))]
        return [*blocks, self._seen(frame)] if self.walk.vit else blocks

    def _seen(self, frame: Frame) -> SeenPicture:
        image = resize(Image.fromarray(frame), self.checkpoint.config.vit_transform)
        return see_picture(self.checkpoint, to_pixels(image))

    def _fit(self, frame: Frame) -> Frame:
        return fit(frame, self.checkpoint.config)


def _noise(seed: int, step: int, shape: tuple[int, int]) -> Tensor:
    """Normal numbers that (seed, step) alone decide, drawn on the CPU: one fixed noise fed back would wreck a walk."""
    digest = hashlib.blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return torch.randn(shape, generator=generator)
