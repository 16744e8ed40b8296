"""A client written from world/LINK.md alone, with nothing of ours: what one in another language would do."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import numpy as np
import zmq
from msgspec import msgpack

from tests.world.conftest import Serve
from tests.world.toy_world import SIZE


def test_the_page_is_enough_to_walk(serve: Serve) -> None:
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(serve().address)
    session, number = os.urandom(16), 0

    def ask(buffers: list[bytes], **message: Any) -> tuple[dict[str, Any], list[bytes]]:
        nonlocal number
        number += 1
        dealer.send_multipart([msgpack.encode({"session": session, "number": number, **message}), *buffers])
        while True:
            header, *parts = dealer.recv_multipart()
            reply = msgpack.decode(header)
            if (reply["session"], reply["number"]) == (session, number) and reply["kind"] not in ("queued", "preview"):
                return reply, parts

    welcome = {"ready": False}
    while not welcome["ready"]:
        welcome, _ = ask([], kind="hello", version=1)
    picture = np.arange(SIZE * SIZE * 3, dtype=np.uint8).tobytes()
    frame = [hashlib.sha256(picture).digest()[:16], "|u1", [SIZE, SIZE, 3]]
    pose = dict.fromkeys(("x", "y", "yaw", "pitch", "object_yaw"), 0.0)
    scene = {"name": "mine", "caption": "", "starts": [{"name": "here", "pose": pose, "frame": frame}], "actions": []}
    scene |= {"fov": 80.0, "eye_height": 1.5, "simulated": False}
    call = {"kind": "call", "model": welcome["model"], "timeout_ms": 5000, "scenes": [scene]}

    begun, parts = ask([picture], verb="reset", seeds=[7], attached=[frame[0]], **call)
    assert (begun["kind"], parts) == ("done", [])  # the picture is known on both sides
    moved, (seen,) = ask([], verb="step", states=begun["states"], actions=[{"text": "go on", "forward": 0.5}], **call)
    (state,) = moved["states"]
    assert (state["step"], state["pose"]["x"], state["frames"][0]) == (1, 0.5, frame)
    assert state["frames"][1][0] == moved["attached"][0] == hashlib.sha256(seen).digest()[:16]

    unknown = [bytes(16), "|u1", [SIZE, SIZE, 3]]
    lost = {**state, "frames": [unknown], "actions": []}
    assert ask([], verb="step", states=[lost], actions=[{"text": "go on"}], **call)[0]["kind"] == "need"
    dealer.close()
