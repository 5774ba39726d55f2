"""Refusals in the reader's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tidings.platform.contract import Refusal
from tidings.web.language import SOURCE, catalogue


@dataclass(frozen=True, slots=True)
class Words:
    """What is said at the top of a page, and beside each field that is wrong."""

    title: str
    detail: str
    fields: Mapping[str, str]


def words_for(refusal: Refusal, language: str, hints: Mapping[str, str] | None = None) -> Words:
    """`hints` say of a field what is expected, better than a decoder does.

    A sentence that a service made up on the spot stands in no catalogue; elsewhere the title has to do.
    """
    told = catalogue(language).gettext
    detail = told(refusal.detail)
    if language != SOURCE and detail == refusal.detail:
        detail = ""
    fields = {}
    for error in refusal.errors:
        name = error.pointer.removeprefix("?").removeprefix("/").removeprefix("body/").partition("/")[0]
        fields[name] = (hints or {}).get(name) or told(error.detail)
    title = told(refusal.title)
    return Words(title, "" if detail.rstrip(".") == title else detail, fields)
