"""A request to one of several HTTP servers: sent again under the same key until it is answered, or patience ends."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import urllib3

from world.errors import LinkError, ModelError

MAX_BYTES = 64 * 2**20  # of a reply

_CONNECT = 5.0  # s
_CHUNK = 65536
_AGAIN = frozenset({408, 425, 429})  # beside all from 500 on: what may pass
_AVOIDED = 30.0  # s that a server which failed comes last

T = TypeVar("T")
Fields = Mapping[str, str | tuple[str, bytes, str]]  # of a form: a value, or (file name, bytes, type)


@dataclass(frozen=True)
class Patience:
    """How long one tries."""

    attempt: float = 300.0  # s for one answer
    tries: int = 4
    pause: float = 0.5  # s before the second try, twice as long before each further one

    def __post_init__(self) -> None:
        if not 0 < self.attempt <= 86_400 or not 1 <= self.tries <= 100 or not 0 <= self.pause <= 60:
            raise ValueError(f"expected 0 < attempt <= 86400 s, 1 to 100 tries, a pause of 0 to 60 s, got {self}")


class Poster:
    """Speaks to whichever of `bases` ("http://HOST:PORT") has the fewest requests under way. May be shared by threads.

    A server that cannot be reached, is late, tears its answer or fails (status 500 and above, 429) costs a try, and the
    next one goes elsewhere where there is an elsewhere. A refusal (any other status) is final: it raises ModelError
    with the server's words. When no try is left, LinkError says what happened last.
    """

    def __init__(self, bases: Sequence[str], patience: Patience, token: str = "") -> None:
        self.bases = tuple(dict.fromkeys(bases))
        self._patience = patience
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(maxsize=32, retries=False)
        self._lock = threading.Lock()
        self._outstanding: Counter[str] = Counter()
        self._failed: dict[str, float] = {}  # when

    def get(self, path: str, read: Callable[[bytes], T]) -> T:
        """What `read` makes of the body; a ValueError of it counts as a torn answer."""
        return self._call("GET", path, read, {})

    def post_json(self, path: str, content: Mapping[str, Any], key: str, read: Callable[[bytes], T]) -> T:
        """As `get`; `key` goes along as Idempotency-Key, the same with every try."""
        return self._call("POST", path, read, {"Idempotency-Key": key}, json=content)

    def post_form(self, path: str, fields: Fields, key: str, read: Callable[[bytes], T]) -> T:
        """As `post_json`, as multipart/form-data."""
        return self._call("POST", path, read, {"Idempotency-Key": key}, fields=fields)

    def close(self) -> None:
        """Closes all connections; may be called twice."""
        self._pool.clear()

    def _call(self, verb: str, path: str, read: Callable[[bytes], T], headers: Mapping[str, str], **body: Any) -> T:
        tried: set[str] = set()
        trouble = ""
        for attempt in range(self._patience.tries):
            if attempt:
                time.sleep(self._patience.pause * 2 ** (attempt - 1))
            base = self._take(tried)
            tried.add(base)
            try:
                status, content = self._exchange(verb, base + path, {**self._headers, **headers}, body)
                if status == 200:
                    return read(content)
                trouble = f"{base}{path} answered {status}: {_words(content)}"
                if status < 500 and status not in _AGAIN:
                    raise ModelError(trouble)
            except (urllib3.exceptions.HTTPError, TimeoutError, OSError) as error:
                trouble = f"{base}{path}: {_plain(error)}"
            except ValueError as error:
                trouble = f"{base}{path} sent an answer that cannot be read: {error}"
            finally:
                self._give_back(base)
            self._failed[base] = time.monotonic()
        raise LinkError(f"no answer after {self._patience.tries} tries: {trouble}: check the address and the engine")

    def _exchange(self, verb: str, url: str, headers: Mapping[str, str], body: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body. The deadline holds for the whole of it: a server that trickles is late too."""
        limit = self._patience.attempt
        deadline = time.monotonic() + limit
        timeout = urllib3.Timeout(connect=min(_CONNECT, limit), read=limit)
        response = self._pool.request(
            verb, url, headers=headers, timeout=timeout, preload_content=False, redirect=False, **body
        )
        content = bytearray()
        try:
            for chunk in response.stream(_CHUNK):
                content += chunk
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not through after {limit:g} s")
                if len(content) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
        except BaseException:
            response.close()  # what is left of the answer must not reach the next request
            raise
        response.release_conn()
        return response.status, bytes(content)

    def _take(self, tried: set[str]) -> str:
        """The server to ask: not yet tried, not failing just now, the least busy."""
        with self._lock:
            if len(tried) % len(self.bases) == 0:
                tried.clear()
            now = time.monotonic()
            failing = {base for base, when in self._failed.items() if now - when < _AVOIDED}
            left = [base for base in self.bases if base not in tried]
            base = min(left, key=lambda b: (b in failing, self._outstanding[b]))
            self._outstanding[base] += 1
            return base

    def _give_back(self, base: str) -> None:
        with self._lock:
            self._outstanding[base] -= 1


def _words(content: bytes) -> str:
    """What a server says of an error: OpenAI's form, FastAPI's form, or the text as it is."""
    text = content.decode(errors="replace")
    try:
        told = json.loads(text)
        told = told.get("error", told.get("detail", told))
        text = told["message"] if isinstance(told, dict) and "message" in told else str(told)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:300] or "nothing"


def _plain(error: Exception) -> str:
    """The cause in a few words: urllib3 wraps it."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "nobody listens there"
    if isinstance(error, urllib3.exceptions.TimeoutError | TimeoutError):
        return "no answer in time"
    if isinstance(error, urllib3.exceptions.ProtocolError | urllib3.exceptions.IncompleteRead):
        return "the answer was torn off"
    return " ".join(str(error).split())
