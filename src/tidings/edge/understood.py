"""What requests mean that came before: by their head who asks, and by their address what is asked.

Both follow from those bytes and the settings alone, so they hold for as long as the process runs. Whether somebody
still holds that token, may still ask, and what is answered is found out each time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from tidings.platform import tracing
from tidings.platform.contract import Route

MOST: Final = 10_000  # heads, and addresses
LONGEST: Final = 200  # bytes of an address that is remembered

TRACE: Final = b"traceparent"
# Whoever passes requests on (Envoy, nginx, AWS, Google, Cloudflare, Heroku) or traces them (Zipkin, Jaeger,
# Datadog) adds these, with another value each time. Nothing here reads them.
UNREAD: Final = frozenset(
    {
        b"b3",
        b"cf-ray",
        b"tracestate",
        b"uber-trace-id",
        b"x-amzn-trace-id",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-datadog-parent-id",
        b"x-datadog-sampling-priority",
        b"x-datadog-tags",
        b"x-datadog-trace-id",
        b"x-request-id",
        b"x-request-start",
    }
)

# What is said of one request alone; and what others read beside the gateway, or what is another one each time.
UNLIKE: Final = frozenset({b"cookie", b"content-length", b"transfer-encoding", b"expect"})
OTHERWISE: Final = UNLIKE | {b"origin", b"if-none-match"}


class Key(NamedTuple):
    """All of a request that matters to its response: a digest of its headers, and its address.

    Neither what its client has seen is in it, nor what is told of its way here.
    """

    head: bytes
    url: bytes


class Read(NamedTuple):
    """What an address asks for: of a route of the API, for members, that takes nothing else."""

    route: Route[Any, Any]
    ask: Any


class Meaning(NamedTuple):
    """Who asks, by the digest of their token, and for what."""

    token: bytes
    read: Read


def traced(headers: Iterable[tuple[bytes, bytes]]) -> tracing.TraceContext | None:
    """The trace that the client, or whoever passed the request on, is in."""
    for name, value in headers:
        if name == TRACE:
            return tracing.parse(value.decode("latin-1"))
    return None


def says_all(route: Route[Any, Any]) -> bool:
    """Whether a request for it says all by its head and its address."""
    reads = route.method == "GET" and route.content_type == "application/json" and not route.page
    return reads and route.who == "member" and not (route.upload or route.idempotency or route.conditional)


class Understood:
    """Of one front. Where it is too much the oldest are forgotten, and understood anew."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[bytes, bytes] = OrderedDict()
        self._reads: OrderedDict[bytes, Read] = OrderedDict()

    def meaning(self, key: Key) -> Meaning | None:
        """None where it has to be understood first."""
        token, read = self._tokens.get(key.head), self._reads.get(key.url)
        return None if token is None or read is None else Meaning(token, read)

    def note(self, key: Key, headers: Iterable[tuple[bytes, bytes]], token: bytes, read: Read) -> None:
        """A request of this key was answered, and meant this."""
        if len(key.url) > LONGEST or any(name in OTHERWISE for name, _ in headers):
            return
        self._tokens[key.head] = token
        self._reads[key.url] = read
        for known in (self._tokens, self._reads):
            if len(known) > MOST:
                known.popitem(last=False)
