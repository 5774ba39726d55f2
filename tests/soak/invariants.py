"""What must be true at rest: each check reads the databases themselves and says what is wrong.

Nothing may be under way: people pause, every fault is healed, no deletion is in doubt. `I7` is asked again until it
holds or its time is up; the others hold at once.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

from tests.consistency.checker import Violation
from tests.consistency.history import Operation, Register, pair
from tests.soak.desk import Desk
from tests.soak.foundation import fences
from tests.soak.people import EMOJIS, SAID, Town
from tests.soak.talk import REPLIES, Reaction, Said, talk_at
from tests.soak.ways import Deletion
from tests.twophase.oracle import Databases, judge
from tidings.contracts.media import Variant

Row = tuple[str, str, str, str]  # user, kind, actor, target: as in notifications


@dataclass(eq=False)
class AtRest:
    """The databases as they are, and the history as it is known."""

    town: Town
    desk: Desk
    blobs: Path  # the folder of pictures

    async def all(self, deletions: Iterable[Deletion], dsns: Mapping[str, str]) -> list[Violation]:
        """I1 to I4 and I6."""
        found = await self.oracle(deletions, dsns)
        found += await self.symmetry()
        found += await self.nothing_of_the_deleted()
        found += await self.registers()
        found += await self.said_once()
        found += await self.told_once()
        found += await self.counted_once()
        found += await self.pictures()
        return found

    # I1.

    async def oracle(self, deletions: Iterable[Deletion], dsns: Mapping[str, str]) -> list[Violation]:
        """The two-phase oracle over every deletion."""
        databases = await Databases.open(dsns)
        found = []
        try:
            for one in deletions:
                try:
                    await judge(databases, one.subject, before=one.before, acknowledged=one.told)
                except AssertionError as damage:
                    found.append(Violation("I1", f"{one.subject}: {damage}"[:2000], (one.operation,)))
        finally:
            await databases.close()
        return found

    # I10.

    async def pictures(self) -> list[Violation]:
        """Each file is of a known picture; each message's is there; what is kept for a message, it shows."""
        rows = await self.desk.fetch("media", "select id, state, used from media", within=20)
        states = {str(row["id"]): row["state"] for row in rows}
        found = []
        for path in self.blobs.rglob("*"):
            media_id = path.relative_to(self.blobs).parts[0]
            if path.is_file() and media_id not in states:
                found.append(Violation("I10", f"{path.name} of {media_id} belongs to nothing"))
        for media_id, state in states.items():
            files = {one.name for one in (self.blobs / media_id).glob("*.webp")}
            if state == "ready" and len(files) != len(get_args(Variant)):
                found.append(Violation("I10", f"of {media_id}, which is ready, there is only {sorted(files)}"))
        here = await fences(self.desk, "messages")
        claims = {
            (str(picture.media_id), one.id)
            for one in await talk_at(self.desk).said()
            for picture in one.media
            if here.get(one.author_id) == "live"
        }
        for media_id, message_id in claims:
            if states.get(media_id) != "ready":
                found.append(Violation("I10", f"{message_id} shows {media_id}, which is {states.get(media_id)}"))
        kept = await self.desk.fetch("media", "select media_id, message_id from shown_by", within=20)
        known = {
            (str(row["media_id"]), row["message_id"]) for row in kept if states.get(str(row["media_id"])) == "ready"
        }
        for media_id, message_id in known - claims:
            found.append(Violation("I10", f"{media_id} is kept for {message_id}, which does not show it"))
        for media_id, message_id in claims - known:
            found.append(Violation("I10", f"{message_id} shows {media_id}, and media does not know it"))
        return found

    # I2.

    async def symmetry(self) -> list[Violation]:
        lonely = (
            "select user_id, friend_id from friendships f where user_id = friend_id or not exists"
            " (select from friendships g where g.user_id = f.friend_id and g.friend_id = f.user_id)"
        )
        also_asked = (
            "select asker_id, asked_id from friend_requests r where asker_id = asked_id"
            " or exists (select from friendships f where f.user_id = r.asker_id and f.friend_id = r.asked_id)"
            " or exists (select from friend_requests s where s.asker_id = r.asked_id and s.asked_id = r.asker_id)"
        )
        double = "select user_id, friend_id from friendships group by 1, 2 having count(*) > 1"
        found = []
        for what, sql in (("one-sided", lonely), ("twofold", also_asked), ("double", double)):
            for row in await self.desk.fetch("friends", sql, within=20):
                one, other = self._name(row[0]), self._name(row[1])
                proof = self.town.witness.checker.proof(pair(one, other)) if one != other else ()
                found.append(Violation("I2", f"{one} and {other}: {what}", proof))
        return found

    # I4, of people: whatever was written down about them, or not.

    async def nothing_of_the_deleted(self) -> list[Violation]:
        gone = [row[0] for row in await self.desk.fetch("users", "select id from accounts where state = 'deleted'")]
        edges = (
            "select user_id, friend_id from friendships where user_id = any($1::uuid[])"
            " union all select asker_id, asked_id from friend_requests"
            " where asker_id = any($1) or asked_id = any($1)"
            " union all select blocker_id, blocked_id from blocks"
            " where blocker_id = any($1) or blocked_id = any($1)"
        )
        found = []
        for row in await self.desk.fetch("friends", edges, gone, within=20):
            found.append(Violation("I4", f"an edge to somebody deleted: {self._name(row[0])} {self._name(row[1])}"))
        for service in ("friends", "messages", "media", "notifications"):
            states = await fences(self.desk, service)
            for one in gone:
                if states.get(one, "deleted") != "deleted":
                    found.append(Violation("I4", f"the fence of {self._name(one)} in {service} is open again"))
        sessions = "select user_id from sessions where user_id = any($1::uuid[])"
        for row in await self.desk.fetch("users", sessions, gone, within=20):
            found.append(Violation("I4", f"{self._name(row[0])} is deleted and signed in"))
        return found

    # I3 and I4: every register holds what its writes can have made it.

    async def registers(self) -> list[Violation]:
        held = {
            **await self._accounts(),
            **await self._graph(),
            **await self._messages(),
        }
        checker, now = self.town.witness.checker, self.town.witness.history.clock()
        found = []
        for kind in ("account", "pair", "block", "message", "audience", "text", "reaction"):
            for register in list(checker.registers(kind)):
                if not self._is_settled(register, now):
                    continue
                value = held.get(register, self._nothing(kind))
                possible = checker.possible(register, now, now)
                if value in possible:
                    continue
                came_back = value in ("standing", "live", "friends") and not possible & {
                    "standing",
                    "live",
                    "friends",
                }
                what = f"{' '.join(register)} is {value} in the database, and can only be {sorted(possible)}"
                found.append(Violation("I4" if came_back else "I3", what, checker.proof(register)))
        return found

    def _is_settled(self, register: Register, now: float) -> bool:
        """Whether the deletion of somebody, or the withdrawal of a message, does not explain anything anyway."""
        checker, messages = self.town.witness.checker, self.town.witness.history.messages
        kind, *about = register
        if kind == "account":
            return True
        people = set(about) if kind in ("pair", "block") else {messages[about[0]].author, *about[1:2]}
        if any(checker.possible(("account", one), now, now) != {"live"} for one in people):
            return False
        return kind not in ("audience", "text", "reaction") or (
            checker.possible(("message", about[0]), now, now) == {"standing"}
        )

    def _nothing(self, kind: str) -> str:
        nothing = {"account": "absent", "pair": "none", "block": "no", "message": "absent", "reaction": "no"}
        return nothing.get(kind, "none")

    async def _accounts(self) -> dict[Register, str]:
        rows = await self.desk.fetch("users", "select id, state from accounts", within=20)
        return {("account", self._name(row["id"])): row["state"] for row in rows}

    async def _graph(self) -> dict[Register, str]:
        held: dict[Register, str] = {}
        for row in await self.desk.fetch("friends", "select asker_id, asked_id from friend_requests", within=20):
            held[pair(self._name(row[0]), self._name(row[1]))] = f"asks {self._name(row[0])}"
        for row in await self.desk.fetch("friends", "select user_id, friend_id from friendships", within=20):
            held[pair(self._name(row[0]), self._name(row[1]))] = "friends"
        for row in await self.desk.fetch("friends", "select blocker_id, blocked_id from blocks", within=20):
            held["block", self._name(row[0]), self._name(row[1])] = "yes"
        return held

    async def _messages(self) -> dict[Register, str]:
        held: dict[Register, str] = {}
        checker, talk = self.town.witness.checker, talk_at(self.desk)
        for identifier in await talk.withdrawn():
            name = checker.name_of(str(identifier))
            if name is not None:
                held["message", name] = "withdrawn"
        for one in await talk.said():
            said = SAID.match(one.text)
            if said is None:
                continue
            name = said[1]
            held["message", name] = "standing"
            only = ",".join(sorted(self._name(person) for person in one.only))
            held["audience", name] = f"only {only}" if only else one.audience
            held["text", name] = said[2]
        for reaction in await talk.reactions():
            name = checker.name_of(str(reaction.message_id))
            if name is not None:
                held["reaction", name, self._name(reaction.user_id), reaction.emoji] = "yes"
        return held

    # I6.

    async def said_once(self) -> list[Violation]:
        """Each message once, however often it was sent."""
        ids: defaultdict[str, set[UUID]] = defaultdict(set)
        for one in await talk_at(self.desk).said():
            said = SAID.match(one.text)
            if said is not None:
                ids[said[1]].add(one.id)
        return [
            Violation(
                "I6", f"{name} is there {len(found)} times", self.town.witness.checker.proof(("message", name))
            )
            for name, found in ids.items()
            if len(found) > 1
        ]

    async def told_once(self) -> list[Violation]:
        """Each acknowledged request, acceptance, reply, mention and reaction: one notification, standing or not."""
        stands = await self._notifications()
        checker, now = self.town.witness.checker, self.town.witness.history.clock()
        found = []
        for operation in self.town.witness.history.operations:
            if operation.outcome != "ok":
                continue
            for rows, register, value in self._effects(operation):
                if not self._are_here(rows[0], now):
                    continue
                there = [row for row in rows if row in stands]
                if not there:
                    found.append(Violation("I6", f"nobody was told: {rows[0]}", (operation,)))
                    continue
                possible = checker.possible(register, now, now)
                standing = sum(stands[row] for row in there)
                if possible == {value} and standing != 1:
                    what = f"{standing} notifications of {there} stand, and it is {value}"
                    found.append(Violation("I6", what, checker.proof(register)))
                elif value not in possible and standing and operation.kind != "react":
                    what = f"{there} stands, and it is {sorted(possible)}"
                    found.append(Violation("I6", what, checker.proof(register)))
        return found

    def _effects(self, operation: Operation) -> Iterator[tuple[list[Row], Register, str]]:
        """Rows of which one must be there, and that stand while the register has the value."""
        checker, messages = self.town.witness.checker, self.town.witness.history.messages
        me = operation.client
        if operation.kind == "befriend":
            ((register, value),) = operation.made.items()
            other = operation.about["other"]
            if value == "friends":  # who asked is told; which of the two that was, an answer does not say
                rows = [(other, "friend_acceptance", me, me), (me, "friend_acceptance", other, other)]
                yield rows, register, value
            else:
                yield [(other, "friend_request", me, me)], register, value
        elif operation.kind in ("post", "reply"):
            said = messages[operation.about["name"]]
            standing = ("message", said.name), "standing"
            answered = messages[said.above[-1]].author if said.above else me
            if answered != me:
                yield [(answered, "reply", me, said.name)], *standing
            for one in said.mentions:
                if one not in (me, answered):
                    yield [(one, "mention", me, said.name)], *standing
        elif operation.kind == "react":
            name = operation.about["name"]
            author = messages[name].author
            registers = [("reaction", name, me, emoji) for emoji in EMOJIS]
            now = self.town.witness.history.clock()
            for register in registers:
                if author != me and checker.possible(register, now, now) == {"yes"}:
                    yield [(author, "reaction", me, name)], register, "yes"

    def _are_here(self, row: Row, now: float) -> bool:
        """Both people are, and the message is not withdrawn: else the notification may be gone."""
        checker = self.town.witness.checker
        user, kind, actor, target = row
        here = all(checker.possible(("account", one), now, now) == {"live"} for one in (user, actor))
        if kind.startswith("friend_"):
            return here
        return here and checker.possible(("message", target), now, now) == {"standing"}

    async def _notifications(self) -> dict[Row, bool]:
        sql = "select user_id, kind, actor_id, target, stands from notifications"
        checker, found = self.town.witness.checker, {}
        for row in await self.desk.fetch("notifications", sql, within=30):
            about_person = row["kind"].startswith("friend_")
            target = self._name(row["target"]) if about_person else checker.name_of(str(row["target"]))
            key = (self._name(row["user_id"]), row["kind"], self._name(row["actor_id"]), target or "?")
            found[key] = row["stands"]
        return found

    async def counted_once(self) -> list[Violation]:
        """Each friend of a deleted person lost them once: that effect, made twice, would show."""
        sql = (
            "select body->>'user_id' as friend, body->>'other_id' as gone, count(*) from outbox"
            " where event = 'friends.unfriended' and body->>'by_id' is null group by 1, 2"
        )
        rows = await self.desk.fetch("friends", sql, within=30)
        lost = {(row["friend"], row["gone"]): int(row["count"]) for row in rows}
        twice = [f"{self._name(one)} lost {self._name(gone)} {count} times"
                 for (one, gone), count in lost.items() if count > 1]  # fmt: skip
        removed = "select body::text as body from outbox where event = 'friends.person_removed'"
        live = {
            str(row[0]) for row in await self.desk.fetch("users", "select id from accounts where state = 'live'")
        }
        never = []
        for row in await self.desk.fetch("friends", removed, within=30):
            body = json.loads(row["body"])
            never += [
                f"{self._name(friend)} never lost {self._name(body['user_id'])}"
                for friend in body["friend_ids"]
                if friend in live and (friend, body["user_id"]) not in lost
            ]
        letters = []
        for service in ("friends", "notifications"):
            rows = await self.desk.fetch(service, "select event, error from dead_letters", within=20)
            letters += [f"{service} set {row['event']} aside: {row['error'][:300]}" for row in rows]
        return [Violation("I6", what) for what in (*twice, *never, *letters)]

    # I7.

    async def projections(self) -> list[str]:
        """Where a projection and its source differ."""
        live = {row[0] for row in await self.desk.fetch("users", "select id from accounts where state = 'live'")}
        talk = talk_at(self.desk)
        said, reactions = await talk.said(), await talk.reactions()
        return [
            *await self._notified(live, said, reactions),
            *self._latest(live, said, await talk.latest()),
            *self._tallies(said, reactions, await talk.tallies()),
        ]

    async def _notified(
        self, live: set[UUID], said: Collection[Said], reactions: Collection[Reaction]
    ) -> list[str]:
        """Notifications that stand, and what they tell of."""
        wanted: set[tuple[UUID, str, UUID, UUID]] = set()
        for row in await self.desk.fetch("friends", "select asker_id, asked_id from friend_requests", within=20):
            wanted.add((row[1], "friend_request", row[0], row[0]))
        authors = {one.id: one.author_id for one in said}
        for one in said:
            answered = authors.get(one.ancestors[-1]) if one.ancestors else one.author_id
            if answered is not None and answered != one.author_id:
                wanted.add((answered, "reply", one.author_id, one.id))
            for mentioned in one.mentions:
                if mentioned not in (one.author_id, answered):
                    wanted.add((mentioned, "mention", one.author_id, one.id))
        for reaction in reactions:
            author = authors.get(reaction.message_id)
            if author is not None and author != reaction.user_id:
                wanted.add((author, "reaction", reaction.user_id, reaction.message_id))
        rows = await self.desk.fetch(
            "notifications",
            "select user_id, kind, actor_id, target from notifications"
            " where stands and kind <> 'friend_acceptance'",
            within=30,
        )
        there = {tuple(row) for row in rows}
        wanted = {row for row in wanted if row[0] in live and row[2] in live}
        # An answer to what is gone is shown to nobody: it may be told or not.
        unseen = {row for row in there - wanted if row[1] == "reply" and row[3] in authors}
        return [f"told of nothing: {self._shown(row)}" for row in there - wanted - unseen] + [
            f"not told of: {self._shown(row)}" for row in wanted - there
        ]

    def _shown(self, row: tuple[Any, ...]) -> str:
        target = self.town.witness.checker.name_of(str(row[3])) or self._name(row[3])
        return f"{self._name(row[0])} {row[1]} {self._name(row[2])} {target}"

    def _latest(self, live: set[UUID], said: Collection[Said], latest: Mapping[UUID, list[UUID]]) -> Iterator[str]:
        """The row of each author's newest, and the documents."""
        newest: defaultdict[UUID, list[UUID]] = defaultdict(list)
        for one in sorted(said, key=lambda one: one.id, reverse=True):
            if one.parent is None:
                newest[one.author_id].append(one.id)
        for author, heads in latest.items():
            if author in live and heads != newest[author][:5]:
                yield f"latest of {self._name(author)}: {heads}, {newest[author][:5]}"

    def _tallies(
        self, said: Collection[Said], reactions: Collection[Reaction], tallies: Mapping[tuple[UUID, str], int]
    ) -> Iterator[str]:
        """Of each message that is there, what is counted beside it, and what there is to count."""
        counted = Counter((one.message_id, one.emoji) for one in reactions)
        counted.update((one.parent, REPLIES) for one in said if one.parent is not None)
        there = {one.id for one in said}
        for key in tallies.keys() | counted.keys():
            if key[0] in there and tallies.get(key, 0) != counted[key]:
                yield f"tally of {(*key, tallies.get(key, 0), counted[key])}"

    def _name(self, identifier: object) -> str:
        return self.town.handles.get(str(identifier), str(identifier))
