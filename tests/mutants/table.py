"""Every protective line of the protocols, what becomes of it in a mutant, and the tests that may not pass then."""

from __future__ import annotations

from typing import Final

from tests.mutants.mutation import Edit, Mutation, gone

LOG: Final = "src/tidings/platform/twophase/postgres_log.py"
COORDINATOR: Final = "src/tidings/platform/twophase/coordinator.py"
PARTICIPANT: Final = "src/tidings/platform/twophase/postgres_participant.py"
SWEEP: Final = "src/tidings/platform/twophase/participant.py"
SESSIONS: Final = "src/tidings/platform/twophase/sessions.py"
STORAGE: Final = "src/tidings/platform/storage/postgres.py"
MONGO: Final = "src/tidings/platform/storage/mongo.py"
MONGO_PARTICIPANT: Final = "src/tidings/platform/twophase/mongo_participant.py"
WORLD: Final = "src/tidings/platform/world.py"
FOUNDATION: Final = "src/tidings/platform/storage/foundation.py"
RELAY: Final = "src/tidings/platform/events/relay.py"
ROSTER: Final = "src/tidings/platform/events/roster.py"
AT_ONCE: Final = "src/tidings/platform/storage/at_once.py"
BUS: Final = "src/tidings/platform/events/bus.py"
CONSUMER: Final = "src/tidings/platform/events/consumer.py"
DELETION: Final = "src/tidings/services/users/actions/deletion.py"
ACCOUNTS: Final = "src/tidings/services/users/actions/writing.py"
SHELF: Final = "src/tidings/platform/cache/shelf.py"
UNDERSTOOD: Final = "src/tidings/edge/understood.py"
RESPONSES: Final = "src/tidings/edge/response_cache.py"
KEEPER: Final = "src/tidings/platform/cache/keeper.py"
LISTENER: Final = "src/tidings/platform/events/listener.py"
MAILROOM: Final = "src/tidings/platform/events/mailroom.py"
FOLLOWERS: Final = "src/tidings/platform/storage/followers.py"
SEEN: Final = "src/tidings/platform/seen.py"
STREAMS: Final = "src/tidings/edge/streams.py"
HUB: Final = "src/tidings/services/timeline/hub.py"
USERS_STORE: Final = "src/tidings/services/users/store/postgres.py"
FRIENDS: Final = "src/tidings/services/friends/actions.py"
MESSAGES: Final = "src/tidings/services/messages/actions.py"
MESSAGES_RULES: Final = "src/tidings/services/messages/rules.py"
MESSAGES_STATEMENTS: Final = "src/tidings/services/messages/store/statements.py"
NOTIFICATIONS: Final = "src/tidings/services/notifications/actions.py"
NOTIFICATIONS_STORE: Final = "src/tidings/services/notifications/store/postgres.py"
UPLOADING: Final = "src/tidings/services/media/actions/uploading.py"
UPKEEP: Final = "src/tidings/services/media/actions/upkeep.py"
MEDIA_VIEWS: Final = "src/tidings/services/media/views.py"
MEDIA_STORE: Final = "src/tidings/services/media/store/postgres.py"

IN_LOG: Final = "tests/twophase/test_log.py::"
IN_PARTICIPANT: Final = "tests/twophase/test_participant.py::"
IN_DELETION: Final = "tests/twophase/test_deletion.py::"
IN_CRASHES: Final = "tests/chaos/test_crashes.py::"
IN_DELIVERY: Final = "tests/events/test_delivery.py::"
IN_TOLD: Final = "tests/services/notifications/test_notifications_at_once.py::"
IN_RELAY: Final = "tests/events/test_relay.py::"
IN_KEEPER: Final = "tests/platform/test_cache_keeper.py::"
IN_SHELF: Final = "tests/platform/test_cache_shelf.py::"
IN_RESPONSES: Final = "tests/platform/test_response_cache.py::"
IN_UNDERSTOOD: Final = "tests/platform/test_understood.py::"
IN_WRITES: Final = "tests/platform/test_storage_writes.py::"
IN_BEATS: Final = "tests/events/test_beats.py::"
IN_TAKEN_AWAY: Final = "tests/security/test_access_taken_away.py::"
IN_FRIENDS: Final = "tests/services/friends/test_friends_writes.py::"
IN_REMOTE: Final = "tests/platform/test_nothing_remote.py::"
IN_NOTIFICATIONS: Final = "tests/services/notifications/test_notifications_contract.py::"
IN_MEDIA_RACES: Final = "tests/races/test_pictures.py::"
IN_MEDIA_JOURNEYS: Final = "tests/journeys/test_media.py::"
IN_FAILOVER: Final = "tests/chaos/test_replica_set.py::"
PRIMARY_GONE: Final = "test_the_primary_killed_under_load_loses_nothing_that_was_acknowledged"
FENCE_HELD: Final = "test_a_fence_that_is_held_makes_writers_busy_and_no_reader_wait"
EVERY_SESSION: Final = "test_row_15_every_session_token_link_and_stream_is_dead"
FILTERED: Final = "test_row_05_an_open_stream_is_filtered_within_five_seconds"

# Those whose removal the protocol says must break a property, and which: one of these at least.
KEPT: Final = frozenset({"a", "I1", "I2", "I3", "I4", "I5", "I6"})
REQUIRED: Final = {
    "decide: compare-and-set": KEPT,
    "settle: compare-and-set": KEPT,
    "prepare: tag": KEPT,
    "fence: insert": KEPT,
    "event: inbox": KEPT,
    "consumer: version": KEPT,
    "decide: deadline": frozenset({"b"}),
    "abort: marker": frozenset({"c"}),
    "begin: order": frozenset({"d"}),
    "read: own writes": KEPT,
    "read: stamp": KEPT,
    "fill: newer version": KEPT,
}

_BEGIN: Final = (
    "    gid, is_new = await _begin(store, failpoints, user_id, coordinator.participants, seconds=deadline)\n"
)
_START: Final = (
    "        coordinator.start(gid, user_id, partial(_decide, store, codes, failpoints, viewer, user_id))\n"
)

MUTATIONS: Final = (
    # The coordinator's log.
    Mutation(
        name="decide: compare-and-set",
        protects="COMMIT is decided only where nothing is decided yet",
        file=LOG,
        edits=gone(
            "where gid = $1 and outcome is null and clock_timestamp()", "where gid = $1 and clock_timestamp()"
        ),
        broken=("a", "I1"),
        tests=(IN_LOG + "test_the_outcome_is_set_once",),
    ),
    Mutation(
        name="settle: compare-and-set",
        protects="ABORT is set only where nothing is decided yet",
        file=LOG,
        edits=gone("where gid = $1 and outcome is null returning gid", "where gid = $1 returning gid"),
        broken=("a", "I1"),
        tests=(IN_LOG + "test_the_outcome_is_set_once",),
    ),
    Mutation(
        name="settle: before the read",
        protects="nothing is concluded from a read before the compare-and-set",
        file=LOG,
        edits=gone(
            "                    hit = await connection.fetchval(_SETTLE, gid)\n",
            "                    read = await connection.fetchrow(_READ, gid)\n"
            '                    hit = gid if read is None or read["outcome"] is None else None\n',
        ),
        broken=("a", "I1"),
        tests=(IN_LOG + "test_settling_waits_for_a_decision_that_is_on_its_way",),
    ),
    Mutation(
        name="settle: waits for the row",
        protects="the compare-and-set has no lock time-out: a decision may be on its way",
        file=LOG,
        edits=gone('                    await connection.execute("SET LOCAL lock_timeout = 0")\n'),
        broken=("a", "I1"),
        tests=(IN_LOG + "test_settling_waits_for_a_decision_that_is_on_its_way",),
    ),
    Mutation(
        name="decide: deadline",
        protects="no COMMIT is decided after the deadline",
        file=LOG,
        edits=gone("outcome is null and clock_timestamp() < deadline returning", "outcome is null returning"),
        broken=("b",),
        tests=(IN_LOG + "test_no_commit_is_decided_after_the_deadline",),
    ),
    Mutation(
        name="decide: clock",
        protects="the deadline is compared with now, not with when the transaction began",
        file=LOG,
        edits=gone("outcome is null and clock_timestamp() < deadline", "outcome is null and now() < deadline"),
        broken=("b",),
        tests=(IN_LOG + "test_no_commit_is_decided_after_the_deadline",),
    ),
    Mutation(
        name="decide: stalled session",
        protects="a coordinator that stalls inside its decision is ended by the database",
        file=SESSIONS,
        edits=gone(
            '                "idle_in_transaction_session_timeout": str(settings.twophase_idle_timeout_ms),\n'
        ),
        broken=("b",),
        tests=(IN_LOG + "test_a_coordinator_that_stalls_in_its_decision_loses_it",),
    ),
    Mutation(
        name="log: one unfinished of a subject",
        protects="a second deletion of somebody joins the first",
        file=FOUNDATION,
        edits=gone('"create unique index twophase_log_unfinished', '"create index twophase_log_unfinished'),
        broken=("a", "I1"),
        tests=(IN_LOG + "test_a_subject_has_one_unfinished_transaction",),
    ),
    Mutation(
        name="recovery: lease",
        protects="what one recoverer has taken up nobody else takes",
        file=LOG,
        edits=(
            Edit(
                "    where finished_at is null and leased_until < clock_timestamp() and gid = any",
                "    where gid = any",
            ),
            Edit(
                "        where finished_at is null and leased_until < clock_timestamp()\n", "        where true\n"
            ),
        ),
        broken=("a", "I8"),
        tests=(IN_LOG + "test_what_one_has_taken_up_nobody_else_takes",),
    ),
    Mutation(
        name="recovery: undecided past the deadline",
        protects="what nobody decided in time is aborted",
        file=LOG,
        edits=gone("and (outcome is not null or deadline < clock_timestamp())", "and outcome is not null"),
        broken=("I8",),
        tests=(IN_LOG + "test_recovery_tries_again_what_nobody_acknowledged",),
    ),
    # The coordinator.
    Mutation(
        name="begin: order",
        protects="the log row is durable before anybody is asked",
        file=DELETION,
        edits=(
            Edit(
                _BEGIN,
                "    def asks(of: str) -> None:\n"
                "        decide = partial(_decide, store, codes, failpoints, viewer, user_id)\n"
                "        coordinator.start(of, user_id, decide)\n\n"
                "    names = coordinator.participants\n"
                "    gid, is_new = await _begin(store, failpoints, user_id, names, seconds=deadline, asks=asks)\n",
            ),
            Edit(_START, "        pass\n"),
            Edit(
                "names: tuple[str, ...], *, seconds: float\n",
                "names: tuple[str, ...], *, seconds: float, asks: Any\n",
            ),
            Edit("        gid = new_gid()\n", ""),
            Edit(
                "    async with store.coordinating() as write:\n        fences = await write.fence([user_id])\n",
                "    asks(gid := new_gid())\n"
                "    async with store.coordinating() as write:\n        fences = await write.fence([user_id])\n",
            ),
        ),
        broken=("d",),
        tests=(IN_CRASHES + "test_nobody_is_asked_before_the_log_row_is_durable",),
    ),
    Mutation(
        name="coordinator: every vote",
        protects="it is decided only when every participant has promised",
        file=COORDINATOR,
        edits=gone(
            "            if await self._all_prepared(gid, subject):\n",
            "            if await self._all_prepared(gid, subject) or True:\n",
        ),
        broken=("a", "I1"),
        tests=(
            IN_LOG + "test_without_every_vote_nothing_is_decided",
            IN_DELETION + "test_a_participant_that_cannot_promise_ends_it_without_a_trace[near]",
        ),
    ),
    Mutation(
        name="coordinator: lost answer",
        protects="what the answer to COMMIT would have said is settled in the log",
        file=COORDINATOR,
        edits=gone("                outcome = await self.log.settle(gid)\n", '                outcome = "ABORT"\n'),
        broken=("a", "I1"),
        tests=(
            IN_LOG + "test_an_answer_to_the_decision_that_is_lost_is_looked_up",
            IN_CRASHES + "test_a_lost_or_doubled_message_changes_nothing[cp6@users:drop_reply-204-deleted]",
        ),
    ),
    Mutation(
        name="coordinator: finish after every acknowledgement",
        protects="the log row is unfinished until everybody has acknowledged",
        file=COORDINATOR,
        edits=gone(
            "            if not await self._acknowledged(name, gid, subject, outcome, tries):\n"
            "                return False\n",
            "            await self._acknowledged(name, gid, subject, outcome, tries)\n",
        ),
        broken=("a", "I1", "I8"),
        tests=(
            IN_LOG + "test_recovery_tries_again_what_nobody_acknowledged",
            IN_LOG + "test_a_participant_that_did_the_opposite_stays_in_sight",
        ),
    ),
    Mutation(
        name="deletion: decided or not",
        protects="the tombstone is written only where the decision hit its row",
        file=DELETION,
        edits=gone(
            "        if not await write.decide_deletion(gid):\n            return False\n",
            "        await write.decide_deletion(gid)\n",
        ),
        broken=("a", "I1"),
        tests=(IN_DELETION + "test_after_the_deadline_nothing_is_decided[near]",),
    ),
    Mutation(
        name="deletion: one event",
        protects="the event of the removal is in the decision's own commit",
        file=DELETION,
        edits=gone(
            "        version = await happened(write, removed, user_id, avatar=None)\n",
            "        version = (await write.bump([user_id]))[user_id]\n",
        ),
        broken=("a", "I1", "I6"),
        tests=(IN_DELETION + "test_a_deleted_person_is_gone_for_everybody_at_once[near]",),
    ),
    # A participant.
    Mutation(
        name="prepare: tag",
        protects="PREPARE in a failed transaction answers ROLLBACK, and is no promise",
        file=PARTICIPANT,
        edits=gone(
            '                if tag not in (PREPARED_TAG, "COMMIT"):\n                    raise _NotPrepared(tag)\n'
        ),
        broken=("a", "I1"),
        tests=(IN_PARTICIPANT + "test_a_failed_transaction_is_no_promise[postgres]",),
    ),
    Mutation(
        name="prepare: branch row",
        protects="the branch inserts the row that an abort's marker would be",
        file=PARTICIPANT,
        edits=gone("                await connection.execute(_BRANCH, gid, subject)\n"),
        broken=("c",),
        tests=(IN_PARTICIPANT + "test_an_abort_waits_for_a_branch_that_is_open[postgres]",),
    ),
    Mutation(
        name="prepare: branch row first",
        protects="the branch meets the marker before it takes any lock",
        file=PARTICIPANT,
        edits=(
            Edit("                await connection.execute(_BRANCH, gid, subject)\n", ""),
            Edit(
                "                    await write.fence([subject])\n",
                "                    await write.fence([subject])\n"
                "                    await connection.execute(_BRANCH, gid, subject)\n",
            ),
            Edit(
                '        if known == "absent":\n            try:\n',
                '        if known != "prepared":\n            try:\n',
            ),
        ),
        broken=("c",),
        tests=(IN_PARTICIPANT + "test_after_an_abort_no_prepare_takes_a_lock[postgres]",),
    ),
    Mutation(
        name="abort: marker",
        protects="a late prepare finds that it was aborted",
        file=PARTICIPANT,
        edits=gone("                        await connection.execute(_MARKER, gid, subject)\n"),
        broken=("c",),
        tests=(IN_PARTICIPANT + "test_after_an_abort_no_prepare_takes_a_lock[postgres]",),
    ),
    Mutation(
        name="abort: marker repeated",
        protects="roll-back and marker are repeated until the marker is in",
        file=PARTICIPANT,
        edits=gone(
            "            except Busy:  # a branch is open, or was prepared just now: roll back again\n"
            "                continue\n",
            '            except Busy:\n                return "aborted"\n',
        ),
        broken=("c",),
        tests=(IN_PARTICIPANT + "test_an_abort_waits_for_a_branch_that_is_open[postgres]",),
    ),
    Mutation(
        name="commit: no such branch, committed",
        protects="42704 with a branch row that says committed is an acknowledgement",
        file=PARTICIPANT,
        edits=gone(
            '            state = await self._recorded(gid)\n            if state == "aborted":\n',
            '            state: BranchState = "absent"\n            if state == "aborted":\n',
        ),
        broken=("a", "I8"),
        tests=(IN_CRASHES + "test_a_lost_or_doubled_message_changes_nothing[cp9@messages:drop_reply-204-deleted]",),
    ),
    Mutation(
        name="commit: no such branch, absent",
        protects="42704 without a branch row is no acknowledgement",
        file=PARTICIPANT,
        edits=gone(
            '            except asyncpg.UndefinedObjectError:\n                return "absent"\n',
            '            except asyncpg.UndefinedObjectError:\n                return "done"\n',
        ),
        broken=("a", "I1"),
        tests=(IN_PARTICIPANT + "test_a_branch_that_is_gone_is_done_again[postgres]",),
    ),
    Mutation(
        name="commit: roll forward",
        protects="a branch that somebody rolled back by hand is done again",
        file=PARTICIPANT,
        edits=gone("            await self._roll_forward(gid, subject)\n", "            return state\n"),
        broken=("a", "I1"),
        tests=(
            IN_PARTICIPANT + "test_a_branch_that_is_gone_is_done_again[postgres]",
            IN_DELETION + "test_a_branch_that_an_operator_rolled_back_is_done_again[near]",
        ),
    ),
    Mutation(
        name="sweep: undecided",
        protects="an orphan of a transaction that is open waits",
        file=SWEEP,
        edits=gone(
            "                if known and outcome is None:\n",
            "                if known and outcome is None and False:\n",
        ),
        broken=("a", "I1"),
        tests=(IN_PARTICIPANT + "test_orphans_ask_what_became_of_them[answer3-None]",),
    ),
    Mutation(
        name="sweep: presumed abort",
        protects="an orphan that the log does not know is rolled back",
        file=SWEEP,
        edits=gone("                if known and outcome is None:\n", "                if outcome is None:\n"),
        broken=("I8",),
        tests=(IN_PARTICIPANT + "test_orphans_ask_what_became_of_them[answer2-aborted]",),
    ),
    # The same in MongoDB.
    Mutation(
        name="mongodb, fence: written",
        protects="a fence is held by writing it: a snapshot alone would not see who else writes there",
        file=MONGO,
        edits=gone('HOLD: Final = {"$inc": {"held": 1}, "$setOnInsert"', 'HOLD: Final = {"$setOnInsert"'),
        broken=("a", "I1"),
        tests=("tests/services/messages/test_messages_races.py::" + FENCE_HELD + "[mongodb-wire]",),
    ),
    Mutation(
        name="mongodb, fence: undecided",
        protects="nobody writes as, or to, somebody whose deletion is not decided",
        file=MONGO,
        edits=gone(
            "                if undecided or all(fence.state != DELETING for fence in fences.values()):\n",
            "                if True:\n",
        ),
        broken=("a", "I1", "I4"),
        tests=(
            IN_PARTICIPANT + "test_writers_are_busy_while_a_branch_is_open_and_go_on_when_it_is_dropped[mongodb]",
        ),
    ),
    Mutation(
        name="mongodb, prepare: one at a time",
        protects="of two deletions of one person the second has no promise",
        file=MONGO_PARTICIPANT,
        edits=gone("        if fence.state == DELETING:\n", "        if False:\n"),
        broken=("a", "I1"),
        tests=(IN_PARTICIPANT + "test_two_deletions_of_one_person_are_never_both_open[mongodb]",),
    ),
    Mutation(
        name="mongodb, abort: marker",
        protects="a prepare that comes after the abort meets its marker",
        file=MONGO_PARTICIPANT,
        edits=gone('        await self._note(write, gid, "aborted", subject=whom)\n'),
        broken=("c",),
        tests=(IN_PARTICIPANT + "test_after_an_abort_no_prepare_takes_a_lock[mongodb]",),
    ),
    Mutation(
        name="mongodb, abort: fence",
        protects="an aborted deletion leaves everything as it was",
        file=MONGO_PARTICIPANT,
        edits=gone('{"$set": {"state": LIVE}, "$unset": {"gid": ""}}', '{"$unset": {"gid": ""}}'),
        broken=("a", "I1"),
        tests=(
            IN_PARTICIPANT + "test_writers_are_busy_while_a_branch_is_open_and_go_on_when_it_is_dropped[mongodb]",
        ),
    ),
    Mutation(
        name="mongodb, commit: once",
        protects="a commit that comes again finds that it was made",
        file=MONGO_PARTICIPANT,
        edits=gone(
            '        if row is not None and row["state"] != "prepared":\n            return _state(row)\n'
            "        if whom is None:\n",
            "        if whom is None:\n",
        ),
        broken=("a", "I1", "I6"),
        tests=(IN_PARTICIPANT + "test_what_a_branch_changes_is_changed_with_its_commit_and_once[mongodb]",),
    ),
    Mutation(
        name="mongodb: majority",
        protects="what is acknowledged outlives the primary",
        file=MONGO,
        edits=gone('WriteConcern(w="majority", j=True)', "WriteConcern(w=1, j=False)"),
        broken=("I3",),
        tests=(IN_FAILOVER + PRIMARY_GONE,),
    ),
    # Fences.
    Mutation(
        name="fence: insert",
        protects="a lock on a row that is not there locks nothing",
        file=STORAGE,
        edits=gone(
            "INSERT INTO subject_fence (user_id) SELECT unnest($1::uuid[]) ON CONFLICT DO NOTHING",
            "SELECT unnest($1::uuid[])",
        ),
        broken=("a", "I1"),
        tests=(IN_PARTICIPANT + "test_a_writer_who_came_first_is_never_overtaken[postgres]",),
    ),
    Mutation(
        name="fence: lock",
        protects="two writes that concern one person come one after the other",
        file=STORAGE,
        edits=gone(
            "WHERE user_id = ANY($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE", "WHERE user_id = ANY($1::uuid[])"
        ),
        broken=("a", "I2"),
        tests=(IN_FRIENDS + "test_a_writer_waits_for_the_fence_and_readers_do_not[rows-wire]",),
    ),
    Mutation(
        name="fence: befriend",
        protects="nobody befriends somebody deleted",
        file=FRIENDS,
        edits=gone(
            "        rules.check_live((await graph.fence((me, other))).values())\n"
            "        standing = await graph.standing(me, other)\n"
            "        if standing.blocked:\n",
            "        await graph.fence((me, other))\n"
            "        standing = await graph.standing(me, other)\n"
            "        if standing.blocked:\n",
        ),
        broken=("a", "I2"),
        tests=(
            IN_FRIENDS + "test_nothing_is_written_past_the_fence_of_the_deleted[rows-wire-the other]",
            IN_FRIENDS + "test_nothing_is_written_past_the_fence_of_the_deleted[rows-wire-oneself]",
        ),
    ),
    Mutation(
        name="fence: post",
        protects="nobody deleted says anything more",
        file=MESSAGES,
        edits=gone("    if fences[writer].state != LIVE:\n", "    if writer not in fences:\n"),
        broken=("a", "I4"),
        tests=(
            "tests/services/messages/test_messages_contract.py::"
            "test_a_deleted_author_writes_nothing_and_is_not_answered[postgres-wire]",
        ),
    ),
    Mutation(
        name="fence: sign-in",
        protects="while a deletion is undecided nobody signs in or changes a profile",
        file=ACCOUNTS,
        edits=gone(
            "    if deletion is not None and deletion.outcome is None:\n",
            "    if deletion is not None and False:\n",
        ),
        broken=("a", "I1"),
        tests=(IN_DELETION + "test_while_a_deletion_is_undecided_writers_are_refused_and_readers_read[near]",),
    ),
    Mutation(
        name="write: nothing remote",
        protects="no call leaves an open transaction",
        file=WORLD,
        edits=gone("        refuse_remote(call.name)\n"),
        broken=("I8",),
        tests=(
            IN_REMOTE + "test_a_call_from_an_open_transaction_is_refused[a service's own]",
            IN_REMOTE + "test_a_call_from_an_open_transaction_is_refused[two-phase]",
        ),
    ),
    # Events.
    Mutation(
        name="event: inbox",
        protects="an event that comes twice has its effect once",
        file=STORAGE,
        edits=gone(
            '        if await connection.execute("; ".join(begin)) == TAKEN_BEFORE:\n',
            '        if await connection.execute("; ".join(begin)) == TAKEN_BEFORE and False:\n',
        ),
        broken=("I6",),
        tests=(
            IN_DELIVERY + "test_row_37_an_event_that_comes_again_changes_nothing[bus]",
            "tests/events/test_friends_of_the_deleted.py::"
            "test_each_friend_of_a_deleted_person_gets_a_new_version_once[near]",
        ),
    ),
    Mutation(
        name="event: outbox in the change's commit",
        protects="what a reaction to a removal needs is announced by the branch itself",
        file=STORAGE,
        edits=gone(
            "handle(connection, None)\n        try:\n            yield write\n            await write._finish()\n",
            "handle(connection, None)\n        try:\n            yield write\n",
        ),
        broken=("a", "I6"),
        tests=(IN_DELETION + "test_a_deleted_person_is_gone_for_everybody_at_once[near]",),
    ),
    Mutation(
        name="relay: marked after the bus has it",
        protects="what the bus did not take stays unpublished",
        file=RELAY,
        edits=gone(
            "            return error\n        self._said_here", "            pass\n        self._said_here"
        ),
        broken=("I3", "I6"),
        tests=(IN_RELAY + "test_what_the_bus_did_not_take_is_not_marked",),
    ),
    Mutation(
        name="relay: what was handed is looked for",
        protects="what the bus did not take is found in the outbox at once, whatever is handed next",
        file=RELAY,
        edits=gone("            self._looks = True\n            raise\n", "            raise\n"),
        broken=("I3",),
        tests=(IN_RELAY + "test_what_it_was_handed_and_the_bus_did_not_take_it_finds_when_it_looks",),
    ),
    Mutation(
        name="relay: handed over is not done",
        protects="what neighbours have not done yet stays unpublished",
        file=RELAY,
        edits=gone("        else:\n            self._unmarked.add", "        self._unmarked.add"),
        broken=("I3", "I6"),
        tests=(IN_RELAY + "test_what_concerns_neighbours_alone_is_handed_over_and_marked_when_they_are_done",),
    ),
    Mutation(
        name="relay: the bus gets what neighbours fail at",
        protects="an event whose effect failed comes again",
        file=RELAY,
        edits=gone("try:\n            await self._bus.publish(one, told=True)\n", "try:\n            pass\n"),
        broken=("I3", "I6"),
        tests=(IN_RELAY + "test_what_a_neighbour_fails_at_the_bus_gets",),
    ),
    Mutation(
        name="relay: said here, and by the bus to nobody",
        protects="who listens hears each event once, and in the order in which it was told",
        file=RELAY,
        edits=gone(
            "                await self._bus.publish(one, told=True)",
            "                await self._bus.publish(one)",
        ),
        broken=("I7",),
        tests=(IN_RELAY + "test_what_others_react_to_the_bus_keeps_and_those_who_are_here_hear_once",),
    ),
    Mutation(
        name="relay: said here once",
        protects="who listens hears an event once, however often the bus refuses it",
        file=RELAY,
        edits=gone("        if one.id in self._said_here:\n            return True\n"),
        broken=("I7",),
        tests=(IN_RELAY + "test_what_the_bus_does_not_take_those_who_are_here_hear_once",),
    ),
    Mutation(
        name="relay: what is said here counts",
        protects="who listens notices what it missed",
        file=RELAY,
        edits=gone(
            "self._said_here.add(one.id)\n        self._told = None if self._told is None else self._told + 1",
            "self._said_here.add(one.id)",
        ),
        broken=("I7",),
        tests=(IN_RELAY + "test_where_all_who_hear_it_are_here_the_bus_hears_nothing",),
    ),
    Mutation(
        name="relay: what is under way is told",
        protects="what neighbours are at work on is not told again, nor published beside them",
        file=RELAY,
        edits=gone("if one.id not in self._under_way and one.id not in self._unmarked]", "]"),
        broken=("I6",),
        tests=(IN_RELAY + "test_what_concerns_neighbours_alone_is_handed_over_and_marked_when_they_are_done",),
    ),
    Mutation(
        name="bus: what was told is not told again",
        protects="who listens hears each event once, and in the order in which it was told",
        file=BUS,
        edits=gone("            if message.headers is None or TOLD not in message.headers:\n    ", ""),
        broken=("I7",),
        tests=(IN_RELAY + "test_what_a_neighbour_fails_at_the_bus_gets",),
    ),
    Mutation(
        name="roster: all whom it concerns",
        protects="who reacts or listens in another process hears of it over the bus",
        file=ROSTER,
        edits=gone(" or len(here) < len(self._expected[concern])"),
        broken=("I3", "I6", "I7"),
        tests=(
            IN_RELAY + "test_what_somebody_else_reacts_to_goes_over_the_bus",
            IN_RELAY + "test_what_somebody_else_hears_is_said_on_the_bus[absent]",
        ),
    ),
    Mutation(
        name="reaction at once: fences of the living",
        protects="what comes after a removal finds its fence",
        file=AT_ONCE,
        edits=gone(" = ANY($2::uuid[]) AND state = 'live'", " = ANY($2::uuid[])"),
        broken=("I4",),
        tests=(IN_TOLD + "test_what_stands_in_its_way_leaves_nothing_behind[one deleted-wire]",),
    ),
    Mutation(
        name="reaction at once: all fences",
        protects="nobody's version rises under somebody else's lock, and who is not fenced is fenced first",
        file=AT_ONCE,
        edits=gone("    ) = cardinality($2::uuid[])", "    ) > 0"),
        broken=("I4", "I6"),
        tests=(IN_TOLD + "test_what_stands_in_its_way_leaves_nothing_behind[no fence-wire]",),
    ),
    Mutation(
        name="reaction at once: takes its event",
        protects="an event takes effect once",
        file=AT_ONCE,
        edits=gone(
            "ON CONFLICT DO NOTHING RETURNING event_id",
            "ON CONFLICT (event_id) DO UPDATE SET event_id = excluded.event_id RETURNING event_id",
        ),
        broken=("I6",),
        tests=(IN_TOLD + "test_an_event_that_was_taken_says_nothing_again[wire]",),
    ),
    Mutation(
        name="bus: acknowledgement awaited",
        protects="an event is published when the bus has it on its disk",
        file=BUS,
        edits=gone(
            "        await self._stream.publish(one.event,", "        await self._client.publish(one.event,"
        ),
        broken=("I3", "I6"),
        tests=(IN_RELAY + "test_what_the_bus_did_not_take_is_not_marked",),
    ),
    Mutation(
        name="bus: id of the message",
        protects="what is published again under its id is taken once",
        file=BUS,
        edits=gone('"Nats-Msg-Id": str(one.id), '),
        broken=("I6",),
        tests=(IN_RELAY + "test_what_comes_again_under_its_id_is_taken_once",),
    ),
    Mutation(
        name="consumer: only what raised counts",
        protects="a store that is away or busy is no reason to give an event up",
        file=CONSUMER,
        edits=gone("        except (Unavailable, Busy, *REFUSES):\n            raise\n"),
        broken=("I6",),
        tests=(IN_DELIVERY + "test_somebody_elses_lock_costs_no_event[bus]",),
    ),
    Mutation(
        name="consumer: dead letter",
        protects="a poison event is set aside, and not tried for ever",
        file=CONSUMER,
        edits=gone("        if attempts < MOST_ATTEMPTS:\n", "        if attempts < MOST_ATTEMPTS * 10**9:\n"),
        broken=("I6",),
        tests=(IN_DELIVERY + "test_row_37_a_poison_event_is_set_aside_and_the_others_go_on[bus]",),
    ),
    Mutation(
        name="consumer: version",
        protects="a notification gives way only to what is newer",
        file=NOTIFICATIONS_STORE,
        edits=gone(" where notifications.version < excluded.version\n"),
        broken=("I6", "I7"),
        tests=(IN_DELIVERY + "test_row_37_twice_and_shuffled_ends_alike[bus]",),
    ),
    Mutation(
        name="consumer: version of a message",
        protects="an older state of a message that comes late changes nothing",
        file=NOTIFICATIONS,
        edits=gone(
            "        if not await write.advance_message(body.message_id, body.version):\n            return\n",
            "        await write.advance_message(body.message_id, body.version)\n",
        ),
        broken=("I4", "I7"),
        tests=(IN_NOTIFICATIONS + "test_an_older_state_that_comes_late_changes_nothing[wire]",),
    ),
    Mutation(
        name="consumer: a new message is the first state",
        protects="a new message that comes late, after a later state of it, changes nothing",
        file=NOTIFICATIONS_STORE,
        edits=gone(" where exists (select from advanced) "),
        broken=("I4", "I7"),
        tests=(IN_NOTIFICATIONS + "test_an_older_state_that_comes_late_changes_nothing[wire]",),
    ),
    Mutation(
        name="consumer: fence of the deleted",
        protects="what comes after a removal finds its fence",
        file=NOTIFICATIONS_STORE,
        edits=gone(
            "\"update subject_fence set state = 'deleted' where user_id = $1\", person",
            '"select $1::uuid", person',
        ),
        broken=("I4",),
        tests=(IN_NOTIFICATIONS + "test_a_deleted_person_leaves_nothing_and_gets_nothing[wire]",),
    ),
    # Reads, and what must not come back.
    Mutation(
        name="read: authors pass through users",
        protects="nobody is shown whose deletion was decided",
        file=USERS_STORE,
        edits=gone("WHERE a.id = ANY($1::uuid[]) AND a.state = 'live'\"", 'WHERE a.id = ANY($1::uuid[])"'),
        broken=("I4", "I9"),
        tests=(IN_DELETION + "test_a_deleted_person_is_gone_for_everybody_at_once[near]",),
    ),
    Mutation(
        name="read: blocked",
        protects="neither sees the other from the block's acknowledgement on, whether events come or not",
        file=MESSAGES_RULES,
        edits=gone('    if relation.blocked:\n        return "hidden"\n'),
        broken=("I9",),
        tests=(
            "tests/services/messages/test_messages_visibility.py::"
            "test_6_replies_under_or_by_the_gone_and_blocked_are_hidden[postgres-wire]",
        ),
    ),
    Mutation(
        name="write: seen still holds",
        protects="what was seen before a write is looked at again within it",
        file=MESSAGES,
        edits=gone("    if now is None or not seen.still(now):\n", "    if now is None:\n"),
        broken=("I9",),
        tests=(
            "tests/services/messages/test_messages_contract.py::"
            "test_a_parent_that_changes_between_check_and_write_is_checked_again[postgres-wire]",
        ),
    ),
    Mutation(
        name="stream: signed in still",
        protects="an open stream ends with its session",
        file=STREAMS,
        edits=gone("                    if not await self._still_signed_in():\n                        return\n"),
        broken=("I9",),
        tests=("tests/security/test_row_15.py::" + EVERY_SESSION + "[near-sign-out everywhere]",),
    ),
    Mutation(
        name="stream: parted",
        protects="an open stream says nothing of whom one may not hear any more",
        file=HUB,
        edits=gone(
            "            place.authors.discard(other)\n            self._by_author[other].discard(person)\n",
            "            place.authors.discard(other)\n",
        ),
        broken=("I9",),
        tests=("tests/security/test_row_05.py::" + FILTERED + "[near-they unfriend]",),
    ),
    Mutation(
        name="sign-out: links",
        protects="what would open a new session ends with the old ones",
        file=ACCOUNTS,
        edits=gone("    await write.drop_links(account.id)\n"),
        broken=("I9",),
        tests=("tests/security/test_row_15.py::" + EVERY_SESSION + "[near-password change]",),
    ),
    Mutation(
        name="import: withdrawn",
        protects="what was withdrawn does not come back by an import",
        file=MESSAGES_STATEMENTS,
        edits=gone(
            "WHERE NOT EXISTS (SELECT FROM withdrawn w WHERE w.bucket = asked.bucket AND w.id = asked.id)\n"
        ),
        broken=("I4",),
        tests=(
            "tests/services/messages/test_messages_import.py::test_a_second_import_changes_nothing[postgres-wire]",
        ),
    ),
    # What is kept of others' answers.
    Mutation(
        name="read: own writes",
        protects="nobody is shown less than what they wrote",
        file=SHELF,
        edits=gone("        if own and entry.version < own.get(entry.subject, 0):\n            return False\n"),
        broken=("I5",),
        tests=(IN_SHELF + "test_what_is_older_than_a_write_of_the_client_is_not_shown_to_them_alone",),
    ),
    Mutation(
        name="read: stamp",
        protects="nobody is shown less than what they were shown",
        file=SHELF,
        edits=gone("        return not stamp or _as_new_as(entry.reading, stamp)\n", "        return True\n"),
        broken=("I5",),
        tests=(IN_SHELF + "test_what_may_be_older_than_what_the_client_was_shown_waits_for_a_beat",),
    ),
    Mutation(
        name="read: clocks",
        protects="the beginning of a read is of another clock than a stamp",
        file=SHELF,
        edits=gone("reading.began_ns - SKEW_NS >= stamp", "reading.began_ns >= stamp"),
        broken=("I5",),
        tests=(
            IN_SHELF + "test_what_was_read_after_what_the_client_was_shown_waits_for_what_clocks_may_differ_by",
        ),
    ),
    Mutation(
        name="read: beat",
        protects="nothing is used for longer than 0.8 s after the last beat",
        file=SHELF,
        edits=gone("return in_lease and self._wall_ns() < self._beat_ns + FRESH_NS", "return in_lease"),
        broken=("I5", "I9"),
        tests=(
            IN_SHELF + "test_an_entry_is_shown_while_beats_come_and_not_a_moment_longer",
            IN_SHELF + "test_before_the_first_beat_nothing_is_shown",
        ),
    ),
    Mutation(
        name="read: lease",
        protects="nothing is used in a lease's last second, when a writer may not wait any more",
        file=SHELF,
        edits=gone(
            "        in_lease = self._clock() < self._leased_until - LAST_OF_LEASE\n", "        in_lease = True\n"
        ),
        broken=("I9",),
        tests=(IN_SHELF + "test_nothing_is_kept_before_a_writer_would_wait_for_us_nor_shown_in_the_last_second",),
    ),
    Mutation(
        name="still: what went",
        protects="an answer is not given again once one of its entries has gone, however few went",
        file=SHELF,
        edits=gone("            if same is not None and same.gone:\n                return True\n"),
        broken=("I5", "I9"),
        tests=(IN_SHELF + "test_what_is_rested_on_is_looked_for_among_what_went",),
    ),
    Mutation(
        name="still: all that went",
        protects="where more went than is noted, each entry is looked at",
        file=SHELF,
        edits=gone("went > min(len(self._went), len(held.entries))", "went > len(held.entries)"),
        broken=("I5", "I9"),
        tests=(IN_RESPONSES + "test_whatever_happens_it_stands_only_while_the_shelf_gives_the_same",),
    ),
    Mutation(
        name="understood: whose",
        protects="a request is nobody else's because it asks for the same",
        file=RESPONSES,
        edits=gone(
            "                lines += line\n        return Key(", "                pass\n        return Key("
        ),
        broken=("I9",),
        tests=(IN_UNDERSTOOD + "test_the_key_is_of_all_but_what_the_client_has_seen",),
    ),
    Mutation(
        name="understood: of one alone",
        protects="what is said of one request alone is not taken for granted of the next",
        file=UNDERSTOOD,
        edits=gone(" or any(name in OTHERWISE for name, _ in headers)"),
        broken=("I9",),
        tests=(IN_UNDERSTOOD + "test_what_says_something_of_one_request_alone_is_not_remembered[cookie]",),
    ),
    Mutation(
        name="fill: newer version",
        protects="a slow read does not bring back what an event took away",
        file=SHELF,
        edits=gone("        if left is not None and entry.version < left[0]:\n            return None\n"),
        broken=("I5", "I9"),
        tests=(
            IN_SHELF + "test_a_slow_read_does_not_bring_back_what_an_event_took_away",
            IN_SHELF + "test_the_least_recently_used_go_first_and_leave_their_versions",
        ),
    ),
    Mutation(
        name="fill: stirred",
        protects="a slow read does not bring back what was counted before a change",
        file=SHELF,
        edits=gone(
            "        if self._stirred and began <= self._stirred.get((of, entry.subject), 0.0):\n"
            "            return None\n"
        ),
        broken=("I5",),
        tests=(IN_SHELF + "test_who_is_stirred_is_read_again_though_no_version_tells",),
    ),
    Mutation(
        name="stirred: what is kept",
        protects="what is counted is read again after a change",
        file=SHELF,
        edits=gone(
            "        for key in [one for one in self._by_subject.get(subject, ()) if one[0] == of]:\n"
            "            self._drop(key)\n"
        ),
        broken=("I5",),
        tests=(IN_SHELF + "test_who_is_stirred_is_read_again_though_no_version_tells",),
    ),
    Mutation(
        name="fill: gap",
        protects="what was read before a gap is not kept after it",
        file=SHELF,
        edits=gone("        if began < self._listening_since or began <", "        if began <"),
        broken=("I5",),
        tests=(IN_SHELF + "test_a_read_from_before_a_gap_is_not_kept",),
    ),
    Mutation(
        name="fill: slow read",
        protects="what was read so long ago that newer versions are forgotten is not kept",
        file=SHELF,
        edits=gone(" or self._clock() - began > SLOWEST:", ":"),
        broken=("I5",),
        tests=(IN_SHELF + "test_a_version_is_remembered_for_as_long_as_a_read_may_take",),
    ),
    Mutation(
        name="fill: order",
        protects="an older read does not replace a newer one",
        file=SHELF,
        edits=gone(
            "        if held is not None and (entry.version, began) < (held.version, held.reading.began):\n"
            "            return None\n"
        ),
        broken=("I5",),
        tests=(IN_SHELF + "test_an_older_read_does_not_replace_a_newer_one",),
    ),
    Mutation(
        name="evict: version",
        protects="what goes for want of room leaves its version",
        file=SHELF,
        edits=gone("        self._leave(evicted.subject, evicted.version)\n"),
        broken=("I5",),
        tests=(IN_SHELF + "test_the_least_recently_used_go_first_and_leave_their_versions",),
    ),
    Mutation(
        name="heard: nothing kept",
        protects="an event leaves its version where nothing was kept, too",
        file=SHELF,
        edits=gone(
            "                self._drop(key)\n        self._leave(subject, version)\n",
            "                self._drop(key)\n",
        ),
        broken=("I5", "I9"),
        tests=(IN_SHELF + "test_a_slow_read_does_not_bring_back_what_an_event_took_away",),
    ),
    Mutation(
        name="listener: stirred",
        protects="a cache elsewhere hears of whose things something changed",
        file="src/tidings/platform/events/listener.py",
        edits=gone("            self._keeper.stirred(producer, stirring.stirred(told))\n"),
        broken=("I5",),
        tests=("tests/events/test_beats.py::test_of_whom_an_event_says_that_something_changed_is_read_again",),
    ),
    Mutation(
        name="mailroom: stirred",
        protects="a cache beside the writer knows of whose things something changed before that is acknowledged",
        file="src/tidings/platform/events/mailroom.py",
        edits=gone("            keeper.stirred(self.service, stirred)\n"),
        broken=("I5",),
        tests=("tests/events/test_removals.py::test_what_a_commit_stirs_is_let_go_before_it_is_acknowledged",),
    ),
    Mutation(
        name="told: the version before",
        protects="what a write tells a part of is put onto nothing but what was just before it",
        file=KEEPER,
        edits=gone("    if held.version != piece.version - 1:\n        return None\n"),
        broken=("I5",),
        tests=(
            "tests/platform/test_cache_keeper.py::"
            "test_what_a_write_tells_a_part_of_is_put_onto_the_very_version_before",
        ),
    ),
    Mutation(
        name="news: nothing newer is in it",
        protects="a version stands for what was shown only where nothing newer was in that",
        file=KEEPER,
        edits=gone("exact = told and kept.onto is None", "exact = told"),
        broken=("I5",),
        tests=(IN_KEEPER + "test_where_versions_do_not_say_all_that_was_shown_the_stamp_does[a part was told]",),
    ),
    Mutation(
        name="news: all that is new is told",
        protects="what was read since the beat, and not told, is shown with a stamp",
        file=KEEPER,
        edits=gone(" or not all(entry.exact for entry in new)"),
        broken=("I5",),
        tests=(IN_KEEPER + "test_where_versions_do_not_say_all_that_was_shown_the_stamp_does[somebody was read]",),
    ),
    Mutation(
        name="news: counts change without a version",
        protects="what no version tells of is shown with a stamp",
        file=KEEPER,
        edits=gone("not kept.stirred_by and stamp", "stamp"),
        broken=("I5",),
        tests=(IN_KEEPER + "test_where_versions_do_not_say_all_that_was_shown_the_stamp_does[stirred]",),
    ),
    Mutation(
        name="news: one process",
        protects="a version stands for what was shown only where every commit is heard of at once",
        file=KEEPER,
        edits=gone("part is not None and part.shelf.has_one_clock and", "part is not None and"),
        broken=("I5",),
        tests=(IN_KEEPER + "test_where_versions_do_not_say_all_that_was_shown_the_stamp_does[replicas]",),
    ),
    Mutation(
        name="news: given again",
        protects="who is given a response again is told of the news in it, too",
        file="src/tidings/edge/response_cache.py",
        edits=gone("client.learn(kept.shown)", "client.learn(type(kept.shown)((), kept.shown.stamps))"),
        broken=("I5",),
        tests=(IN_RESPONSES + "test_a_client_takes_along_what_it_brought_and_what_it_is_shown",),
    ),
    Mutation(
        name="news: they bind",
        protects="who was shown what others wrote is shown no less by another cache",
        file=SEEN,
        edits=gone(
            "                found[one.subject] = max(one.version, found.get(one.subject, 0))\n",
            "                pass\n",
        ),
        broken=("I5",),
        tests=(IN_KEEPER + "test_elsewhere_who_was_shown_what_was_told_is_shown_no_less",),
    ),
    Mutation(
        name="told: for all alike",
        protects="what friends see unlike is told to nobody",
        file="src/tidings/services/messages/actions.py",
        edits=gone('    if document.audience == "only":\n        return ()\n'),
        broken=("I9",),
        tests=(
            "tests/services/messages/test_messages_told.py::"
            "test_nothing_is_told_of_what_friends_see_unlike[postgres-wire]",
        ),
    ),
    Mutation(
        name="read: counted before a write",
        protects="who wrote what was not heard yet is not shown counts without it",
        file=KEEPER,
        edits=gone(
            "        if kept.stirred_by and self.strict and shelf is not None and not shelf.has_heard(known):\n"
            "            keys = ()  # no piece's version tells whether that is in it\n"
        ),
        broken=("I5",),
        tests=(
            "tests/platform/test_cache_keeper.py::"
            "test_who_wrote_what_was_not_heard_yet_is_not_answered_from_what_no_version_tells_of",
        ),
    ),
    Mutation(
        name="read: producer behind",
        protects="a producer that does not know the client's write is asked again, and is no answer",
        file=KEEPER,
        edits=gone("            if not own or all(", "            if own or all("),
        broken=("I5",),
        tests=(
            "tests/platform/test_cache_keeper.py::"
            "test_a_producer_behind_the_clients_write_is_asked_again_and_then_refused",
        ),
    ),
    Mutation(
        name="token: folded",
        protects="of more writes than a token holds, the oldest bind as a stamp",
        file=SEEN,
        edits=gone(
            "            stamps[one.service] = merged(stamps.get(one.service, 0), one.at_ns | 1)\n",
            "            pass\n",
        ),
        broken=("I5",),
        tests=(
            "tests/platform/test_seen.py::test_beyond_sixty_four_writes_the_oldest_become_their_services_stamp",
        ),
    ),
    Mutation(
        name="beat: count",
        protects="who heard fewer events than were sent lets go of all",
        file=LISTENER,
        edits=gone(" and beat.told == told.events\n", "\n"),
        broken=("I5",),
        tests=(IN_BEATS + "test_what_does_not_add_up_was_missed[one more told]",),
    ),
    Mutation(
        name="beat: number",
        protects="who missed a beat lets go of all",
        file=LISTENER,
        edits=gone("(beat.relay, beat.number) == (told.relay, told.number + 1)", "beat.relay == told.relay"),
        broken=("I5",),
        tests=(IN_BEATS + "test_what_does_not_add_up_was_missed[a beat missed]",),
    ),
    Mutation(
        name="beat: the first",
        protects="what was lost before the first beat that is heard is not taken for heard",
        file=LISTENER,
        edits=gone(
            "expected = (beat.relay, beat.number)", "expected = told.relay is None or (beat.relay, beat.number)"
        ),
        broken=("I5",),
        tests=(IN_BEATS + "test_what_does_not_add_up_was_missed[the first]",),
    ),
    Mutation(
        name="removal: confirmed",
        protects="what takes access away is acknowledged once every cache has let go",
        file=MAILROOM,
        edits=gone("        if not gone or reacting_to()", "        if gone or reacting_to()"),
        broken=("I9",),
        tests=(IN_TAKEN_AWAY + "test_what_is_taken_away_is_gone_from_its_acknowledgement_on[apart-slow]",),
    ),
    Mutation(
        name="removal: own process",
        protects="caches beside the writer let go before it is acknowledged",
        file=MAILROOM,
        edits=gone("            keeper.heard(self.service, changed)\n", "            pass\n"),
        broken=("I9",),
        tests=(IN_TAKEN_AWAY + "test_what_is_taken_away_is_gone_from_its_acknowledgement_on[near-slow]",),
    ),
    Mutation(
        name="removal: a second",
        protects="a cache that cannot confirm is waited for until it uses nothing any more",
        file=MAILROOM,
        edits=gone("            await asyncio.sleep(max(0.0, until - time.monotonic()))\n"),
        broken=("I9",),
        tests=(
            "tests/events/test_removals.py::"
            "test_a_cache_that_cannot_be_told_is_waited_for_until_it_uses_nothing_any_more",
        ),
    ),
    Mutation(
        name="token: side by side",
        protects="of two reads side by side none is as new as both",
        file=SEEN,
        edits=gone("max(one, other) | (1 if one and other else 0)", "max(one, other)"),
        broken=("I5",),
        tests=("tests/platform/test_seen.py::test_what_was_read_side_by_side_is_no_single_read",),
    ),
    Mutation(
        name="token: refusal",
        protects="a refusal shows something, too",
        file=SEEN,
        edits=gone("            later.shown(service, clock.stamp_ns() + clock.SKEW_NS | 1)", "            pass"),
        broken=("I5",),
        tests=(
            "tests/platform/test_seen.py::test_a_refusal_carries_what_came_and_that_anything_may_have_been_shown",
        ),
    ),
    Mutation(
        name="retry: waits",
        protects="a retry that finds nothing to do is acknowledged no sooner than the first try",
        file=FOLLOWERS,
        edits=gone("        await follower.settled()\n", "        pass\n"),
        broken=("I9",),
        tests=(IN_WRITES + "test_who_finds_nothing_to_do_sees_all_that_was_done_before",),
    ),
    Mutation(
        name="retry: sees",
        protects="a retry whose first answer was lost sees what the first try did",
        file=FOLLOWERS,
        edits=gone("    seen().shown(service, stamp_ns())\n"),
        broken=("I5",),
        tests=(IN_WRITES + "test_who_finds_nothing_to_do_sees_all_that_was_done_before",),
    ),
    Mutation(
        name="commit: in doubt",
        protects="what may have been committed is taken away, whether anybody knows or not",
        file=STORAGE,
        edits=gone(
            "                        if committing and write.happened:\n", "                        if False:\n"
        ),
        broken=("I9",),
        tests=(IN_WRITES + "test_a_commit_whose_answer_is_lost_may_have_happened",),
    ),
    Mutation(
        name="write: the tag of COMMIT",
        protects="a transaction that had failed is not acknowledged",
        file=STORAGE,
        edits=gone(') != "COMMIT":  # an error in the block was hidden\n', ') == "":\n'),
        broken=("I9",),
        tests=(IN_WRITES + "test_a_transaction_whose_error_was_hidden_is_no_write",),
    ),
    Mutation(
        name="removal: given up",
        protects="a removal goes on when who asked for it gives up, and a retry waits for it",
        file=MAILROOM,
        edits=gone(
            "            await asyncio.wait({removal})  # who asked", "            await removal  # who asked"
        ),
        broken=("I9",),
        tests=("tests/events/test_removals.py::test_what_may_be_committed_is_taken_away_whoever_waits[given up]",),
    ),
    Mutation(
        name="stream: welcomed",
        protects="whoever is welcomed twice at once hears nothing of whom they parted from",
        file=HUB,
        edits=gone("moved = self._moved.get(person, 0)", "moved = self._moved.pop(person, 0)"),
        broken=("I9",),
        tests=("tests/services/timeline/test_hub.py::test_of_two_welcomes_at_once_neither_brings_back_who_parted",),
    ),
    Mutation(
        name="media: looked at again",
        protects="a part that comes after its upload was deleted is taken back by who wrote it",
        file=UPLOADING,
        edits=gone(
            "            await svc.pictures.drop_parts(media_id)\n            raise\n", "            raise\n"
        ),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_a_part_that_comes_after_the_deletion_is_taken_back[near]",),
    ),
    Mutation(
        name="media: held",
        protects="what a post holds is not collected before its claim has come",
        file=MEDIA_STORE,
        edits=gone(
            "            and greatest(held_until, posting_until, wearing_until) < clock_timestamp()\n        order",
            "        order",
        ),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_nobody_collects_what_is_held_and_everybody_what_was_never_used[near]",),
    ),
    Mutation(
        name="media: withdrawn",
        protects="a message that was withdrawn claims nothing by an older event",
        file=MEDIA_STORE,
        edits=gone(
            " and not exists (select from gone_messages where message_id = $5)", " and $5::uuid is not null"
        ),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_a_message_and_its_end_may_be_heard_of_in_any_order[unshow-near]",),
    ),
    Mutation(
        name="media: withdrawn, the long way",
        protects="a message that was withdrawn while its claim began claims nothing",
        file=MEDIA_STORE,
        edits=gone(
            " and not exists (select from gone_messages where message_id = $3)", " and $3::uuid is not null"
        ),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_what_began_before_a_message_was_withdrawn_shows_nothing[near]",),
    ),
    Mutation(
        name="media: a withdrawal is seen by the version",
        protects="what began before a withdrawal does not see it, but that a version has risen",
        file=MEDIA_STORE,
        edits=gone("        await self.bump([author_id])\n"),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_what_began_before_a_message_was_withdrawn_shows_nothing[near]",),
    ),
    Mutation(
        name="reaction at once: as it was when it began",
        protects="what is read beside a fence is not older than the fence",
        file=AT_ONCE,
        edits=gone("fenced JOIN subject_fence AS begun USING (user_id, version)", "fenced"),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_what_began_before_a_message_was_withdrawn_shows_nothing[near]",),
    ),
    Mutation(
        name="media: set aside",
        protects="nothing is collected while an event is set aside",
        file=UPKEEP,
        edits=gone("    if (await svc.mailroom.letters()).letters:\n", "    if False:\n"),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_nothing_is_collected_while_an_event_is_set_aside[near]",),
    ),
    Mutation(
        name="media: own",
        protects="a message shows pictures of its author's alone",
        file=MEDIA_STORE,
        edits=gone(
            "select id from media where id = any($1::uuid[]) and owner_id = $2 and state = 'ready'\"\n",
            "select id from media where id = any($1::uuid[]) and $2::uuid is not null and state = 'ready'\"\n",
        ),
        broken=("I10",),
        tests=(IN_MEDIA_RACES + "test_a_claim_of_anothers_picture_claims_nothing[near]",),
    ),
    Mutation(
        name="media: seen",
        protects="a picture is shown to who sees a message that shows it, and to nobody else",
        file=MEDIA_VIEWS,
        edits=gone(
            "    if not await _seeing.read(svc, svc.world, viewer, ask):\n        raise no_such_picture()\n"
        ),
        broken=("I1",),
        tests=(IN_MEDIA_JOURNEYS + "test_friends_see_the_picture_of_a_message_at_once_and_strangers_never[near]",),
    ),
)
