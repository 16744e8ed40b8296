from __future__ import annotations

import re
import urllib.error
import urllib.request

import pytest
import torch

from world.errors import WorldError
from world.metrics import Metrics, MetricsPage

LINE = re.compile(r'(# TYPE [a-z0-9_]+ (counter|gauge|summary|histogram)|[a-z0-9_]+(\{[a-z]+="[^"]*"\})? -?[0-9.e+-]+)')


def filled() -> Metrics:
    metrics = Metrics()
    for i in range(100):
        metrics.took("compute", i / 100)
        metrics.batch(1 + i % 4)
    metrics.count("requests", "step")
    return metrics


def test_figures_are_written_as_prometheus_reads_them() -> None:
    text = filled().text({"waiting": 3})
    for line in text.splitlines():
        assert LINE.fullmatch(line), line
    assert 'bagel_world_compute_seconds{quantile="0.5"} 0.495000' in text
    assert "bagel_world_compute_seconds_sum 49.5" in text
    assert "bagel_world_compute_seconds_count 100" in text
    assert 'bagel_world_batch_rows_bucket{le="2"} 50' in text
    assert 'bagel_world_requests_total{kind="step"} 1' in text
    assert "bagel_world_waiting 3" in text


def test_figures_are_a_page() -> None:
    page = MetricsPage(lambda: "figures", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics") as answer:
        assert answer.read() == b"figures"
    with pytest.raises(WorldError, match="choose another"):
        MetricsPage(lambda: "", page.port)
    with pytest.raises(urllib.error.HTTPError, match="404") as missing:
        urllib.request.urlopen(f"http://127.0.0.1:{page.port}/elsewhere")
    missing.value.close()
    page.close()


@pytest.mark.gpu
def test_memory_of_the_cards_is_told() -> None:
    held = torch.zeros(2**20, device="cuda")
    told = Metrics().text({})
    assert int(float(told.split("\nbagel_world_gpu0_bytes ")[1].split()[0])) >= held.nbytes
