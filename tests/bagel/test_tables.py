"""The tables of BENCHMARKS.md: every row comes, one that fails says why, and the rest go on."""

import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import pytest

from bagel.__main__ import main
from bagel.placement import Loading
from bagel.speed import cards, table
from bagel.speed.cards import CardsTime, Trial, compare_cards
from bagel.speed.evaluation import ARRANGEMENTS, kernel_times, measure_evaluations, product_rates
from bagel.speed.random import config_of
from bagel.speed.table import TableRow
from bagel.weights import load
from world.settings import SamplerConfig


def test_a_table_has_a_row_for_every_precision_and_size(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["bench", "--config", str(golden), "--measure", "table", "--size", "32x32,16x32", "--num-timesteps", "2"]
    assert main([*common, "--precision", "float32,bfloat16", "--json"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)
    assert [(r["name"], r["size"]) for r in rows] == [
        (name, size) for name in ("float32", "bfloat16") for size in ("32x32", "16x32")
    ]
    assert rows[0]["error"] < 1e-5 < rows[2]["error"] < 0.1
    assert all(r["time"]["frame"] > 0 for r in rows)
    assert said.err.count("| float32 | ") == 2  # told as they come
    assert main([*common, "--minutes", "0.0000001"]) == 0
    assert capsys.readouterr().out.count("no time left") == 2


def test_tables_tell_ratios_only_where_both_sides_were_measured() -> None:
    rows = [
        TableRow("bfloat16", "256x256", 2.0),
        TableRow("published", "256x256", 9.0),
        TableRow("fp8", "512x512", 3.0),
    ]
    assert [line.split(" | ")[-2] for line in table.as_markdown(rows)[2:]] == ["4.50", "1.00", ""]
    lines = cards.as_markdown([CardsTime("tensor:2", "64x64", 50.0, 1.0, (3.0, 2.0), 1.6, 1e-2)])
    assert lines[2] == "| tensor:2 | 64x64 | 50.0 ms | 1.60 | 80% | 1.00 s | 3.0 + 2.0 | 1.0e-02 |"


def test_evaluations_are_timed_in_every_arrangement(golden: Path) -> None:
    checkpoint = load(golden, "cpu")
    rows = list(measure_evaluations(checkpoint, [(32, 32)]))
    assert [row.markers for row in rows] == list(ARRANGEMENTS)
    assert all(row.one > 0 and row.three > 0 for row in rows)
    assert kernel_times(checkpoint, (32, 32)) == []  # a card's
    assert len(product_rates(checkpoint)) == 16


def dies(what: object, device: str | None, how: Loading) -> Any:
    """A model whose second process goes without a word, as one that is killed."""
    os._exit(1)


def test_a_way_whose_process_dies_is_a_row_that_says_so(golden: Path) -> None:
    trial = Trial(config_of(str(golden)), dies, Loading(devices=("cpu",)), ((32, 32),), SamplerConfig(), math.inf)
    assert [row.problem for row in compare_cards(trial, ["one:1", "tensor:2"])] == ["its process died"]


def begins_and_stays(what: Path, device: str | None, how: Loading) -> Any:
    """A model whose process, once it is there, never comes to an end; until then it has the file locked."""
    with what.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        print(os.getpid(), file=file, flush=True)
        time.sleep(600)


BENCH = """
import math, sys
from pathlib import Path
from bagel.placement import Loading
from bagel.speed.cards import Trial, compare_cards
from tests.bagel.test_tables import begins_and_stays
from world.settings import SamplerConfig

if __name__ == "__main__":
    how = Loading(devices=("cpu",))
    list(compare_cards(Trial(Path(sys.argv[1]), begins_and_stays, how, ((32, 32),), SamplerConfig(), math.inf)))
"""


def test_a_bench_that_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    script, held = tmp_path / "bench.py", tmp_path / "held"
    script.write_text(BENCH)
    held.touch()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    bench = subprocess.Popen([sys.executable, str(script), str(held)], env=environment)
    try:
        until(lambda: held.read_text().endswith("\n"))
    finally:
        bench.kill()
        bench.wait()
    with held.open() as file:
        try:
            until(lambda: is_free(file))
        except AssertionError:
            os.kill(int(file.read()), signal.SIGKILL)
            raise


def is_free(file: IO[str]) -> bool:
    """Whether nobody else has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.slow
def test_every_way_over_several_processes_gives_what_one_gives(
    golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["bench", "--config", str(golden), "--measure", "cards", "--num-timesteps", "2", "--json"]
    assert main([*common, "--devices", "cpu,cpu,cpu,cpu", "--size", "64x64,32x32", "--minutes", "10"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["way"] for row in rows] == [way for way in cards.WAYS for _ in range(2)]
    assert not any(row["problem"] for row in rows)
    assert all(row["error"] < 1e-5 and row["frame"] > 0 for row in rows)


@pytest.mark.slow
def test_a_server_killed_in_a_step_is_replaced_by_another(capsys: pytest.CaptureFixture[str]) -> None:
    begun = time.perf_counter()
    assert main(["bench", "--measure", "replicas", "--devices", "cpu,cpu", "--num-timesteps", "20", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["apart"] <= 1
    assert found["undisturbed"] < found["killed"] < time.perf_counter() - begun
