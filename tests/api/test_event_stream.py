"""A stream made of one call that is asked again and again, by a clock of our own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tidings.edge import streams
from tidings.edge.streams import EventStream


@dataclass
class Listener:
    """Hears of something after each of these pauses, in seconds; signed in until the clock says so."""

    pauses: list[float]
    until: float = 1e9
    now: float = 0.0
    looks: list[float] = field(default_factory=list)

    async def listen(self, last: str | None) -> bytes:
        self.now += self.pauses.pop(0)
        return b'{"last":"e.%d","changed":["timeline"]}' % len(self.pauses)

    async def still_signed_in(self) -> bool:
        self.looks.append(self.now)
        return self.now < self.until

    async def hears(self, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
        monkeypatch.setattr(streams.time, "monotonic", lambda: self.now)
        stream = EventStream(self.listen, self.still_signed_in, b'{"last":"e.0"}', None)
        heard = []
        async for said in stream.events():
            heard.append(said)
            if not self.pauses:
                break
        return [said for said in heard if b"event: changed" in said]


async def test_who_hears_much_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener([0.25] * 20)
    assert len(await listener.hears(monkeypatch)) == 20
    assert listener.looks == [1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("pause", [0.25, 4.0])
async def test_it_ends_within_a_second_or_with_the_next_answer(
    monkeypatch: pytest.MonkeyPatch, pause: float
) -> None:
    listener = Listener([pause] * 40, until=6.1)
    heard = await listener.hears(monkeypatch)
    assert listener.looks[-1] == (7.0 if pause < 1 else 8.0)
    assert len(heard) == listener.looks[-1] / pause - 1  # of what woke the last look nothing is said
