"""Every sentence of the pages has its words in every language, as the sources are now."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from tidings.web.language import FOLDER, LANGUAGES, SOURCE

ROOT = Path(__file__).parents[2]
TRANSLATED = [language for language in LANGUAGES if language != SOURCE]
# What is filled in, and the marks around it.
KEPT = re.compile(r"%\(\w+\)[sd]|%[sd]|</?\w+[^>]*>")

each_language = pytest.mark.parametrize("language", TRANSLATED)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """All that there is to translate, read from the sources afresh."""
    template = tmp_path_factory.mktemp("catalogues") / "pages.pot"
    command = ["sh", "tools/translations.sh", sys.executable, str(template)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return _read(template)


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=None if path.suffix == ".pot" else path.stem)


def _sentences(catalogue: Catalog) -> dict[str, Message]:
    return {_forms(one.id)[0]: one for one in catalogue if one.id}


def _forms(text: object) -> list[str]:
    return [str(form) for form in text] if isinstance(text, tuple | list) else [str(text or "")]


def test_what_is_to_be_translated_is_found(wanted: Catalog) -> None:
    """A sentence of a template, one of a page's code, one with two forms, and a refusal's title and detail."""
    found = _sentences(wanted)
    assert {"Sign in", "Try again", "%(num)s reply", "Not found", "There is no such message."} <= found.keys()
    assert found["%(num)s reply"].id == ("%(num)s reply", "%(num)s replies")


@each_language
def test_every_sentence_is_translated(wanted: Catalog, language: str) -> None:
    have = _sentences(_read(FOLDER / f"{language}.po"))
    missing = [
        sentence
        for sentence, one in _sentences(wanted).items()
        if sentence not in have
        or len(_forms(one.id)) > len(_forms(have[sentence].id))
        or not _whole(have[sentence])
    ]
    names = "\n".join(missing)
    assert not names, (
        f"{language}.po has no words for these; run `make translations`, and write them there:\n{names}"
    )


@each_language
def test_no_sentence_is_kept_that_no_page_says(wanted: Catalog, language: str) -> None:
    catalogue = _read(FOLDER / f"{language}.po")
    gone = _sentences(catalogue).keys() - _sentences(wanted).keys()
    assert sorted(gone) == [], "run `make translations`"
    assert list(catalogue.obsolete) == [], "run `make translations`"


@each_language
def test_what_is_filled_in_is_the_same(language: str) -> None:
    for one in _sentences(_read(FOLDER / f"{language}.po")).values():
        allowed = [Counter(KEPT.findall(form)) for form in _forms(one.id)]
        for form in _forms(one.string):
            assert Counter(KEPT.findall(form)) in allowed, f"{form!r} does not fill in what {one.id!r} does"


@each_language
def test_nothing_is_a_guess(language: str) -> None:
    catalogue = _read(FOLDER / f"{language}.po")
    assert not catalogue.fuzzy
    assert [one.id for one in catalogue if one.id and one.fuzzy] == []


def _whole(one: Message) -> bool:
    return all(form.strip() for form in _forms(one.string))
