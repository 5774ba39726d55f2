"""Languages of the pages: gettext catalogues, read from their sources when they are first wanted."""

from __future__ import annotations

import gettext
import io
from functools import cache
from pathlib import Path
from typing import Final

from babel import Locale, UnknownLocaleError, negotiate_locale

FOLDER: Final = Path(__file__).parent / "translations"
SOURCE: Final = "en"
LANGUAGES: Final = (SOURCE, *sorted(file.stem for file in FOLDER.glob("*.po")))


def chosen(preferred: str, accepted: str) -> str:
    """The language of a page: one's own choice, else the best of what the browser accepts (RFC 9110, 12.5.4)."""
    wanted = [preferred, *_by_weight(accepted)] if preferred else _by_weight(accepted)
    found = (negotiate_locale(wanted, LANGUAGES, sep="-") or SOURCE).lower()
    # It is given back as it was asked for, and tags may come in any case.
    return next(one for one in LANGUAGES if one.lower() == found)


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """The words of a language; those of the source are themselves."""
    if language == SOURCE:
        return gettext.NullTranslations()
    # Not before a page is wanted in it: every process starts with this module.
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    with (FOLDER / f"{language}.po").open("rb") as file:
        read = read_po(file, locale=language)
    written = io.BytesIO()
    write_mo(written, read)
    written.seek(0)
    return gettext.GNUTranslations(written)


def name_of(language: str) -> str:
    """Its own name for itself."""
    try:
        return Locale.parse(language, sep="-").get_display_name(language) or language
    except UnknownLocaleError:
        return language


def _by_weight(accepted: str) -> list[str]:
    """The tags of an Accept-Language, the most wanted first; what is not wanted at all is left out."""
    weighed: list[tuple[float, str]] = []
    for part in accepted.split(",")[:20]:
        tag, _, rest = part.strip().partition(";")
        weight = rest.strip().removeprefix("q=") or "1"
        try:
            value = float(weight)
        except ValueError:
            continue
        if tag and 0 < value <= 1:
            weighed.append((-value, tag.strip()))
    return [tag for _, tag in sorted(weighed, key=lambda one: one[0])]
