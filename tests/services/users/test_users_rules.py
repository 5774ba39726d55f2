"""The pure parts of users: names, passwords, codes, pictures."""

from __future__ import annotations

import struct
import zlib
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.services.users.avatar import SIZE, picture
from tidings.services.users.codes import Codes, digest, new_link, new_token
from tidings.services.users.passwords import is_weak
from tidings.services.users.rules import folded, search_entries, tidy_name


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    once = folded(text)
    assert folded(once) == once
    assert "  " not in once and once == once.strip()


@given(st.text(max_size=80), st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789_", min_size=2, max_size=30))
def test_every_word_of_a_name_finds_it(name: str, handle: str) -> None:
    entries = search_entries(handle, name)
    for word in (*folded(name).split(), *folded(handle).split()):
        assert any(entry.startswith(word) for entry in entries)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Ána-María", "ana maria"), ("STRASSE straße", "strasse strasse"), ("o'Brien_%", "o brien"), ("İnci", "inci")],
)
def test_folds(text: str, expected: str) -> None:
    assert folded(text) == expected


@pytest.mark.parametrize(
    ("name", "tidy"),
    [("  A\n\tB ", "A B"), ("e\u0301", "\u00e9"), ("\u200b\u200e", ""), ("🌷", "🌷"), ("\u0007x", "x")],
)
def test_tidies_names(name: str, tidy: str) -> None:
    assert tidy_name(name) == tidy


@pytest.mark.parametrize(
    "password",
    [
        *(
            "password",
            "P@ssw0rd1!",
            "dragon2024!",
            "drowssap1",
            "iloveyou",
            "Password123",
        ),  # listed, and dressed up
        *("87654321", "abcdefgh", "qwertyui", "lkjhgfds"),  # runs
        *("aaaaaaaa", "abababab", "abcabcabc", "12341234"),  # repetitions
        *("alicelee", "Alice Lee", "alicelee99", "eelecila"),  # one's own handle and name
    ],
)
def test_weak_passwords(password: str) -> None:
    assert is_weak(password, "alicelee", "Alice Lee")


@pytest.mark.parametrize(
    "password",
    ["tulip forge ninety-three", "correcthorse-lamp", "пароль-мой-кот", "9f3kd02ms", "aaaa bbbb cccc dddd"],
)
def test_no_rules_of_composition(password: str) -> None:
    assert not is_weak(password, "alicelee", "Alice Lee")


def test_codes_are_random_or_made_again() -> None:
    assert new_token().startswith("tds_") and new_link().startswith("tdl_")
    assert len({new_token() for _ in range(100)}) == 100
    assert len(digest(new_token())) == 32
    invite = uuid4()
    assert Codes(b"one").invite(invite) == Codes(b"one").invite(invite)
    assert Codes(b"one").invite(invite) != Codes(b"two").invite(invite)
    assert Codes(b"one").handle("alice") != Codes(b"two").handle("alice")
    assert "one" not in repr(Codes(b"one"))


def test_a_picture_is_a_small_symmetric_png() -> None:
    made = picture(UUID(int=7))
    assert made == picture(UUID(int=7)) and made != picture(UUID(int=8))
    assert len(made) < 400
    assert made.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(made):
        (length,) = struct.unpack(">I", made[at : at + 4])
        kind, body = made[at + 4 : at + 8], made[at + 8 : at + 8 + length]
        assert struct.unpack(">I", made[at + 8 + length : at + 12 + length]) == (zlib.crc32(kind + body),)
        chunks[kind], at = body, at + 12 + length
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (SIZE, SIZE) == (96, 96)
    pixels = zlib.decompress(chunks[b"IDAT"])
    lines = [f"{int.from_bytes(pixels[row * 13 + 1 : row * 13 + 13], 'big'):096b}" for row in range(SIZE)]
    assert all(line == line[::-1] for line in lines)
    assert any("1" in line for line in lines)
