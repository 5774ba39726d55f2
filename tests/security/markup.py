"""What may stand in a page of ours, whatever people wrote: judged on the page as a browser would read it."""

from __future__ import annotations

import re
from typing import Final

from tests.api.conventions import PAGES
from tests.security.visitor import Document, Element
from tidings.web import rendering
from tidings.web.assets import ASSETS

UUID: Final = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LOCAL: Final = re.compile(r"/(?![/\\])[^\\\s]*|#[\w-]+")
OUTWARD: Final = re.compile(r"https?://[a-z0-9.\[\]:_-]+([/?#][!-~]*)?")
PICTURE: Final = re.compile(r"/v1/(media|avatars)/[\w/?=.-]+|data:image/(png|gif);base64,[A-Za-z0-9+/=]+")
NEVER: Final = frozenset(
    {
        *("applet", "audio", "base", "embed", "frame", "frameset", "iframe", "marquee", "math", "object"),
        *("param", "portal", "source", "style", "template", "track", "video"),
    }
)
# Attributes that make something happen, besides the handlers of events: those that our own templates use.
LIVELY: Final = frozenset(
    name
    for template in rendering.TEMPLATES.glob("*.html")
    for name in re.findall(r"[\s\"}]((?:hx|data)-[a-z-]+)", template.read_text())
)
LIVE_VALUES: Final = {
    "hx-post": re.compile(rf"/messages/{UUID}/react|/people/{UUID}/stand"),
    "hx-get": re.compile(r"/gone\?gid=[0-9a-f]{32}"),
    "hx-target": re.compile(rf"#(m-{UUID}|people|stand|hidden)"),
    "hx-select": re.compile(rf"#(m-{UUID}|people|stand|hidden|gone)"),
    "hx-swap": re.compile(r"outerHTML"),
    "hx-trigger": re.compile(r"every 2s"),
}
ACTIONS: Final = tuple(re.compile(re.sub(r"\{\w+\}", r"[^/]+", route.path)) for route in PAGES)


def strays(document: Document) -> list[str]:
    """What must not be there; nothing, in a good page."""
    found = [] if document.doctype.lower() == "doctype html" else [f"doctype {document.doctype}"]
    for element in document.elements:
        found += [f"<{element.name}> {why}" for why in _strange(element)]
    scripts = [one.get("src") for one in document.all("script")]
    if scripts and scripts != [ASSETS["htmx.js"].path, ASSETS["tidings.js"].path]:
        found.append(f"scripts {scripts}")
    return found


def _strange(element: Element) -> list[str]:
    found = []
    if element.name in NEVER:
        found.append("is never ours")
    if element.name in ("script", "style") and element.text.strip():
        found.append(f"holds {element.text!r}")
    for name, value in element.attributes:
        given = value or ""
        if name.startswith("on") or name in ("style", "srcdoc", "formaction", "ping", "background", "xlink:href"):
            found.append(f"has {name}={given!r}")
        elif name.startswith(("hx-", "data-")):
            wanted = LIVE_VALUES.get(name)
            if name not in LIVELY or (wanted is not None and not wanted.fullmatch(given)):
                found.append(f"has {name}={given!r}")
        elif name == "href" and not _leads(element, given):
            found.append(f"leads to {given!r}")
        elif name == "src" and not (given in {one.path for one in ASSETS.values()} or PICTURE.fullmatch(given)):
            found.append(f"comes from {given!r}")
        elif name == "action" and not any(one.fullmatch(given) for one in ACTIONS):
            found.append(f"goes to {given!r}")
        elif name == "http-equiv" and element.attributes != (("http-equiv", "refresh"), ("content", "2")):
            found.append(f"is {element.attributes}")
    return found


def _leads(element: Element, address: str) -> bool:
    if element.name == "a" and OUTWARD.fullmatch(address):
        return {"noopener", "noreferrer", "nofollow"} <= set(element.get("rel").split())
    return LOCAL.fullmatch(address) is not None
