"""What stands around every page: who reads it, in which language, and whether anything is new for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from tidings.contracts import notifications, users
from tidings.contracts.users import Greeting, UserCard
from tidings.platform.contract import Admission, Nothing, Refusal, Reply, Unavailable, Visit
from tidings.platform.request import Viewer
from tidings.platform.together import together
from tidings.web.holder import Web
from tidings.web.language import chosen
from tidings.web.rendering import render
from tidings.web.words import words_for

SEE_OTHER: Final = 303


@dataclass(frozen=True, slots=True)
class Shell:
    """`me` is None for a stranger. `unread`: something came since one has read; None where nobody can tell."""

    language: str
    me: UserCard | None = None
    unread: bool | None = False
    greeting: Greeting | None = None

    def page(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        here: str = "",
        admission: Admission | None = None,
        problem: Refusal | None = None,
        hints: Mapping[str, str] | None = None,
        **values: Any,
    ) -> Reply[bytes]:
        """A page. With a `problem`, its status, and its words at the top and beside the fields that it names."""
        words = words_for(problem, self.language, hints or {}) if problem is not None else None
        html = render(template, self.language, shell=self, here=here, problem=words, **values)
        return Reply(html, status=problem.status if problem is not None else status, admission=admission)


async def shell(svc: Web, viewer: Viewer, visit: Visit) -> Shell:
    """What a page of this visit is made into."""
    if viewer.user_id is None:
        return Shell(chosen("", visit.languages))
    greeting, unread = await together(svc.world.call(users.greeting, Nothing()), _unread(svc))
    return Shell(chosen(greeting.preferences.language, visit.languages), greeting.card, unread, greeting)


async def _unread(svc: Web) -> bool | None:
    try:
        return (await svc.world.call(notifications.unread, Nothing())).unread
    except Unavailable:
        return None


def onward(path: str, *, admission: Admission | None = None) -> Reply[bytes]:
    """Go on to another page of this server, by GET (RFC 9110, 15.4.4)."""
    return Reply(b"", status=SEE_OTHER, location=local(path), admission=admission)


def local(path: str) -> str:
    """A path of this server, whatever was asked for: nobody is sent to another by a link to us."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return quote(path, safe="/?&=%#:@!$'()*+,;~-._[]") if plain else "/"  # a header holds no more than ASCII
