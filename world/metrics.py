"""A server's figures: how much was asked, how long it took, how full the batches are; Prometheus' text format."""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import numpy as np

from world.errors import WorldError

WINDOW = 2048  # latest durations from which percentiles are taken
_BATCHES = (1, 2, 4, 8, 16, 32, 64)

Span = Literal["queue", "compute", "transfer"]


class Metrics:
    """Counts and durations; every method may be called from any thread."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()  # by (what, kind), e.g. ("requests", "step")
        self._spans: dict[Span, deque[float]] = {
            "queue": deque(maxlen=WINDOW),
            "compute": deque(maxlen=WINDOW),
            "transfer": deque(maxlen=WINDOW),
        }
        self._seconds: dict[Span, float] = dict.fromkeys(self._spans, 0.0)  # of all durations
        self._num_spans: Counter[Span] = Counter()
        self._batches: Counter[int] = Counter()
        self._lock = threading.Lock()

    def count(self, what: str, kind: str = "") -> None:
        with self._lock:
            self.counts[what, kind] += 1

    def took(self, span: Span, seconds: float) -> None:
        """A duration: waiting for a turn, in the model, or reading and writing messages."""
        with self._lock:
            self._spans[span].append(seconds)
            self._seconds[span] += seconds
            self._num_spans[span] += 1

    def batch(self, num_rows: int) -> None:
        """A batch of the model's has run."""
        with self._lock:
            self._batches[num_rows] += 1

    def median(self, span: Span, default: float) -> float:
        """Of the latest durations, s; `default` before the first."""
        with self._lock:
            return float(np.median(self._spans[span])) if self._spans[span] else default

    def text(self, gauges: Mapping[str, float]) -> str:
        """Everything, and these figures of the moment, as Prometheus reads it."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines(gauges))

    def _lines(self, gauges: Mapping[str, float]) -> Iterable[str]:
        for what in sorted({what for what, _ in self.counts}):
            yield f"# TYPE bagel_world_{what}_total counter"
            for (_, kind), count in sorted(item for item in self.counts.items() if item[0][0] == what):
                yield f"bagel_world_{what}_total{{kind={_quoted(kind)}}} {count}"
        for span, values in self._spans.items():
            yield f"# TYPE bagel_world_{span}_seconds summary"
            if values:
                for quantile in (0.5, 0.95, 0.99):
                    value = float(np.quantile(values, quantile))
                    yield f'bagel_world_{span}_seconds{{quantile="{quantile}"}} {value:.6f}'
            yield f"bagel_world_{span}_seconds_sum {self._seconds[span]:.6f}"
            yield f"bagel_world_{span}_seconds_count {self._num_spans[span]}"
        yield "# TYPE bagel_world_batch_rows histogram"
        for edge in _BATCHES:
            below = sum(count for size, count in self._batches.items() if size <= edge)
            yield f'bagel_world_batch_rows_bucket{{le="{edge}"}} {below}'
        yield f'bagel_world_batch_rows_bucket{{le="+Inf"}} {self._batches.total()}'
        yield f"bagel_world_batch_rows_sum {sum(size * count for size, count in self._batches.items())}"
        yield f"bagel_world_batch_rows_count {self._batches.total()}"
        for name, value in {**gauges, **_gpu_memory()}.items():
            yield f"# TYPE bagel_world_{name} gauge"
            yield f"bagel_world_{name} {value:g}"


class MetricsPage:
    """The figures on http://127.0.0.1:port/metrics, in a thread of their own."""

    def __init__(self, text: Callable[[], str], port: int) -> None:
        """`text` is called in that thread. Raises WorldError where the port cannot be had."""

        class Page(BaseHTTPRequestHandler):
            timeout = 10  # s, for who connects and says nothing

            def do_GET(self) -> None:
                body = text().encode()
                self.send_response(200 if self.path in ("/", "/metrics") else 404)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nobody wants a line a visit."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Page)
        except OSError as error:
            raise WorldError(f"port {port} for the metrics cannot be had: {error.strerror}: choose another") from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _gpu_memory() -> dict[str, float]:
    """Bytes that torch holds on its devices, where the model has brought torch along."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {f"gpu{i}_bytes": torch.cuda.memory_reserved(i) for i in range(torch.cuda.device_count())}
