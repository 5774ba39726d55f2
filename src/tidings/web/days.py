"""Days, as the reader's language writes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from babel.dates import format_date

from tidings.platform.clock import Instant


def days_in(language: str) -> Callable[[Instant], str]:
    """Writes the day of a moment, in UTC."""
    locale = language.replace("-", "_")
    return lambda at: format_date(datetime.fromisoformat(at).date(), "medium", locale=locale)
