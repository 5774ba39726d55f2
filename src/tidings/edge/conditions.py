"""Entity tags and preconditions (RFC 9110, section 13).

A tag is `"version.digest"`: the digest changes with the representation, the version with what If-Match protects.
"""

from __future__ import annotations

import re

from xxhash import xxh3_128_hexdigest

from tidings.platform.http.problems import BadRequest
from tidings.platform.request import Versions

_LIST = re.compile(r'\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*(?:,\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*)*')
_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')


def entity_tag(body: bytes, version: int | None) -> str:
    """The strong tag of a representation.

    No secret hangs on it: an author who found two bodies with one tag, knowing all of a reader's page, would have
    that reader keep the old one. If-Match goes by versions.
    """
    digest = xxh3_128_hexdigest(body)[:18]  # a twentieth of the time of what has to withstand attackers
    return f'"{digest}"' if version is None else f'"{version}.{digest}"'


def not_modified(tag: str, if_none_match: str | None) -> bool:
    """Whether the client has this representation already (weak comparison)."""
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return tag.strip('"') in {opaque for _, opaque in _TAG.findall(if_none_match)}


def versions(if_match: str | None) -> Versions | None:
    """The versions that If-Match names; weak tags never match. `BadRequest` if it is not a list of tags."""
    if if_match is None:
        return None
    if if_match.strip() == "*":
        return "*"
    if _LIST.fullmatch(if_match) is None:
        raise BadRequest('If-Match has to be * or a list of entity tags such as "3.0a1b".')
    found: list[int] = []
    for weak, opaque in _TAG.findall(if_match):
        number = opaque.partition(".")[0]
        if not weak and number.isascii() and number.isdigit() and len(number) < 19:
            found.append(int(number))
    return found
