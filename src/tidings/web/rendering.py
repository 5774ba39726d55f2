"""Templates made HTML, in the reader's language."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from babel.dates import format_datetime, format_timedelta
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tidings.contracts.messages import Shown
from tidings.platform.clock import Instant
from tidings.web.assets import ASSETS
from tidings.web.language import LANGUAGES, catalogue, name_of
from tidings.web.pictures import blurred
from tidings.web.prose import prose

TEMPLATES: Final = Path(__file__).parent / "templates"
STEPS: Final = (
    (60, 1),
    (3600, 60),
    (86_400, 3600),
    (604_800, 86_400),
    (2_629_800, 604_800),
    (31_557_600, 2_629_800),
)


def render(template: str, language: str, /, **values: Any) -> bytes:
    """A template as UTF-8."""
    return _environment(language).get_template(template).render(values).encode()


@cache
def _environment(language: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    made.filters.update(
        prose=prose,
        blurred=blurred,
        mark=mark,
        ago=lambda at: ago(at, language),
        moment=lambda at: moment(at, language),
        number=lambda value: format_decimal(value, locale=language.replace("-", "_")),
    )
    made.globals.update(
        language=language,
        languages={code: name_of(code) for code in LANGUAGES},
        asset=lambda name: ASSETS[name].path,
        icon=_icon,
        scripts_words=lambda: scripts_words(language),
    )
    return made


def mark(shown: Shown) -> str:
    """What of a message changes while it is read; the scripts compare it (30-live.js)."""
    given = (f"{one.emoji}{one.count}{'+' if one.mine else ''}" for one in shown.reactions)
    return " ".join([str(shown.message.version), str(shown.replies), *given])


def scripts_words(language: str) -> dict[str, str]:
    """What the scripts say."""
    told = catalogue(language).gettext
    return {
        "new": told("%s new"),
        "unread": told("new"),
        "away": told("The server cannot be reached at the moment. This page goes on by itself."),
        "messages": told("Messages cannot be reached at the moment."),
        "picture": told("This picture cannot be loaded at the moment."),
        "sending": told("Sending …"),
        "failed": told("It was not sent. What you wrote is kept."),
        "retry": told("Try again"),
        "alt": told("What does it show?"),
        "remove": told("Remove"),
        "large": told("This file is too large."),
        "nowhere": told("Where you are cannot be found."),
        "people": told("People"),
    }


def moment(at: Instant, language: str) -> str:
    """Day and time, in UTC: where the reader is, only their browser knows."""
    return format_datetime(datetime.fromisoformat(at), "long", tzinfo=UTC, locale=language.replace("-", "_"))


def ago(at: Instant, language: str) -> str:
    """How long since, in a few letters of the language."""
    seconds = max(0.0, time.time() - datetime.fromisoformat(at).timestamp())
    for below, step in STEPS:
        if seconds < below:
            return _span(int(seconds // step) * step, language)
    return _span(int(seconds // 31_557_600) * 31_557_600, language)


@lru_cache(maxsize=1024)
def _span(seconds: int, language: str) -> str:
    locale = language.replace("-", "_")
    # From 1: what is younger than a second is a second old.
    return format_timedelta(max(1, seconds), threshold=1.0, format="narrow", locale=locale)


def _icon(name: str) -> Markup:
    """A sign beside words, which say the same."""
    return Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>').format(
        ASSETS["icons.svg"].path, name
    )
