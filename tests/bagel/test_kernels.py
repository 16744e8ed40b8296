"""Which attention runs is chosen by what is there, can be forced, and is always explained."""

import pytest
import torch
from PIL import Image

from bagel.__main__ import main
from bagel.attention import attention
from bagel.config import RELEASE
from bagel.generate import Conversation
from bagel.kernels import KERNELS, choose
from bagel.plan import frame_bytes
from bagel.weights import Checkpoint
from world.errors import ModelError

CPU = torch.device("cpu")


def test_on_a_cpu_torchs_own_runs_and_every_better_one_says_why_not(checkpoint: Checkpoint) -> None:
    choice = choose("auto", CPU, torch.float32, checkpoint.config.language)
    assert choice.name == "sdpa"
    assert list(choice.passed_over) == [name for name in KERNELS if name != "sdpa"]
    assert all("needs a CUDA device" in why for why in choice.passed_over.values())


def test_a_forced_kernel_that_cannot_run_is_refused_with_the_reason(golden, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="attention is auto, flash4, flash3"):
        choose("fastest", CPU, torch.float32, RELEASE.language)
    with pytest.raises(ModelError, match="varlen does not run here: it needs a CUDA device"):
        choose("varlen", CPU, torch.bfloat16, RELEASE.language)
    assert main(["imagine", "x", "--model", str(golden), "--attention", "flash2"]) == 2
    assert "attention kernel flash2 does not run here" in capsys.readouterr().err


def test_inspect_tells_which_attention_runs(golden, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(golden)]) == 0
    assert "attention on" in capsys.readouterr().out


def test_a_remembered_picture_of_512_costs_what_the_spec_says() -> None:
    assert round(frame_bytes(RELEASE, (512, 512)) / 2**20) == 131
    assert round(frame_bytes(RELEASE, (1024, 1024)) / 2**20) == 492


def test_remembered_pictures_cost_no_more_than_that_and_are_held_once(
    checkpoint: Checkpoint, pictures: list[Image.Image]
) -> None:
    conversation, sizes = Conversation(checkpoint), []
    for picture in pictures:
        conversation = conversation.picture(picture)
        sizes.append(conversation.painted_size())
    conversation = conversation.text("turn left")
    held = {s.untyped_storage().data_ptr(): s.untyped_storage().nbytes() for s in conversation.cfg_text.segments}
    words = conversation.gen.segments[-1].untyped_storage()
    in_float32 = 2 * sum(frame_bytes(checkpoint.config, size) for size in sizes)
    assert sum(held.values()) == in_float32
    shared = {s.untyped_storage().data_ptr() for s in conversation.gen.segments}
    assert shared == held.keys() | {words.data_ptr()}


@pytest.mark.gpu
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("keys", [130, 1024, 2437])
def test_on_cuda_every_kernel_that_runs_agrees_with_float32(name: str, keys: int) -> None:
    device, c = torch.device("cuda"), RELEASE.language
    generator = torch.Generator(device).manual_seed(0)
    shapes = ((c.num_attention_heads, 130), (c.num_key_value_heads, keys), (c.num_key_value_heads, keys))
    q, k, v = (torch.randn(2, h, t, c.head_dim, device=device, generator=generator) for h, t in shapes)
    try:
        kernel = choose(name, device, torch.bfloat16, c).call
    except ModelError as error:
        pytest.skip(str(error))
    got = kernel(q.bfloat16(), k.bfloat16(), v.bfloat16()).float()
    exact = attention(q, k, v)
    assert (got - exact).norm() <= 1e-2 * exact.norm()
