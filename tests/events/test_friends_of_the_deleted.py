"""A deletion holds only the deleted person's fence; what it means for each friend follows by event."""

from __future__ import annotations

import asyncio

import asyncpg

from tests.harness.system import Whole
from tests.harness.waiting import until


async def test_each_friend_of_a_deleted_person_gets_a_new_version_once(tidings: Whole) -> None:
    alice, bob, carol = [await tidings.joins(name) for name in ("Alice", "Bob", "Carol")]
    await alice.befriends(bob, carol)
    (await alice.delete("/v1/users/me")).ok()
    connection = await asyncpg.connect(tidings.system.installation.dsns["friends"])

    async def told() -> list[tuple[str, int, int]]:
        rows = await connection.fetch(
            "select o.subject, o.version, f.version as newest"
            " from outbox o join subject_fence f on f.user_id = o.subject"
            " where o.event = 'friends.unfriended' and o.body->>'other_id' = $1 order by o.subject",
            alice.id,
        )
        found = [(str(row["subject"]), row["version"], row["newest"]) for row in rows]
        return found if len(found) >= 2 else []

    try:
        await until(told, what="an event for each friend")
        await asyncio.sleep(1)  # every event comes twice here: whoever would make one twice, has by now
        found = await told()
        assert sorted(who for who, _, _ in found) == sorted([bob.id, carol.id])
        assert all(version == newest == 3 for _, version, newest in found)  # asked, accepted, ended
    finally:
        await connection.close()
    for friend in (bob, carol):
        assert (await friend.get("/v1/friends")).ok()["people"] == []
