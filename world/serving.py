"""`python -m world serve`, `route` and `keygen`: from flags to a server that runs until it is told to end."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from world import cli, models
from world.curve import make_keys
from world.endpoints import is_endpoint, read_endpoint
from world.errors import WorldError
from world.metrics import MetricsPage
from world.router import Router
from world.server import Server, ServerOptions
from world.supervisor import Supervisor
from world.types import WorldModel
from world.worker import Loader

MAX_WAIT = 10_000  # ms
MAX_REPLICAS = 64


def add_serve(commands: Any) -> None:
    """The parser of `serve`."""
    serve = commands.add_parser(
        "serve", help="keep a model in this process, for others to walk in", formatter_class=cli.HelpFormatter
    )
    defaults = ServerOptions()
    serve.add_argument("--model", default="tiny", metavar="ADDRESS", help="tiny, sim, or a checkpoint directory")
    serve.add_argument("--bind", required=True, metavar="ADDRESS", help="ipc://PATH or tcp://HOST:PORT")
    serve.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1 (default: CUDA where there is one)")
    serve.add_argument("--keys", type=Path, metavar="DIR", help="made by keygen; needed beyond this machine")
    serve.add_argument(
        "--max-batch", type=cli.count, default=defaults.max_batch, metavar="N", help="rows that run at once"
    )
    serve.add_argument(
        "--max-wait-ms", type=milliseconds, default=0.0, metavar="X", help="that a free model waits for more rows"
    )
    serve.add_argument(
        "--max-waiting", type=cli.count, default=defaults.max_waiting, metavar="N", help="requests; more are refused"
    )
    serve.add_argument("--memo-mb", type=cli.count, default=512, metavar="N", help="for frames that need not travel")
    serve.add_argument(
        "--metrics-port", type=port, metavar="PORT", help="Prometheus text at http://127.0.0.1:PORT/metrics"
    )
    serve.add_argument("--replicas", type=replicas, default=1, metavar="N", help="processes that share the work")
    serve.add_argument(
        "--devices", nargs="+", metavar="NAME", help="cuda:0 cuda:1 …, dealt out to the replicas; one gets them all"
    )
    serve.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    cli.add_sampler_arguments(serve)
    serve.set_defaults(run=_serve)


def add_route(commands: Any) -> None:
    """The parser of `route`."""
    route = commands.add_parser("route", help="several servers behind one address", formatter_class=cli.HelpFormatter)
    route.add_argument("--bind", required=True, metavar="ADDRESS", help="ipc://PATH or tcp://HOST:PORT")
    route.add_argument("--to", required=True, nargs="+", metavar="ADDRESS", help="where the servers are")
    route.add_argument("--keys", type=Path, metavar="DIR", help="made by keygen; needed beyond this machine")
    route.set_defaults(run=_route)


def add_keygen(commands: Any) -> None:
    """The parser of `keygen`."""
    keygen = commands.add_parser(
        "keygen", help="keys for a server and its clients on other machines", formatter_class=cli.HelpFormatter
    )
    keygen.add_argument("names", nargs="*", metavar="NAME", help="a client; its file NAME.toml is to be handed over")
    keygen.add_argument("--out", type=Path, default=Path("keys"), metavar="DIR", help="the folder for serve --keys")
    keygen.set_defaults(run=_keygen)


def milliseconds(text: str) -> float:
    """The type of a flag: a short stretch of time."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= MAX_WAIT:
        raise argparse.ArgumentTypeError(f"expected milliseconds from 0 to {MAX_WAIT}, got {text!r}")
    return value


def port(text: str) -> int:
    """The type of a flag: a tcp port; 0 is any that is free."""
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, got {text!r}")
    return int(text)


def replicas(text: str) -> int:
    """The type of a flag: how many processes."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_REPLICAS):
        raise argparse.ArgumentTypeError(f"expected 1 to {MAX_REPLICAS} processes, got {text!r}")
    return int(text)


def loader_of(args: argparse.Namespace) -> Loader:
    """Loads what --model, --device and the sampler's flags ask for. Raises at once for an address that is nowhere."""
    if is_endpoint(args.model):
        raise ValueError(f"{args.model} is served already: give the model itself, or python -m world route")
    sampler = cli.sampler_of(args)
    package = models.entry_of(args.model).partition(".")[0]

    def load(tell: Callable[[str], None]) -> WorldModel:
        tell(f"loading {args.model}")
        with overheard(package, tell):
            return models.load(args.model, sampler=sampler, device=args.device)

    return load


def dealt(devices: Sequence[str], num_replicas: int) -> list[list[str]]:
    """Devices of each replica: neighbours, as many for each as for the others; in turn where there are too few."""
    if len(devices) < num_replicas:
        return [[devices[i % len(devices)]] for i in range(num_replicas)]
    if len(devices) % num_replicas:
        raise ValueError(f"{len(devices)} devices are not dealt evenly to {num_replicas} replicas: change one of them")
    each = len(devices) // num_replicas
    return [list(devices[i * each : (i + 1) * each]) for i in range(num_replicas)]


def placed(model: str, devices: Sequence[str]) -> tuple[str, str | None]:
    """The address and the --device of a model on one device or spread over several, as bagel/addresses.py reads it."""
    if len(devices) == 1:
        return model, devices[0]
    if models.entry_of(model) != models.DIRECTORY:
        raise ValueError(f"{model} does not spread over several devices: give it --device, or more --replicas")
    return f"{model}{'&' if '?' in model else '?'}devices={','.join(devices)}", None


@contextmanager
def overheard(package: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Within the block, what `package` logs at INFO is told: a model that loads says there how far it is."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tell(record.getMessage())

    logger, ear = logging.getLogger(package), Ear(logging.INFO)
    level = logger.level
    logger.addHandler(ear)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(ear)


def run_until_told(server: Server | Router, run: Callable[[], None] | None = None) -> None:
    """Runs until SIGTERM or Ctrl-C, then finishes what waits; a second signal ends at once."""

    def on_signal(number: int, frame: object) -> None:
        if signal.getsignal(number) is on_signal:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        server.leave()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    (run or server.run)()


def _serve(args: argparse.Namespace) -> None:
    if args.replicas > 1:
        _serve_replicas(args)
        return
    if args.devices:
        args.model, args.device = placed(args.model, args.devices)
    options = ServerOptions(args.max_batch, args.max_wait_ms, args.max_waiting, args.memo_mb * 2**20)
    server = Server(loader_of(args), read_endpoint(args.bind), options, args.keys)
    _tell(f"serving {args.model} at {server.endpoint}")
    page = None
    try:
        if args.metrics_port is not None:
            page = MetricsPage(server.figures, args.metrics_port)
            _tell(f"figures at http://127.0.0.1:{page.port}/metrics")
        if args.until_stdin_closes:
            threading.Thread(target=_leave_at_end, args=(server,), name="stdin", daemon=True).start()
        run_until_told(server)
    finally:
        server.close()
        if page is not None:
            page.close()


def _serve_replicas(args: argparse.Namespace) -> None:
    """As many processes, each with the model, and this one in front of them."""
    if args.metrics_port is not None:
        raise ValueError(
            "--metrics-port is of one server: serve without --replicas, and put python -m world route before"
        )
    loader_of(args)  # a wrong address is told before anything starts
    flags = ["--max-batch", str(args.max_batch), "--max-wait-ms", str(args.max_wait_ms)]
    flags += ["--max-waiting", str(args.max_waiting), "--memo-mb", str(args.memo_mb)]
    sampler = cli.sampler_of(args)
    flags += [] if sampler is None else cli.flags_of(sampler)
    devices = args.devices or ([args.device] if args.device else [])
    shares = dealt(devices, args.replicas) if devices else [[]] * args.replicas
    supervisors: list[Supervisor] = []
    given_up: set[Supervisor] = set()

    def watch() -> None:
        """One that dies again and again is left out, as long as there is another."""
        for supervisor in supervisors:
            try:
                if supervisor not in given_up:
                    supervisor.check()
            except WorldError as error:
                given_up.add(supervisor)
                if len(given_up) == len(supervisors):
                    raise
                _tell(f"{len(supervisors) - len(given_up)} of {len(supervisors)} replicas are left: {error}")

    try:
        for share in shares:
            model, device = placed(args.model, share) if share else (args.model, None)
            supervisors.append(Supervisor(["--model", model, *(["--device", device] if device else []), *flags]))
        backends = [read_endpoint(supervisor.address) for supervisor in supervisors]
        router = Router(read_endpoint(args.bind), backends, args.keys)
        _tell(f"serving {args.replicas} times {args.model} at {router.endpoint}")
        run_until_told(router, lambda: router.run(watch))
    finally:
        for supervisor in supervisors:
            supervisor.stop()


def _route(args: argparse.Namespace) -> None:
    router = Router(read_endpoint(args.bind), [read_endpoint(address) for address in args.to], args.keys)
    _tell(f"passing on from {router.endpoint} to {', '.join(args.to)}")
    run_until_told(router)


def _tell(words: str) -> None:
    Console(highlight=False, soft_wrap=True).print(words)


def _leave_at_end(server: Server) -> None:
    """Whoever started this process holds the other end of stdin, which closes whatever becomes of it."""
    os.read(sys.stdin.fileno(), 1)
    server.leave()


def _keygen(args: argparse.Namespace) -> None:
    made = make_keys(args.out, args.names)
    for path in made:
        _tell(f"  {path}")
    for name in args.names:
        _tell(f"hand {args.out / name}.toml to {name}, who adds ?key={name}.toml to the server's address")
    if not args.names:
        _tell("name the clients that may in: python -m world keygen alice bob")
