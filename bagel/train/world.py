"""Training the Mixture-of-Transformers to predict frames: flow matching on packed interleaved windows.

Every window of F frames gives F - 1 predictions, each with its own time and noise, in one pass (bagel.train.layout).
What is predicted for a frame is kept, and stands in for that frame in the past of later windows: the model learns to
go on truly from its own pictures, as it must on a walk, and no step is spent on making them.
B windows, P predictions, N tokens a picture, C numbers a token, T rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bagel.config import WalkConfig
from bagel.model import Bagel
from bagel.tokenizer import Tokenizer
from bagel.train.autoencoder import pixels
from bagel.train.data import Walks, aims_to_tell
from bagel.train.layout import BLOCK, Layout
from bagel.train.optimizer import Optimizer, OptimizerConfig, add_gradient_
from bagel.train.places import Telling
from bagel.train.poses import NOWHERE, PoseWords, num_rows
from bagel.train.questions import asking_about
from bagel.train.run import RunConfig, run
from bagel.train.strange import disguise_, mirror_moves
from bagel.transformer import rotary
from bagel.vae import Autoencoder, patchify
from world.types import vocabulary
from world.words import understand

# Measured on an H100 at head size 64: 0.29 ms forward, 0.86 with torch's own choice.
FORWARD = {"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 64, "fwd_num_warps": 4, "fwd_num_stages": 3}

MOST_WORDS = 96  # rows of a text

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
Said: TypeAlias = tuple[Sequence[str], Sequence[Sequence[str]]]  # what Walks.called gives, and Walks.wordings


@dataclass(frozen=True)
class WorldTraining:
    """Shares are of predictions, but `noisy` of clean pictures, and `drop_aim` of windows."""

    batch: int = 64
    words: int = 14  # rows a text may take, im_start and im_end included (with_room adds those of an aim)
    shift: float = 3.0  # of the drawn times
    uniform: float = 0.5  # share of times drawn uniformly; the others are logit-normal
    pure: float = 0.6  # share of times set to 1: where every walk begins a frame, and nearly all its error is made
    noisy: float = 0.8  # share of clean pictures that get noise, so that the model survives its own mistakes
    noise: float = 0.15  # the most such noise
    own: float = 1.0  # the most of a window's clean pictures that are the model's own; each window draws its share
    drop_words: float = 0.05  # share of texts left out, for guidance
    drop_scene: float = 0.1  # share of texts that do not name the place
    drop_aim: float = 0.1  # share of windows whose texts do not tell where a move leads
    places: int = 768  # pictures a step that words alone tell of, where they tell aims
    telling: float = 1.0  # weight of their loss
    other_words: float = 0.3  # share of texts in other words than a move's first
    questions: int = 192  # asked at each step
    strange: float = 0.15  # share of walks in other colours, which no words tell the place of
    answers: float = 0.2  # weight of the cross entropy of their answers
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)


def with_room(c: WorldTraining, tokenizer: Tokenizer, said: Said, walk: WalkConfig) -> WorldTraining:
    """Slots long enough for the longest of the sentences; where `walk` tells aims, with any place's name and an aim.

    Raises ValueError where a sentence is too long to be a move.
    """
    places, wordings = said
    longest = max((words for row in wordings for words in row), key=lambda words: len(tokenizer.prompt(words)))
    rows = len(tokenizer.prompt(longest))
    if rows > MOST_WORDS:
        raise ValueError(f"a move may take {MOST_WORDS} tokens and {longest!r} takes {rows}: say it more briefly")
    if walk.tells_aim:
        move = understand(longest, vocabulary())
        rows = max(len(tokenizer.prompt(walk.words(place, move, None))) for place in ("", *places))
    return replace(c, words=max(c.words, rows) + num_rows(tokenizer, walk))


class Phrases:
    """All texts as one table: for each scene (or none), move and wording a row of `ids` and its length.

    Aims are put in when they are drawn. Where the place's name makes a text too long for `words` rows, both
    are left out.
    """

    def __init__(self, tokenizer: Tokenizer, walk: WalkConfig, said: Said, words: int, device: str) -> None:
        scenes, wordings = said
        most = max(2, *map(len, wordings))
        texts = [(scene, p[k % len(p)]) for scene in (*scenes, "") for p in wordings for k in range(most)]
        self.aims = PoseWords(tokenizer, walk, device) if walk.tells_aim else None
        more = num_rows(tokenizer, walk)
        rows, places = [], []
        for scene, phrase in texts:
            action = understand(phrase, vocabulary())
            row = tokenizer.prompt(walk.words(scene, action, None))
            place = NOWHERE if self.aims is None or not walk.knows(scene) else self.aims.place(scene, action)
            if len(row) + (0 if place == NOWHERE else more) > words:
                row, place = tokenizer.prompt(phrase), NOWHERE
            rows.append(row)
            places.append(place)
        if (longest := max(map(len, rows))) > words:
            raise ValueError(f"the longest text takes {longest} rows and the layout gives {words}: raise `words`")
        self.shape = (len(scenes) + 1, len(wordings), most)
        self.places = torch.tensor(places, device=device)
        self.lengths = torch.tensor([len(row) for row in rows], device=device)
        self.ids = torch.tensor([row + [0] * (words - len(row)) for row in rows], device=device)

    def draw(
        self, scenes: Tensor, moves: Tensor, aims: Tensor | None, c: WorldTraining
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Texts for scenes [B] and moves [B, P]: ids [B, P, words], rows [B, P] (0: dropped), and which tell an aim.

        aims: x, y (m), yaw, pitch and object_yaw (degrees) [B, P, 5]; None where words tell none.
        """

        def chance(share: float) -> Tensor:
            return torch.rand(moves.shape, device=moves.device) < share

        num_scenes, num_moves, num_wordings = self.shape
        scene = torch.where(chance(c.drop_scene), num_scenes - 1, scenes[:, None])
        other = torch.randint(1, num_wordings, moves.shape, device=moves.device)
        wording = torch.where(chance(c.other_words), other, 0)
        index = (scene * num_moves + moves) * num_wordings + wording
        ids, bare = self.ids[index], self.lengths[index]
        lengths = bare
        if self.aims is not None and aims is not None:
            silent = torch.rand(len(moves), 1, device=moves.device) < c.drop_aim
            ids, lengths = self.aims.put(ids, bare, torch.where(silent, NOWHERE, self.places[index]), aims)
        dropped = chance(c.drop_words)
        return ids, torch.where(dropped, 0, lengths), (lengths > bare) & ~dropped


def fade(past: Tensor, c: WorldTraining) -> Tensor:
    """Clean pictures [B, P, N, C] with noise on a share of them."""
    amount, drawn = torch.rand(2, *past.shape[:2], device=past.device)
    return past.lerp(torch.randn_like(past), (c.noise * amount * (drawn < c.noisy))[..., None, None])


@torch.inference_mode()
def encode(autoencoder: Autoencoder, pictures: Tensor, patch: int, dtype: torch.dtype) -> Tensor:
    """Latent tokens [W, L, N, C] of pictures uint8 [W, L, H, W, 3], of the posterior's mean."""
    model = deepcopy(autoencoder).to(pictures.device, dtype)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    parts = [patchify(model.encode(pixels(x, dtype)), patch) for x in pictures.flatten(0, 1).split(256)]
    return torch.cat(parts).unflatten(0, pictures.shape[:2])


def to_device(frames: NDArray[np.uint8], device: str) -> Tensor:
    """Frames from disk, walk by walk."""
    pictures = torch.empty(frames.shape, dtype=torch.uint8, device=device)
    for walk, there in zip(frames, pictures, strict=True):
        there.copy_(torch.from_numpy(np.array(walk)))
    return pictures


def draw_times(shape: tuple[int, ...], c: WorldTraining, device: str) -> Tensor:
    """Flow times: half logit-normal, half uniform, shifted towards noise, a share at exactly 1."""
    rand = torch.rand(shape, device=device)
    u = torch.where(torch.rand(shape, device=device) < c.uniform, rand, torch.randn(shape, device=device).sigmoid())
    t = c.shift * u / (1 + (c.shift - 1) * u)
    return torch.where(torch.rand(shape, device=device) < c.pure, 1.0, t)


class Objective:
    """The loss of one batch, from draws to the mean squared error of the velocity."""

    def __init__(self, model: Bagel, tokenizer: Tokenizer, layout: Layout, batch: int, device: str) -> None:
        self.model, self.layout, self.device = model, layout, device
        self.lengths = torch.full((batch, layout.predictions), layout.words, device=device)
        self.past, self.own = layout.keys(self.lengths)  # written in place: the compiled mask reads these very tensors
        side = round(layout.tokens**0.5)
        grid = torch.arange(side, device=device)
        self.grid = (grid[:, None] * model.config.max_latent_size + grid).flatten()
        marks = torch.tensor([tokenizer.image_start, tokenizer.image_end], device=device)
        self.marks = marks.repeat(2 * layout.predictions)
        self.attend = self._flex() if device.startswith("cuda") else self._dense

    def loss(
        self, clean: Tensor, following: Tensor, ids: Tensor, lengths: Tensor, c: WorldTraining
    ) -> tuple[Tensor, Tensor]:
        """The mean squared error of the velocity, and the latents predicted on the way to it, [B, P, N, C].

        clean: latents [B, P, N, C] of the pictures seen; following: of the pictures after them; ids [B, P, words];
        lengths [B, P].
        """
        b, p = lengths.shape
        t = draw_times((b, p), c, self.device)
        eps = torch.randn_like(following)
        noised = following.lerp(eps, t[..., None, None])
        velocity = self.velocity(clean, noised, t, ids, lengths)
        error = (velocity - (eps - following)).square().mean()
        return error, (noised - t[..., None, None] * velocity).detach()

    def velocity(self, clean: Tensor, noised: Tensor, t: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Of `noised` at times t [B, P], float32 [B, P, N, C]; the others as for `loss`."""
        times = torch.cat((torch.zeros_like(t), t), 1)[..., None]
        rows = self.model.embed_latents(torch.cat((clean, noised), 1), times, self.grid)
        return self.forward(rows.flatten(1, 2), ids, lengths).float().unflatten(1, (t.shape[1], -1))

    def forward(self, gen: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """Latent rows [B, 2 P N, D], clean then noised -> velocity [B, P N, C] of the noised ones."""
        layout, model = self.layout, self.model
        b = len(gen)
        self.lengths = lengths
        for kept, new in zip((self.past, self.own), layout.keys(lengths), strict=True):
            kept.copy_(new)
        ids = torch.cat((self.marks.expand(b, -1), ids.flatten(1)), 1)
        und = model.embed_ids(F.pad(ids, (0, layout.num_und - ids.shape[1])))
        ropes = rotary(layout.positions(lengths), und.shape[1], model.config.language, gen.dtype)
        for layer in model.transformer.layers:
            und, gen = layer(und, gen, ropes, self.attend)
        return model.llm2vae(model.transformer.norm_gen(gen[:, gen.shape[1] // 2 :]))

    def _dense(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = self.layout.mask(self.lengths)[:, None]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)

    def _flex(self) -> Attention:
        from torch.nn.attention.flex_attention import BlockMask, flex_attention

        past, own, order = self.past, self.own, self.layout.order.to(self.device)
        inner = self.layout.slots[2].to(self.device)
        blocks = len(order) // BLOCK
        tiles = self.layout.mask(self.lengths[:1])[0].view(blocks, BLOCK, blocks, BLOCK)
        some, every = tiles.any(3).any(1), tiles.all(3).all(1)
        every[:, : self.layout.num_und // BLOCK] = False  # words may be missing

        def visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
            same = (own[b, j] == order[i]) & (inner[j] <= inner[i])
            return (past[b, j] < order[i]) | same | (i == j)

        mask = BlockMask.from_kv_blocks(*_block_list(some & ~every), *_block_list(every), BLOCK, visible)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return flex_attention(q, k, v, block_mask=mask, enable_gqa=True, kernel_options=FORWARD)  # pyright: ignore

        return attend


def _block_list(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """bool [Q, K] to BlockMask's count [1, 1, Q] and order [1, 1, Q, K] of blocks, int32."""
    order = torch.argsort(blocks.int(), dim=-1, descending=True, stable=True)
    return blocks.sum(-1, dtype=torch.int32)[None, None], order.int()[None, None]


def train(model: Bagel, tokenizer: Tokenizer, autoencoder: Autoencoder, walks: Walks, runs: RunConfig,
          c: WorldTraining, device: str, seed: int, sample: Callable[[int, Optimizer], None]) -> None:  # fmt: skip
    """Trains `model` in place; `sample` is called at each save with the step and the optimizer (its average)."""
    torch.manual_seed(seed + runs.team.rank)
    walk = model.config.walk
    cuda = device.startswith("cuda")
    dtype = torch.bfloat16 if cuda else torch.float32
    model.to(device, dtype)
    pictures = to_device(walks.frames, device)
    names, numbers = np.unique(walks.called(walk), return_inverse=True)
    moves, scenes = (torch.from_numpy(np.array(a)).to(device) for a in (walks.actions, numbers))
    strange = torch.zeros(len(pictures), dtype=torch.bool, device=device)
    if walk.tells_aim:  # elsewhere a name stands in the words of every place
        strange = disguise_(pictures, moves, mirror_moves(walks.wordings).to(device), c.strange)
        scenes = torch.where(strange, len(names), scenes)  # the one without a name, of Phrases
    latents = encode(autoencoder, pictures, model.config.latent_patch_size, dtype)
    told = aims_to_tell(walks, walk)
    aims = None if told is None else torch.from_numpy(np.array(told)).to(device)
    knows = torch.tensor([walk.knows(str(name)) for name in (*names, "")], device=device)
    known_walks = knows[scenes].nonzero()[:, 0]
    layout = Layout(walk.history + 1, latents.shape[2], c.words)
    phrases = Phrases(tokenizer, walk, (names.tolist(), walks.wordings), c.words, device)
    objective = Objective(model, tokenizer, layout, c.batch, device)
    telling = Telling(model, tokenizer.image_markers, objective.grid)
    asking = asking_about(walks, pictures, ~strange, model, tokenizer, c.questions)
    if cuda:
        for layer in model.transformer.layers:
            layer.compile(dynamic=False)
    window = torch.arange(layout.predictions, device=device)
    own = latents.clone()  # what was last predicted for each frame
    plain = replace(c, drop_words=0.0, drop_scene=0.0, drop_aim=0.0)

    def loss() -> Tensor:
        w = torch.randint(len(latents), (c.batch, 1), device=device)
        at = torch.randint(latents.shape[1] - layout.predictions, (c.batch, 1), device=device) + window
        ids, lengths, _ = phrases.draw(scenes[w[:, 0]], moves[w, at], None if aims is None else aims[w, at], c)
        share = torch.rand(c.batch, 1, device=device)
        replaced = torch.rand(at.shape, device=device) < c.own * share
        past = fade(torch.where(replaced[..., None, None], own[w, at], latents[w, at]).float(), c)
        value, predicted = objective.loss(past, latents[w, at + 1].float(), ids, lengths, c)
        # without its words a prediction is of some other move
        kept = (lengths > 0)[..., None, None] & predicted.isfinite().all(-1, keepdim=True)
        own[w, at + 1] = torch.where(kept, predicted.to(own.dtype), own[w, at + 1])
        return value

    def tell() -> Tensor:
        assert aims is not None
        w = known_walks[torch.randint(len(known_walks), (c.places,), device=device)]
        at = torch.randint(moves.shape[1], (c.places,), device=device)
        ids, lengths, told = phrases.draw(scenes[w], moves[w, at][:, None], aims[w, at][:, None], plain)
        t = draw_times((c.places,), c, device)
        return telling.loss(latents[w, at + 1].float(), t, ids[:, 0], lengths[:, 0], told[:, 0].float())

    parts = {"loss": (1.0, loss)}
    parts |= {} if asking is None else {"answers": (c.answers, asking)}
    parts |= {} if aims is None else {"places": (c.telling, tell)}
    optimizer = Optimizer(model, c.optimizer, _trainable(model, [part for _, part in parts.values()]))
    skipped = {f"{name} skipped": torch.zeros((), device=device) for name in parts}

    def step(scale: Tensor) -> dict[str, Tensor]:
        for parameter in model.parameters():
            parameter.grad = None
        values = {}
        for name, (weight, part) in parts.items():
            values[name] = part()
            sound = add_gradient_(optimizer.named.values(), weight * values[name])
            skipped[f"{name} skipped"].add_((~sound).float())
        runs.team.average_([p.grad for p in optimizer.named.values() if p.grad is not None])
        return {k: v.detach() for k, v in values.items()} | {"norm": optimizer.step(scale)} | skipped

    run(step, optimizer, runs, lambda step: sample(step, optimizer))


def _trainable(model: Bagel, losses: Iterable[Callable[[], Tensor]]) -> set[str]:
    """Freezes what takes no part in the losses; the names of the layers' matrices."""
    for loss in losses:
        loss().backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None)
    return {n for n, p in model.named_parameters() if p.requires_grad and p.ndim == 2 and ".layers." in n}
