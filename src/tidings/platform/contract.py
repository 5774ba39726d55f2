"""What services promise each other and the public: calls, routes, events and refusals, as typed values."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Who = Literal["anyone", "member", "administrator"]

ROUTE_DEADLINE = 10.0  # seconds
PAGE_DEADLINE = 14.0  # seconds; a page outlives what it is made of
PART = 524_288  # bytes; of an upload, all parts but the last are as large


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A value that travels. Unknown fields are refused, so that a misspelt one is never silently dropped.

    It is a tree, so no look for garbage walks it (`gc=False`), which, of many at once, was a twentieth of the work.
    """


class FieldError(msgspec.Struct, frozen=True):
    """One wrong field: `pointer` is a JSON Pointer (RFC 6901) into the body, or `?name` for a parameter."""

    pointer: str
    detail: str


class Refusal(Exception):
    """An answer that was planned: a stable `code`, an HTTP `status`, and a sentence for the person.

    Subclasses are declared in contracts and travel by their code: what the callee raises, the caller
    catches as the same class.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 400
    title: ClassVar[str] = "Refused"
    known: ClassVar[dict[str, type[Refusal]]] = {}

    def __init_subclass__(cls, *, code: str, status: int, title: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if code in Refusal.known:
            raise TypeError(f"two refusals have the code {code!r}")
        cls.code, cls.status = code, status
        cls.title = title or code.replace("_", " ").capitalize()
        Refusal.known[code] = cls

    def __init__(
        self,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after: int | None = None,
        service: str | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors
        self.retry_after = retry_after  # seconds
        self.service = service


class Invalid(Refusal, code="invalid", status=422, title="Not valid"):
    """The request was understood, and a field of it is wrong; `errors` names each."""


class NotFound(Refusal, code="not_found", status=404, title="Not found"):
    """It does not exist, or the asker may not know that it does."""


class Unauthenticated(Refusal, code="unauthenticated", status=401, title="Sign in first"):
    """No token, or one that is unknown, expired or revoked."""


class Forbidden(Refusal, code="forbidden", status=403, title="Not allowed"):
    """The asker is known and may not do this."""


class Untrusted(Refusal, code="untrusted", status=401, title="Not from a service that may ask this"):
    """An internal call without a peer's signature, or from a service that it does not list. Never a person's."""


class BadCursor(Refusal, code="bad_cursor", status=400, title="Bad cursor"):
    """A cursor that was tampered with, is another person's, or belongs to another list."""


class Stale(Refusal, code="stale", status=412, title="Changed since you read it"):
    """If-Match named a version that is no longer the current one."""


class Busy(Refusal, code="busy", status=503, title="Busy"):
    """Another writer holds what this write needs; nothing was changed. Try again."""


class TooManyRequests(Refusal, code="too_many_requests", status=429, title="Too many requests"):
    """Who asks has asked too often. `Retry-After` says in how many seconds to go on."""


class Unavailable(Refusal, code="unavailable", status=503, title="A service cannot be reached"):
    """`service` is down, over its deadline, or cannot reach its own store. Nothing was concluded."""

    unanswered = False  # True: the way to it broke before an answer came back


class InFlight(Refusal, code="idempotency_in_flight", status=409, title="Still at work on that key"):
    """A request with the same Idempotency-Key has not ended yet."""


class KeyReused(Refusal, code="idempotency_key_reused", status=422, title="Key used for another request"):
    """The Idempotency-Key came before with another body or path."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Ask, Answer]):
    """An internal call. `callers` lists who may make it; both ends check. `safe` calls change nothing.

    Before one that is not `guarded` there is no limit and no breaker (platform/dependency.py), and how it ends
    tells nothing about its service: it is few, and others' work waits for it, or it is meant to take long.
    """

    name: str
    ask: type[Ask]
    answer: type[Answer]
    callers: frozenset[str]
    safe: bool = False
    deadline: float | None = None  # seconds; the setting `call_deadline` if None
    guarded: bool = True
    service: str = field(init=False)

    def __init__(
        self,
        name: str,
        ask: type[Ask],
        answer: type[Answer],
        *,
        callers: set[str],
        safe: bool = False,
        deadline: float | None = None,
        guarded: bool = True,
    ) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "ask", ask)
        object.__setattr__(self, "answer", answer)
        object.__setattr__(self, "callers", frozenset(callers))
        object.__setattr__(self, "safe", safe)
        object.__setattr__(self, "deadline", deadline)
        object.__setattr__(self, "guarded", guarded)
        object.__setattr__(self, "service", name.partition("/")[0])


class UploadPart(Value, frozen=True):
    """A piece of a file on its way, `number` counted from 0. It may come again, and never changes."""

    id: UUID
    number: Annotated[int, Meta(ge=0, le=10_000)]
    data: bytes


class Uploaded(Value, frozen=True):
    """A file that came in `parts` pieces, `size` bytes in all; none yet where the upload only begins."""

    id: UUID
    parts: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """How the file of a multipart request (RFC 7578) gets to its service before the route is called with it.

    `begin` is asked with Nothing, `part` for each piece in turn, `give_back` with what was begun and comes to
    nothing: signed calls like all others, so that neither end ever holds more than a piece. The route's ask has a
    field `upload`, which says what came.
    """

    begin: Call[Any, Uploaded]
    part: Call[UploadPart, Any]
    give_back: Call[Uploaded, Any]
    field: str = "file"
    required: bool = True  # else the ask's `upload` may be None


class Visit(Value, frozen=True):
    """What a page is told of the visit beside its own ask; the edge fills it in."""

    origin: str  # the address of this server as people use it
    address: str  # path and query of the page
    languages: str = ""  # Accept-Language (RFC 9110, 12.5.4)


class Admission(Value, frozen=True):
    """What becomes of a browser's session: the token that it holds from now on, or none any more."""

    token: str | None
    expires_at: datetime | None = None


class Served(msgspec.Struct, frozen=True, gc=False):
    """A route's answer on its way to the edge: the body is JSON already and is never decoded again."""

    status: int
    body: msgspec.Raw = msgspec.Raw(b"")
    headers: dict[str, str] = {}
    version: int | None = None
    admission: Admission | None = None


@dataclass(frozen=True, slots=True)
class Reply(Generic[Answer]):
    """What a route's handler returns when it says more than a body.

    `version` becomes the part of the ETag that If-Match compares; `links` become Link headers (RFC 8288);
    `attachment` is a plain file name under which the body is saved rather than shown (RFC 6266); `admission` signs
    a browser in or out.
    """

    body: Answer
    status: int | None = None
    version: int | None = None
    location: str | None = None
    links: tuple[tuple[str, str], ...] = ()  # (relation, query string or path)
    attachment: str | None = None
    admission: Admission | None = None


@dataclass(frozen=True, slots=True)
class Route(Generic[Ask, Answer]):
    """A public resource's verb.

    `ask` is a Value: its fields are the path's parameters by name, then `body` if it has one (JSON, or the fields
    of a form with an `upload`), and every other field is a query parameter. `me` lets the path say `me` for one's
    own id. `callers` are services that may ask for it as people do, on behalf of whom they answer.

    A `page` is for a browser: its body comes from a form, its ask has a `visit`, it is shown to `anyone` as whom
    they are signed in, refusals are pages, too, and it is no part of the documented API.
    """

    name: str
    method: Method
    path: str
    ask: type[Ask]
    answer: type[Answer]
    summary: str
    status: int = 200
    who: Who = "member"
    refusals: tuple[type[Refusal], ...] = ()
    idempotency: bool = False  # takes an Idempotency-Key
    idempotency_scope: Literal["person", "key"] = "person"
    conditional: bool = False  # takes If-Match
    me: bool = False
    content_type: str = "application/json"
    deadline: float = ROUTE_DEADLINE
    accepted: type[Any] | None = None  # the body of a 202, when the work goes on; Location says where to ask
    upload: Upload | None = None  # the body is a form with a file in it
    callers: AbstractSet[str] = frozenset()
    page: bool = False
    can_wait: bool = False  # others' contents, at a price: the first to be refused when there is too much to do
    call: Call[Ask, Served] = field(init=False)

    def __post_init__(self) -> None:
        # Longer than the calls within: a composite has to outlive the part that it will do without.
        made = Call(
            self.name,
            self.ask,
            Served,
            callers={"edge", *self.callers},
            safe=self.method == "GET",
            deadline=self.deadline,
            guarded=self.content_type != "text/event-stream",  # ten thousand listeners wait at the same time
        )
        object.__setattr__(self, "call", made)

    @property
    def service(self) -> str:
        return self.call.service

    @property
    def media_types(self) -> tuple[str, ...]:
        """What a body may come as; a PATCH is a merge patch (RFC 7396) under either name."""
        if self.upload is not None:
            return ("multipart/form-data",)
        if self.page:
            return ("application/x-www-form-urlencoded",)
        json = "application/json"
        return (json, "application/merge-patch+json") if self.method == "PATCH" else (json,)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path's template, in order."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))


def page(
    name: str,
    method: Literal["GET", "POST"],
    path: str,
    ask: type[Ask],
    summary: str,
    *,
    who: Who = "member",
    upload: Upload | None = None,
    deadline: float = PAGE_DEADLINE,
    can_wait: bool = False,
) -> Route[Ask, bytes]:
    """The route of a page; its answer is HTML in UTF-8."""
    return Route(
        name, method, path, ask, bytes, summary,
        who=who, upload=upload, deadline=deadline, page=True, can_wait=can_wait,
        content_type="text/html; charset=utf-8",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in one service. It carries ids and versions, never content.

    `takes_away`: somebody may see less from now on, so the write is acknowledged when no cache shows it any more.
    `durable`: the bus keeps it until each service that owns data has reacted. Else it is heard in passing, by those
    who keep answers and by live streams, and no owner of data reacts to it. Where names of fields of the body stand
    there, it is durable if one of them says something.
    `stirs` names fields of the body with the ids of those of whose things something else changed with it, of which
    no version tells: what is counted there.
    """

    name: str
    body: type[Value]
    takes_away: bool = False
    durable: bool | tuple[str, ...] = True
    stirs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        fields = set(self.body.__struct_fields__)
        if not isinstance(self.durable, bool) and not set(self.durable) <= fields:
            raise TypeError(f"{self.name} is durable by {self.durable}, which {self.body.__name__} does not have")
        if not set(self.stirs) <= fields:
            raise TypeError(f"{self.name} stirs {self.stirs}, which {self.body.__name__} does not have")

    @property
    def service(self) -> str:
        return self.name.partition(".")[0]

    def lasts(self, body: bytes | msgspec.Raw) -> bool:
        """Whether the one with this body, in JSON, is durable. A broken one is: somebody has to set it aside."""
        if isinstance(self.durable, bool):
            return self.durable
        try:
            decoded = msgspec.json.decode(body, type=self.body)
        except msgspec.DecodeError:
            return True
        return any(getattr(decoded, name) for name in self.durable)

    def stirred(self, body: Value) -> tuple[UUID, ...]:
        """Whom the one with this body stirs."""
        return tuple(found for name in self.stirs if (found := getattr(body, name)) is not None)


@dataclass(frozen=True, slots=True)
class Contract:
    """All that the world may know of one service."""

    service: str
    calls: tuple[Call[Any, Any], ...]
    routes: tuple[Route[Any, Any], ...]
    events: tuple[Event, ...]
    about: str = ""

    @classmethod
    def of(cls, module: ModuleType) -> Contract:
        """Collect what `module` declares; its last name is the service's."""
        service = module.__name__.rpartition(".")[2]
        values = [value for value in vars(module).values() if isinstance(value, Call | Route | Event)]
        own = [value for value in values if value.service == service]
        return cls(
            service=service,
            calls=tuple(value for value in own if isinstance(value, Call)),
            routes=tuple(value for value in own if isinstance(value, Route)),
            events=tuple(value for value in own if isinstance(value, Event)),
            about=(module.__doc__ or "").partition("\n")[0].partition(": ")[2],
        )


class Nothing(Value, frozen=True):
    """An ask or an answer without content."""
