"""A picture's blur within the page: the pixels that its blurhash stands for, or nothing."""

from __future__ import annotations

import io
from base64 import b64decode
from typing import Any

import blurhash
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from tidings.web.pictures import ALPHABET, HIGH, NOTHING, WIDE, blurred

COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


def pixels(address: str) -> list[list[tuple[int, ...]]]:
    """Rows of RGB, as another reads the address."""
    kind, _, encoded = address.partition(";base64,")
    assert kind == "data:image/png"
    with Image.open(io.BytesIO(b64decode(encoded, validate=True))) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (WIDE, HIGH), "RGB")
        found: list[Any] = list(image.get_flattened_data())
    return [found[row * WIDE : (row + 1) * WIDE] for row in range(HIGH)]


# The library takes its time: what fails is told as it is, and not made smaller first.
@settings(max_examples=60, deadline=None, phases=[Phase.generate])
@given(
    st.lists(st.lists(COLOURS, min_size=5, max_size=5), min_size=4, max_size=4),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_a_blur_has_the_pixels_that_the_library_decodes(rows: list[Any], across: int, down: int) -> None:
    made = blurhash.encode(rows, components_x=across, components_y=down)
    theirs = blurhash.decode(made, WIDE, HIGH)
    for mine, other in zip(pixels(blurred(made)), theirs, strict=True):
        for (*ours,), (*expected,) in zip(mine, other, strict=True):
            assert all(abs(a - b) <= 2 for a, b in zip(ours, expected, strict=True)), (made, ours, expected)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (200, 30, 90)])
def test_a_plain_picture_has_a_plain_blur(colour: tuple[int, int, int]) -> None:
    made = blurhash.encode([[list(colour)] * 8] * 8, components_x=1, components_y=1)
    for row in pixels(blurred(made)):
        for pixel in row:
            assert all(abs(a - b) <= 2 for a, b in zip(pixel, colour, strict=True))


GOOD = "LEHV6nWB2yk8pyo0adR*.7kCMdnj"


@pytest.mark.parametrize(
    "broken",
    ["", "0", "00", GOOD[:-1], GOOD + "0", GOOD.replace("H", '"'), GOOD[:6], "é" * 28, "\0" * 28, "<script>", " "],
)
def test_a_broken_hash_gives_the_empty_picture(broken: str) -> None:
    assert blurred(broken) == NOTHING


def test_the_empty_picture_shows_nothing() -> None:
    with Image.open(io.BytesIO(b64decode(NOTHING.partition(";base64,")[2], validate=True))) as image:
        assert image.size == (1, 1)
        assert image.convert("RGBA").getpixel((0, 0))[3] == 0


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text(ALPHABET, max_size=40)))
def test_whatever_is_kept_as_a_hash_the_address_is_plain(kept: str) -> None:
    """Another service made it; if it were anything else, it would still be a picture and no markup."""
    address = blurred(kept)
    assert address.startswith(("data:image/png;base64,", "data:image/gif;base64,"))
    assert b64decode(address.partition(";base64,")[2], validate=True)[:3] in (b"\x89PN", b"GIF")
