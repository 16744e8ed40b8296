"""Sampling: a shifted schedule, guidance branches as rows of one batch, renorm, Euler steps; nothing is remembered.

B pictures, C branches of guidance, R = C * B rows of a batch, N latent tokens, P numbers of a token, D width.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import factorial

import torch
from einops import rearrange, repeat
from torch import Tensor

from bagel.context import Batch, Context
from bagel.embed import grid_positions
from bagel.model import Bagel
from world.settings import SamplerConfig

# (step, x_t [B, N, P], v_t [B, N, P]) after every evaluation: the places of the pictures that go on, None for all
Callback = Callable[[int, Tensor, Tensor], Sequence[int] | None]


@dataclass(frozen=True)
class Conditions:
    """What B pictures are conditioned on: everything; all but the last text; all but the pictures.

    The last two are needed only where their guidance scale is above 1. `anchors` are other contexts and the shares
    [B] of the velocity that they have: they know where everything is, the past how it looks.
    """

    gen: Sequence[Context]
    cfg_text: Sequence[Context] | None = None
    cfg_image: Sequence[Context] | None = None
    anchors: tuple[Sequence[Context], Tensor] | None = None


def schedule(num_timesteps: int, shift: float) -> Tensor:
    """float32 [num_timesteps]: times from 1 (noise) to 0 (clean). N points are N - 1 evaluations."""
    u = torch.linspace(1, 0, num_timesteps)
    return shift * u / (1 + (shift - 1) * u)


def is_guided(t: Tensor, interval: tuple[float, float]) -> bool:
    """Whether guidance is on at time t (after the shift, float32 []): low end excluded, high end included.

    Compared in float32, as published: there 0.4 is not above 0.4.
    """
    return bool(t > interval[0]) and bool(t <= interval[1])


def num_branches(config: SamplerConfig) -> int:
    """How many branches the scales ask for: the words' brings the second, and with it the pictures' the third."""
    if config.cfg_text_scale <= 1:
        return 1
    return 2 if config.cfg_image_scale <= 1 else 3


def combine(v: Tensor, v_text: Tensor, v_image: Tensor | None, c: SamplerConfig) -> Tensor:
    """Guided velocity [B, N, P] from those on everything, without the last text, without pictures (bagel-spec 8.4).

    With a text scale of 1 or less the image scale does nothing. "global" takes one norm over each picture.
    """

    def renormed(y: Tensor, dims: tuple[int, ...]) -> Tensor:
        ratio = torch.linalg.vector_norm(v, dim=dims, keepdim=True) / (
            torch.linalg.vector_norm(y, dim=dims, keepdim=True) + 1e-8
        )
        return y * ratio.clamp(c.cfg_renorm_min, 1.0)

    def away_from_image(y: Tensor) -> Tensor:
        return y if v_image is None or c.cfg_image_scale <= 1 else v_image + c.cfg_image_scale * (y - v_image)

    if c.cfg_text_scale <= 1:
        return v
    guided = v_text + c.cfg_text_scale * (v - v_text)
    if c.cfg_renorm_type == "text_channel":
        return away_from_image(renormed(guided, (-1,)))
    return renormed(away_from_image(guided), (-1,) if c.cfg_renorm_type == "channel" else (-2, -1))


@torch.no_grad()
def sample(
    model: Bagel,
    markers: tuple[int, int],
    conditions: Conditions,
    noise: Tensor,
    grid: tuple[int, int],
    config: SamplerConfig,
    taylor: bool = False,
    callback: Callback | None = None,
) -> Tensor:
    """Latent tokens, float32 [B, N, P], of pictures on a grid (rows, columns), from normal `noise` [B, N, P].

    `markers` are the token ids around a picture. `taylor` skips most evaluations by extrapolation (bagel-spec 8.6).
    Pictures that `callback` lets go leave the batch: what is returned is of the others. An exception that it raises
    ends the sampling. Raises ValueError where a needed branch is missing or the noise has another shape.
    """
    expected = (len(conditions.gen), grid[0] * grid[1], model.config.latent_channels)
    if noise.shape != expected:
        raise ValueError(f"noise for these contexts and this grid has shape {expected}, got {tuple(noise.shape)}")
    branches = _branches(conditions, config)
    shares = None if conditions.anchors is None else conditions.anchors[1].to(model.device)[:, None, None]
    first = 1 if shares is None else 2  # branches of every evaluation, guided or not
    velocity = Velocity(model, markers, [context for branch in branches for context in branch], grid)
    extrapolations = [Extrapolation() for _ in branches] if taylor else None
    x_t = noise.to(model.device, torch.float32)
    times = schedule(config.num_timesteps, config.timestep_shift)
    for step, (t, t_next) in enumerate(pairwise(times)):
        guided = len(branches) > first and is_guided(t, config.cfg_interval)
        v = velocity.of_branches(x_t, t, len(branches) if guided else first, extrapolations).float()
        others = v[first:]
        v_t = combine(v[0], others[0], others[1] if len(others) > 1 else None, config) if guided else v[0]
        v_t = v_t if shares is None else v_t.lerp(v[1], shares)
        staying = callback(step, x_t, v_t) if callback is not None else None
        x_t = x_t - v_t * (t - t_next).item()
        if staying is not None and len(staying) < len(x_t):
            x_t, branches = x_t[staying], [[branch[i] for i in staying] for branch in branches]
            if not staying:
                break
            shares = None if shares is None else shares[staying]
            del velocity  # and with it its buffers, before smaller ones are laid out
            velocity = Velocity(model, markers, [context for branch in branches for context in branch], grid)
            for extrapolation in extrapolations or []:
                extrapolation.terms = [term[staying] for term in extrapolation.terms]
    return x_t


def _branches(conditions: Conditions, config: SamplerConfig) -> list[Sequence[Context]]:
    """The branches that are asked for: gen and anchors at every evaluation, cfg_text and cfg_image at guided ones."""
    branches, count = [conditions.gen], num_branches(config)
    if conditions.anchors is not None:
        branches.append(conditions.anchors[0])
    if count > 1:
        if conditions.cfg_text is None:
            raise ValueError(f"cfg_text_scale {config.cfg_text_scale} needs the contexts without the last text")
        branches.append(conditions.cfg_text)
    if count > 2:
        if conditions.cfg_image is None:
            raise ValueError(f"cfg_image_scale {config.cfg_image_scale} needs the contexts without pictures")
        branches.append(conditions.cfg_image)
    return branches


class Extrapolation:
    """TaylorSeer on the last layer's output: a Taylor series from divided differences (bagel-spec 8.6).

    Evaluations 0 to 4 and then every third are real; the order grows by one with each from the fifth on, up to six.
    """

    def __init__(self) -> None:
        self.evaluation = 0
        self.last = 0  # the latest real evaluation
        self.terms: list[Tensor] = []

    @property
    def due(self) -> bool:
        """Whether the next evaluation must be real."""
        return self.evaluation < 5 or (self.evaluation - 4) % 3 == 0

    def learn(self, output: Tensor) -> None:
        """Takes in a real evaluation."""
        terms = [output]
        if self.evaluation > 3:
            for older in self.terms[:6]:
                terms.append((terms[-1] - older) / (self.evaluation - self.last))
        self.terms, self.last = terms, self.evaluation
        self.evaluation += 1

    def guess(self) -> Tensor:
        """Stands in for an evaluation."""
        ahead = self.evaluation - self.last
        self.evaluation += 1
        return torch.stack([term * (ahead**i / factorial(i)) for i, term in enumerate(self.terms)]).sum(0)


class Velocity:
    """The model as a function of x_t and t on R contexts, whose keys and values are laid out once."""

    def __init__(
        self, model: Bagel, markers: tuple[int, int], contexts: Sequence[Context], grid: tuple[int, int]
    ) -> None:
        self.model, self.contexts = model, contexts
        if model.evaluations is None:
            self.batch = model.batch(contexts, grid[0] * grid[1] + 2)
            self._parts: dict[tuple[int, int], Batch] = {(0, len(contexts)): self.batch}
        else:
            self._owners: dict[tuple[int, int], object] = defaultdict(object)  # of buffers that others use, too
        self.grid_positions = grid_positions(*grid, model.config.max_latent_size, model.device)
        self.markers = model.embed_ids(torch.tensor(markers, device=model.device))  # [2, D]

    def hidden(self, x_t: Tensor, t: Tensor, start: int, stop: int) -> Tensor:
        """The last layer's output [rows, N, D] for x_t [rows, N, P] on the contexts start..stop."""
        if self.model.evaluations is not None:
            contexts, grid = self.contexts[start:stop], (self.grid_positions, self.markers)
            return self.model.evaluations.hidden(self._owners[start, stop], contexts, x_t, t, grid)
        if (start, stop) not in self._parts:
            self._parts[start, stop] = self.batch.rows(start, stop)
        batch = self._parts[start, stop]
        gen = self.model.embed_latents(x_t, t.to(x_t.device).reshape(1), self.grid_positions)
        und = self.markers.expand(len(gen), -1, -1)
        positions = batch.positions[:, None].expand(-1, 2 + x_t.shape[1])  # a picture takes one position
        return self.model.transformer.hidden(und, gen, positions, batch.attend)[1]

    def out(self, hidden: Tensor) -> Tensor:
        """Velocity [..., N, P] from the last layer's output."""
        return self.model.llm2vae(self.model.transformer.norm_gen(hidden))

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Velocity [R, N, P] for x_t [R, N, P] at one time."""
        return self.out(self.hidden(x_t, t, 0, len(x_t)))

    def of_branches(
        self, x_t: Tensor, t: Tensor, num_branches: int, extrapolations: list[Extrapolation] | None
    ) -> Tensor:
        """Velocity [C, B, N, P] of the first branches for x_t [B, N, P], real or extrapolated."""
        team = self.model.team
        if team is None:
            return self._of_branches(x_t, t, range(num_branches), extrapolations)
        mine = team.mine(num_branches)
        v = self._of_branches(x_t, t, mine, extrapolations) if mine else x_t.new_empty(0, *x_t.shape)
        return team.gather(v.float(), mine, num_branches)

    def _of_branches(
        self, x_t: Tensor, t: Tensor, branches: range, extrapolations: list[Extrapolation] | None
    ) -> Tensor:
        num_pictures = len(x_t)
        due = [i for i in branches if extrapolations is None or extrapolations[i].due]
        real = {}
        if due:  # always neighbours: the guidance branches count their evaluations together
            rows = repeat(x_t, "b n p -> (c b) n p", c=len(due))
            hidden = self.hidden(rows, t, due[0] * num_pictures, (due[-1] + 1) * num_pictures)
            if extrapolations is None:
                return rearrange(self.out(hidden), "(c b) n p -> c b n p", b=num_pictures)
            real = dict(zip(due, rearrange(hidden, "(c b) n d -> c b n d", b=num_pictures), strict=True))
        assert extrapolations is not None  # without them every branch is due
        outputs = []
        for i in branches:
            if i in real:
                extrapolations[i].learn(real[i])
            outputs.append(real[i] if i in real else extrapolations[i].guess())
        return self.out(torch.stack(outputs))
