"""What stands before a service: a limit, a breaker, and a budget for second tries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tidings.platform import metrics
from tidings.platform.clock import stamp_ns
from tidings.platform.contract import Call, NotFound, Nothing, Unavailable
from tidings.platform.dependency import (
    CLOSED,
    FAILURES,
    OPEN,
    OPEN_FOR,
    PROBING,
    RETRIES_SAVED,
    RETRY_ANYWAY,
    RETRY_COSTS,
    WINDOW,
    Dependencies,
    Dependency,
)
from tidings.platform.request import Request, Viewer
from tidings.platform.world import World

READ = Call("elsewhere/look", Nothing, Nothing, callers={"web"}, safe=True)
WRITE = Call("elsewhere/change", Nothing, Nothing, callers={"web"})
SETTLE = Call("elsewhere/settle", Nothing, Nothing, callers={"web"}, guarded=False)
MOST = 10
SLOW = 2.0  # seconds


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def elsewhere(clock: Clock) -> Dependency:
    return Dependency("elsewhere", most=MOST, slow=SLOW, clock=clock)


def ends(dependency: Dependency, clock: Clock, *, failed: bool | None, times: int = 1) -> None:
    """Calls, one after the other, that end at once."""
    for _ in range(times):
        began = clock.now
        dependency.leave(failed, dependency.enter(True), began)


def test_reads_leave_a_fifth_of_the_room_to_writes(elsewhere: Dependency) -> None:
    for _ in range(8):
        elsewhere.enter(True)
    with pytest.raises(Unavailable, match="as much to do as it can") as refused:
        elsewhere.enter(True)
    assert (refused.value.service, refused.value.retry_after) == ("elsewhere", 1)
    for _ in range(2):
        elsewhere.enter(False)
    with pytest.raises(Unavailable):
        elsewhere.enter(False)
    assert elsewhere.under_way == MOST

    elsewhere.leave(False, False, 0.0)
    elsewhere.enter(False)


def test_who_does_not_answer_is_cut_off(elsewhere: Dependency, clock: Clock) -> None:
    ends(elsewhere, clock, failed=True, times=FAILURES - 1)
    assert elsewhere.state == CLOSED
    ends(elsewhere, clock, failed=True)
    assert elsewhere.state == OPEN
    for safe in (True, False):
        with pytest.raises(Unavailable, match="does not answer now") as refused:
            elsewhere.enter(safe)
        assert (refused.value.service, refused.value.retry_after) == ("elsewhere", 1)
    assert elsewhere.under_way == 0


def test_refusals_and_what_was_given_up_cut_nobody_off(elsewhere: Dependency, clock: Clock) -> None:
    ends(elsewhere, clock, failed=False, times=100)
    ends(elsewhere, clock, failed=None, times=100)
    assert elsewhere.state == CLOSED


def test_failures_far_apart_or_among_many_answers_cut_nobody_off(elsewhere: Dependency, clock: Clock) -> None:
    for _ in range(3 * FAILURES):
        ends(elsewhere, clock, failed=True)
        clock.now += 2 * WINDOW / FAILURES
    assert elsewhere.state == CLOSED
    clock.now += WINDOW + 1
    for _ in range(3 * FAILURES):
        ends(elsewhere, clock, failed=True)
        ends(elsewhere, clock, failed=False, times=2)
    assert elsewhere.state == CLOSED


def test_one_call_looks_whether_it_is_back(elsewhere: Dependency, clock: Clock) -> None:
    ends(elsewhere, clock, failed=True, times=FAILURES)
    clock.now += OPEN_FOR
    probe = elsewhere.enter(True)
    assert probe
    assert elsewhere.state == PROBING
    with pytest.raises(Unavailable):
        elsewhere.enter(True)

    elsewhere.leave(True, probe, clock.now)  # it is not
    assert elsewhere.state == OPEN
    clock.now += OPEN_FOR / 2
    with pytest.raises(Unavailable):
        elsewhere.enter(True)
    clock.now += OPEN_FOR / 2
    elsewhere.leave(None, elsewhere.enter(True), clock.now)  # given up: the next may look at once
    elsewhere.leave(False, elsewhere.enter(True), clock.now)
    assert elsewhere.state == CLOSED
    assert not elsewhere.enter(True)


def test_one_that_answers_slowly_is_not_back(elsewhere: Dependency, clock: Clock) -> None:
    """Who may wait longer than others would close it for all, again and again."""
    ends(elsewhere, clock, failed=True, times=FAILURES)
    clock.now += OPEN_FOR
    probe, began = elsewhere.enter(True), clock.now
    clock.now += SLOW
    elsewhere.leave(False, probe, began)
    assert elsewhere.state == OPEN


def test_a_call_that_takes_long_does_not_keep_others_from_looking(elsewhere: Dependency, clock: Clock) -> None:
    ends(elsewhere, clock, failed=True, times=FAILURES)
    clock.now += OPEN_FOR
    long, began = elsewhere.enter(True), clock.now
    clock.now += SLOW / 2
    with pytest.raises(Unavailable):
        elsewhere.enter(True)
    clock.now += SLOW / 2
    ends(elsewhere, clock, failed=False)
    assert elsewhere.state == CLOSED
    clock.now += 60
    elsewhere.leave(False, long, began)
    assert (elsewhere.state, elsewhere.under_way) == (CLOSED, 0)


def test_calls_from_before_it_was_back_count_for_nothing(elsewhere: Dependency, clock: Clock) -> None:
    began = clock.now
    for _ in range(5):
        elsewhere.enter(True)
    ends(elsewhere, clock, failed=True, times=FAILURES)
    elsewhere.leave(False, False, began)  # late, while it is cut off: not the one that looks
    assert elsewhere.state == OPEN
    clock.now += OPEN_FOR
    ends(elsewhere, clock, failed=False)
    for _ in range(4):
        elsewhere.leave(True, False, began)
    ends(elsewhere, clock, failed=True, times=FAILURES - 1)
    assert elsewhere.state == CLOSED
    assert elsewhere.under_way == 0


def test_second_tries_are_one_in_ten_and_one_a_second_in_any_case(elsewhere: Dependency, clock: Clock) -> None:
    assert [elsewhere.may_retry() for _ in range(RETRIES_SAVED)] == [True] * RETRIES_SAVED
    assert elsewhere.may_retry()
    assert not elsewhere.may_retry()
    ends(elsewhere, clock, failed=False, times=3 * RETRY_COSTS)
    assert [elsewhere.may_retry() for _ in range(4)] == [True, True, True, False]
    clock.now += RETRY_ANYWAY
    assert [elsewhere.may_retry() for _ in range(2)] == [True, False]
    ends(elsewhere, clock, failed=False, times=100 * RETRY_COSTS)
    assert sum(elsewhere.may_retry() for _ in range(100)) == RETRIES_SAVED


# The same, as who calls meets it.


class Played:
    """A way to a service, on which `does` says what comes of each call."""

    def __init__(self, does: Callable[[], Awaitable[None]]) -> None:
        self.does = does
        self.sent = 0

    async def send(self, call: Call[Any, Any], ask: Any, request: Request) -> tuple[Any, int]:
        self.sent += 1
        await self.does()
        return Nothing(), stamp_ns()


async def answers() -> None:
    pass


async def hangs() -> None:
    await asyncio.sleep(60)


async def refuses() -> None:
    raise NotFound


async def has_no_store() -> None:
    raise Unavailable("It has no store.", service="elsewhere")


async def misses_another() -> None:
    raise Unavailable("A third one did not answer in time.", service="third")


async def breaks() -> None:
    broken = Unavailable("The connection broke.", service="elsewhere")
    broken.unanswered = True
    raise broken


def world_of(link: Played, deadline: float = 0.02) -> tuple[World, Dependency]:
    dependencies = Dependencies(most=MOST, slow=SLOW)
    world = World("web", {"elsewhere": link}, deadline=deadline, dependencies=dependencies)
    return world, dependencies("elsewhere")


async def asks(world: World, call: Call[Any, Any], *, seconds: float = 10.0, times: int = 1) -> list[BaseException]:
    request = Request(Viewer(), caller="web", deadline=time.monotonic() + seconds)
    failed = []
    for _ in range(times):
        try:
            await world.call(call, Nothing(), request=request)
        except Exception as error:
            failed.append(error)
    return failed


@pytest.mark.parametrize("does", [hangs, breaks])
@pytest.mark.parametrize("call", [READ, WRITE], ids=["read", "write"])
async def test_late_and_lost_answers_cut_a_service_off(
    does: Callable[[], Awaitable[None]], call: Call[Any, Any]
) -> None:
    link = Played(does)
    world, dependency = world_of(link)
    await asks(world, call, times=FAILURES)
    assert dependency.state == OPEN
    sent, began = link.sent, time.monotonic()

    (refused,) = await asks(world, call)

    assert isinstance(refused, Unavailable)
    assert (refused.service, refused.retry_after, link.sent) == ("elsewhere", 1, sent)
    assert time.monotonic() - began < 0.02
    shown = metrics.render().decode()
    assert 'tidings_dependency_state{callee="elsewhere"} 1.0' in shown
    assert 'tidings_calls_held_back_total{callee="elsewhere",reason="open"}' in shown

    link.does = answers
    await asyncio.sleep(OPEN_FOR)
    assert await asks(world, call, times=3) == []
    assert dependency.state == CLOSED


async def test_a_callee_that_gives_up_itself_counts_as_late() -> None:
    """Over HTTP it does, a moment before its caller would."""

    async def says_so() -> None:
        await asyncio.sleep(0.06)
        raise Unavailable("It did not answer in time.", service="elsewhere")

    world, dependency = world_of(Played(says_so), deadline=0.1)
    await asks(world, READ, times=FAILURES)
    assert dependency.state == OPEN


@pytest.mark.parametrize("does", [refuses, has_no_store, misses_another])
async def test_an_answer_is_no_failure_whatever_it_says(does: Callable[[], Awaitable[None]]) -> None:
    world, dependency = world_of(Played(does), deadline=1.0)
    assert len(await asks(world, READ, times=3 * FAILURES)) == 3 * FAILURES
    assert dependency.state == CLOSED
    assert dependency.under_way == 0


async def test_who_waited_in_vain_for_a_third_did_answer() -> None:
    """Else a slow service would cut off all that need it, and nobody could say what is there without it."""

    async def waits() -> None:
        await asyncio.sleep(0.03)
        await misses_another()

    world, dependency = world_of(Played(waits), deadline=0.06)
    assert len(await asks(world, READ, times=FAILURES)) == FAILURES
    assert dependency.state == CLOSED


async def test_a_third_whose_connection_broke_is_no_failure_of_who_asked_it() -> None:
    """Near, what a service meets on its own way reaches its caller as it is."""

    async def meets() -> None:
        try:
            await breaks()
        except Unavailable as error:
            error.service = "third"
            raise

    link = Played(meets)
    world, dependency = world_of(link, deadline=1.0)
    assert len(await asks(world, READ, times=2 * FAILURES)) == 2 * FAILURES
    assert dependency.state == CLOSED
    assert link.sent == 2 * FAILURES  # whoever asked the third tries again


async def test_who_has_little_time_left_blames_nobody() -> None:
    world, dependency = world_of(Played(hangs), deadline=1.0)
    for _ in range(2 * FAILURES):
        assert await asks(world, READ, seconds=0.01)
    assert dependency.state == CLOSED


async def test_what_settles_a_deletion_is_never_held_back_and_tells_nothing() -> None:
    link = Played(hangs)
    world, dependency = world_of(link)
    await asks(world, SETTLE, times=2 * FAILURES)
    assert dependency.state == CLOSED
    await asks(world, READ, times=FAILURES)
    assert dependency.state == OPEN
    link.does = answers

    assert await asks(world, SETTLE) == []
    assert len(await asks(world, READ)) == 1


async def test_a_read_that_was_lost_is_tried_once_more_and_a_write_never() -> None:
    async def breaks_once() -> None:
        link.does = answers
        await breaks()

    link = Played(breaks_once)
    world, dependency = world_of(link, deadline=1.0)
    assert await asks(world, READ) == []
    assert link.sent == 2
    link.does = breaks_once
    assert len(await asks(world, WRITE)) == 1
    assert link.sent == 3

    link.does, link.sent = breaks, 0
    assert len(await asks(world, READ)) == 1
    assert link.sent == 2
    assert dependency.under_way == 0


async def test_a_call_that_is_given_up_leaves_its_place(clock: Clock) -> None:
    world, dependency = world_of(Played(hangs), deadline=5.0)
    waiting = [asyncio.create_task(asks(world, READ)) for _ in range(8)]
    await asyncio.sleep(0)
    assert dependency.under_way == 8
    (full,) = await asks(world, READ)
    assert isinstance(full, Unavailable)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert dependency.under_way == 0
    assert dependency.state == CLOSED
