"""The sampler's arithmetic, and that a picture does not depend on its neighbours in the batch."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from bagel.compiled import Evaluations
from bagel.generate import Conversation
from bagel.sampler import Conditions, Extrapolation, combine, is_guided, sample, schedule
from bagel.weights import Checkpoint
from world.settings import PRESETS, RenormType, SamplerConfig

GRID = (4, 6)
SHORT = SamplerConfig(num_timesteps=4)


@pytest.fixture(scope="module")
def conversations(checkpoint: Checkpoint, pictures: list[Image.Image]) -> list[Conversation]:
    empty = Conversation(checkpoint)
    return [
        empty.picture(pictures[0]).text("turn left"),
        empty.text("a red cube"),
        empty.picture(pictures[1]).text("a").picture(pictures[0]).text("step right, then look up"),
    ]


def conditions(conversations: list[Conversation]) -> Conditions:
    return Conditions(
        [c.gen for c in conversations], [c.cfg_text for c in conversations], [c.cfg_image for c in conversations]
    )


def painted(checkpoint: Checkpoint, conversations: list[Conversation], noise: torch.Tensor, c: SamplerConfig, **more):
    markers = checkpoint.tokenizer.image_markers
    return sample(checkpoint.model, markers, conditions(conversations), noise, GRID, c, **more)


def noise(checkpoint: Checkpoint, count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, GRID[0] * GRID[1], checkpoint.config.latent_channels, generator=generator)


def test_the_schedule_runs_from_noise_to_clean_and_its_shift_stays_near_noise() -> None:
    assert schedule(3, 1.0).tolist() == [1.0, 0.5, 0.0]
    assert schedule(3, 3.0).tolist() == [1.0, 0.75, 0.0]


def test_guidance_excludes_the_low_end_and_includes_the_high_end() -> None:
    times = torch.tensor([0.4, 0.41, 0.9, 0.91])  # in float64 the first would be above 0.4
    assert [is_guided(t, (0.4, 0.9)) for t in times] == [False, True, True, False]


def test_n_points_are_n_minus_one_evaluations(checkpoint: Checkpoint, conversations: list[Conversation]) -> None:
    steps: list[int] = []
    painted(checkpoint, conversations[:1], noise(checkpoint, 1), SHORT, callback=lambda step, x, v: steps.append(step))
    assert steps == [0, 1, 2]


@pytest.mark.parametrize("renorm", ["global", "channel", "text_channel"])
@pytest.mark.parametrize("taylor", [False, True])
def test_a_picture_does_not_depend_on_its_neighbours(
    checkpoint: Checkpoint, conversations: list[Conversation], renorm: RenormType, taylor: bool
) -> None:
    c = replace(SHORT, num_timesteps=8, cfg_renorm_type=renorm, cfg_interval=(0.4, 0.95))
    start = noise(checkpoint, 3)
    together = painted(checkpoint, conversations, start, c, taylor=taylor)
    for b in range(3):
        alone = painted(checkpoint, conversations[b : b + 1], start[b : b + 1], c, taylor=taylor)
        torch.testing.assert_close(together[b : b + 1], alone, rtol=1e-4, atol=2e-4)


def test_extrapolation_keeps_nothing_between_requests(
    checkpoint: Checkpoint, conversations: list[Conversation]
) -> None:
    c, start = replace(SHORT, num_timesteps=9), noise(checkpoint, 1)
    plain = painted(checkpoint, conversations[:1], start, c)
    first = painted(checkpoint, conversations[:1], start, c, taylor=True)
    assert torch.equal(painted(checkpoint, conversations[:1], start, c, taylor=True), first)
    assert torch.equal(painted(checkpoint, conversations[:1], start, c), plain)
    assert not torch.equal(first, plain)


def test_extrapolation_continues_a_polynomial() -> None:
    seen = Extrapolation()
    for n in range(5):
        assert seen.due
        seen.learn(torch.tensor(2.0 * n))
    assert [seen.guess().item(), seen.guess().item()] == [10.0, 12.0]
    assert seen.due


def test_a_text_scale_of_one_turns_the_image_scale_off() -> None:
    v, vt, vi = torch.randn(3, 1, 4, 6, generator=torch.Generator().manual_seed(0))
    assert combine(v, vt, vi, SamplerConfig(cfg_text_scale=1.0, cfg_image_scale=2.0)) is v


def test_the_global_renorm_is_of_each_picture() -> None:
    v, vt = torch.randn(2, 2, 4, 6, generator=torch.Generator().manual_seed(0))
    c = SamplerConfig(cfg_image_scale=1.0, cfg_renorm_type="global")
    quiet = torch.cat((v[:1], v[1:] * 100))
    assert torch.equal(combine(quiet, vt, None, c)[:1], combine(v, vt, None, c)[:1])


def test_no_guidance_needs_no_other_contexts(checkpoint: Checkpoint, conversations: list[Conversation]) -> None:
    model, markers, start = checkpoint.model, checkpoint.tokenizer.image_markers, noise(checkpoint, 1)
    only = Conditions([conversations[0].gen])
    assert sample(model, markers, only, start, GRID, PRESETS["fast"]).shape == start.shape
    with pytest.raises(ValueError, match="without the last text"):
        sample(model, markers, only, start, GRID, SHORT)
    with pytest.raises(ValueError, match=r"has shape \(1, 24, 64\), got \(1, 23, 64\)"):
        sample(model, markers, only, start[:, 1:], GRID, PRESETS["fast"])
    with pytest.raises(ValueError, match="without pictures"):
        sample(model, markers, replace(only, cfg_text=[conversations[0].cfg_text]), start, GRID, SHORT)


def test_a_callback_can_end_the_sampling(checkpoint: Checkpoint, conversations: list[Conversation]) -> None:
    def cancel(step: int, x_t: torch.Tensor, v_t: torch.Tensor) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        painted(checkpoint, conversations[:1], noise(checkpoint, 1), SHORT, callback=cancel)


@pytest.mark.parametrize("taylor", [False, True])
def test_pictures_that_are_given_up_leave_the_batch_and_the_others_are_as_before(
    checkpoint: Checkpoint, conversations: list[Conversation], taylor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def let_go(step: int, x_t: torch.Tensor, v_t: torch.Tensor) -> list[int] | None:
        sizes.append(len(x_t))
        return {1: [0, 2], 6: [1]}.get(step)

    c, start = replace(SHORT, num_timesteps=9, cfg_interval=(0.2, 1.0)), noise(checkpoint, 3)
    together = painted(checkpoint, conversations, start, c, taylor=taylor)
    left = painted(checkpoint, conversations, start, c, taylor=taylor, callback=let_go)
    assert sizes == [3, 3, 2, 2, 2, 2, 2, 1]
    torch.testing.assert_close(left, together[2:], rtol=1e-4, atol=2e-4)
    monkeypatch.setattr(checkpoint.model, "evaluations", Evaluations(checkpoint.model))
    sizes.clear()
    in_buffers = painted(checkpoint, conversations, start, c, taylor=taylor, callback=let_go)
    torch.testing.assert_close(in_buffers, together[2:], rtol=1e-4, atol=2e-4)
    nothing = painted(checkpoint, conversations, start, c, taylor=taylor, callback=lambda step, x_t, v_t: [])
    assert nothing.shape == (0, *start.shape[1:])


def test_anchors_have_their_share_of_every_velocity(
    checkpoint: Checkpoint, conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    start, free = noise(checkpoint, 3), replace(SHORT, cfg_text_scale=1.0)
    whole, others = Conditions(conditions(conversations).gen), [conversations[i].cfg_image for i in (2, 0, 1)]
    anchored = replace(whole, anchors=(others, torch.tensor([0.0, 0.5, 1.0])))

    def drawn(given: Conditions, c: SamplerConfig = free, **more) -> torch.Tensor:
        return sample(checkpoint.model, checkpoint.tokenizer.image_markers, given, start, GRID, c, **more)

    past, both, alone = drawn(whole), drawn(anchored), drawn(Conditions(others))
    torch.testing.assert_close(both[0], past[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both[2], alone[2], atol=1e-5, rtol=1e-4)
    assert min((both[1] - picture[1]).abs().max() for picture in (past, alone)) > 1e-2
    left = drawn(anchored, callback=lambda step, x_t, v_t: {0: [1, 2]}.get(step))
    torch.testing.assert_close(left, both[1:], atol=1e-5, rtol=1e-4)
    guided = drawn(conditions(conversations), SHORT)
    held = drawn(replace(conditions(conversations), anchors=anchored.anchors), SHORT)
    torch.testing.assert_close(held[0], guided[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(held[2], alone[2], atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(checkpoint.model, "evaluations", Evaluations(checkpoint.model))
    torch.testing.assert_close(drawn(anchored), both, rtol=1e-4, atol=2e-4)
