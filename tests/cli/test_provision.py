"""`tidings provision`: what it refuses, and how it says so."""

from __future__ import annotations

import pytest

from tests.cli.command import refused

ADMIN = "mongodb://127.0.0.1:1/"
MINE = "messages=mongodb://me:hunter2@127.0.0.1:1/messages"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("friends", "--admin", ADMIN), "friends keeps nothing in MongoDB"),
        (("messages", "--admin", ADMIN), "only a MongoDB of your own has to be"),
        (
            ("messages", "--admin", ADMIN, "--store", "messages=mongodb"),
            "prepared at each start",
        ),
        (("messages", "--admin", "postgres://127.0.0.1/", "--store", MINE), "no URL of a MongoDB"),
        (("messages", "--admin", "mongodb://root:${NOT_SET_HERE}@127.0.0.1:1/", "--store", MINE), "NOT_SET_HERE"),
    ],
)
def test_what_cannot_be_prepared_is_named(asked: tuple[str, ...], said: str) -> None:
    told = refused("provision", *asked, code=2)
    assert said in told
    assert "hunter2" not in told


def test_a_server_that_does_not_answer_is_named() -> None:
    told = refused("provision", "messages", "--admin", ADMIN, "--store", MINE, code=8)
    assert "The database of messages could not be prepared" in told
    assert "run it again" in told
    assert "hunter2" not in told
