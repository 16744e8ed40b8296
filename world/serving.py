"""`python -m world serve` and `keygen`: flags to a server, and its life between being asked to start and to end."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from rich.console import Console

from world import cli, models
from world.curve import make_keys
from world.endpoints import is_endpoint, read_endpoint
from world.metrics import MetricsPage
from world.server import Server, ServerOptions
from world.worker import Loader


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
        "--max-wait-ms", type=float, default=0.0, metavar="X", help="that a free model waits for more rows"
    )
    serve.add_argument(
        "--max-waiting", type=cli.count, default=defaults.max_waiting, metavar="N", help="requests; more are refused"
    )
    serve.add_argument("--memo-mb", type=cli.count, default=512, metavar="N", help="for frames that need not travel")
    serve.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="Prometheus text at http://127.0.0.1:PORT/metrics"
    )
    serve.add_argument("--until-stdin-closes", action="store_true", help="end with the process that started this one")
    cli.add_sampler_arguments(serve)
    serve.set_defaults(run=_serve)


def add_keygen(commands: Any) -> None:
    """The parser of `keygen`."""
    keygen = commands.add_parser(
        "keygen", help="keys for a server and its clients on other machines", formatter_class=cli.HelpFormatter
    )
    keygen.add_argument("names", nargs="*", metavar="NAME", help="a client; its file NAME.toml is to be handed over")
    keygen.add_argument("--out", type=Path, default=Path("keys"), metavar="DIR", help="the folder for serve --keys")
    keygen.set_defaults(run=_keygen)


def loader_of(args: argparse.Namespace) -> Loader:
    """Loads what --model, --device and the sampler's flags ask for. Raises at once for an address that is nowhere."""
    if is_endpoint(args.model):
        raise ValueError(f"{args.model} is served already: give the model itself, or python -m world route")
    sampler = cli.sampler_of(args)
    models.entry_of(args.model)

    def load(tell):
        tell(f"loading {args.model}")
        return models.load(args.model, sampler=sampler, device=args.device)

    return load


def run_until_told(server: Server) -> None:
    """Runs until SIGTERM or Ctrl-C, then finishes what waits; a second signal ends at once."""

    def on_signal(number: int, frame: object) -> None:
        if signal.getsignal(number) is on_signal:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        server.leave()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    server.run()


def _serve(args: argparse.Namespace) -> None:
    options = ServerOptions(args.max_batch, args.max_wait_ms, args.max_waiting, args.memo_mb * 2**20)
    server = Server(loader_of(args), read_endpoint(args.bind), options, args.keys)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"serving {args.model} at {server.endpoint}")
    page = None if args.metrics_port is None else MetricsPage(server.figures, args.metrics_port)
    if page is not None:
        console.print(f"figures at http://127.0.0.1:{page.port}/metrics")
    if args.until_stdin_closes:
        threading.Thread(target=_leave_at_end, args=(server,), name="stdin", daemon=True).start()
    try:
        run_until_told(server)
    finally:
        if page is not None:
            page.close()


def _leave_at_end(server: Server) -> None:
    """Whoever started this process holds the other end of stdin, which closes whatever becomes of it."""
    os.read(sys.stdin.fileno(), 1)
    server.leave()


def _keygen(args: argparse.Namespace) -> None:
    made = make_keys(args.out, args.names)
    console = Console(highlight=False, soft_wrap=True)
    for path in made:
        console.print(f"  {path}")
    for name in args.names:
        console.print(f"hand {args.out / name}.toml to {name}, who adds ?key={name}.toml to the server's address")
    if not args.names:
        console.print("name the clients that may in: python -m world keygen alice bob")
