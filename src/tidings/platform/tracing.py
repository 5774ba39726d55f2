"""Traces: W3C trace context in and out, spans in between, exported over OTLP when that is configured.

Source: https://www.w3.org/TR/trace-context/. Without an endpoint nothing of OpenTelemetry is imported.
"""

import os
import random
import re
import threading
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import msgspec

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

Kind = Literal["internal", "server", "client"]
Attribute = str | bool | int | float


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """Where we are in a trace: ids in lower-case hex (32 and 16 digits), and whether it is recorded."""

    trace_id: str
    span_id: str
    sampled: bool

    def traceparent(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


def current() -> TraceContext | None:
    return _current.get()


def exporting() -> bool:
    """Whether spans are sent anywhere."""
    return _tracer is not None


def traceparent() -> str | None:
    """The header for an outgoing call, or None outside of any span."""
    context = _current.get()
    return None if context is None else context.traceparent()


def parse(header: str | None) -> TraceContext | None:
    """The caller's context; None where the header is absent or malformed, so that a new trace starts."""
    if header is None:
        return None
    match = _HEADER.fullmatch(header.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1))


class span:
    """A step of the current trace: `with span("messages/post", kind="server", parent=parse(header)):`.

    Without `parent` it continues the current context; without either it starts a trace. Attributes go to
    the collector as they are: no secrets, no message text.
    """

    __slots__ = ("_attributes", "_kind", "_name", "_parent", "_recorded", "_token", "context")

    context: TraceContext
    _recorded: "OtelSpan | None"
    _token: Token[TraceContext | None]

    def __init__(
        self, name: str, *, parent: TraceContext | None = None, kind: Kind = "internal", **attributes: Attribute
    ) -> None:
        self._name = name
        self._parent = parent
        self._kind = kind
        self._attributes = attributes
        self._recorded = None

    def __enter__(self) -> Self:
        parent = self._parent
        remote = parent is not None
        if parent is None:
            parent = _current.get()
        if _tracer is not None:
            self._recorded, self.context = _recorded(
                _tracer, self._name, parent, remote=remote, kind=self._kind, attributes=self._attributes
            )
        elif parent is None:
            self.context = TraceContext(_id(128), _id(64), False)
        elif remote or parent.sampled:
            self.context = TraceContext(parent.trace_id, _id(64), parent.sampled)
        else:
            self.context = parent  # nobody records the steps within
        self._token = _current.set(self.context)
        return self

    def note(self, **attributes: Attribute) -> None:
        """Add attributes that were not known at the start."""
        if self._recorded is not None:
            self._recorded.set_attributes(attributes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._token)
        if self._recorded is not None:
            if kind is not None:
                # The type alone: a message may quote what a person wrote.
                self._recorded.set_attribute("error.type", kind.__qualname__)
                self._recorded.set_status(_error_status())
            self._recorded.end()


def start(service: str, environ: Mapping[str, str] | None = None) -> bool:
    """Export spans if the standard variables name an OTLP endpoint; True when they do."""
    global _tracer, _provider
    if _provider is not None or not configured(os.environ if environ is None else environ):
        return _provider is not None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # OTEL_SERVICE_NAME wins, as the standard says; the SDK reads it when we do not name the service.
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _provider, _tracer = provider, provider.get_tracer("tidings")
    return True


def stop(within: float = 2.0) -> None:
    """Send what is left, for `within` seconds at most: a collector that hangs must not hold a shutdown."""
    global _tracer, _provider
    provider, _provider, _tracer = _provider, None, None
    if provider is not None:
        closing = threading.Thread(target=provider.shutdown, name="tracing-stop", daemon=True)
        closing.start()
        closing.join(within)


def configured(environ: Mapping[str, str]) -> bool:
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "none":
        return False
    return bool(
        environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip()
        or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    )


_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16

_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)
_tracer: "Tracer | None" = None
_provider: "TracerProvider | None" = None

# Ids, not secrets. Our own generator: a test that seeds `random` must not repeat trace ids.
_random = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)


def _id(bits: int) -> str:
    return f"{_random.getrandbits(bits) or 1:0{bits // 4}x}"


def _recorded(
    tracer: "Tracer",
    name: str,
    parent: TraceContext | None,
    *,
    remote: bool,
    kind: Kind,
    attributes: dict[str, Any],
) -> "tuple[OtelSpan, TraceContext]":
    """A real span under `parent`, and its ids as ours."""
    from opentelemetry import trace
    from opentelemetry.context import Context

    above = Context()
    if parent is not None:
        ids = trace.SpanContext(
            trace_id=int(parent.trace_id, 16),
            span_id=int(parent.span_id, 16),
            is_remote=remote,
            trace_flags=trace.TraceFlags(int(parent.sampled)),
        )
        above = trace.set_span_in_context(trace.NonRecordingSpan(ids), above)
    made = tracer.start_span(
        name, context=above, kind=trace.SpanKind[kind.upper()], attributes=attributes, set_status_on_exception=False
    )
    own = made.get_span_context()
    return made, TraceContext(f"{own.trace_id:032x}", f"{own.span_id:016x}", own.trace_flags.sampled)


def _error_status() -> Any:
    from opentelemetry.trace import Status, StatusCode

    return Status(StatusCode.ERROR)
