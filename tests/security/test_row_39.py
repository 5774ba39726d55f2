"""Row 39: a secret is searched for wherever something is written down, after everything was done with it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import aiohttp.web
import pytest

from tests.harness.people import PASSWORD, Answer
from tests.harness.system import Whole, whole
from tests.security.canaries import secrets_in
from tests.security.visitor import Visitor
from tidings.contracts import users
from tidings.platform.contract import Nothing

NEW_PASSWORD = "canary wings over water"
WRONG = "canary that is not it"


class Collector:
    """Takes traces as an OTLP collector would."""

    def __init__(self) -> None:
        self.received = b""
        self.url = ""

    async def take(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        self.received += await request.read()
        return aiohttp.web.Response(content_type="application/x-protobuf")


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = aiohttp.web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


async def _everything(system: Whole) -> tuple[list[str], list[Answer]]:
    """Whatever is done with secrets, rightly and wrongly: the secrets, and the refusals that it gave."""
    client, operator = system.client, system.operator
    state = await operator.call(users.set_up_state, Nothing())
    assert state.link is not None
    link = state.link.secret
    first = {"link": link, "handle": "root_one", "name": "Root", "password": PASSWORD}
    (await client.ask("POST", "/v1/setup", json=first)).ok()
    alice = await system.joins("Alice")
    bob = await system.joins("Bob")
    await alice.befriends(bob)
    await alice.posts("hello")
    await bob.timeline()
    invite = (await alice.post("/v1/invites", headers={"idempotency-key": "one"})).ok()["code"]
    reset = (await operator.call(users.reset_link, users.ByHandle(handle=bob.handle))).secret
    signing = (await operator.call(users.sign_in_link, users.ByHandle(handle=bob.handle))).secret
    known = [alice.token, bob.token, link, invite, reset, signing, NEW_PASSWORD, WRONG, PASSWORD]
    known.append((await client.ask("POST", "/v1/sessions", json={"link": signing})).ok()["token"])
    (await client.ask("POST", "/v1/password-resets", json={"link": reset, "password": NEW_PASSWORD})).ok()
    changed = await alice.put("/v1/users/me/password", {"current": PASSWORD, "new": NEW_PASSWORD})
    known.append(changed.ok()["token"])

    refused = [
        await client.ask("POST", "/v1/setup", json=first),
        await client.ask("POST", "/v1/sessions", json={"handle": alice.handle, "password": WRONG}),
        await client.ask("POST", "/v1/sessions", json={"handle": WRONG, "password": PASSWORD}),
        await client.ask("POST", "/v1/sessions", json={"handle": alice.handle, "password": [PASSWORD]}),
        await client.ask("POST", "/v1/sessions", json={"link": signing}),
        await client.ask("POST", "/v1/sessions", json={"link": signing * 5}),
        await client.ask("POST", "/v1/sessions", data=f'{{"password": "{WRONG}"'.encode(), headers=JSON),
        await client.ask("POST", "/v1/users", json={"handle": "zoe", "name": "Zoe", "password": PASSWORD * 20}),
        await client.ask("POST", "/v1/users", json={"handle": PASSWORD, "name": "Zoe", "password": WRONG}),
        await client.ask("POST", "/v1/password-resets", json={"link": reset, "password": NEW_PASSWORD}),
        await alice.get("/v1/users/me"),  # its token is dead
        await client.ask("GET", "/v1/timeline", headers={"authorization": f"Basic {alice.token}"}),
        await client.ask("GET", f"/v1/timeline?limit={bob.token}", token=known[-1]),
        await client.ask("GET", f"/v1/timeline?cursor={bob.token}", token=known[-1]),
        await client.ask("GET", f"/v1/messages/{bob.token}", token=known[-1]),
        await client.ask(
            "POST", "/v1/messages", token=known[-1], json={"text": []}, headers={"idempotency-key": reset}
        ),
        await client.ask("GET", f"/nowhere/{alice.token}"),
    ]
    for path, secret, status in (("/setup", link, 410), ("/reset", reset, 200), ("/signin", signing, 200)):
        assert (await client.ask("GET", f"{path}?link={secret}")).status == status
        form = {"content-type": "application/x-www-form-urlencoded", "origin": client.base}
        body = f"link={secret}&handle=x&name=x&password={WRONG.replace(' ', '+')}".encode()
        page = await client.ask("POST", path, data=body, headers=form)
        assert page.status >= 400
        assert WRONG.encode() not in page.raw
    known += await _in_a_browser(system)
    async with system.points.drops("users/whois", viewer=""):
        refused.append(await client.ask("GET", "/v1/timeline", token=known[-1]))
    return known, refused


JSON = {"content-type": "application/json"}


async def _in_a_browser(system: Whole) -> list[str]:
    """The same by pages, in forms and cookies: the secrets."""
    carol = await system.joins("Carol")
    visitor = Visitor(system.client)
    signed = await visitor.sends("/signin", handle=carol.handle, password=PASSWORD)
    assert signed.status == 303
    known = [visitor.session or ""]
    await visitor.sends("/settings/invites", key="a-key-of-a-form")
    (invite,) = (await carol.get("/v1/invites")).ok()["invites"]
    assert invite["code"] in (await visitor.opens("/settings")).text
    joining = {"handle": "dora_in_39", "name": "Dora", "password": NEW_PASSWORD}
    joined = Visitor(system.client)
    assert (await joined.sends("/join", invite=invite["code"], **joining)).status == 303
    changed = await visitor.sends("/settings/password", current=PASSWORD, new=NEW_PASSWORD)
    assert changed.status == 303
    known += [visitor.session or "", joined.session or ""]
    refused = [
        await visitor.sends("/settings/password", current=WRONG, new=NEW_PASSWORD),
        await visitor.sends("/settings/password", current=NEW_PASSWORD, new="passwords"),
        await Visitor(system.client, {**visitor.cookies, visitor.named: known[0]}).opens("/settings"),  # dead
        await Visitor(system.client).sends("/join", **joining),  # the handle is taken
        await Visitor(system.client).sends("/signin", handle=carol.handle, password=WRONG),
    ]
    for page in refused:
        assert secrets_in(page.raw, *known, NEW_PASSWORD, WRONG) == []
    return [*known, invite["code"]]  # which its maker is shown


async def test_row_39_no_secret_is_written_down(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    mark = secrets.token_hex(8)
    async with whole("apart", log_level="debug", cache_bytes=0) as system:  # each token is asked for anew
        known, refused = await _everything(system)
        assert all(answer.status >= 400 for answer in refused)
        assert all(len(secret) > 8 for secret in known)
        for answer in refused:
            assert secrets_in(answer.raw, *known) == [], answer.raw
        await system.client.ask("GET", f"/{mark}")
        assert system.system.metrics_url is not None
        async with system.client.session.get(system.system.metrics_url) as response:
            metrics = await response.read()
        assert b"/v1/sessions" in metrics
        assert secrets_in(metrics, *known) == []
        data = system.settings.data
        logs = {path: path.read_bytes() for path in (data / "logs").iterdir()}
        assert any(b"password_reset" in text for text in logs.values())
        # Not only the logs: no file at all holds one in plain text, the databases' own files and journals included.
        for path in data.rglob("*"):
            if path.is_file():
                assert secrets_in(path.read_bytes(), *known) == [], path
    assert b"users/sign_in" in collector.received
    assert secrets_in(collector.received, *known) == []
