"""A server process of one's own: started with the model, started again when it dies, ended with whoever started it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from world import cli
from world.client import RemoteWorldModel
from world.errors import LinkError, ModelError
from world.settings import SamplerConfig

MAX_DEATHS = 3  # within DEATH_SPAN, then it is given up
DEATH_SPAN = 120.0  # s
CONNECT_TIME = 60.0  # s
LAST_LINES = 8  # of what the process said
SERVE = (sys.executable, "-m", "world", "serve")


class Supervisor:
    """Keeps a server running for as long as `check` is called now and then; the process ends with this one, always."""

    def __init__(self, flags: Sequence[str], command: Sequence[str] = SERVE) -> None:
        """Starts `command` with a free address and `flags`."""
        self._folder = tempfile.TemporaryDirectory(prefix="bagel-")
        self.address = f"ipc://{self._folder.name}/model"
        self._log = Path(self._folder.name) / "log"
        self._command = [*command, "--bind", self.address, "--until-stdin-closes", *flags]
        self._deaths: deque[float] = deque(maxlen=MAX_DEATHS)
        self.process = self._start()

    def check(self) -> None:
        """Starts the process again where it has died.

        Raises ModelError with its own words where it could not begin, LinkError where it dies again and again.
        """
        status = self.process.poll()
        if status is None:
            return
        if status == 2:
            words = [line.removeprefix("error: ") for line in self.last_lines() if line.startswith("error: ")]
            raise ModelError(words[-1] if words else f"the model's process would not start: {self._last_words()}")
        now = time.monotonic()
        self._deaths.append(now)
        if len(self._deaths) == MAX_DEATHS and now - self._deaths[0] < DEATH_SPAN:
            raise LinkError(f"the model's process died {MAX_DEATHS} times (status {status}): {self._last_words()}")
        self._close_stdin()
        self.process = self._start()

    def last_lines(self) -> list[str]:
        """What the process said last."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return [line for line in text.splitlines() if line.strip()][-LAST_LINES:]

    def stop(self) -> None:
        """Ends the process, which has a few seconds to finish; may be called twice."""
        self._close_stdin()
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._folder.cleanup()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT)

    def _close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _last_words(self) -> str:
        lines = self.last_lines()
        return f"its last words: {' | '.join(lines)}" if lines else "it left no word"


class SupervisedWorldModel(RemoteWorldModel):
    """A model in a process that lives and ends with this object."""

    def __init__(self, supervisor: Supervisor, on_stage: Callable[[str], None] = lambda stage: None) -> None:
        """Waits until the model is loaded. Raises ModelError in the words of the process where it cannot be."""
        self._supervisor = supervisor
        try:
            super().__init__(
                supervisor.address, connect_timeout=CONNECT_TIME, on_stage=on_stage, watch=supervisor.check
            )
        except BaseException:
            supervisor.stop()
            raise

    def close(self) -> None:
        """Ends the process too; may be called twice."""
        super().close()
        self._supervisor.stop()


def open_supervised(
    address: str,
    sampler: SamplerConfig | None = None,
    device: str | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> SupervisedWorldModel:
    """The model at `address`, for which `python -m world serve` is started; else as `world.models.load`."""
    flags = ["--model", address]
    if device is not None:
        flags += ["--device", device]
    if sampler is not None:
        flags += cli.flags_of(sampler)
    on_stage("starting the model's process")
    return SupervisedWorldModel(Supervisor(flags), on_stage)
