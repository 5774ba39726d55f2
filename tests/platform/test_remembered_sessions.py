"""Who holds a token is asked once while that stands, and whoever may not come in any more does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from tidings.contracts.users import SignedIn, TokenDigests, UserId, whois
from tidings.edge import sessions as edge_sessions
from tidings.edge.kept import KEPT
from tidings.edge.sessions import Sessions, digest_of
from tidings.platform.cache.keeper import Keeper
from tidings.platform.cache.resting import gathering
from tidings.platform.clock import now_ms, stamp_ns
from tidings.platform.contract import Call, Unauthenticated
from tidings.platform.request import Request
from tidings.platform.seen import Known, Position, Seen, seeing
from tidings.platform.world import World

TOKEN: Final = "tds_" + "a" * 43
OTHER: Final = "tds_" + "b" * 43


@dataclass
class Users:
    """The service that knows, and the edge before it, which hears of changes."""

    room: int = 100_000
    ada: UserId = field(default_factory=lambda: UserId(uuid4()))
    held: bool = True
    version: int = 1
    expires_ms: int = field(default_factory=lambda: now_ms() + 100_000)
    asked: list[bytes] = field(default_factory=list)
    keeper: Keeper = field(init=False)
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        self.keeper = Keeper("edge", KEPT, room=self.room)
        for shelf in self.keeper.shelves.values():
            shelf.listening()
            shelf.registered(time.monotonic() + 1000)
            shelf.beat(time.time_ns() + 3_600_000_000_000)
        self.sessions = Sessions(World("edge", {"users": self}, deadline=1.0, keeper=self.keeper))

    async def send(self, call: Call[Any, Any], ask: TokenDigests, request: Request) -> tuple[Any, int]:
        assert call is whois
        self.asked += ask.digests
        signed_in = SignedIn(
            user_id=self.ada,
            role="member",
            session_id=uuid4(),
            as_of=self.version,
            expires_ms=self.expires_ms,
        )
        return [signed_in if self.held else None for _ in ask.digests], stamp_ns()

    async def holder(self, token: str = TOKEN, client: Seen | None = None) -> UUID | None:
        with seeing(client or Seen()):
            return (await self.sessions.holder(digest_of(token), time.monotonic() + 1)).user_id

    def changes(self) -> None:
        self.version += 1
        self.keeper.heard("users", [(self.ada, self.version)])


async def test_it_is_asked_once() -> None:
    users = Users()
    for _ in range(3):
        assert await users.holder() == users.ada
    assert len(users.asked) == 1
    assert await users.holder(OTHER) == users.ada
    assert len(set(users.asked)) == 2
    assert TOKEN.encode() not in users.sessions._found


def signs_out(users: Users) -> None:
    users.held = False
    users.changes()


def is_not_heard_of(users: Users) -> None:
    users.held = False
    users.keeper.shelves["users"].deaf()


def ends(users: Users) -> None:
    users.held = False
    [found] = users.sessions._found.values()
    found.part.held.until_ms = now_ms() - 1  # as the entry says, once that time has come
    for entry in found.part.held.entries:
        entry.until_ms = now_ms() - 1


@pytest.mark.parametrize("what", [signs_out, is_not_heard_of, ends])
async def test_who_is_signed_out_is_not_let_in(what: Callable[[Users], None]) -> None:
    users = Users()
    assert await users.holder() == users.ada
    what(users)
    with pytest.raises(Unauthenticated):
        await users.holder()
    assert not users.sessions._found


async def test_whoever_changed_is_asked_after_once_more() -> None:
    users = Users()
    await users.holder()
    users.changes()
    for _ in range(2):
        assert await users.holder() == users.ada
    assert len(users.asked) == 2


async def test_a_client_that_knows_of_its_own_write_is_not_let_in_by_what_was_before() -> None:
    users = Users()
    await users.holder()
    users.version += 1
    wrote = Seen(Known((Position("users", users.ada, users.version, time.time_ns()),), {}))
    users.held = False
    with pytest.raises(Unauthenticated):
        await users.holder(client=wrote)


async def test_what_is_made_for_them_rests_on_it() -> None:
    users = Users()
    for _ in range(2):
        with gathering() as resting:
            await users.holder()
        assert resting.whole
        assert [part.call for part in resting.parts] == [whois.name]
    users.changes()
    assert not resting.parts[0].shelf.still(resting.parts[0].held, Seen())


async def test_where_nothing_is_kept_it_is_asked_each_time() -> None:
    users = Users(room=0)
    for _ in range(2):
        with gathering() as resting:
            assert await users.holder() == users.ada
        assert not resting.whole
    assert len(users.asked) == 2
    assert not users.sessions._found


async def test_so_many_are_remembered_and_who_asked_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_sessions, "MOST", 2)
    users = Users()
    for token in (TOKEN, OTHER, TOKEN, "tds_" + "c" * 43):
        await users.holder(token)
    users.asked.clear()
    users.keeper.shelves["users"].one = lambda *_: pytest.fail("it was looked up")  # type: ignore[method-assign]
    assert await users.holder(TOKEN) == users.ada
    assert len(users.sessions._found) == 2
