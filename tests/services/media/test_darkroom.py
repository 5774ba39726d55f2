"""What comes out of the darkroom: the picture, upright and in its colours, and nothing else; or a refusal, soon."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop
from PIL import Image, ImageCms, ImageSequence
from structlog.testing import capture_logs

from tests.services.media import hostile
from tests.services.media.hostile import CANARY, chunk, hostile_files, many_scans, raw_gif, raw_png, srgb
from tidings.contracts.media import NotAPicture, PictureTooLarge
from tidings.services.media import darkroom, developing
from tidings.services.media.developing import Darkroom, DarkroomFailed, Developed, Limits

MIB = 1024 * 1024
CORNERS = {(0, 0): (255, 0, 0), (1, 0): (0, 255, 0), (0, 1): (0, 0, 255), (1, 1): (255, 255, 0)}
BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)


class Plate(io.BytesIO):
    """A file that is read after it was closed."""

    written = b""

    def close(self) -> None:
        self.written = self.written or self.getvalue()
        super().close()


def made(content: bytes) -> tuple[dict[str, Any], dict[str, Image.Image]]:
    """The same as the child does, without one: for files that we know."""
    plates = {variant: Plate() for variant in darkroom.VARIANTS}
    answer = darkroom.print_all(darkroom.negative(content), plates)
    return answer, {variant: Image.open(io.BytesIO(plate.written)) for variant, plate in plates.items()}


def refusal(content: bytes) -> darkroom.Refused:
    with pytest.raises(darkroom.Refused) as caught:
        darkroom.negative(content)
    return caught.value


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **how)
    return content.getvalue()


def cornered(width: int = 80, height: int = 60) -> Image.Image:
    """Red, green, blue and yellow, so that one sees which side is up."""
    image = Image.new("RGB", (width, height))
    for (right, bottom), colour in CORNERS.items():
        image.paste(
            colour, (right * width // 2, bottom * height // 2, (1 + right) * width // 2, (1 + bottom) * height // 2)
        )
    return image


def seen(image: Image.Image) -> list[tuple[int, ...]]:
    """The four corners."""
    rgb = image.convert("RGB")
    return [_pixel(rgb, x, y) for y in (0.1, 0.9) for x in (0.1, 0.9)]


def _pixel(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    found = image.getpixel((int(x * image.width), int(y * image.height)))
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 12) -> bool:
    return len(found) == len(wanted) and all(
        abs(one - other) <= by for one, other in zip(found, wanted, strict=True)
    )


def riff(content: bytes) -> set[bytes]:
    """The kinds of the chunks of a WebP file. Nothing is behind them."""
    assert content[:4] == b"RIFF"
    assert content[8:12] == b"WEBP"
    kinds, at = set(), 12
    while at < len(content):
        kinds.add(content[at : at + 4])
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
        at += at % 2
    assert at == len(content) == 8 + int.from_bytes(content[4:8], "little")
    return kinds


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_clean(folder: Path) -> None:
    """Four pictures that say nothing of where they are from."""
    assert names(folder) == sorted(f"{variant}.webp" for variant in darkroom.VARIANTS)
    for path in folder.iterdir():
        content = path.read_bytes()
        assert CANARY not in content
        assert riff(content) <= {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"}
        with Image.open(path) as image:
            image.load()
            assert not dict(image.getexif())
            assert "xmp" not in image.info


def profile(space: bytes, tags: dict[bytes, bytes], *, version: int = 0x02400000, kind: bytes = b"mntr") -> bytes:
    """An ICC profile (ICC.1:2001-04)."""
    xyz = space != b"CMYK"
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s", at + len(body), b"none", version, kind, space, b"XYZ " if xyz else b"Lab ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def fixed(*numbers: float) -> bytes:
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def colour(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + fixed(x, y, z)


LINEAR = b"curv\0\0\0\0" + struct.pack(">IH", 1, 0x0100)
# Half of the light: 188 of 255 in sRGB.
GREY_PROFILE = profile(b"GRAY", {b"wtpt": colour(0.9642, 1, 0.8249), b"kTRC": LINEAR})
RGB_TAGS = {
    b"wtpt": colour(0.9642, 1, 0.8249),
    b"rXYZ": colour(0.4361, 0.2225, 0.0139),
    b"gXYZ": colour(0.3851, 0.7169, 0.0971),
    b"bXYZ": colour(0.1431, 0.0606, 0.7141),
    b"rTRC": LINEAR,
    b"gTRC": LINEAR,
    b"bTRC": LINEAR,
}


def ink_profile() -> bytes:
    """In which cyan prints as a green, so that one sees whether the profile was asked."""
    line = bytes(range(256))
    grid = bytearray()
    for number in range(16):
        cyan, key = number & 8, number & 1
        grid += b"\0\x80\x80" if key else b"\x80\x40\xc0" if cyan else b"\xff\x80\x80"
    table = (
        b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1) + line * 4 + bytes(grid) + line * 3
    )
    return profile(b"CMYK", {b"wtpt": colour(0.9642, 1, 0.8249), b"A2B0": table}, kind=b"prtr")


# Which side is up.


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_applied_and_forgotten(orientation: int) -> None:
    stored = cornered()
    undo = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    if orientation > 1:
        stored = stored.transpose(undo.get(orientation, darkroom.TURNS.get(orientation)))
    exif = Image.Exif()
    exif[0x0112] = orientation

    for kind in ("JPEG", "PNG", "WEBP"):
        answer, images = made(saved(stored, kind, exif=exif))
        assert (answer["width"], answer["height"]) == (80, 60)
        for variant, image in images.items():
            assert all(near(one, other, 40) for one, other in zip(seen(image), CORNERS.values(), strict=True)), (
                variant
            )
            assert not dict(image.getexif())


def test_orientation_is_applied_to_what_is_too_thin_for_an_avatar() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = cornered(3000, 450).transpose(Image.Transpose.ROTATE_90)
    answer, images = made(saved(stored, "JPEG", exif=exif))
    assert (answer["width"], answer["height"]) == (2048, 307)
    assert near(_pixel(images["avatar-400"].convert("RGB"), 0.1, 0.1), RED, 40)
    assert near(_pixel(images["avatar-400"].convert("RGB"), 0.9, 0.9), (255, 255, 0), 40)


@pytest.mark.filterwarnings("ignore")  # as the child does
@pytest.mark.parametrize("odd", [b"", b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0\xff\xff" + bytes(40), b"\xff" * 200])
def test_exif_that_cannot_be_read_is_no_reason_to_refuse(odd: bytes) -> None:
    for content in (
        hostile.with_segments(saved(cornered(), "JPEG"), (0xE1, b"Exif\0\0" + odd)),
        saved(cornered(), "PNG", exif=odd),
        saved(cornered(), "WEBP", exif=odd),
    ):
        answer, images = made(content)
        assert (answer["width"], answer["height"]) == (80, 60)
        assert near(seen(images["full"])[0], RED, 40)


# Sizes.


@pytest.mark.parametrize(
    ("size", "full", "preview"),
    [
        ((5000, 2500), (2048, 1024), (640, 320)),
        ((700, 1400), (700, 1400), (320, 640)),
        ((300, 200), (300, 200), (300, 200)),
        ((1, 4000), (1, 2048), (1, 640)),
        ((1, 1), (1, 1), (1, 1)),
    ],
)
def test_pictures_become_smaller_and_never_larger_but_avatars_have_their_size(
    size: tuple[int, int], full: tuple[int, int], preview: tuple[int, int]
) -> None:
    answer, images = made(saved(Image.new("RGB", size, RED), "JPEG", quality=95))
    assert images["full"].size == (answer["width"], answer["height"]) == full
    assert images["preview"].size == preview
    assert images["avatar-96"].size == (96, 96)
    assert images["avatar-400"].size == (400, 400)
    for image in images.values():
        assert near(_pixel(image.convert("RGB"), 0.5, 0.5), RED)


def test_an_avatar_is_the_middle() -> None:
    image = Image.new("RGB", (900, 300), BLACK)
    image.paste(RED, (300, 0, 600, 300))
    _, images = made(saved(image, "PNG"))
    assert all(near(corner, RED) for corner in seen(images["avatar-96"]))


def test_a_drawing_keeps_every_pixel_and_a_photograph_takes_less() -> None:
    drawing = cornered(500, 400)
    _, images = made(saved(drawing, "PNG"))
    assert images["full"].tobytes() == drawing.tobytes()
    noise = Image.effect_noise((700, 700), 80)
    answer, _ = made(saved(Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]), "PNG"))
    assert answer["bytes"]["full"] < 700 * 700


def test_a_result_of_too_many_bytes_is_made_smaller_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved(Image.merge("RGB", [Image.effect_noise((300, 300), seed) for seed in (80, 90, 99)]), "PNG")
    usual = made(content)[0]["bytes"]["full"]
    monkeypatch.setattr(darkroom, "MOST_BYTES", usual - 1)
    assert made(content)[0]["bytes"]["full"] < usual
    monkeypatch.setattr(darkroom, "MOST_BYTES", 1000)
    with pytest.raises(darkroom.Refused) as caught:
        made(content)
    assert caught.value.code == "picture_too_large"


# Colours.


def test_the_colour_profile_is_kept_without_what_hides_behind_it() -> None:
    for kind in ("JPEG", "PNG", "WEBP"):
        _, images = made(saved(cornered(), kind, icc_profile=srgb() + b"CANARY-PROFILE"))
        assert all(image.info["icc_profile"] == srgb() for image in images.values())


def test_a_profile_that_is_large_or_grey_or_of_inks_is_applied() -> None:
    large = profile(b"RGB ", RGB_TAGS | {b"prvt": b"data" + bytes(70_000)})
    grey = Image.new("RGB", (50, 50), (128, 128, 128))
    ink = Image.new("CMYK", (50, 50), (255, 0, 0, 0))
    pale = Image.new("LA", (50, 50), (128, 100))
    for content, wanted in (
        (saved(grey, "PNG", icc_profile=large), (188, 188, 188)),
        (saved(grey.convert("L"), "PNG", icc_profile=GREY_PROFILE), (188, 188, 188)),
        (saved(pale, "PNG", icc_profile=GREY_PROFILE), (188, 188, 188, 100)),
        (saved(grey.convert("L"), "JPEG", icc_profile=GREY_PROFILE, quality=95), (188, 188, 188)),
        (saved(grey, "PNG"), (128, 128, 128)),
        (saved(ink, "JPEG", quality=95), (0, 255, 255)),
        (saved(Image.new("CMYK", (50, 50)), "JPEG", icc_profile=ink_profile()), WHITE),
        (saved(Image.new("CMYK", (50, 50), (0, 0, 0, 255)), "JPEG", icc_profile=ink_profile()), BLACK),
    ):
        _, images = made(content)
        for image in images.values():
            assert near(_pixel(image, 0.5, 0.5), wanted, 6), (_pixel(image, 0.5, 0.5), wanted)
            assert "icc_profile" not in image.info
    green = _pixel(made(saved(ink, "JPEG", icc_profile=ink_profile(), quality=95))[1]["full"], 0.5, 0.5)
    assert green[1] > green[0] + 60
    assert green[1] > green[2] + 60


def test_a_small_profile_of_another_rgb_is_kept_as_it_is() -> None:
    wide = profile(b"RGB ", RGB_TAGS | {b"prvt": b"text\0\0\0\0ANMF\0"})
    answer, images = made(saved(Image.new("RGB", (50, 50), (128, 128, 128)), "PNG", icc_profile=wide))
    assert not answer["animated"]  # whatever it says
    kept = ImageCms.ImageCmsProfile(io.BytesIO(images["full"].info["icc_profile"])).profile
    assert kept.red_colorant == ImageCms.ImageCmsProfile(io.BytesIO(wide)).profile.red_colorant
    assert near(_pixel(images["full"], 0.5, 0.5), (128, 128, 128), 2)


@pytest.mark.parametrize(
    "odd", [b"x", b"x" * 500, srgb()[:200], b"\0" * 16 + b"RGB " + bytes(300), GREY_PROFILE, ink_profile()]
)
def test_a_profile_that_does_not_fit_is_none(odd: bytes) -> None:
    _, images = made(saved(cornered(), "PNG", icc_profile=odd))
    assert "icc_profile" not in images["full"].info
    assert images["full"].tobytes() == cornered().tobytes()


def grey_png(bits: int, colours: int, row: bytes, *chunks: bytes, width: int = 4) -> bytes:
    data = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return raw_png(width, 1, bits=bits, colour=colours, chunks=b"".join(chunks) + data)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        pytest.param(grey_png(1, 0, b"\x50"), [BLACK, WHITE, BLACK, WHITE], id="1 bit"),
        pytest.param(
            grey_png(1, 0, b"\x50", chunk(b"tRNS", b"\0\0")),
            [(0, 0, 0, 0), (*WHITE, 255), (0, 0, 0, 0), (*WHITE, 255)],
            id="1 bit, one clear",
        ),
        pytest.param(
            grey_png(8, 0, bytes([0, 50, 200, 255])), [BLACK, (50,) * 3, (200,) * 3, WHITE], id="8 bits of grey"
        ),
        pytest.param(
            grey_png(16, 0, struct.pack(">4H", 0, 20_000, 40_000, 65_535)),
            [BLACK, (78,) * 3, (156,) * 3, WHITE],
            id="16 bits of grey",
        ),
        pytest.param(
            grey_png(
                16, 0, struct.pack(">4H", 0, 20_000, 40_000, 65_535), chunk(b"tRNS", struct.pack(">H", 40_000))
            ),
            [(*BLACK, 255), (78, 78, 78, 255), (0, 0, 0, 0), (*WHITE, 255)],
            id="16 bits of grey, one clear",
        ),
        pytest.param(
            grey_png(16, 4, struct.pack(">8H", 0, 65_535, 20_000, 65_535, 40_000, 30_000, 65_535, 0)),
            [(*BLACK, 255), (78, 78, 78, 255), (156, 156, 156, 117), (0, 0, 0, 0)],
            id="16 bits of grey and alpha",
        ),
        pytest.param(
            grey_png(16, 2, struct.pack(">6H", 65_535, 0, 0, 40_000, 20_000, 0), width=2),
            [RED, (156, 78, 0)],
            id="16 bits of RGB",
        ),
        pytest.param(
            grey_png(
                *(16, 2, struct.pack(">6H", 65_535, 0, 0, 40_000, 20_000, 0)),
                chunk(b"tRNS", struct.pack(">3H", 40_000, 20_000, 0)),
                width=2,
            ),
            [(*RED, 255), (0, 0, 0, 0)],
            id="16 bits of RGB, one clear",
        ),
        pytest.param(
            grey_png(8, 3, bytes([0, 1, 2, 1]), chunk(b"PLTE", bytes([255, 0, 0, 0, 9, 0, 0, 0, 7]))),
            [RED, (0, 9, 0), (0, 0, 7), (0, 9, 0)],
            id="a palette",
        ),
        pytest.param(
            grey_png(
                *(8, 3, bytes([0, 1, 2, 1])),
                chunk(b"PLTE", bytes([255, 0, 0, 0, 9, 0, 0, 0, 7])) + chunk(b"tRNS", bytes([255, 100, 0])),
            ),
            [(*RED, 255), (0, 9, 0, 100), (0, 0, 0, 0), (0, 9, 0, 100)],
            id="a palette that shines through",
        ),
    ],
)
def test_every_mode_becomes_rgb_or_rgba(content: bytes, wanted: list[tuple[int, ...]]) -> None:
    full = made(content)[1]["full"]
    found = [full.getpixel((x, 0)) for x in range(full.width)]
    # What cannot be seen at all has no colour.
    assert [pixel if isinstance(pixel, tuple) and pixel[3:] != (0,) else (0, 0, 0, 0) for pixel in found] == wanted


def test_what_is_transparent_stays_so_and_what_is_not_takes_no_room() -> None:
    clear = cornered(900, 900).convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 450, 450))
    for kind in ("PNG", "WEBP"):
        _, images = made(saved(clear, kind))
        for image in images.values():
            assert _pixel(image, 0.2, 0.2)[3] == 0
            assert _pixel(image, 0.8, 0.8)[3] == 255
    assert made(saved(cornered().convert("RGBA"), "PNG"))[1]["full"].mode == "RGB"


def test_the_blurhash_is_of_the_picture_and_clear_parts_are_grey() -> None:
    plain, _ = made(saved(Image.new("RGB", (300, 200), (128, 128, 128)), "PNG"))
    clear, _ = made(saved(Image.new("RGBA", (300, 200), (255, 0, 0, 0)), "PNG"))
    other, _ = made(saved(cornered(), "PNG"))
    assert plain["blurhash"] == clear["blurhash"] != other["blurhash"]
    assert len(other["blurhash"]) == 28


# What moves.


def moving(width: int = 60, height: int = 40, frames: int = 4) -> list[Image.Image]:
    images = []
    for number in range(frames):
        image = Image.new("RGB", (width, height), WHITE)
        image.paste(RED, (number * 10, 0, number * 10 + 10, height))
        images.append(image)
    return images


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_goes_on(kind: str) -> None:
    first, *others = moving()
    how = {"save_all": True, "append_images": others, "duration": [40, 200, 10, 300], "loop": 0}
    answer, images = made(saved(first, kind, **how))
    assert answer["animated"]
    for variant in ("full", "preview"):
        frames = [(frame.info["duration"], frame.convert("RGB")) for frame in _loaded(images[variant])]
        assert [duration for duration, _ in frames] == [40, 200, 100, 300]
        assert images[variant].info["loop"] == 0
        for number, (_, frame) in enumerate(frames):
            assert near(_pixel(frame, (number * 10 + 5) / 60, 0.5), RED, 60)
    for variant in ("avatar-96", "avatar-400"):
        assert getattr(images[variant], "n_frames", 1) == 1


def _loaded(image: Image.Image) -> Iterator[Image.Image]:
    for frame in ImageSequence.Iterator(image):
        frame.load()
        yield frame


@pytest.mark.parametrize(("again", "times"), [(None, 1), (0, 0), (2, 3)])
def test_a_gif_says_how_often_it_plays_again(again: int | None, times: int) -> None:
    first, *others = moving()
    more = {} if again is None else {"loop": again}
    _, images = made(saved(first, "GIF", save_all=True, append_images=others, duration=50, **more))
    assert images["full"].info["loop"] == times


def test_a_moving_png_stands_still() -> None:
    first, *others = moving()
    answer, images = made(saved(first, "PNG", save_all=True, append_images=others, duration=50))
    assert not answer["animated"]
    assert getattr(images["full"], "n_frames", 1) == 1
    assert images["full"].convert("RGB").tobytes() == first.tobytes()


def test_an_animation_of_too_many_bytes_becomes_smaller_or_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.effect_noise((400, 300), 90)
    first, *others = (noise.rotate(90 * turn) for turn in range(4))
    content = saved(first, "GIF", save_all=True, append_images=others, duration=50)
    usual = made(content)[0]["bytes"]["full"]

    monkeypatch.setattr(darkroom, "MOST_BYTES", usual * 2 // 3)
    answer, images = made(content)
    assert answer["animated"]
    assert answer["bytes"]["full"] <= usual * 2 // 3
    assert answer["width"] == images["full"].width < 400
    monkeypatch.setattr(darkroom, "projected", lambda *_: bytes(usual))
    answer, images = made(content)
    assert not answer["animated"]
    assert images["full"].size == (400, 300)


def test_many_frames_are_smaller_but_the_first_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darkroom, "FULL_FILM", 4 * 30 * 20)
    first, *others = moving()
    _, images = made(saved(first, "GIF", save_all=True, append_images=others, duration=50))
    assert images["full"].size == (30, 20)
    assert darkroom.negative(saved(first, "GIF", save_all=True, append_images=others)).still.size == (60, 40)


# What is refused.


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (hostile.raw_png(50_000, 50_000, bits=8, colour=6, chunks=chunk(b"IDAT", b"x")), "50,000 by 50,000 pixels"),
        (hostile.raw_png(20_000, 20_000, bits=1, colour=0, chunks=chunk(b"IDAT", b"x")), "400 megapixels"),
        (raw_gif(1, 1, 10_000), "more than 300 frames"),
        (raw_gif(5000, 5000, 20), "20 frames of 5,000 by 5,000 pixels, 500 megapixels"),
        (raw_gif(60_000, 60_000, 1), "20,000 on a side"),
    ],
    ids=["sides", "pixels", "frames", "film", "gif"],
)
def test_too_much_is_refused_by_its_header_with_the_numbers(content: bytes, why: str) -> None:
    started = time.perf_counter()
    refused = refusal(content)
    assert refused.code == "picture_too_large"
    assert why in str(refused)
    assert time.perf_counter() - started < 0.5


def test_bombs_of_every_kind_are_refused(chance: hostile.Random) -> None:
    for kind in (
        hostile.bomb_header,
        hostile.bomb_valid,
        hostile.bomb_frames,
        hostile.bomb_canvas,
        hostile.bomb_jpeg,
    ):
        for _ in range(4):
            assert refusal(kind(chance).content).code == "picture_too_large"


@pytest.fixture
def chance() -> hostile.Random:
    return hostile.Random(26)


@pytest.mark.parametrize(("content_type", "make"), hostile.GOOD, ids=[kind for kind, _ in hostile.GOOD])
def test_what_is_cut_short_is_refused(content_type: str, make: Any, chance: hostile.Random) -> None:
    content = make(chance, least=60)
    for part in (0.02, 0.3, 0.6, 0.95):
        assert refusal(content[: int(len(content) * part)]).code == "not_a_picture", (content_type, part)


def test_an_animation_that_is_cut_short_is_refused() -> None:
    first, *others = moving()
    for kind in ("GIF", "WEBP"):
        content = saved(first, kind, save_all=True, append_images=others, duration=50)
        for part in (0.5, 0.9):
            assert refusal(content[: int(len(content) * part)]).code == "not_a_picture", (kind, part)


def test_a_gif_without_its_last_byte_is_taken() -> None:
    answer, _ = made(saved(cornered(), "GIF")[:-1])
    assert (answer["width"], answer["height"]) == (80, 60)


def test_row_25_only_four_formats_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by the decoders of the others, whatever the name and the type say."""
    files = hostile.foreign_files()  # written with all of Pillow
    assert {"TIFF", "PSD", "AVIF", "HEIC", "PS", "TGA"} <= {kind for kind, _ in files}
    for kind in set(Image.OPEN) - {"JPEG", "PNG", "GIF", "WEBP"}:
        monkeypatch.setitem(Image.OPEN, kind, (_never, None))
    for kind, content in files:
        refused = refusal(content)
        assert (kind, refused.code) == (kind, "not_a_picture")
        assert "no JPEG, PNG, GIF or WebP" in str(refused)


def _never(*_: object) -> Any:
    raise AssertionError("a decoder that nobody needs")


# The child.


async def test_row_27_what_a_file_tells_is_in_no_result(tmp_path: Path, chance: hostile.Random) -> None:
    kinds = (
        *(hostile.good_jpeg, hostile.good_png, hostile.good_gif, hostile.good_webp),
        *(hostile.multi_picture, hostile.with_tail, hostile.odd_exif),
    )
    for number, kind in enumerate(kinds):
        one = kind(chance)
        assert CANARY in one.content or kind is hostile.odd_exif
        folder = tmp_path / str(number)
        developed = await develop(one.content, folder)
        assert_clean(folder)
        assert developed.bytes == {path.stem: path.stat().st_size for path in folder.iterdir()}


async def develop(content: bytes, folder: Path, limits: Limits = developing.NORMAL) -> Developed:
    """In a folder of its own; the upload lies beside it."""
    folder.mkdir()
    source = folder.with_suffix(".upload")
    source.write_bytes(content)
    return await Darkroom(limits=limits).develop(source, folder)


def asked(content: bytes, tmp_path: Path) -> dict[str, Any]:
    """What the child says, and what it took."""
    (tmp_path / "upload").write_bytes(content)
    done = subprocess.run(
        developing._command(tmp_path / "upload", tmp_path, developing.NORMAL),
        capture_output=True,
        check=True,
        env={},
    )
    assert not done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("kind", [hostile.bomb_header, hostile.bomb_valid, hostile.bomb_canvas, hostile.bomb_text])
def test_row_26_a_bomb_takes_no_memory(kind: hostile.Maker, chance: hostile.Random, tmp_path: Path) -> None:
    answer = asked(kind(chance).content, tmp_path)
    assert answer["refused"]
    assert answer["peak"] < 50 * MIB


async def test_a_photograph_takes_little_memory(tmp_path: Path) -> None:
    """Of 48 megapixels: 190 MB, were it decoded as it is."""
    content = saved(cornered(8000, 6000), "JPEG", quality=60)
    developed = await develop(content, tmp_path / "photo")
    assert (developed.width, developed.height) == (2048, 1536)
    assert 20 * MIB < developed.peak < 130 * MIB


async def test_memory_work_and_time_end(tmp_path: Path) -> None:
    large = raw_png(4000, 4000, bits=8, colour=6, chunks=chunk(b"IDAT", hostile.nothing(4000 * 16_001)))
    slow = many_scans()
    for number, (content, limits) in enumerate(
        [
            (large, Limits(memory=80 * MIB)),
            (slow, Limits(cpu=1)),
            (slow, Limits(seconds=0.7)),
        ]
    ):
        started = time.monotonic()
        folder = tmp_path / str(number)
        with capture_logs() as entries, pytest.raises(PictureTooLarge, match="memory"):
            await develop(content, folder, limits)
        assert ours(entries) == []
        assert time.monotonic() - started < 6
        assert_nothing_left(folder)


def assert_nothing_left(folder: Path) -> None:
    assert names(folder) == []
    running = [child for child in psutil.Process().children(recursive=True) if _is_ours(child)]
    assert running == []


def _is_ours(child: psutil.Process) -> bool:
    try:
        return child.status() == psutil.STATUS_ZOMBIE or developing.PROGRAM in child.cmdline()
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("wait", [0, 0.002, 0.1, 0.5])
async def test_cancelling_leaves_neither_a_process_nor_a_file(wait: float, tmp_path: Path) -> None:
    room = Darkroom(at_once=2)
    (tmp_path / "upload").write_bytes(many_scans())
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    tasks = [asyncio.ensure_future(room.develop(tmp_path / "upload", folder)) for folder in folders]
    await asyncio.sleep(wait)
    for task in tasks:
        task.cancel()
    done, waiting = await asyncio.wait(tasks, timeout=10)
    assert not waiting
    assert all(task.cancelled() for task in done)
    for folder in folders:
        assert_nothing_left(folder)


def test_it_runs_on_uvloop(tmp_path: Path) -> None:
    """As the server does."""

    async def go() -> None:
        developed = await develop(saved(cornered(), "JPEG"), tmp_path / "good")
        assert (developed.width, developed.height) == (80, 60)
        with pytest.raises(PictureTooLarge):
            await develop(many_scans(), tmp_path / "slow", Limits(seconds=0.5))
        assert_nothing_left(tmp_path / "slow")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(go())


def ran(script: str, folder: Path) -> list[str]:
    """The lines that the child's Python prints for a script."""
    command = developing._command(folder, folder, developing.NORMAL)
    python = command[: command.index("-m")]
    more: dict[str, Any] = {"extra_groups": [1, 2]} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [*python, "-c", script], capture_output=True, text=True, check=False, timeout=20, cwd=folder, **more
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


SHUT_IN = """
import json, os, resource, signal, socket
from tidings.services.media import darkroom
darkroom.cap(1 << 30, 20, 1 << 26, 35)
status = open("/proc/self/status") if os.path.exists("/proc/self/status") else []
darkroom.shut_in()
print(json.dumps({line.partition(":")[0]: line.split()[1:] for line in status}))
for what in (lambda: open("made", "w"), lambda: open("/etc/passwd"), socket.socket, os.fork):
    try:
        what()
        print("it did")
    except OSError as error:
        print(error.errno)
print([resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in "AS CPU FSIZE CORE NOFILE".split()])
print(signal.alarm(0) > 0)
"""


def test_the_child_is_shut_in(tmp_path: Path) -> None:
    """It has no more files, no other program, no network, and is nobody."""
    status, *tries, limits, alarm = ran(SHUT_IN, tmp_path)
    assert tries == [str(errno.EMFILE)] * 3 + [str(errno.EAGAIN)]
    assert alarm == "True"
    if sys.platform == "linux":
        found = json.loads(status)
        assert found["NoNewPrivs"] == ["1"]
        assert limits == str([(1 << 30, 1 << 30), (20, 21), (1 << 26, 1 << 26), (0, 0), (0, 0)])
        if os.geteuid() == 0:
            assert found["Uid"] == found["Gid"] == [str(darkroom.UID)] * 4
            assert found["Groups"] == []


def test_the_child_imports_nothing_of_ours(tmp_path: Path) -> None:
    script = (
        "import sys, tidings.services.media.darkroom\nfor name in sys.modules:\n  if 'tidings' in name: print(name)"
    )
    assert ran(script, tmp_path) == [
        *("tidings", "tidings.services", "tidings.services.media", "tidings.services.media.darkroom")
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends by its alarm")
def test_the_child_does_not_outlive_us(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(many_scans())
    script = """
import asyncio, pathlib, sys
from tidings.services.media.developing import Darkroom
asyncio.run(Darkroom().develop(*map(pathlib.Path, sys.argv[1:])))
"""
    with subprocess.Popen([sys.executable, "-c", script, tmp_path / "upload", tmp_path]) as us:
        while len(names(tmp_path)) < 5:
            time.sleep(0.02)
        time.sleep(0.2)  # it opens them, and shuts itself in
        [child] = psutil.Process(us.pid).children()
        us.kill()
    _, running = psutil.wait_procs([child], timeout=10)
    assert running == []


# A child that is not what it should be.


@pytest.fixture
def instead(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run these lines of Python as the child."""

    def run(script: str) -> None:
        lines = f"import os, signal, sys, time\nfolder = sys.argv[2]\n{script}"
        monkeypatch.setattr(
            developing,
            "_command",
            lambda source, folder, _: [sys.executable, "-c", lines, str(source), str(folder)],
        )

    return run


OK = """
import json
names = ["full", "preview", "avatar-96", "avatar-400"]
for name in names:
    open(f"{folder}/{name}.webp", "wb").write(b"12345")
def say(**more):
    good = {"width": 1, "height": 1, "animated": False, "blurhash": "x" * 28, "bytes": dict.fromkeys(names, 5)}
    print(json.dumps({"ok": good | more, "peak": 7}))
"""


def ours(entries: list[Any]) -> list[Any]:
    """What the darkroom has logged: other things may run in this process."""
    return [entry for entry in entries if entry["event"] in ("decoder_broke", "darkroom_complains")]


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
async def test_a_decoder_that_breaks_is_no_picture_and_is_logged(
    number: signal.Signals, instead: Any, tmp_path: Path
) -> None:
    instead(OK + f"os.kill(os.getpid(), {int(number)})")
    with capture_logs() as entries, pytest.raises(NotAPicture):
        await develop(b"", tmp_path / "one")
    assert [entry["event"] for entry in ours(entries)] == ["decoder_broke"]
    assert_nothing_left(tmp_path / "one")


async def test_a_child_that_is_killed_had_too_much(instead: Any, tmp_path: Path) -> None:
    instead(OK + "os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(PictureTooLarge):
        await develop(b"", tmp_path / "one")
    assert_nothing_left(tmp_path / "one")


@pytest.mark.parametrize(
    "script",
    [
        "raise RuntimeError('CANARY-BUG')",
        "sys.exit(3)",
        "print('{')",
        "print('{}')",
        "print('x' * 60_000)",
        "print('{\"ok\": {}}')",
        OK + "say(width=0)",
        OK + "say(blurhash='<script>')",
        OK + "say(bytes={name: 6 for name in names})",
        OK + "say(bytes={name: 10**9 for name in names})",
        OK + "os.unlink(f'{folder}/full.webp'); say()",
        OK + "os.unlink(f'{folder}/full.webp'); os.symlink('/proc', f'{folder}/full.webp'); say()",
        OK + "os.unlink(f'{folder}/full.webp'); os.link(f'{folder}/preview.webp', f'{folder}/full.webp'); say()",
    ],
)
async def test_an_answer_that_cannot_be_believed_is_a_fault_of_ours(
    script: str, instead: Any, tmp_path: Path
) -> None:
    instead(script)
    with capture_logs() as entries, pytest.raises(DarkroomFailed):
        await develop(b"", tmp_path / "one")
    assert ("CANARY-BUG" in script) == any("CANARY-BUG" in str(entry.get("complaint")) for entry in entries)
    assert_nothing_left(tmp_path / "one")


async def test_what_it_says_is_read_within_bounds(instead: Any, tmp_path: Path) -> None:
    instead(OK + "sys.stderr.write('y' * 60_000); say()")
    with capture_logs() as entries:
        assert (await develop(b"", tmp_path / "one")).peak == 7
    instead(OK + "sys.stderr.write('y' * 20_000_000); say()")
    with capture_logs() as more, pytest.raises(PictureTooLarge):
        await develop(b"", tmp_path / "two", Limits(seconds=1))
    assert [len(entry["complaint"]) for entry in ours(entries + more)] == [4096, 4096]
    assert_nothing_left(tmp_path / "two")


FORKS = """
if os.fork():
    os.wait()
open(f"{folder}.pid", "w").write(str(os.getpid()))
time.sleep(60)
"""


async def test_whatever_it_starts_ends_with_it(instead: Any, tmp_path: Path) -> None:
    instead(FORKS)
    started = time.monotonic()
    with pytest.raises(PictureTooLarge):
        await develop(b"", tmp_path / "one", Limits(seconds=1.5))
    grandchild = int((tmp_path / "one.pid").read_text())
    while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() - started < 20
        await asyncio.sleep(0.02)
    assert time.monotonic() - started < 20


TELLS_WHEN = """
open(f"{folder}.began", "w").write(str(time.time()))
time.sleep(0.2)
open(f"{folder}.ended", "w").write(str(time.time()))
say()
"""


async def test_only_so_many_work_at_once(instead: Any, tmp_path: Path) -> None:
    instead(OK + TELLS_WHEN)
    room = Darkroom(at_once=2)
    folders = [tmp_path / str(number) for number in range(5)]
    for folder in folders:
        folder.mkdir()
    async with asyncio.TaskGroup() as all_of_them:
        for folder in folders:
            all_of_them.create_task(room.develop(tmp_path, folder))
    spans = [[float(folder.with_suffix(end).read_text()) for end in (".began", ".ended")] for folder in folders]
    assert max(sum(began <= at < ended for began, ended in spans) for at, _ in spans) <= 2


async def test_40_hostile_files_are_refused_or_cleaned(tmp_path: Path) -> None:
    room = Darkroom(at_once=2)
    wrong: list[str] = []

    async def one(number: int, file: hostile.Hostile) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        source = tmp_path / f"{number}.upload"
        source.write_bytes(file.content)
        try:
            await room.develop(source, folder)
        except (NotAPicture, PictureTooLarge) as refusal:
            came = "refused"
            assert str(refusal).startswith("This ")
            assert names(folder) == []
        else:
            came = "cleaned"
            assert_clean(folder)
        if file.expect not in {came, "either"}:
            wrong.append(f"{number} {file.note}: {came}")

    with capture_logs() as entries:
        async with asyncio.TaskGroup() as all_of_them:
            for number, file in enumerate(hostile_files(40, seed=4)):
                all_of_them.create_task(one(number, file))
    assert wrong == []
    assert ours(entries) == []
