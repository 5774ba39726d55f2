"""An open loop: requests come when they come, whether or not those before them were answered.

`python -m tidings.bench.openloop` reads a `Plan` as a line of JSON and answers with a `Loaded`. A latency counts
from when its request was due, so what waits for a server that stands still is counted, and so is what waits here
(the "coordinated omission" of closed loops: Gil Tene, "How NOT to Measure Latency", 2013; `wrk2`).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

LATE: Final = 5.0  # ms: a generator that is later than this with one request in a hundred does not keep up
TICK: Final = 0.001  # seconds: the finest that timers of the loop are
READY: Final = 16  # connections before the clock starts
SAMPLES: Final = 400  # answers of each operation that are decoded after the run


class Plan(msgspec.Struct, frozen=True):
    """What is asked. `requests`: a file with an `Asked` a line, as JSON.

    With a `rate` (requests per second) they come for `seconds`, with exponential gaps. With `at_once` instead, so
    many are under way until all of the file are answered. What has no answer `patience` seconds after the last one
    was due has failed. By operation, `lists` names the member of an answer that may be an empty list, and `whole`
    what an answer has in it unless something is missing. The file `became` is told
    what became of each request.
    """

    host: str
    port: int
    requests: str
    rate: float = 0.0
    seconds: float = 0.0
    at_once: int = 0
    seed: int = 1
    connections: int = 512
    patience: float = 5.0
    lists: dict[str, str] = {}
    whole: dict[str, str] = {}
    became: str = ""


class Asked(msgspec.Struct, frozen=True):
    """A request as it goes over the wire."""

    operation: str
    wire: str


class Became(msgspec.Struct, frozen=True):
    """What became of the n-th request. `due` is in seconds of `time.perf_counter`, which all processes share.

    `failed` is the class of its failure, as in `Loaded`. `body` is that of an answer by 201.
    """

    number: int
    due: float
    seconds: float
    status: int  # 0 where nothing came
    failed: str = ""
    body: str = ""


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """By nearest rank; of none, all are 0."""
        ordered = sorted(seconds) or [0.0]

        def rank(share: float) -> float:
            return round(1000 * ordered[max(0, math.ceil(share * len(ordered)) - 1)], 3)

        return cls(rank(0.5), rank(0.9), rank(0.99), rank(1.0))


class Operation(msgspec.Struct, frozen=True):
    """Of one operation. `non_empty`: the share of sampled answers with something in their list."""

    offered: int
    failed: int
    latency: Spread
    bytes_each: float
    non_empty: float | None


class Loaded(msgspec.Struct, frozen=True):
    """What came of it. `failed` is by class: `4xx`, `5xx`, `broken` (the connection), `unanswered`, and
    `partial`: something was missing from it.

    Latencies are of all that were offered; one without an answer counts with the time that it was waited for.
    `bytes_each` are those of bodies. `late` is how long after a request was due the generator saw to it, and
    `kept_up` that this was little: else the generator was measured, not the server.
    """

    offered: int
    completed: int
    per_second: float
    failed: dict[str, int]
    latency: Spread
    operations: dict[str, Operation]
    bytes_each: float
    late: Spread
    kept_up: bool
    connections: int
    seconds: float
    cpu_seconds: float


class TooFewRequests(Exception):
    """More requests are due than the file has."""


def due_times(rate: float, seconds: float, seed: int) -> list[float]:
    """When requests are due, in seconds from the start: a Poisson process. The same arguments, the same times."""
    chance = random.Random(seed)  # noqa: S311 - arrivals, not secrets
    due: list[float] = []
    at = chance.expovariate(rate)
    while at < seconds:
        due.append(at)
        at += chance.expovariate(rate)
    return due


@dataclass(slots=True)
class Pending:
    """A request from when it is due until it is answered."""

    number: int
    due: float


class Generator:
    """The requests of one plan, and what became of each."""

    def __init__(self, plan: Plan, asked: Sequence[Asked]) -> None:
        self.plan = plan
        self.operations = [one.operation for one in asked]
        self.wires = [one.wire.encode() for one in asked]
        self.latencies: list[float] = [-1.0] * len(asked)  # seconds; -1: no answer
        self.bodies: list[int] = [0] * len(asked)
        self.statuses: list[int] = [0] * len(asked)  # 0: the connection broke, or nothing came
        self.late: list[float] = []
        self.waiting: deque[Pending] = deque()
        self.idle: list[Connection] = []
        self.open: set[Connection] = set()
        self.opening = 0
        self.opened = 0
        self.partial: set[int] = set()
        self.created: dict[int, bytes] = {}
        self._whole = {name: text.encode() for name, text in plan.whole.items()}
        self.sampled: dict[str, list[bytes]] = {name: [] for name in plan.lists}
        every = Counter(self.operations)
        self._stride = {name: max(1, every[name] // SAMPLES) for name in plan.lists}
        self._seen: Counter[str] = Counter()
        self._due: list[float] = []
        self._next = 0
        self._left = 0
        self._began = 0.0
        self._loop = asyncio.get_running_loop()
        self._finished = self._loop.create_future()
        self._attempts: set[asyncio.Task[None]] = set()

    async def run(self) -> Loaded:
        """Raises `OSError` if nobody listens there, and `TooFewRequests`."""
        plan = self.plan
        for _ in range(min(plan.at_once or READY, plan.connections)):
            self.opening += 1
            await self._connect()
        gc.collect()
        gc.disable()  # a pause here would be taken for one of the server's
        worked = time.process_time()
        self._began = time.perf_counter()
        if plan.at_once:
            self._left = len(self.wires)
            for _ in range(plan.at_once):
                self._send_another()
            left = -1
            while left != self._left and not self._finished.done():
                left = self._left
                await asyncio.wait([self._finished], timeout=plan.patience)
        else:
            self._due = due_times(plan.rate, plan.seconds, plan.seed)
            if len(self._due) > len(self.wires):
                raise TooFewRequests(f"{len(self._due)} requests are due, and there are {len(self.wires)}.")
            self._left = len(self._due)
            self._tick()
            if self._left:
                await asyncio.wait([self._finished], timeout=plan.seconds + plan.patience)
        ended = time.perf_counter() - self._began
        loaded = self._loaded(ended, time.process_time() - worked)
        if plan.became:
            self._write_became(ended)
        return loaded

    # When requests are due.

    def _tick(self) -> None:
        self._send_due()
        if self._next < len(self._due):
            wait = self._due[self._next] - (time.perf_counter() - self._began)
            self._loop.call_later(max(TICK, wait), self._tick)

    def _send_due(self) -> None:
        now = time.perf_counter() - self._began
        while self._next < len(self._due) and (due := self._due[self._next]) <= now:
            self.late.append(now - due)
            self._send(Pending(self._next, due))
            self._next += 1

    def _send_another(self) -> None:
        """In a closed loop, where a request is due when one before it was answered."""
        if self._next < len(self.wires):
            self._due.append(time.perf_counter() - self._began)
            self._next += 1
            self._send(Pending(self._next - 1, self._due[-1]))

    def _send(self, pending: Pending) -> None:
        if self.idle:
            self.idle.pop().send(pending)
            return
        self.waiting.append(pending)
        if len(self.open) + self.opening < self.plan.connections and self.opening < len(self.waiting):
            self.opening += 1
            attempt = self._loop.create_task(self._attempt())
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)

    # Connections.

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: Connection(self), self.plan.host, self.plan.port)
        finally:
            self.opening -= 1

    async def _attempt(self) -> None:
        try:
            await self._connect()
        except OSError:
            if self.waiting:
                self.came(self.waiting.popleft(), 0, b"", 0)
            self._see_to_waiting()

    def free(self, connection: Connection) -> None:
        """It may take the next request."""
        if self.waiting:
            connection.send(self.waiting.popleft())
        else:
            self.idle.append(connection)

    def gone(self, connection: Connection) -> None:
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._see_to_waiting()

    def _see_to_waiting(self) -> None:
        """With no connection left, nothing would become free for them."""
        if self.waiting and not self.open and not self.opening:
            self._send(self.waiting.popleft())

    # Answers.

    def came(self, pending: Pending, status: int, body: bytes, size: int) -> None:
        """An answer; status 0 is none."""
        number = pending.number
        self.latencies[number] = time.perf_counter() - self._began - pending.due
        self.statuses[number] = status
        self.bodies[number] = size
        operation = self.operations[number]
        if operation in self._whole and self._whole[operation] not in body:
            self.partial.add(number)
        if operation in self._stride and 200 <= status < 300:
            self._seen[operation] += 1
            if self._seen[operation] % self._stride[operation] == 0:
                self.sampled[operation].append(body)
        if status == 201 and self.plan.became:
            self.created[number] = body
        self._left -= 1
        if not self._left and not self._finished.done():
            self._finished.set_result(None)
        if self.plan.at_once:
            self._send_another()
        else:
            self._send_due()  # finer than timers are

    # What came of it.

    def _loaded(self, ended: float, worked: float) -> Loaded:
        asked = range(self._next)
        latencies = [self._waited(number, ended) for number in asked]
        classes = [self._class_of(number) for number in asked]
        by_operation: dict[str, list[int]] = {}
        for number in asked:
            by_operation.setdefault(self.operations[number], []).append(number)
        good = classes.count("")
        late = Spread.of(self.late)
        return Loaded(
            offered=len(asked),
            completed=good,
            per_second=round(good / max(self.plan.seconds, ended), 1),
            failed=dict(Counter(one for one in classes if one)),
            latency=Spread.of(latencies),
            operations={
                name: Operation(
                    offered=len(numbers),
                    failed=sum(bool(classes[number]) for number in numbers),
                    latency=Spread.of([latencies[number] for number in numbers]),
                    bytes_each=self._bytes_each([number for number in numbers if not classes[number]]),
                    non_empty=self._non_empty(name),
                )
                for name, numbers in sorted(by_operation.items())
            },
            bytes_each=self._bytes_each([number for number in asked if not classes[number]]),
            late=late,
            kept_up=late.p99_ms <= LATE,
            connections=self.opened,
            seconds=round(ended, 3),
            cpu_seconds=round(worked, 3),
        )

    def _write_became(self, ended: float) -> None:
        became = [
            Became(
                number,
                due=self._began + self._due[number],
                seconds=self._waited(number, ended),
                status=self.statuses[number],
                failed=self._class_of(number),
                body=self.created.get(number, b"").decode(),
            )
            for number in range(self._next)
        ]
        Path(self.plan.became).write_bytes(msgspec.json.Encoder().encode_lines(became))

    def _waited(self, number: int, ended: float) -> float:
        """Seconds; without an answer, until the end."""
        return self.latencies[number] if self.latencies[number] >= 0 else ended - self._due[number]

    def _class_of(self, number: int) -> str:
        """Empty for an answer that is none of a failure."""
        status = self.statuses[number]
        if self.latencies[number] < 0:
            return "unanswered"
        if not status:
            return "broken"
        if not 200 <= status < 300:
            return f"{status // 100}xx"
        return "partial" if number in self.partial else ""

    def _bytes_each(self, numbers: Sequence[int]) -> float:
        return round(sum(self.bodies[number] for number in numbers) / max(1, len(numbers)), 1)

    def _non_empty(self, operation: str) -> float | None:
        bodies = self.sampled.get(operation)
        if not bodies:
            return None
        member = self.plan.lists[operation]
        return round(sum(bool(msgspec.json.decode(one)[member]) for one in bodies) / len(bodies), 3)


class Connection(asyncio.Protocol):
    """Kept alive, one request at a time. It reads what has a Content-Length; anything else is broken."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._transport: Any = None
        self._pending: Pending | None = None
        self._received = b""
        self._wanted = -1  # bytes of head and body; -1 until the head is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._generator.open.add(self)
        self._generator.opened += 1
        self._generator.free(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._generator.gone(self)
        if self._pending is not None:
            pending, self._pending = self._pending, None
            self._generator.came(pending, 0, b"", 0)

    def send(self, pending: Pending) -> None:
        self._pending = pending
        self._transport.write(self._generator.wires[pending.number])

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        if self._wanted < 0:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                self._received = received
                return
            length = _length(received[:head])
            if length is None:
                self._transport.abort()
                return
            self._wanted = head + 4 + length
        if len(received) < self._wanted:
            self._received = received
            return
        pending = self._pending
        if pending is None or len(received) > self._wanted:  # more than was asked for
            self._transport.abort()
            return
        head = received.find(b"\r\n\r\n")
        closing = b"connection: close" in received[:head].lower()
        self._pending, self._received, self._wanted = None, b"", -1
        if closing:
            self._transport.close()
        else:
            self._generator.free(self)
        self._generator.came(pending, int(received[9:12]), received[head + 4 :], len(received) - head - 4)


def _length(head: bytes) -> int | None:
    """Of the body. None where the head does not say, or is no head."""
    lowered = head.lower()
    at = lowered.find(b"\r\ncontent-length:")
    if not lowered.startswith(b"http/1.1 ") or not lowered[9:12].isdigit():
        return None
    if at < 0:
        return 0 if lowered[9:12] in {b"204", b"304"} else None
    digits = lowered[at + 17 :].split(b"\r\n", 1)[0].strip()
    return int(digits) if digits.isdigit() else None


def read_requests(path: Path) -> list[Asked]:
    return msgspec.json.Decoder(Asked).decode_lines(path.read_bytes())


async def load(plan: Plan) -> Loaded:
    return await Generator(plan, read_requests(Path(plan.requests))).run()


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.readline(), type=Plan)
    with contextlib.suppress(KeyboardInterrupt):  # who started this says what is to be said
        sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(load(plan))) + b"\n")


if __name__ == "__main__":
    main()
