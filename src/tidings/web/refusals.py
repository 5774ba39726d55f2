"""The page of a refusal that comes before, or instead of, the page that was asked for."""

from __future__ import annotations

from tidings.platform.contract import Refusal
from tidings.web.language import chosen
from tidings.web.rendering import render
from tidings.web.words import words_for


def refusal_page(refusal: Refusal, *, languages: str, trace_id: str) -> bytes:
    """HTML. It says what happened and where to go on, and does not ask any service."""
    language = chosen("", languages)
    return render(
        "refused.html",
        language,
        problem=words_for(refusal, language),
        status=refusal.status,
        trace_id=trace_id if refusal.status >= 500 else "",
    )
