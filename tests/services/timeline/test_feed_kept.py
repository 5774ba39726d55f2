"""The feed's first page from what is kept of each author: the page that messages would give, or none."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidings.contracts.messages import (
    DEEPER,
    RECENT,
    AuthorRecents,
    MessageId,
    PageByAuthors,
    PageByAuthorsAsk,
    PageItem,
)
from tidings.contracts.users import UserId
from tidings.platform.cache.kept import Further, Piece
from tidings.platform.request import Viewer
from tidings.services.timeline.kept import KEPT

FEW: Final = 3  # of each author that are kept
VIEWER: Final = Viewer(UUID(int=99), "member")
[FEED] = [kept for kept in KEPT if kept.call.name == "messages/page_by_authors"]
SAID = st.lists(st.lists(st.integers(1, 200), max_size=6, unique=True), max_size=5)


def items(author: UserId, numbers: list[int]) -> list[PageItem]:
    """Newest first. No two authors have said the same."""
    ids = [MessageId(UUID(int=number * 10 + author.int)) for number in sorted(numbers, reverse=True)]
    return [PageItem(id=one, author_id=author, message=msgspec.Raw(b'"%d"' % one.int)) for one in ids]


@given(SAID, st.integers(1, 8))
def test_a_page_of_what_is_kept_is_the_page(said: list[list[int]], limit: int) -> None:
    authors = [UserId(UUID(int=number)) for number in range(len(said))]
    all_of = {author: items(author, numbers) for author, numbers in zip(authors, said, strict=True)}
    everything = sorted((one for found in all_of.values() for one in found), key=lambda one: one.id, reverse=True)
    ask = PageByAuthorsAsk(friends=authors, others=[], limit=limit)

    def told(author: UserId, few: int) -> AuthorRecents:
        found = all_of[author]
        return AuthorRecents(
            author_id=author,
            version=author.int,
            same_for_friends=author.int != 1,
            down_to=found[few - 1].id if len(found) > few else None,
            items=found[:few],
        )

    assert FEED.keys(VIEWER, ask) == [author.int for author in authors]
    answer = PageByAuthors(items=[], more=False, read_at_ms=5, recents=[told(author, FEW) for author in authors])
    pieces = list(FEED.pieces(VIEWER, ask, answer))
    assert [(one.key, one.subject, one.version, one.keep) for one in pieces] == [
        (author.int, author, author.int, author.int != 1) for author in authors
    ]
    values = {one.key: one.value for one in pieces}
    page = FEED.whole(ask, values, 7_000_000)
    if isinstance(page, Further):
        cut = [author for author in authors if len(all_of[author]) > FEW]
        kept = sorted((one.id for found in all_of.values() for one in found[:FEW]), reverse=True)
        # They said more than is kept of them, and it may be on this page, or be all that tells of another one.
        wanted = [one for one in cut if len(kept) <= limit or all_of[one][FEW - 1].id > kept[limit - 1]]
        assert wanted
        asked = FEED.rest([*page.keys, 77])
        assert (asked.deeper, asked.friends) == (wanted, [UUID(int=77)])
        deeper = [told(author, limit + 1) for author in wanted]
        answer = PageByAuthors(items=[], more=False, read_at_ms=5, deeper=deeper)
        values |= {one.key: one.value for one in FEED.pieces(VIEWER, asked, answer)}
        page = FEED.whole(ask, values, 7_000_000)
    assert isinstance(page, PageByAuthors)
    assert page.items == everything[:limit]
    assert page.more == (len(everything) > limit)
    assert page.read_at_ms == 7


def test_where_more_of_an_author_does_not_tell_either_the_page_is_asked_for() -> None:
    author = UserId(UUID(int=1))
    numbers = [100 - number for number in range(DEEPER)]
    few = AuthorRecents(
        author_id=author, version=1, same_for_friends=True, down_to=MessageId(UUID(int=900)), items=[]
    )
    more = msgspec.structs.replace(few, items=items(author, numbers)[:4])  # the others are for somebody else
    answer = PageByAuthors(items=[], more=False, read_at_ms=5, recents=[few], deeper=[more])
    values = {
        one.key: one.value for one in FEED.pieces(VIEWER, PageByAuthorsAsk(friends=[author], others=[]), answer)
    }
    assert len(values) == 2
    assert FEED.whole(PageByAuthorsAsk(friends=[author], others=[], limit=5), values, 7) is None
    # A page as long as what messages would give of each is not worth another call.
    only_few = {author.int: values[author.int]}
    assert FEED.whole(PageByAuthorsAsk(friends=[author], others=[], limit=DEEPER), only_few, 7) is None
    assert isinstance(
        FEED.whole(PageByAuthorsAsk(friends=[author], others=[], limit=DEEPER - 1), only_few, 7), Further
    )


def test_pages_that_lead_on_and_those_of_very_many_are_read_anew() -> None:
    one = MessageId(UUID(int=1))
    many = [UserId(UUID(int=number)) for number in range(513)]
    for ask in (
        PageByAuthorsAsk(friends=many[:1], others=[], before=one),
        PageByAuthorsAsk(friends=many[:1], others=[], after=one),
        PageByAuthorsAsk(friends=many[:1], others=many[1:2]),
        PageByAuthorsAsk(friends=many, others=[]),
    ):
        assert list(FEED.keys(VIEWER, ask)) == []
    assert list(FEED.keys(VIEWER, PageByAuthorsAsk(friends=many[:512], others=[]))) == list(range(512))


@given(st.integers(0, DEEPER + 3))
def test_one_more_put_onto_what_is_kept_is_what_messages_would_tell(before: int) -> None:
    author = UserId(UUID(int=1))
    assert FEED.onto is not None

    def told(count: int, few: int) -> AuthorRecents:
        """Of an author who has said so many: the newest, and whether there are more."""
        found = items(author, list(range(1, count + 1)))[:few]
        down_to = found[-1].id if found and count > len(found) else None
        return AuthorRecents(author, version=count, same_for_friends=True, down_to=down_to, items=found)

    def pieces(few: AuthorRecents, more: AuthorRecents) -> list[Piece]:
        answer = PageByAuthors(items=[], more=False, read_at_ms=5, recents=[few], deeper=[more])
        return list(FEED.pieces(VIEWER, PageByAuthorsAsk(friends=[author], others=[]), answer))

    kept = pieces(told(before, RECENT), told(before, DEEPER))
    newest = told(before + 1, 1)
    now = pieces(told(before + 1, RECENT), told(before + 1, DEEPER))
    for was, one, wanted in zip(kept, pieces(newest, newest), now, strict=True):
        assert (was.key, one.key, one.version) == (wanted.key, wanted.key, wanted.version)
        assert FEED.onto(one.key, was.value, one.value) == wanted.value
        assert FEED.onto(one.key, wanted.value, one.value) is None  # it is there
