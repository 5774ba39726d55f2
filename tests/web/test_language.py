"""The language of a page: one's own choice first, then what the browser likes best of those that there are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.web import language
from tidings.web.language import LANGUAGES, SOURCE, catalogue, chosen, name_of


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negotiation does not hang on which catalogues there are today."""
    monkeypatch.setattr(language, "LANGUAGES", ("en", "de", "pt-BR"))


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE", "de"),
        ("EN", "en"),
        ("De-at", "de"),
        ("PT-br", "pt-BR"),
        ("de-AT", "de"),
        ("de-AT, en;q=0.8", "de"),
        ("en;q=0.8, de-AT", "de"),
        ("en;q=0.5,de;q=0.9", "de"),
        ("en;q=0.9 , de;q=0.5", "en"),
        ("en;Q=0.2,de;q=0.3", "de"),
        ("fr, de;q=0.1", "de"),
        ("fr, zu", "en"),
        ("de;q=0, en", "en"),
        ("de;q=0", "en"),
        ("*", "en"),
        ("pt-BR", "pt-BR"),
        ("pt", "en"),
        # What is no Accept-Language says nothing.
        (";;;,,,", "en"),
        ("de;q=much", "en"),
        ("de;q=nan, en", "en"),
        ("de;q=inf, en", "en"),
        ("de;q=-1", "en"),
        ("de;q=1e9, en", "en"),
        ("../../etc/passwd", "en"),
        ("\0\n\r, <script>", "en"),
        ("de_DE_and_more_" * 12, "en"),
        ("x" * 10_000, "en"),
        (",".join(["fr"] * 500 + ["de"]), "en"),
    ],
)
def test_the_browsers_wish(accepted: str, wanted: str) -> None:
    assert chosen("", accepted) == wanted


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("preferred", "accepted", "wanted"),
    [
        ("de", "en", "de"),
        ("DE", "en", "de"),
        ("de", "", "de"),
        ("en", "de", "en"),
        ("pt-BR", "de, en;q=0.5", "pt-BR"),
        ("fr", "de", "de"),  # it was offered once, and is no more
        ("", "de", "de"),
        ("<script>", "de", "de"),
        ("..", "zu", "en"),
    ],
)
def test_ones_own_choice_goes_first(preferred: str, accepted: str, wanted: str) -> None:
    assert chosen(preferred, accepted) == wanted


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=30), st.sampled_from(["de", "en", "EN", "De", "en-US", "pt-BR"])),
    st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(["de", "EN", "de-AT", "EN-gb", ";q=0.5", ";q=", "*", ",", "-", "_"]),
        )
    ),
)
def test_whatever_a_browser_sends_the_language_is_one_of_ours(preferred: str, parts: list[str]) -> None:
    assert chosen(preferred, "".join(parts)) in LANGUAGES
    assert chosen(preferred, ",".join(parts)) in LANGUAGES


def test_every_language_has_its_words_and_a_name() -> None:
    assert LANGUAGES[0] == SOURCE
    assert len(set(LANGUAGES)) == len(LANGUAGES)
    for one in LANGUAGES:
        assert catalogue(one).gettext("never written anywhere") == "never written anywhere"
        assert name_of(one)
        assert name_of(one) != one
