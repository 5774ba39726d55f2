"""Files that people upload and should not: broken, lying, hiding, far too large; and good ones that tell too much.

A seed makes the same files again. What tells too much is marked: `CANARY` is in no output, whichever file it was.
"""

from __future__ import annotations

import gzip
import io
import itertools
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal

from PIL import Image, ImageCms, PngImagePlugin

CANARY = b"CANARY-"
SCRIPT = b"<script>alert('CANARY-SCRIPT')</script>"
XMP = (
    b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>'
    b'<rdf:Description exif:GPSLatitude="38,43.2N" dc:creator="CANARY-XMP"/></rdf:RDF></x:xmpmeta>'
    b'<?xpacket end="w"?>'
)
PHOTO_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
NAMES = (
    "../../../../tmp/CANARY-NAME.png",
    "..\\..\\CANARY-NAME.png",
    "/etc/passwd",
    "C:\\Windows\\system32\\drivers\\etc\\hosts",
    "\\\\server\\share\\x.png",
    "file:///etc/passwd",
    "a\0.png",
    "a\r\nX-CANARY-NAME: 1\r\n\r\n.png",
    "a" * 5000 + ".png",
    "photo\u202egnp.exe",
    "con",
    "nul.png",
    ".htaccess",
    ".",
    "..",
    "",
    " ",
    '"><img src=x onerror=alert(1)>.png',
    "<script>alert('CANARY-NAME')</script>.png",
    "'; drop table media; --.png",
    "$(touch CANARY-NAME).png",
    "`id`.png",
    "|id;.png",
    "%2e%2e%2fx.png",
    "x.php%00.png",
    "x.png/",
    "-rf.png",
    "\ufeffx.png",
    "😀.png",
    "full.webp",
)

Expect = Literal["refused", "cleaned", "either"]


@dataclass(frozen=True)
class Hostile:
    name: str
    content_type: str
    content: bytes
    expect: Expect
    note: str


@dataclass(frozen=True)
class Made:
    content_type: str
    content: bytes
    expect: Expect
    note: str


Maker = Callable[[Random], Made]


def hostile_files(count: int, seed: int) -> Iterator[Hostile]:
    """A mix of all kinds, each of them at least once where `count` allows."""
    chance = Random(seed)
    kinds = [kind for kind, _ in KINDS]
    chance.shuffle(kinds)
    weights = [weight for _, weight in KINDS]
    more = iter(lambda: chance.choices([kind for kind, _ in KINDS], weights)[0], None)
    for number, kind in enumerate(itertools.islice(itertools.chain(kinds, more), count)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow on what it is asked to write
            made = kind(chance)
        plain = f"{number}.{made.content_type.partition('/')[2]}"
        name = chance.choice(NAMES) if chance.random() < 0.5 else plain
        wrong = chance.random() < 0.1
        yield Hostile(
            name=name,
            content_type=chance.choice((*PHOTO_TYPES, "text/html", "image/svg+xml"))
            if wrong
            else made.content_type,
            content=made.content,
            expect=made.expect,
            note=made.note,
        )


# Good pictures that tell too much.


def pixels(chance: Random, mode: str = "RGB", *, least: int = 1, most: int = 180) -> Image.Image:
    width, height = chance.randint(least, most), chance.randint(least, most)
    if mode == "1":
        return Image.frombytes("L", (width, height), chance.randbytes(width * height)).convert("1")
    depth = 2 if mode == "I;16" else len(Image.new(mode, (1, 1)).getbands())
    image = Image.frombytes(mode, (width, height), chance.randbytes(width * height * depth))
    if mode == "P":
        image.putpalette(chance.randbytes(768))
    return image


def exif(chance: Random) -> Image.Exif:
    """Where it was taken, by whom and with what, and which side is up."""
    made = Image.Exif()
    made[0x0112] = chance.randint(1, 8)
    made[0x010F] = "CANARY-MAKE"
    made[0x010E] = "CANARY-DESCRIPTION"
    made[0x8298] = "CANARY-COPYRIGHT"
    made.get_ifd(0x8769)[0x927C] = b"CANARY-MAKERNOTE" * chance.randint(1, 20)
    made.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0CANARY-USERCOMMENT"
    made.get_ifd(0x8825).update(
        {
            1: "N",
            2: (float(chance.randint(0, 89)), float(chance.randint(0, 59)), 12.5),
            3: "W",
            4: (float(chance.randint(0, 179)), float(chance.randint(0, 59)), 7.25),
            0x1B: b"ASCII\0\0\0CANARY-GPS",
            0x1C: b"ASCII\0\0\0CANARY-GPS",
        }
    )
    return made


@cache
def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpeg(chance: Random, *, least: int = 1) -> bytes:
    image = pixels(chance, chance.choice(("RGB", "RGB", "L", "CMYK")), least=least)
    made = io.BytesIO()
    image.save(
        made,
        "JPEG",
        quality=chance.randint(20, 95),
        progressive=chance.random() < 0.3,
        exif=exif(chance),
        xmp=XMP,
        comment=b"CANARY-COMMENT" + SCRIPT,
        icc_profile=srgb() if image.mode == "RGB" and chance.random() < 0.5 else None,
    )
    iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", 16) + b"\x1c\x02\x78\x00\x0bCANARY-IPTC"
    return with_segments(made.getvalue(), (0xED, iptc), (0xE9, b"CANARY-APP9"))


def png(chance: Random, *, least: int = 1) -> bytes:
    mode = chance.choice(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", b"CANARY-TEXT" + SCRIPT)
    text.add_text("Location", "CANARY-GPS 38.72 -9.14", zip=True)
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    text.add(b"prVt", b"CANARY-PRIVATE")
    made = io.BytesIO()
    transparent = (
        {"P": 3, "L": 7, "1": 1, "RGB": (1, 2, 3), "I;16": 700}.get(mode) if chance.random() < 0.3 else None
    )
    more = {} if transparent is None else {"transparency": transparent}
    pixels(chance, mode, least=least).save(
        made, "PNG", pnginfo=text, exif=exif(chance), icc_profile=srgb() if mode == "RGB" else None, **more
    )
    return made.getvalue()


def gif(chance: Random, *, least: int = 1, frames: int = 1) -> bytes:
    first = pixels(chance, "P", least=least)
    others = [
        Image.frombytes("P", first.size, chance.randbytes(first.width * first.height)) for _ in range(frames - 1)
    ]
    for other in others:
        other.putpalette(chance.randbytes(768))
    made = io.BytesIO()
    first.save(
        made,
        "GIF",
        save_all=frames > 1,
        append_images=others,
        duration=chance.choice((0, 10, 40, 500)),
        loop=chance.choice((0, 3)),
        comment=b"CANARY-COMMENT" + SCRIPT,
        disposal=chance.choice((0, 1, 2, 3)),
        transparency=chance.choice((0, 200)),
    )
    pieces = (XMP[at : at + 255] for at in range(0, len(XMP), 255))
    xmp = b"!\xff\x0bXMP DataXMP" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"
    return made.getvalue()[:-1] + xmp + b";"


def webp(chance: Random, *, least: int = 1, frames: int = 1) -> bytes:
    mode = chance.choice(("RGB", "RGBA"))
    first = pixels(chance, mode, least=least, most=160)
    size = first.width * first.height * len(mode)
    others = [Image.frombytes(mode, first.size, chance.randbytes(size)) for _ in range(frames - 1)]
    made = io.BytesIO()
    first.save(
        made,
        "WEBP",
        save_all=frames > 1,
        append_images=others,
        duration=chance.choice((0, 10, 40, 500)),
        lossless=chance.random() < 0.3,
        method=0,
        exif=exif(chance),
        xmp=XMP,
        icc_profile=srgb() if chance.random() < 0.5 else None,
    )
    return made.getvalue()


def good_jpeg(chance: Random) -> Made:
    return Made("image/jpeg", jpeg(chance), "cleaned", "JPEG with EXIF, GPS, XMP, IPTC and a comment")


def good_png(chance: Random) -> Made:
    return Made("image/png", png(chance), "cleaned", "PNG with text, XMP and EXIF")


def good_gif(chance: Random) -> Made:
    return Made("image/gif", gif(chance, frames=chance.choice((1, 1, 3))), "cleaned", "GIF with a comment and XMP")


def good_webp(chance: Random) -> Made:
    return Made("image/webp", webp(chance, frames=chance.choice((1, 1, 3))), "cleaned", "WebP with EXIF and XMP")


def multi_picture(chance: Random) -> Made:
    """As phones and stereo cameras write them."""
    first, second = pixels(chance, least=20), pixels(chance, least=20)
    made = io.BytesIO()
    first.save(made, "MPO", save_all=True, append_images=[second], exif=exif(chance))
    return Made("image/jpeg", made.getvalue(), "cleaned", "JPEG of several pictures")


def thin(chance: Random) -> Made:
    made = io.BytesIO()
    size = chance.choice(((1, 5000), (5000, 1), (9000, 2), (1, 1)))
    Image.new("L", size, chance.randrange(256)).save(made, "PNG")
    return Made("image/png", made.getvalue(), "cleaned", "a picture of one row, or one column")


# Broken.


GOOD: tuple[tuple[str, Callable[..., bytes]], ...] = (
    ("image/jpeg", jpeg),
    ("image/png", png),
    ("image/gif", gif),
    ("image/webp", webp),
)


def truncated(chance: Random) -> Made:
    content_type, make = chance.choice(GOOD)
    content = make(chance, least=60)
    cut = chance.randint(len(content) // 20, len(content) * 9 // 10)
    return Made(content_type, content[:cut], "refused", f"the first {cut} of {len(content)} bytes")


def flipped(chance: Random) -> Made:
    content_type, make = chance.choice(GOOD)
    content = bytearray(make(chance))
    for _ in range(chance.randint(1, 30)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return Made(content_type, bytes(content), "either", "some bits flipped")


def overwritten(chance: Random) -> Made:
    content_type, make = chance.choice(GOOD)
    content = bytearray(make(chance, least=20))
    at, length = chance.randrange(len(content)), chance.randint(1, 200)
    content[at : at + length] = chance.randbytes(length)
    return Made(content_type, bytes(content), "either", "a piece overwritten")


def odd_exif(chance: Random) -> Made:
    plain = io.BytesIO()
    pixels(chance).save(plain, "JPEG")
    odd = chance.choice((b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0", b"")) + chance.randbytes(chance.randint(0, 400))
    content = with_segments(plain.getvalue(), (0xE1, b"Exif\0\0" + odd))
    return Made("image/jpeg", content, "either", "EXIF that is none")


def odd_profile(chance: Random) -> Made:
    profile = bytearray(srgb())
    for _ in range(chance.randint(1, 60)):
        profile[chance.randrange(len(profile))] = chance.randrange(256)
    made = io.BytesIO()
    content_type = chance.choice(("JPEG", "PNG", "WEBP"))
    pixels(chance).save(made, content_type, icc_profile=bytes(profile))
    return Made(f"image/{content_type.lower()}", made.getvalue(), "cleaned", "a colour profile that is odd")


def junk(chance: Random) -> Made:
    content = chance.choice(
        (
            b"",
            b"\0",
            b"\xff",
            b"\xff\xd8",
            b"\xff\xd8\xff",
            b"\x89PNG\r\n\x1a\n",
            b"GIF89a",
            b"RIFF\0\0\0\0WEBPVP8 ",
        )
    )
    if chance.random() < 0.6:
        content += chance.randbytes(chance.randint(1, 3000))
    return Made(chance.choice(PHOTO_TYPES), content, "refused", "junk")


# Two things at once.


def with_tail(chance: Random) -> Made:
    content_type, make = chance.choice(GOOD)
    tail = chance.choice(
        (archive(), b"#!/bin/sh\nCANARY-TAIL\n" + SCRIPT, b"%PDF-1.4 CANARY-TAIL", b"\0" * 5000 + SCRIPT)
    )
    return Made(content_type, make(chance) + tail, "cleaned", "a picture, and behind it something else")


def with_head(chance: Random) -> Made:
    content_type, make = chance.choice(GOOD)
    head = chance.choice(
        (b"%PDF-1.4\n", b"#!/bin/sh\n", b"<!doctype html>", SCRIPT, b"\n", b"PK\x03\x04", b"\xef\xbb\xbf")
    )
    return Made(content_type, head + make(chance), "refused", "something else, and behind it a picture")


def scripted(chance: Random) -> Made:
    """JavaScript whose first token is a picture's header."""
    choice = chance.randrange(3)
    if choice == 0:
        return Made(
            "image/gif", b"GIF89a/*" + chance.randbytes(8) + b"*/=1;alert('CANARY-SCRIPT');", "refused", "GIF+JS"
        )
    if choice == 1:
        return Made("image/webp", b"RIFF=1;/*WEBP" + chance.randbytes(20) + b"*/alert(1)", "refused", "WebP+JS")
    plain = io.BytesIO()
    pixels(chance).save(plain, "JPEG")
    content = with_segments(plain.getvalue(), (0xE0, b"*/=alert('CANARY-SCRIPT');/*" + b"A" * 0x2F00))
    return Made("image/jpeg", content, "cleaned", "JPEG+JS")


def markup(chance: Random) -> Made:
    content = chance.choice(
        (
            b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><text>CANARY-SVG</text></svg>',
            b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>',
            b"<!doctype html><title>CANARY-HTML</title>" + SCRIPT,
            b"<?php system($_GET['c']); ?>",
            b'push graphic-context\nviewbox 0 0 9 9\nimage over 0,0 0,0 "https://a.example/"\npop graphic-context',
        )
    )
    content_type = chance.choice((*PHOTO_TYPES, "image/svg+xml", "text/html"))
    return Made(content_type, content + b"\n" * chance.randrange(50), "refused", "markup")


# Far too large.


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def raw_png(width: int, height: int, *, bits: int, colour: int, chunks: bytes) -> bytes:
    """`chunks` come between the header and the end. Colours: 0 grey, 2 RGB, 3 a palette, 4 and 6 with alpha."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + chunk(b"IEND", b"")


def with_segments(content: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with more segments at its beginning."""
    made = b"".join(b"\xff" + bytes([kind]) + struct.pack(">H", len(body) + 2) + body for kind, body in segments)
    return content[:2] + made + content[2:]


def raw_gif(width: int, height: int, frames: int) -> bytes:
    """All of them one black pixel."""
    frame = b"!\xf9\x04\0\x02\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0"
    return (
        b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + frame * frames + b";"
    )


@cache
def nothing(count: int) -> bytes:
    """So many zeros, deflated."""
    packer = zlib.compressobj(9)
    block = bytes(1 << 20)
    whole, rest = divmod(count, len(block))
    return b"".join([*(packer.compress(block) for _ in range(whole)), packer.compress(bytes(rest)), packer.flush()])


@cache
def archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("CANARY-TAIL.class", b"\xca\xfe\xba\xbe" + bytes(500))
    return made.getvalue()


def note(chance: Random) -> bytes:
    return chunk(b"tEXt", b"Comment\0" + chance.randbytes(8).hex().encode())


def bomb_header(chance: Random) -> Made:
    side = chance.choice((50_000, 20_001, 2**31 - 1))
    content = raw_png(side, side, bits=8, colour=6, chunks=note(chance) + chunk(b"IDAT", zlib.compress(bytes(100))))
    return Made("image/png", content, "refused", f"PNG that says {side} by {side}")


def bomb_valid(chance: Random) -> Made:
    content = raw_png(
        20_000, 20_000, bits=1, colour=0, chunks=note(chance) + chunk(b"IDAT", nothing(20_000 * 2501))
    )
    return Made("image/png", content, "refused", "PNG of 20,000 by 20,000 in 50 KB")


def bomb_text(chance: Random) -> Made:
    head, kind = chance.choice(((b"Comment\0\0", b"zTXt"), (b"profile\0\0", b"iCCP"), (b"XML\0\1\0\0\0", b"iTXt")))
    chunks = note(chance) + chunk(kind, head + nothing(50_000_000)) * chance.choice((1, 20))
    pixel = chunk(b"IDAT", zlib.compress(bytes(4)))
    return Made(
        "image/png", raw_png(1, 1, bits=8, colour=2, chunks=chunks + pixel), "either", "PNG with a bomb in its text"
    )


def bomb_frames(chance: Random) -> Made:
    width, height, frames = chance.choice(((1, 1, 10_000), (30, 20, 301), (5000, 5000, 200), (60_000, 60_000, 1)))
    return Made(
        "image/gif", raw_gif(width, height, frames), "refused", f"GIF of {frames} frames, {width} by {height}"
    )


def bomb_offset(chance: Random) -> Made:
    """A frame far outside of the picture, which grows to hold it."""
    content = raw_gif(1, 1, 3)
    at = content.rindex(b",\0\0\0\0\x01\0")
    return Made(
        "image/gif", content[: at + 1] + b"\xfe\xff\xfe\xff" + content[at + 5 :], "either", "GIF that grows"
    )


def bomb_canvas(chance: Random) -> Made:
    side = chance.choice((16_384, 2**24))
    size = (side - 1).to_bytes(3, "little") * 2
    still = io.BytesIO()
    pixels(chance).save(still, "WEBP", method=0)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + size + still.getvalue()[12:]
    return Made("image/webp", b"RIFF" + struct.pack("<I", len(body)) + body, "refused", f"WebP that says {side}")


def bomb_jpeg(chance: Random) -> Made:
    content = bytearray(jpeg(chance, least=20))
    at = next(at for kind in (b"\xff\xc0\0", b"\xff\xc2\0") if (at := content.find(kind)) > 0)
    content[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return Made("image/jpeg", bytes(content), "refused", "JPEG that says 65,500 by 65,500")


@cache
def many_scans() -> bytes:
    """A progressive JPEG that says nothing new over and over: half a megabyte, and as much work as it is given.

    Not in the mix: one such file is as dear as all others together.
    """
    made = io.BytesIO()
    Image.new("L", (3000, 3000), 90).save(made, "JPEG", progressive=True)
    content = made.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * 15_000 + content[-2:]


def bomb_gzip(chance: Random) -> Made:
    content = gzip.compress(gzip.compress(bytes(1 << 20), mtime=0) + chance.randbytes(8), mtime=0)
    return Made(chance.choice(PHOTO_TYPES), content, "refused", "gzip in gzip")


# Other formats, whatever they say of themselves.


@cache
def foreign_files() -> tuple[tuple[str, bytes], ...]:
    image = Image.frombytes("RGB", (24, 16), Random(1).randbytes(24 * 16 * 3))
    made = []
    for kind in (
        "BMP",
        "TIFF",
        "ICO",
        "PPM",
        "PCX",
        "TGA",
        "SGI",
        "DDS",
        "JPEG2000",
        "AVIF",
        "QOI",
        "PDF",
        "EPS",
    ):
        content = io.BytesIO()
        image.save(content, kind)
        made.append((kind, content.getvalue()))
    bitmap = io.BytesIO()
    image.convert("1").save(bitmap, "XBM")
    made += [
        ("XBM", bitmap.getvalue()),
        ("PSD", b"8BPS\0\x01" + bytes(6) + struct.pack(">HIIHH", 3, 16, 24, 8, 3) + bytes(2000)),
        ("FLI", struct.pack("<IHHHHHH", 2000, 0xAF12, 3, 24, 16, 8, 3) + bytes(1984)),
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500)),
        ("WMF", b"\xd7\xcd\xc6\x9a" + bytes(200)),
        ("FITS", b"SIMPLE  =                    T".ljust(2880)),
        ("MP4", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(500)),
        ("PS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 16\n(CANARY-PS) show\nshowpage\n"),
        ("MNG", b"\x8aMNG\r\n\x1a\n" + bytes(100)),
        ("JXL", b"\xff\x0a" + bytes(200)),
    ]
    return tuple(made)


def foreign(chance: Random) -> Made:
    kind, content = chance.choice(foreign_files())
    return Made(chance.choice(PHOTO_TYPES), content + chance.randbytes(chance.randrange(9)), "refused", kind)


KINDS: tuple[tuple[Maker, int], ...] = (
    (good_jpeg, 12),
    (good_png, 12),
    (good_gif, 6),
    (good_webp, 6),
    (multi_picture, 2),
    (thin, 1),
    (truncated, 14),
    (flipped, 12),
    (overwritten, 6),
    (odd_exif, 3),
    (odd_profile, 3),
    (junk, 6),
    (with_tail, 5),
    (with_head, 4),
    (scripted, 3),
    (markup, 5),
    (bomb_header, 2),
    (bomb_valid, 2),
    (bomb_text, 2),
    (bomb_frames, 3),
    (bomb_offset, 1),
    (bomb_canvas, 2),
    (bomb_jpeg, 2),
    (bomb_gzip, 1),
    (foreign, 14),
)
