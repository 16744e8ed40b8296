from __future__ import annotations

from dataclasses import replace

import pytest

from world.batching import BULK_AFTER, SILENCE, FullError, Job, Places, Queue
from world.wire import Limits


def job(session: int, number: int = 0, rows: int = 1, compatible: object = "step", deadline: float = 1e9) -> Job:
    key = (bytes([session]) * 16, number)
    return Job(key, b"", "step", [f"{session}.{number}"] * rows, compatible, deadline, arrived=0.0)


def queue(*jobs: Job, limit: int = 100) -> Queue:
    waiting = Queue(limit, Limits(per_session=10, waiting_bytes=1000))
    for one in jobs:
        waiting.add(one)
    return waiting


def led_by(waiting: Queue, max_rows: int = 1) -> str:
    batch = waiting.next_batch(max_rows)
    assert batch is not None
    return batch.rows[0]


def test_compatible_rows_share_a_batch_and_others_wait() -> None:
    waiting = queue(job(1), job(2, compatible="ask"), job(3), job(4))
    batch = waiting.next_batch(8)
    assert batch is not None
    assert batch.rows == ["1.0", "3.0", "4.0"]
    assert led_by(waiting) == "2.0"
    assert waiting.next_batch(8) is None


def test_sessions_take_turns() -> None:
    waiting = queue(job(1, 0), job(1, 1), job(1, 2), job(2, 0), job(3, 0))
    assert [led_by(waiting) for _ in range(5)] == ["1.0", "2.0", "3.0", "1.1", "1.2"]


def test_who_walks_goes_before_bulk_which_is_not_starved() -> None:
    waiting = queue(job(9, rows=4), *(job(s) for s in range(1, 8)))
    leaders = [led_by(waiting) for _ in range(BULK_AFTER + 1)]
    assert "9.0" not in leaders[:BULK_AFTER]
    assert leaders[BULK_AFTER] == "9.0"


def test_a_large_job_is_handed_out_in_parts() -> None:
    waiting = queue(job(1, rows=5))
    sizes = []
    while (batch := waiting.next_batch(2)) is not None:
        sizes.append(batch.num_rows)
    assert sizes == [2, 2, 1]
    assert len(waiting) == 0


def test_a_batch_is_filled_up_with_bulk() -> None:
    waiting = queue(job(1, rows=6), job(2))
    batch = waiting.next_batch(4)
    assert batch is not None
    assert batch.rows == ["2.0", "1.0", "1.0", "1.0"]
    assert waiting.num_rows == 3


def test_no_more_wait_than_the_limits_allow() -> None:
    with pytest.raises(FullError, match="max-waiting = 2"):
        queue(job(1), job(2), job(3), limit=2)
    with pytest.raises(FullError, match="per_session = 10"):
        queue(*(job(1, number) for number in range(11)))
    large = [replace(job(session), num_bytes=600) for session in (1, 2)]
    with pytest.raises(FullError, match="waiting_bytes = 1000"):
        queue(*large)


def test_a_request_that_is_larger_than_all_that_may_wait_can_still_be_made() -> None:
    assert len(queue(replace(job(1), num_bytes=2000))) == 1


def test_a_place_is_free_again_after_a_silence() -> None:
    places = Places(2)
    for session, now in ((b"one", 0.0), (b"two", 1.0), (b"one", 2.0)):
        places.take(session, now)
    with pytest.raises(FullError, match="2 clients are served already: the limit is sessions = 2"):
        places.take(b"three", 3.0)
    places.take(b"three", 1.5 + SILENCE)  # two has been silent
    with pytest.raises(FullError):
        places.take(b"two", 1.5 + SILENCE)


def test_removed_jobs_are_gone() -> None:
    other, removed = job(2), job(3)
    waiting = queue(other, removed)
    assert waiting.position(removed) == 1
    assert waiting.remove(removed)
    assert not waiting.remove(removed)
    assert led_by(waiting) == "2.0"
