"""The passes that are made into one compute what the plain formulas do, and are taken only where they are faster."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._dynamo.utils import counters

from bagel.compiled import Evaluations, compile_experts
from bagel.context import EMPTY
from bagel.fused import (
    HOPPER,
    MANY_ROUNDED_ROWS,
    MANY_ROWS,
    finish_fused,
    rounded_swiglu,
    rows_to_fuse,
    swiglu_product,
)
from bagel.model import Bagel
from bagel.placement import Loading, Share
from bagel.precision import round_rows
from bagel.prefill import Words, prefill
from bagel.sampler import Velocity
from bagel.transformer import Expert, Layer
from bagel.weights import Checkpoint, load

SIZES = [(448, 1000), (64, 128), (3584, 18944)]  # numbers of a row, width of the MLP: the last are the release's


def drawn(*shape: int, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(0), device=device).to(dtype)


def plain(gate_up: Tensor) -> Tensor:
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_cpu_both_are_the_plain_formula_to_the_bit(dtype: torch.dtype) -> None:
    rows, weight = drawn(5, 48, dtype=dtype), drawn(64, 48, dtype=dtype)
    assert torch.equal(swiglu_product(rows, weight), plain(F.linear(rows, weight)))
    gate_up = F.linear(rows, weight)
    for got, wanted in zip(rounded_swiglu(gate_up), round_rows(plain(gate_up)), strict=True):
        assert got.dtype == wanted.dtype
        assert torch.equal(got.float(), wanted.float())


def test_the_compiler_is_told_the_truth_about_them() -> None:
    checks = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(swiglu_product, (drawn(5, 48), drawn(64, 48)), test_utils=checks)
    torch.library.opcheck(rounded_swiglu, (drawn(5, 64),), test_utils=checks[:2])


@torch.no_grad()
@pytest.mark.parametrize("precision", ["float32", "fp8"])
def test_an_expert_finishes_as_ever(golden: Path, precision) -> None:
    layer = load(golden, "cpu", how=Loading(precision)).model.transformer.layers[0]
    assert isinstance(layer, Layer)
    x, attention = drawn(2, 3, 64), drawn(2, 3, 64)
    assert torch.equal(finish_fused(layer.gen, x, attention), Expert.finish(layer.gen, x, attention))


@pytest.mark.parametrize(
    ("how", "dtype", "capability", "rows"),
    [
        (Loading(), torch.bfloat16, HOPPER, MANY_ROWS),
        (Loading("fp8"), torch.bfloat16, HOPPER, MANY_ROUNDED_ROWS),
        (Loading("int8"), torch.bfloat16, HOPPER, None),
        (Loading(), torch.float32, HOPPER, None),
        (Loading("fp8"), torch.bfloat16, (8, 9), None),
        (Loading("fp8", share=Share(0, 2)), torch.bfloat16, HOPPER, None),  # down is to be added up
        (Loading(share=Share(0, 2)), torch.bfloat16, HOPPER, None),
    ],
)
def test_they_are_taken_where_they_are_faster(
    golden: Path, how: Loading, dtype, capability, rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(golden, "cpu", dtype, how=how).model
    assert rows_to_fuse(model) is None  # a CPU
    monkeypatch.setattr(Bagel, "device", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert rows_to_fuse(model) is None  # its layers are on a CPU
    model.transformer.devices = (torch.device("cuda"),) * 2
    assert rows_to_fuse(model) == rows


@pytest.fixture
def compiled(golden: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Checkpoint]]:
    """A checkpoint compiled so that so many rows and more are finished in one pass."""

    def make(many: int, how: Loading, backend: str) -> Checkpoint:
        monkeypatch.setattr("bagel.compiled.rows_to_fuse", lambda model: many)
        checkpoint = load(golden, "cpu", how=how)
        compile_experts(checkpoint.model, backend)
        checkpoint.model.evaluations = Evaluations(checkpoint.model)
        return checkpoint

    torch._dynamo.reset()
    counters.clear()
    yield make
    torch._dynamo.reset()


@torch.inference_mode()
@pytest.mark.parametrize("precision", ["float32", "fp8"])
@pytest.mark.parametrize(("many", "backend"), [(1, "eager"), (30, "aot_eager")])  # the markers' rows are fewer than 30
def test_a_growing_context_is_painted_as_ever_and_compiles_nothing_after_the_tenth_step(
    compiled: Callable[..., Checkpoint], golden: Path, precision, many: int, backend: str
) -> None:
    ours, theirs = compiled(many, Loading(precision), backend), load(golden, "cpu", how=Loading(precision))
    markers, context = ours.tokenizer.image_markers, EMPTY
    after_ten = 0
    for step in range(30):
        context = prefill(ours.model, markers, [context], [[Words([5] * (2 + step % 7))]])[0]
        contexts = [context, EMPTY] if step % 2 else [context]
        noise = drawn(len(contexts), 24, 64)
        a, b = (Velocity(c.model, markers, contexts, (4, 6))(noise, torch.tensor(0.5)) for c in (ours, theirs))
        if step < 10:
            after_ten = counters["stats"]["unique_graphs"]
            assert (a - b).norm() <= (1e-5 if precision == "float32" else 2e-2) * b.norm()
    assert 0 < after_ten <= 10  # of three functions; torch gives up compiling at eight of one
    assert counters["stats"]["unique_graphs"] == after_ten


@pytest.fixture
def hopper() -> torch.device:
    if torch.cuda.get_device_capability() < HOPPER:
        pytest.skip("needs a Hopper card")
    return torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.usefixtures("hopper")
@pytest.mark.parametrize("num_rows", [1, 6, 127, 768, MANY_ROWS, 3001])
@pytest.mark.parametrize(("num_in", "width"), SIZES)
def test_on_hopper_the_product_is_as_exact_as_the_plain_one(num_rows: int, num_in: int, width: int) -> None:
    rows = drawn(num_rows, num_in, device="cuda", dtype=torch.bfloat16)
    weight = drawn(2 * width, num_in, device="cuda", dtype=torch.bfloat16) / num_in**0.5
    exact = plain(F.linear(rows.double(), weight.double())) if width < 2000 else plain(F.linear(rows, weight)).double()
    got = swiglu_product(rows, weight)
    assert (got.shape, got.dtype) == ((num_rows, width), torch.bfloat16)
    assert (got - exact).norm() <= 5e-3 * exact.norm()
    assert (got - exact).abs().max() <= 2e-2 * exact.abs().max()


def assert_rounded_alike(got: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    """But for what silu, computed otherwise in its last bits, rounds to the other side now and then."""
    (packed, scale), (packed_there, scale_there) = got, wanted
    assert (packed.shape, packed.dtype) == (packed_there.shape, packed_there.dtype)
    assert (scale.shape, scale.dtype) == (scale_there.shape, scale_there.dtype)
    torch.testing.assert_close(scale, scale_there, rtol=2**-7, atol=0)  # a step of bfloat16, where it is the largest
    same = (scale == scale_there).flatten()
    assert same.float().mean() >= 0.95 or (~same).sum() <= 1
    assert (packed[same].float() != packed_there[same].float()).float().mean() < 1e-3
    a, b = packed.float() * scale, packed_there.float() * scale_there
    assert (a - b).norm() <= 1e-2 * b.norm()


@pytest.mark.gpu
@pytest.mark.usefixtures("hopper")
@pytest.mark.parametrize("num_rows", [1, 6, 127, 768, 3001])
@pytest.mark.parametrize("width", [16, 1000, 18944])
def test_on_hopper_rows_are_rounded_as_the_plain_way_does(num_rows: int, width: int) -> None:
    gate_up = 3 * drawn(num_rows, 2 * width, device="cuda", dtype=torch.bfloat16)
    gate_up[num_rows // 2] = 0
    assert_rounded_alike(rounded_swiglu(gate_up), round_rows(plain(gate_up)))


@pytest.mark.gpu
@pytest.mark.usefixtures("hopper")
def test_on_hopper_both_run_in_a_graph() -> None:
    rows, weight = (
        torch.zeros(200, 448, device="cuda", dtype=torch.bfloat16),
        drawn(2000, 448, device="cuda").bfloat16(),
    )
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()

    def both() -> tuple[Tensor, ...]:
        return swiglu_product(rows, weight), *rounded_swiglu(F.linear(rows, weight))

    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        both()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        captured = both()
    for scale in (1.0, 0.1):
        rows.copy_(scale * drawn(200, 448, device="cuda"))
        graph.replay()
        for got, wanted in zip(captured, both(), strict=True):
            assert torch.equal(got.float(), wanted.float())


@pytest.mark.gpu
@pytest.mark.usefixtures("hopper")
@torch.inference_mode()
@pytest.mark.parametrize("precision", ["bfloat16", "fp8"])
@pytest.mark.parametrize("rows_in_a_graph", [1024, 0])
def test_on_hopper_a_compiled_model_paints_as_the_plain_one(
    golden: Path, precision, rows_in_a_graph: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch._dynamo.reset()
    for name in ("MANY_ROWS", "MANY_ROUNDED_ROWS"):
        monkeypatch.setattr(f"bagel.fused.{name}", 30)  # latents more, markers fewer
    monkeypatch.setattr("bagel.compiled.ONE_GRAPH", rows_in_a_graph)
    theirs, ours = (load(golden, "cuda", torch.bfloat16, how=Loading(precision)) for _ in range(2))
    assert rows_to_fuse(ours.model) == 30
    compile_experts(ours.model)
    ours.model.evaluations = Evaluations(ours.model)
    context = prefill(theirs.model, theirs.tokenizer.image_markers, [EMPTY], [[Words([5] * 7)]])[0]
    velocity = partial(Velocity, markers=theirs.tokenizer.image_markers, contexts=[context, EMPTY], grid=(4, 6))
    noise = drawn(2, 24, 64, device="cuda")
    for t in (0.7, 0.3):
        a, b = (velocity(checkpoint.model)(noise, torch.tensor(t)).float() for checkpoint in (ours, theirs))
        assert (a - b).norm() <= (3e-2 if precision == "bfloat16" else 8e-2) * b.norm()
