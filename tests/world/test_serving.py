"""The flags of `serve`, `route` and `keygen`: what means nothing is refused with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world.conftest import ROOT
from world.__main__ import main
from world.metrics import MetricsPage
from world.serving import dealt, placed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--max-wait-ms", "nan"], "milliseconds from 0"),
        (["--max-wait-ms", "-1"], "milliseconds from 0"),
        (["--metrics-port", "99999999"], "from 0 to 65535"),
        (["--replicas", "0"], "1 to 64 processes"),
        (["--replicas", "1000"], "1 to 64 processes"),
        (["--max-batch", "0"], "whole number from 1"),
    ],
)
def test_a_flag_that_means_nothing_is_refused(
    flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--bind", f"ipc://{tmp_path}/x", *flags])
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["serve", "--model", "nowhere", "--bind", "{place}"], "no model at 'nowhere'"),
        (["serve", "--model", "nowhere", "--bind", "{place}", "--replicas", "2"], "no model at 'nowhere'"),
        (["serve", "--model", "ipc:///tmp/x", "--bind", "{place}"], "is served already"),
        (["serve", "--bind", "http://x"], "ipc://PATH and tcp://HOST:PORT"),
        (["serve", "--bind", "tcp://0.0.0.0:1"], "python -m world keygen"),
        (["serve", "--bind", "{place}", "--keys", "nowhere"], "no keys could be read"),
        (["serve", "--bind", "{place}", "--devices", "cpu", "cpu"], "tiny does not spread over several devices"),
        (["serve", "--bind", "{place}", "--replicas", "2", "--devices", "a", "b", "c"], "not dealt evenly to 2"),
        (["serve", "--bind", "{place}", "--replicas", "2", "--metrics-port", "0"], "--metrics-port is of one server"),
        (["route", "--bind", "{place}", "--to", "tiny"], "ipc://PATH and tcp://HOST:PORT"),
        (["route", "--bind", "{place}", "--to", "tcp://127.0.0.1:1?key=none.toml"], "no keys could be read"),
        (["keygen", "a/b", "--out", "{place}"], "letters, digits"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(
    command: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(place=f"ipc://{tmp_path}/x") for word in command]) == 2
    assert words in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = MetricsPage(lambda: "", 0)
    assert main(["serve", "--bind", f"ipc://{tmp_path}/x", "--metrics-port", str(page.port)]) == 2
    assert "choose another" in capsys.readouterr().err
    page.close()


def test_devices_are_dealt_out() -> None:
    assert dealt(["a", "b", "c", "d"], 2) == [["a", "b"], ["c", "d"]]
    assert dealt(["a", "b"], 3) == [["a"], ["b"], ["a"]]
    assert placed("tiny", ["cuda:1"]) == ("tiny", "cuda:1")
    golden = str(ROOT / "tests" / "golden" / "a")
    assert placed(golden, ["a", "b"]) == (f"{golden}?devices=a,b", None)
    assert placed(f"{golden}?precision=nf4", ["a", "b"]) == (f"{golden}?precision=nf4&devices=a,b", None)
