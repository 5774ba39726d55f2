"""What a client has seen: how it is gathered, carried on and forgotten, and the token that nobody can make up."""

from __future__ import annotations

import subprocess
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from uuid import uuid4

import pytest

from tidings.edge.seen_tokens import AT_ONCE, NONCE, SeenTokens
from tidings.edge.seen_tokens import MOST as MOST_TOKENS
from tidings.platform.clock import SKEW_NS, stamp_ns
from tidings.platform.http.problems import BadRequest
from tidings.platform.seen import (
    KEPT_NS,
    MOST,
    MOST_NEWS,
    STAMPED_NS,
    Known,
    Position,
    Seen,
    decoded,
    gathered,
    seeing,
    seen,
)

SERVICES = ("friends", "messages", "users")
ADA = uuid4()


def test_the_highest_version_of_each_subject_counts() -> None:
    client = Seen()
    for version in (3, 5, 4):
        client.wrote("users", ADA, version)
    client.wrote("friends", ADA, 1)
    assert (client.versions("users"), client.versions("friends")) == ({ADA: 5}, {ADA: 1})
    assert client.versions("messages") == {}


def test_stamps_that_came_bind_and_stamps_of_this_answer_do_not() -> None:
    client = Seen(Known((), {"users": 10}))
    client.shown("users", 20)
    client.shown("friends", 30)
    assert (client.stamp("users"), client.stamp("friends")) == (10, 0)
    now = stamp_ns()
    newer = Seen(Known((), {"users": now - 2}))
    newer.shown("users", now)
    assert newer.known(now).stamps["users"] == now


def test_whose_next_answer_has_to_be_as_new() -> None:
    assert not Seen().concerns("users")
    shown = Seen(Known((), {"users": stamp_ns()}))
    assert (shown.concerns("users"), shown.concerns("friends")) == (True, False)
    wrote = Seen(Known((Position("friends", ADA, 2, stamp_ns()),)))
    assert (wrote.concerns("users"), wrote.concerns("friends")) == (False, True)
    long_ago = stamp_ns() - STAMPED_NS
    assert not Seen(Known((Position("friends", ADA, 2, long_ago),), {"friends": long_ago})).concerns("friends")
    asking = Seen()
    asking.shown("users", stamp_ns())
    assert not asking.concerns("users")  # the answer under way, which it may not come back with


def test_what_was_read_side_by_side_is_no_single_read() -> None:
    """The one that ended last may have begun first: what it brought is not as new as all that was seen."""
    one, other = stamp_ns(), stamp_ns()
    together = Seen(Known((), {"users": other}), Known((), {"users": one}))
    assert together.stamp("users") == other + 1
    assert Seen(Known((), {"users": one}), Known((), {"users": one})).stamp("users") == one
    answer = Seen(Known((), {"users": one - 2}))
    answer.shown("users", other)
    answer.shown("users", one)
    assert answer.known().stamps["users"] == other + 1


def test_what_is_old_is_not_carried_on() -> None:
    now = time.time_ns()
    client = Seen(Known((), {"users": now - STAMPED_NS, "friends": now - STAMPED_NS + 1}))
    client.wrote("users", ADA, 1, now_ns=now - KEPT_NS)
    client.wrote("friends", ADA, 1, now_ns=now - KEPT_NS + 1)
    known = client.known(now)
    assert known.stamps == {"friends": now - STAMPED_NS + 1}
    assert [one.service for one in known.positions] == ["friends"]


def test_beyond_sixty_four_writes_the_oldest_become_their_services_stamp() -> None:
    now = time.time_ns()
    client = Seen()
    for number in range(MOST + 3):
        client.wrote("messages", uuid4(), number + 1, now_ns=now - number)
    known = client.known(now)
    assert len(known.positions) == MOST
    assert min(one.at_ns for one in known.positions) == now - MOST + 1
    assert known.stamps == {"messages": now - MOST | 1}  # as new as the newest of the three, and no read


def test_a_refusal_carries_what_came_and_that_anything_may_have_been_shown() -> None:
    came = Known((Position("users", ADA, 2, time.time_ns()),), {"users": time.time_ns()})
    client = Seen(came)
    client.wrote("friends", ADA, 3)
    client.shown("friends", 10)
    known = client.refused(SERVICES).known()
    assert known.positions == came.positions
    assert set(known.stamps) == set(SERVICES)
    assert min(known.stamps.values()) > stamp_ns() + SKEW_NS / 2  # by whose clock, and where, it cannot tell


def test_who_is_asked_gets_more_writes_than_it_can_carry_as_a_stamp() -> None:
    client = Seen(Known(tuple(Position("friends", uuid4(), 1, stamp_ns()) for _ in range(MOST + 1)), {}))
    forward = decoded(client.forward())
    assert (len(forward.positions), set(forward.stamps)) == (MOST, {"friends"})


def test_who_is_asked_gets_what_came_and_all_writes_and_gives_back_all() -> None:
    now = time.time_ns()
    client = Seen(Known((), {"users": now}))
    client.wrote("friends", ADA, 7)
    client.shown("messages", now)
    forward, back = decoded(client.forward()), gathered(client.back(now + 1))
    assert forward.stamps == {"users": now}
    assert back.known.stamps == {"messages": now}  # what it brought it has
    assert back.ended_ns == now + 1
    assert [(one.service, one.subject, one.version) for one in forward.positions] == [("friends", ADA, 7)]
    assert forward.positions == back.known.positions


def news(service: str = "users", version: int = 2, *, at_ns: int | None = None) -> Position:
    return Position(service, uuid4(), version, at_ns or stamp_ns())


def test_news_that_came_bind_and_news_of_this_answer_do_not() -> None:
    came, shown = news(), news()
    client = Seen(Known((Position("users", came.subject, 1, stamp_ns()),), {}, (came,)), Known((), {}, (came,)))
    client.shown_news([shown])
    assert (client.versions("users"), client.versions("friends")) == ({came.subject: 2}, {})
    assert set(client.known().news) == {came, shown}
    assert client.shown_here == Known((), {}, (shown,))
    newer = Position("users", came.subject, 5, stamp_ns())
    client.shown_news([newer, came])
    assert set(client.known().news) == {newer, shown}


def test_news_are_carried_on_until_a_stamp_is_as_new_and_no_longer_than_one() -> None:
    now = stamp_ns()
    old, fresh, elsewhere = news(at_ns=now - 1000), news(at_ns=now), news("friends", at_ns=now - 1000)
    client = Seen(Known((), {"users": now - 999}, (old, fresh, elsewhere)))
    assert set(client.known(now).news) == {fresh, elsewhere}
    assert client.known(now - 1001 + STAMPED_NS).news == (fresh, elsewhere)
    assert client.known(now - 1000 + STAMPED_NS).news == (fresh,)
    of_one_read = Seen(Known((), {"users": now + 2}, (fresh,)))  # which may have begun before that was written
    assert of_one_read.known(now).news == (fresh,)


def test_more_news_than_there_is_room_for_become_their_services_stamp() -> None:
    now = stamp_ns()
    some = [news("messages", at_ns=now - number) for number in range(MOST_NEWS + 2)]
    client = Seen()
    client.shown_news(some)
    known = client.known(now)
    assert known.news == tuple(some[:MOST_NEWS])
    assert known.stamps == {"messages": now - MOST_NEWS | 1}


def test_who_is_asked_gets_the_news_that_came_and_gives_back_its_own() -> None:
    came, shown = news(), news()
    client = Seen(Known((), {}, (came,)))
    client.shown_news([shown])
    assert decoded(client.forward()).news == (came,)
    back = gathered(client.back()).known
    assert back.news == (shown,)
    asking = Seen()
    asking.learn(back)
    assert asking.known().news == (shown,)


def test_outside_of_a_request_nothing_is_gathered() -> None:
    seen().wrote("users", ADA, 1)
    assert seen().versions("users") == {}
    with seeing(Seen()) as client:
        seen().wrote("users", ADA, 1)
    assert client.versions("users") == {ADA: 1}


# The token.


def tokens(secret: bytes = b"secret", *, strict: bool = True) -> SeenTokens:
    return SeenTokens(secret, SERVICES, strict=strict)


def test_a_token_opens_to_what_was_sealed() -> None:
    now = time.time_ns()
    client = Seen()
    client.wrote("users", ADA, 4)
    client.shown("messages", now)
    opened = tokens().opened(tokens().sealed(client))
    assert opened.versions("users")[ADA] == 4
    assert (opened.stamp("messages"), opened.stamp("users")) == (now, 0)
    assert opened.versions("messages") == {}


def test_a_token_holds_all_news_that_one_may_carry() -> None:
    for count in range(MOST_NEWS + 1):
        client = Seen()
        client.shown_news([news(SERVICES[number % 3], number) for number in range(count)])
        opened = tokens().opened(tokens().sealed(client))
        assert opened.known() == client.known()
        assert len(opened.known().news) == count


def test_several_tokens_count_together() -> None:
    one, other = Seen(), Seen()
    one.wrote("users", ADA, 4)
    other.wrote("users", ADA, 6)
    other.shown("friends", time.time_ns())
    opened = tokens().opened(f"{tokens().sealed(one)}, {tokens().sealed(other)}")
    assert opened.versions("users")[ADA] == 6
    assert opened.stamp("friends") > 0
    with pytest.raises(BadRequest, match=f"newest {MOST_TOKENS}"):
        tokens().opened(",".join([tokens().sealed(one)] * (MOST_TOKENS + 1)))


def test_a_token_says_nothing_of_who_was_asked() -> None:
    """Not even by its length, nor by being the same twice."""
    asked, unasked = Seen(), Seen()
    for service in SERVICES:
        asked.shown(service, time.time_ns() - 1000)
        asked.shown_news([news(service)])
    assert asked.known().news
    assert len(tokens().sealed(asked)) == len(tokens().sealed(unasked))
    assert tokens().sealed(asked) != tokens().sealed(asked)


def test_what_is_none_of_ours_is_refused() -> None:
    good = tokens().sealed(Seen())
    raw = bytearray(urlsafe_b64decode(good + "=="))
    raw[-1] ^= 1
    tampered = urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode()
    for wrong in (tampered, good[:-8], "nonsense", "ü", "A" * 100_000, tokens(b"another").sealed(Seen())):
        with pytest.raises(BadRequest, match="Leave it out"):
            tokens().opened(wrong)
    assert tokens(strict=False).opened("nonsense").known() == Known()


def test_no_nonce_is_used_twice_nor_by_a_fork() -> None:
    tokens = SeenTokens(b"x" * 32, ["users"], strict=True)
    sealed = [urlsafe_b64decode(tokens.sealed(Seen()) + "==")[:NONCE] for _ in range(2 * AT_ONCE + 1)]
    assert len(set(sealed)) == len(sealed)
    script = (
        "import os; from tidings.edge.seen_tokens import _nonce; _nonce()\n"
        "child = os.fork(); os.write(1, _nonce().hex().encode() + b' ')\n"
        "if child: os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    one, other = done.stdout.split()
    assert one != other
