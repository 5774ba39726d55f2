"""What no request passes without: the right host, no other site's page, an address that is believed."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tidings.edge.refusing import refused
from tidings.platform.contract import Refusal
from tidings.platform.http.problems import CrossSite, WrongHost
from tidings.platform.settings import Settings

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
SAFE_HEADERS = (  # of every answer that does not bring its own
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
)


def safely(headers: list[tuple[bytes, bytes]]) -> None:
    """Add what every answer says unless it says otherwise itself."""
    brought = {name for name, _ in headers}
    headers += [one for one in SAFE_HEADERS if one[0] not in brought]


def bound_hosts(host: str) -> set[str]:
    """The name under which a listener bound to one address is reached; none for one bound to all."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return set()
    return {f"[{host}]" if ":" in host else host.lower()}


class Guard:
    """ASGI middleware around the whole public listener."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._hosts = {host.lower() for host in settings.allowed_hosts} | bound_hosts(settings.host)
        self._origins = {origin.lower() for origin in settings.cors_origins}
        if settings.public_url:
            url = urlsplit(settings.public_url)
            self._hosts.add((url.hostname or "").lower())
            self._origins.add(f"{url.scheme}://{url.netloc}".lower())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                safely(message["headers"])
            await send(message)

        headers = Headers(scope=scope)
        try:
            self._check_host(headers)
            if scope["method"] not in SAFE:
                self._check_site(headers, scope)
        except Refusal as refusal:
            await refused(scope, refusal)(scope, receive, send_safely)
            return
        await self.app(scope, receive, send_safely)

    def _check_host(self, headers: Headers) -> None:
        """DNS rebinding: a page of another name that resolves to us sends its own name."""
        hosts = headers.getlist("host")
        host = hosts[0].strip().lower() if len(hosts) == 1 else ""
        name = host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name not in self._hosts:
            raise WrongHost("This server is not known by that name; its operator lists names in allowed_hosts.")

    def _check_site(self, headers: Headers, scope: Scope) -> None:
        """Browsers say where a request comes from (Fetch Metadata, Origin); other clients say nothing."""
        origin = headers.get("origin")
        allowed = origin is not None and (
            origin.lower() in self._origins
            or origin.lower() == f"{scope['scheme']}://{headers.get('host', '')}".lower()
        )
        if origin is not None and not allowed:
            raise CrossSite("Pages of other sites may not change anything here.")
        site = headers.get("sec-fetch-site")
        if site is not None and site not in ("same-origin", "none") and not allowed:
            raise CrossSite("Pages of other sites may not change anything here.")


def client_address(scope: Scope, trusted_proxies: tuple[str, ...]) -> str:
    """Who asks. X-Forwarded-For counts only as far as configured proxies wrote it: the last address not theirs."""
    peer = scope["client"][0] if scope.get("client") else ""
    if not trusted_proxies:
        return peer
    networks = _networks(trusted_proxies)

    def trusted(address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in networks)

    if not trusted(peer):
        return peer
    lines = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))  # some proxies add a line of their own
    forwarded = [part.strip() for part in lines.split(",") if part.strip()]
    for address in reversed(forwarded):
        if _parsed(address) is None:
            return peer
        if not trusted(address):
            return address
        peer = address
    return peer


@cache
def _networks(trusted_proxies: tuple[str, ...]) -> list[IPv4Network | IPv6Network]:
    return [ip_network(network) for network in trusted_proxies]


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
