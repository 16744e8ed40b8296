"""An OpenAI-style image engine in a process of its own, as documented or at fault as reported.

python -m tests.world.engine_host PORT_FILE LOG FAULT [CERTIFICATE]

It draws really: the picture that came, moved aside by what the prompt says, with a little noise of the seed. LOG gets
one JSON line a request. What passes (late, torn, busy) befalls the first request of each key; the rest always; a fault
of "" is none. With a CERTIFICATE, a PEM file that holds its key as well, it speaks https.
"""

from __future__ import annotations

import base64
import email
import hashlib
import io
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FAULTS = ("", "late", "torn", "busy", "deaf", "small", "wide", "refusing", "down", "wordless", "guarded")
LATE = 2.0  # s
TOKEN = "s3cret"  # without which a guarded engine does nothing


class Engine(BaseHTTPRequestHandler):
    """vLLM-Omni's routes for BAGEL."""

    protocol_version = "HTTP/1.1"
    fault = ""
    log = Path()
    seen: set[str] = set()  # noqa: RUF012 (shared by all requests)
    lock = threading.Lock()

    def do_GET(self) -> None:
        if self._is_known():
            self._answer(200, {"object": "list", "data": [{"id": "ByteDance-Seed/BAGEL-7B-MoT", "object": "model"}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_known():
            return
        asked = self._form(body) if self.path == "/v1/images/edits" else json.loads(body)
        key = self.headers["Idempotency-Key"]
        with self.lock:
            first = key not in self.seen
            self.seen.add(key)
            with self.log.open("a") as log:
                told = {k: v for k, v in asked.items() if k not in ("image", "messages")}
                log.write(json.dumps({"path": self.path, "key": key, **told}) + "\n")
        if self.fault == "down":
            self._answer(500, {"error": {"message": "EngineCore died", "type": "server_error"}})
        elif self.fault == "busy" and first:
            self._answer(503, {"detail": "no free slot"})
        elif self.fault == "refusing":
            self._answer(400, {"error": {"message": "Failed to apply OmniBagelProcessor", "type": "BadRequestError"}})
        elif self.path == "/v1/images/edits":
            self._answer(200, {"created": 1, "data": [{"b64_json": self._edit(asked)}]}, first)
        else:
            self._answer(200, {"choices": [{"index": 0, "message": self._chat(asked)}]}, first)

    def _is_known(self) -> bool:
        """Whether the request may be made; if not, it is answered."""
        if self.fault != "guarded" or self.headers["Authorization"] == f"Bearer {TOKEN}":
            return True
        self._answer(401, {"error": "Unauthorized"})
        return False

    def _form(self, body: bytes) -> dict[str, Any]:
        head = f"Content-Type: {self.headers['Content-Type']}\n\n".encode()
        fields: dict[str, Any] = {}
        for part in email.message_from_bytes(head + body).walk():
            if name := part.get_param("name", header="content-disposition"):
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                fields[str(name)] = content if name == "image" else content.decode()
        return fields

    def _edit(self, asked: dict[str, Any]) -> str:
        width, height = map(int, asked["size"].split("x"))
        return self._drawn(asked["image"], asked["prompt"], int(asked["seed"]), (width, height))

    def _chat(self, asked: dict[str, Any]) -> dict[str, Any]:
        words, picture = asked["messages"][0]["content"]
        if asked.get("modalities", ["text"]) == ["text"]:
            return {"role": "assistant", "content": None if self.fault == "wordless" else f"{words['text']} forward"}
        image = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
        drawn = self._drawn(image, words["text"], asked["seed"], (asked["width"], asked["height"]))
        return {
            "role": "assistant",
            "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{drawn}"}}],
        }

    def _drawn(self, png: bytes, prompt: str, seed: int, size: tuple[int, int]) -> str:
        image = Image.open(io.BytesIO(png)).convert("RGB")
        if self.fault == "small":
            size = (size[0] // 2, size[1] // 2)
        pixels = np.asarray(image.resize(size)).astype(float)
        shift = 1 + hashlib.blake2b(prompt.encode(), digest_size=1).digest()[0] % (size[0] // 2)
        if self.fault != "deaf":
            pixels = np.roll(pixels, shift, axis=1)
        pixels += np.random.default_rng(seed).normal(0, 3, pixels.shape)
        if self.fault == "wide":
            margin = size[0] // 2
            pixels = np.pad(pixels, ((0, 0), (margin, margin), (0, 0)))
        buffer = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, format="PNG")
        return base64.b64encode(buffer.getvalue()).decode()

    def _answer(self, status: int, content: dict[str, Any], first: bool = False) -> None:
        body = json.dumps(content).encode()
        if self.fault == "late" and first:
            time.sleep(LATE)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        torn = self.fault == "torn" and first
        self.wfile.write(body[: len(body) // 2] if torn else body)
        self.close_connection |= torn

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    port_file, Engine.log, Engine.fault = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    assert Engine.fault in FAULTS
    with ThreadingHTTPServer(("127.0.0.1", 0), Engine) as server:
        for certificate in sys.argv[4:]:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        port_file.with_suffix(".new").write_text(str(server.server_address[1]))
        port_file.with_suffix(".new").rename(port_file)
        server.serve_forever()
