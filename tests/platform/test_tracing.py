"""Traces: strict headers, one id everywhere, and real spans at a collector."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tidings.platform import tracing
from tidings.platform.tracing import TraceContext, current, parse, span, traceparent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (GOOD, True),
        (f" {GOOD}\t", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", True),
    ],
)
def test_a_good_header_is_understood(header: str, sampled: bool) -> None:
    assert parse(header) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "00", f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-01-", f"{GOOD}-x",
        f"cc-{TRACE}-{SPAN}-01x", f"0-{TRACE}-{SPAN}-01", f"00-{TRACE[:-1]}-{SPAN}-01", f"00_{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g", f"{GOOD}\n", f"{GOOD},{GOOD}", f"00-{TRACE[:-1]}\u0661-{SPAN}-01",
    ],
)  # fmt: skip
def test_a_malformed_header_is_ignored_and_a_new_trace_starts(header: str | None) -> None:
    assert parse(header) is None
    with span("x", parent=parse(header)) as made:
        assert made.context.trace_id != TRACE
        assert parse(made.context.traceparent()) == made.context


def test_spans_nest_and_end() -> None:
    assert current() is None
    assert traceparent() is None
    with span("outer", parent=parse(GOOD), kind="server") as outer:
        with span("inner", call="friends/of") as inner:
            assert current() == inner.context
            assert traceparent() == f"00-{TRACE}-{inner.context.span_id}-01"
        assert current() == outer.context
        assert len({SPAN, outer.context.span_id, inner.context.span_id}) == 3
        assert {outer.context.trace_id, inner.context.trace_id} == {TRACE}
    assert current() is None


async def test_tasks_keep_their_own_context() -> None:
    async def task() -> TraceContext:
        with span("task") as made:
            await asyncio.sleep(0)
            assert current() == made.context
            return made.context

    with span("all", parent=parse(f"00-{TRACE}-{SPAN}-01")) as above:
        found = await asyncio.gather(task(), task())
        assert current() == above.context
    assert {one.trace_id for one in found} == {above.context.trace_id}
    assert found[0].span_id != found[1].span_id


def test_an_error_rises_and_the_context_is_restored() -> None:
    with pytest.raises(KeyError), span("x"):
        raise KeyError("k")
    assert current() is None


def test_nothing_of_the_sdk_is_imported_without_an_endpoint() -> None:
    code = (
        "import sys; from tidings.platform import tracing, logs\n"
        "tracing.start('x')\nwith tracing.span('y'): pass\ntracing.stop()\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == 0


@pytest.mark.parametrize(
    ("environ", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_say_whether_to_export(environ: dict[str, str], on: bool) -> None:
    assert tracing.configured(environ) is on


class Collector(HTTPServer):
    bodies: list[tuple[str, bytes]]


class Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector(("127.0.0.1", 0), Receive) as server:
        server.bodies = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        tracing.stop()
        server.shutdown()
        thread.join()


def test_a_collector_receives_real_spans_with_our_ids(collector: Collector) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    assert tracing.start("users")
    with pytest.raises(LookupError), span("GET /v1/x", parent=parse(GOOD), kind="server", route="/v1/x") as outer:
        outer.note(status=500)
        with span("friends/of", kind="client") as inner:
            assert traceparent() == inner.context.traceparent()
        raise LookupError("a private word")
    with span("new") as root:
        assert root.context.sampled
    tracing.stop()

    ((path, body),) = collector.bodies
    assert path == "/v1/traces"
    assert b"a private word" not in body
    request = ExportTraceServiceRequest.FromString(body)
    (resource,) = request.resource_spans
    assert ("service.name", "users") in {(a.key, a.value.string_value) for a in resource.resource.attributes}
    got = {one.name: one for scope in resource.scope_spans for one in scope.spans}
    assert (got["GET /v1/x"].trace_id.hex(), got["GET /v1/x"].parent_span_id.hex()) == (TRACE, SPAN)
    assert got["GET /v1/x"].span_id.hex() == outer.context.span_id
    assert got["friends/of"].span_id.hex() == inner.context.span_id
    assert got["friends/of"].parent_span_id.hex() == outer.context.span_id
    assert got["new"].trace_id.hex() == root.context.trace_id
    assert got["new"].parent_span_id == b""
    assert {a.key for a in got["GET /v1/x"].attributes} == {"route", "status", "error.type"}
    assert (got["GET /v1/x"].status.code, got["GET /v1/x"].kind) == (2, 2)


def test_a_trace_that_its_caller_does_not_record_is_not_exported(collector: Collector) -> None:
    tracing.start("users")
    with span("x", parent=TraceContext(TRACE, SPAN, sampled=False)) as made:
        assert made.context.trace_id == TRACE
        assert not made.context.sampled
    tracing.stop()
    assert collector.bodies == []


def test_after_stop_spans_still_have_ids(collector: Collector) -> None:
    tracing.start("users")
    tracing.stop()
    tracing.stop()
    with span("x") as made:
        assert parse(made.context.traceparent()) == made.context
    assert collector.bodies == []
