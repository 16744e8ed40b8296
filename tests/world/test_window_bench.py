"""The window's figures are taken from its real loop."""

from __future__ import annotations

from world.window_bench import measure


def test_every_figure_is_measured() -> None:
    table = measure(seconds=0.1, num_keys=3, num_states=80)
    assert table.row_count == 4
    measured = list(table.columns[1].cells)
    assert float(str(measured[0])) > 0
    assert "of CPU" in str(measured[1])
    assert "64 states in memory" in str(measured[3])
