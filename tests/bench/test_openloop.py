"""The open loop: latencies count from when a request was due, failures are counted, arrivals are exponential."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from tidings.bench.openloop import Asked, Became, Loaded, Plan, Spread, TooFewRequests, due_times, load

Answer = Callable[[int], bytes | None]  # None: the connection is cut


def answered(body: bytes, status: bytes = b"200 OK", head: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), head, body)


@asynccontextmanager
async def server(answer: Answer, *, stall: tuple[int, float] = (-1, 0.0), takes: float = 0.0) -> AsyncIterator[int]:
    """Answers the n-th request, after `takes` seconds. All stand still for so long when number `stall` comes."""
    count = 0
    moves_at = 0.0
    loop = asyncio.get_running_loop()
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count, moves_at
        talks.add(asyncio.current_task())  # type: ignore[arg-type]
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                number, count = count, count + 1
                if number == stall[0]:
                    moves_at = loop.time() + stall[1]
                await asyncio.sleep(max(takes, moves_at - loop.time()))
                said = answer(number)
                if said is None:
                    break
                writer.write(said)
        except (asyncio.IncompleteReadError, ConnectionResetError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for one in talks:
            one.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def loaded(
    folder: Path, port: int, *, requests: int = 1000, operation: str = "read", **more: object
) -> Loaded:
    asked = folder / "requests"
    wire = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"
    asked.write_bytes(msgspec.json.Encoder().encode_lines([Asked(operation, wire)] * requests))
    plan = {"host": "127.0.0.1", "port": port, "requests": str(asked), **more}
    return await load(msgspec.convert(plan, Plan))


def always(_: int) -> bytes:
    return answered(b'{"items":[1]}')


def test_arrivals_are_exponential_at_the_rate_and_the_same_for_the_same_seed() -> None:
    due = due_times(1000, 20, seed=5)
    assert due == due_times(1000, 20, seed=5) != due_times(1000, 20, seed=6)
    assert due == sorted(due)
    assert all(0 <= at < 20 for at in due)
    gaps = [after - before for before, after in pairwise(due)]
    assert len(due) == pytest.approx(20_000, rel=0.03)
    # Of exponential gaps the deviation is the mean, and a share of 1 / e is longer than it.
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.03)
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.368, abs=0.02)


async def test_every_request_is_answered_and_the_delay_is_seen(tmp_path: Path) -> None:
    async with server(always, takes=0.02) as port:
        one = await loaded(tmp_path, port, rate=300, seconds=1, lists={"read": "items"})
    assert one.offered == one.completed == len(due_times(300, 1, seed=1))
    assert one.failed == {}
    assert 20 <= one.latency.p50_ms < 60
    assert one.bytes_each == 13
    assert one.operations["read"].non_empty == 1.0
    assert one.per_second == pytest.approx(one.offered, rel=0.15)


async def test_what_waits_for_a_server_that_stands_still_is_late(tmp_path: Path) -> None:
    """A closed loop would show one slow request for each of its connections, here two."""
    async with server(always, stall=(100, 0.3)) as port:
        one = await loaded(tmp_path, port, rate=400, seconds=1, connections=2)
    assert one.offered == one.completed
    # Those that were due in the 300 ms waited for what was left of them: about 120 of 400, evenly.
    assert 240 <= one.latency.max_ms < 600
    assert one.latency.p99_ms > 240
    assert one.latency.p90_ms > 100
    assert one.latency.p50_ms < 100
    assert one.connections == 2


async def test_the_pool_grows_with_what_is_under_way(tmp_path: Path) -> None:
    async with server(always, takes=0.2) as port:
        one = await loaded(tmp_path, port, rate=300, seconds=0.5)
    assert 40 <= one.connections <= 110
    assert one.latency.p50_ms < 260


async def test_failures_are_counted_by_class(tmp_path: Path) -> None:
    said = [
        answered(b"{}"),
        answered(b"", b"429 Too Many"),
        answered(b"", b"503 Unavailable"),
        None,
        b"nonsense\r\n\r\n",
    ]
    async with server(lambda number: said[number % 5]) as port:
        one = await loaded(tmp_path, port, requests=100, at_once=1)
    assert one.offered == 100
    assert one.completed == 20
    assert one.failed == {"4xx": 20, "5xx": 20, "broken": 40}
    assert one.operations["read"].failed == 80


async def test_what_is_never_answered_has_failed_and_counts_as_long_as_it_was_waited_for(tmp_path: Path) -> None:
    async with server(always, stall=(10, 60)) as port:
        one = await loaded(tmp_path, port, rate=100, seconds=0.5, patience=0.4)
    assert one.failed["unanswered"] == one.offered - one.completed > 10
    assert one.latency.max_ms > 600
    assert one.latency.p90_ms > 400


async def test_a_connection_that_the_server_closes_is_opened_again(tmp_path: Path) -> None:
    closing = answered(b"{}", head=b"Connection: close\r\n")
    async with server(lambda _: closing) as port:
        one = await loaded(tmp_path, port, requests=50, at_once=4)
    assert one.completed == 50
    assert one.connections >= 40


async def test_empty_lists_are_told_from_full_ones(tmp_path: Path) -> None:
    empty, full = answered(b'{"items": []}'), answered(b'{"items": [1]}')
    async with server(lambda number: empty if number % 4 else full) as port:
        one = await loaded(tmp_path, port, requests=400, at_once=1, lists={"read": "items"})
    assert one.operations["read"].non_empty == 0.25


async def test_an_answer_with_something_missing_has_failed(tmp_path: Path) -> None:
    whole, partial = (
        answered(b'{"items":[1],"unreachable":[]}'),
        answered(b'{"items":[],"unreachable":["messages"]}'),
    )
    async with server(lambda number: partial if number % 4 else whole) as port:
        one = await loaded(tmp_path, port, requests=400, at_once=1, whole={"read": '"unreachable":[]'})
    assert one.failed == {"partial": 300}
    assert one.completed == 100


async def test_a_closed_loop_has_so_many_under_way(tmp_path: Path) -> None:
    async with server(always, takes=0.02) as port:
        one = await loaded(tmp_path, port, requests=100, at_once=10)
    assert one.completed == 100
    assert 0.2 <= one.seconds < 0.8
    assert one.connections == 10


async def test_too_few_requests_are_no_run(tmp_path: Path) -> None:
    async with server(always) as port:
        with pytest.raises(TooFewRequests):
            await loaded(tmp_path, port, requests=5, rate=1000, seconds=1)


async def test_nobody_there_is_told_at_once(tmp_path: Path) -> None:
    async with server(always) as port:
        pass
    with pytest.raises(OSError):
        await loaded(tmp_path, port, rate=10, seconds=1)


def test_percentiles_are_by_nearest_rank() -> None:
    assert Spread.of([number / 1000 for number in range(1, 101)]) == Spread(50, 90, 99, 100)
    assert Spread.of([]) == Spread(0, 0, 0, 0)


async def test_what_became_of_each_is_told_to_who_asks(tmp_path: Path) -> None:
    def answer(number: int) -> bytes:
        return answered(b'{"id":7}', (b"201 Created", b"200 OK", b"503 Busy")[number % 3])

    file, began = tmp_path / "became", time.perf_counter()
    async with server(answer) as port:
        one = await loaded(tmp_path, port, rate=100, seconds=0.5, connections=1, became=str(file))
    became = msgspec.json.Decoder(Became).decode_lines(file.read_bytes())
    assert [found.number for found in became] == list(range(one.offered))
    assert {(found.status, found.failed, found.body) for found in became} == {
        (201, "", '{"id":7}'),
        (200, "", ""),
        (503, "5xx", ""),
    }
    due = [found.due for found in became]
    assert due == sorted(due)
    assert began < due[0] <= due[-1] < began + 10
    assert max(found.seconds for found in became) * 1000 == pytest.approx(one.latency.max_ms, abs=0.001)
