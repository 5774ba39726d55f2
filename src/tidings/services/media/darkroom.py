"""The program that makes one picture anew: `-m ... SOURCE FOLDER MEMORY CPU FILE SECONDS`.

Whoever uploads may know a hole in a decoder. So this process opens what it needs, and then shuts itself in: few
bytes, few seconds, no more files, no other program, nobody's user. It imports nothing of ours, to start quickly and
to hold little. Of the file only pixels, times and a colour profile get into what it makes.

It writes `full.webp`, `preview.webp`, `avatar-96.webp` and `avatar-400.webp`, and says a line of JSON: `ok`, or
`refused` with a sentence for the person. Whatever else happens ends it with a traceback, or by a signal.
"""

from __future__ import annotations

import copy  # noqa: F401 - GifImagePlugin imports it when it is too late
import ctypes
import json
import math
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from struct import error as StructError
from typing import IO, Any, Final, NamedTuple
from zlib import error as ZlibError

import blurhash
from PIL import Image, ImageCms, TiffImagePlugin  # noqa: F401 - Exif does the same with the last
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

FULL: Final = 2048  # pixels of the longer side
PREVIEW: Final = 640
AVATARS: Final = (96, 400)  # pixels of each side
VARIANTS: Final = ("full", "preview", *(f"avatar-{side}" for side in AVATARS))

MOST_SIDE: Final = 20_000  # pixels
MOST_PIXELS: Final = 64_000_000
MOST_WEBP_PIXELS: Final = 40_000_000  # Pillow holds four copies while it decodes one
MOST_FRAMES: Final = 300
MOST_FILM_PIXELS: Final = 150_000_000  # of all frames together
MOST_BYTES: Final = 8 * 1024 * 1024  # of one result

QUALITIES: Final = (82, 60, 30)  # the first that is small enough
FEW_COLOURS: Final = 4096  # a drawing or a screenshot: without loss, if that is
MOST_LOSSLESS: Final = 2 * 1024 * 1024  # bytes or less
FULL_FILM: Final = 40_000_000  # pixels of all frames: libwebp encodes 10 million a second
PREVIEW_FILM: Final = 15_000_000
SHORTEST, SLOW, LONGEST = 20, 100, 60_000  # milliseconds; what says less than SHORTEST is shown as SLOW by browsers
MOST_PROFILE: Final = 64 * 1024  # bytes
GREY: Final = (128, 128, 128, 255)

ORIENTATION: Final = 0x0112  # EXIF 2.32, 4.6.4 A; below, what turns each upright
TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

UID: Final = 60818  # nobody's (systemd.io/UIDS-GIDS), and not that of the engines, whose data it could read
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
# What Pillow raises over a damaged file. Anything else is a refusal too, but perhaps our mistake: we hear of it.
DAMAGED: Final = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError),
    *(StructError, ZlibError),
)

# Pillow raises above twice as much, wherever a file makes it take room for pixels.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2


class Refused(Exception):
    """`code` is one of the contract, the text a sentence for the person."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class Negative(NamedTuple):
    """All that is kept of a file: upright pixels in RGB or RGBA, and what they mean."""

    still: Image.Image  # the first frame, within FULL
    square: Image.Image  # its middle, in the size of the largest avatar
    film: list[Image.Image]  # every frame, within FULL_FILM; empty where there is only one
    durations: list[int]  # milliseconds
    loop: int  # times; 0: for ever
    profile: bytes  # of colours; empty: sRGB
    photo: bool  # from a JPEG: some loss was taken before


def main() -> None:
    source, folder, *caps = sys.argv[1:]
    warnings.simplefilter("ignore")
    cap(*map(int, caps))
    data = Path(source).read_bytes()
    plates = {variant: open_plate(Path(folder), variant) for variant in VARIANTS}
    status = open_status()
    shut_in()

    answer: dict[str, Any] = {}
    try:
        answer["ok"] = print_all(negative(data), plates)
    except Refused as refused:
        answer |= {"refused": refused.code, "why": str(refused)}
    except MemoryError:
        pass  # what took the room lives as long as this block
    if not answer:
        answer |= {"refused": "picture_too_large", "why": "This picture takes more memory than one may."}
    print(json.dumps(answer | {"peak": peak(status)}))


# What it is kept in.


def cap(memory: int, cpu: int, file: int, seconds: int) -> None:
    """Bytes of memory, seconds of work, bytes of one file, and the last second of all."""
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, file),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        limit(what, most)
    limit(resource.RLIMIT_CPU, cpu, cpu + 1)  # SIGXCPU, then SIGKILL
    signal.alarm(seconds)  # in case that nobody waits for us any more


def shut_in() -> None:
    """From here on nothing is opened, nothing is started, and root is left: all that we import is there."""
    Image.preinit()
    if os.geteuid() == 0:
        with suppress(OSError):  # a container may not let us; it is a cage by itself
            os.setgroups([])
            os.setgid(UID)
            os.setuid(UID)
    limit(resource.RLIMIT_NOFILE, 0)
    limit(resource.RLIMIT_NPROC, 0)
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)  # after the change of user, which would clear it


def limit(what: int, soft: int, hard: int | None = None) -> None:
    """Lower a limit. One that is lower already stays; macOS does not take all of them."""
    hard = soft if hard is None else hard
    _, highest = resource.getrlimit(what)
    if highest != resource.RLIM_INFINITY:
        soft, hard = min(soft, highest), min(hard, highest)
    try:
        resource.setrlimit(what, (soft, hard))
    except (OSError, ValueError):
        if sys.platform == "linux":
            raise


def open_plate(folder: Path, variant: str) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(folder / f"{variant}.webp", flags, 0o600), "wb")


def open_status() -> IO[str] | None:
    with suppress(OSError):
        return Path("/proc/self/status").open(encoding="ascii", errors="replace")
    return None


def peak(status: IO[str] | None) -> int:
    """Bytes of memory at the most. Linux counts our parent's into getrusage(2), so it is asked otherwise."""
    if status is not None:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


# From the file to a negative: all decoding is here.


def negative(data: bytes) -> Negative:
    """Raises `Refused`, or MemoryError."""
    try:
        picture = opened(data)
        count = 1
        if isinstance(picture, GifImageFile):
            count = gif_frames(data)
        elif isinstance(picture, WebPImageFile):
            count = picture.n_frames
        check(picture, count)
        return exposed(picture, count)
    except (Refused, MemoryError, ImportError):
        raise
    except Image.DecompressionBombError:
        raise Refused(
            "picture_too_large", f"This picture is too large. We take up to {mega(MOST_PIXELS)}."
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, not Pillow's: some module wants to be imported after all
        if not isinstance(error, DAMAGED):
            traceback.print_exc()
        raise Refused("not_a_picture", "This picture is damaged or incomplete: it could not be read.") from None


def opened(data: bytes) -> ImageFile:
    """With its header read.

    Not by `Image.open`, which makes a phone's JPEG into an MPO and warns of what it cannot do; the first picture of
    those is a JPEG like others.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile(BytesIO(data))
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile(BytesIO(data))
    if data.startswith((b"GIF87a", b"GIF89a")):
        return GifImageFile(BytesIO(data))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile(BytesIO(data))
    raise Refused("not_a_picture", "This file is no JPEG, PNG, GIF or WebP picture.")


def gif_frames(data: bytes) -> int:
    """How many, by the blocks alone (GIF89a, 1990), but not further than one more than we take.

    Raises IndexError when the file ends within a block. Many end without a trailer.
    """

    def table(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    def after_blocks(at: int) -> int:
        while size := data[at]:
            at += 1 + size
        return at + 1

    count, at = 0, 13 + table(data[10])
    while at < len(data) and count <= MOST_FRAMES:
        kind = data[at]
        if kind == 0x3B:
            break
        if kind == 0x21:
            at = after_blocks(at + 2)
        elif kind == 0x2C:
            at = after_blocks(at + 11 + table(data[at + 9]))
            count += 1
        else:
            at += 1  # as Pillow does
    return count


def check(picture: ImageFile, count: int) -> None:
    """By the header, before any pixel is decoded."""
    width, height = picture.size
    most = MOST_WEBP_PIXELS if isinstance(picture, WebPImageFile) else MOST_PIXELS
    problem = ""
    if max(width, height) > MOST_SIDE:
        problem = f"is {width:,} by {height:,} pixels. We take up to {MOST_SIDE:,} on a side."
    elif width * height > most:
        problem = f"is {width:,} by {height:,} pixels, {mega(width * height)}. We take up to {mega(most)}."
    elif count > MOST_FRAMES:
        problem = f"has more than {MOST_FRAMES} frames. We take up to {MOST_FRAMES}."
    elif count > 1 and width * height * count > MOST_FILM_PIXELS:
        problem = (
            f"has {count} frames of {width:,} by {height:,} pixels, {mega(width * height * count)} together. "
            f"We take up to {mega(MOST_FILM_PIXELS)}."
        )
    if problem:
        raise Refused("picture_too_large", f"This picture {problem}")


def mega(pixels: int) -> str:
    return f"{math.ceil(pixels / 1_000_000):,} megapixels"


def exposed(picture: ImageFile, count: int) -> Negative:
    """Decode it: the first frame, and the others smaller where they are many."""
    width, height = picture.size
    deep = any("16B" in str(tile.args) for tile in picture.tile)
    size = fitting((width, height), FULL)
    side = max(AVATARS)
    # A JPEG is decoded to a half, a quarter or an eighth where that is still a good deal larger than what we want.
    picture.draft(None, (max(side, size[0] * 7 // 5), max(side, size[1] * 7 // 5)))
    picture.load()
    first = plain(picture, deep=deep)
    turn = TURNS.get(orientation(picture))
    profile, coloured = colours(picture.info.get("icc_profile"), first.mode)

    def finish(image: Image.Image) -> Image.Image:
        """Small already, so that turning and colouring cost little."""
        image = opaque(coloured(image))
        image = image if turn is None else image.transpose(turn)
        image.info = {}
        return image

    film, durations = [], []
    still = finish(shrunk(first, size))
    square = middle(still, side) if min(size) >= side else finish(middle(first, side))
    del first
    if count > 1:
        size = fitting(size, FULL, most=FULL_FILM // count)
        for number in range(count):
            picture.seek(number)
            picture.load()
            frame = picture.crop((0, 0, width, height)) if picture.size != (width, height) else picture
            film.append(finish(shrunk(plain(frame), size)))
            durations.append(sane(picture.info.get("duration", 0)))
    return Negative(
        still=still,
        square=square,
        film=film,
        durations=durations,
        loop=loop(picture),
        profile=profile,
        photo=isinstance(picture, JpegImageFile),
    )


def orientation(picture: ImageFile) -> int:
    """1 where it says nothing that can be read."""
    if isinstance(picture, GifImageFile):
        return 1
    try:
        found = picture.getexif().get(ORIENTATION, 1)
    except DAMAGED:
        return 1
    return found if isinstance(found, int) else 1


def plain(image: Image.Image, *, deep: bool = False) -> Image.Image:
    """In a mode whose pixels can be averaged: L, LA, RGB, RGBA or CMYK. `deep`: 16 bits a channel in the file."""
    clear = image.info.get("transparency")
    if deep and clear is not None:
        clear = tuple(part >> 8 for part in clear) if isinstance(clear, tuple) else clear >> 8
        image.info["transparency"] = clear
    if image.mode == "I;16":
        image = image.point(lambda value: value / 256).convert("L")  # which alone would clip: all white
    if image.mode in {"1", "L"}:
        return image.convert("L" if clear is None else "LA")
    if image.mode in {"P", "RGB"}:
        return in_rgb(image)
    return image if image.mode in {"LA", "RGBA", "CMYK"} else image.convert("RGB")


def colours(profile: bytes | None, mode: str) -> tuple[bytes, Callable[[Image.Image], Image.Image]]:
    """The profile to keep, and what makes RGB or RGBA of a picture in `mode`. One that is odd is no profile."""
    own = {"L": b"GRAY", "LA": b"GRAY", "CMYK": b"CMYK"}.get(mode, b"RGB ")
    space = (profile or b"")[16:20]  # ICC.1:2022, 7.2
    with suppress(ImageCms.PyCMSError, *DAMAGED):
        if profile and space == b"RGB " and own != b"CMYK" and len(profile) <= MOST_PROFILE:
            # Written anew, without what may hide between and behind its tags.
            return ImageCms.ImageCmsProfile(BytesIO(profile)).tobytes(), in_rgb
        if profile and space == own:
            return b"", converting(ImageCms.ImageCmsProfile(BytesIO(profile)), mode)
    return b"", in_rgb


def converting(profile: ImageCms.ImageCmsProfile, mode: str) -> Callable[[Image.Image], Image.Image]:
    """From the colours of `profile` to sRGB."""
    solid = {"LA": "L", "RGBA": "RGB"}.get(mode, mode)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    transform = ImageCms.buildTransform(profile, srgb, solid, "RGB")

    def convert(image: Image.Image) -> Image.Image:
        converted = transform.apply(image if image.mode == solid else image.convert(solid))
        if image.mode != solid:
            converted.putalpha(image.getchannel("A"))
        return converted

    return convert


def in_rgb(image: Image.Image) -> Image.Image:
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def opaque(image: Image.Image) -> Image.Image:
    """Without an alpha channel that hides nothing."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def fitting(size: tuple[int, int], side: int, *, most: int | None = None) -> tuple[int, int]:
    """No side longer than `side`, no more than `most` pixels, the same shape. Never larger."""
    width, height = size
    scale = min(1.0, side / width, side / height)
    if most is not None:
        scale = min(scale, math.sqrt(most / (width * height)))
    return (width, height) if scale == 1.0 else (max(1, round(width * scale)), max(1, round(height * scale)))


def shrunk(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def middle(image: Image.Image, side: int) -> Image.Image:
    """The largest square around the middle, at `side`."""
    width, height = image.size
    edge = min(width, height)
    left, top = (width - edge) / 2, (height - edge) / 2
    return image.resize(
        (side, side), Image.Resampling.LANCZOS, box=(left, top, left + edge, top + edge), reducing_gap=2.0
    )


def sane(duration: float) -> int:
    return SLOW if duration < SHORTEST else min(round(duration), LONGEST)


def loop(picture: ImageFile) -> int:
    """How often it plays, as WebP counts: a GIF says how often *again*, and without a word it plays once."""
    if isinstance(picture, WebPImageFile):
        return int(picture.info["loop"])
    again = picture.info.get("loop")
    return 1 if again is None else 0 if again == 0 else min(again + 1, 65535)


# From the negative to what is kept.


def print_all(picture: Negative, plates: dict[str, IO[bytes]]) -> dict[str, Any]:
    moving = films(picture)
    size, full, preview = moving or stills(picture)
    results = {"full": full, "preview": preview}
    for side in AVATARS:
        square = picture.square if picture.square.width == side else middle(picture.square, side)
        results[f"avatar-{side}"] = printed(square, picture)
    for variant, result in results.items():
        with plates[variant] as plate:
            plate.write(result)
    return {
        "width": size[0],
        "height": size[1],
        "animated": moving is not None and b"ANMF" in full,  # frames that are all alike become one
        "blurhash": blurred(picture.still),
        "bytes": {variant: len(result) for variant, result in results.items()},
    }


def stills(picture: Negative) -> tuple[tuple[int, int], bytes, bytes]:
    """The size of the full picture, itself, and the preview."""
    full = printed(picture.still, picture)
    size = fitting(picture.still.size, PREVIEW)
    preview = full if size == picture.still.size else printed(shrunk(picture.still, size), picture)
    return picture.still.size, full, preview


def films(picture: Negative) -> tuple[tuple[int, int], bytes, bytes] | None:
    """The same, moving. None where nothing moves, or where it takes too many bytes."""
    if not picture.film:
        return None
    frames = picture.film
    full = projected(frames, picture)
    if len(full) > MOST_BYTES:
        width, height = frames[0].size
        smaller = fitting((width, height), FULL, most=width * height * MOST_BYTES * 3 // (len(full) * 4))
        frames = [shrunk(frame, smaller) for frame in frames]
        full = projected(frames, picture)
    if len(full) > MOST_BYTES:
        return None
    size = frames[0].size
    if size == fitting(size, PREVIEW):
        return size, full, full
    smaller = fitting(size, PREVIEW, most=PREVIEW_FILM // len(frames))
    preview = projected([shrunk(frame, smaller) for frame in frames], picture)
    if len(preview) > MOST_BYTES:
        preview = printed(shrunk(picture.still, smaller), picture)
    return size, full, preview


def printed(image: Image.Image, picture: Negative) -> bytes:
    if not picture.photo and image.getcolors(FEW_COLOURS) is not None:
        result = webp(image, picture, lossless=True, quality=50, method=4)
        if len(result) <= MOST_LOSSLESS:
            return result
    for quality in QUALITIES:
        result = webp(image, picture, quality=quality, method=4)
        if len(result) <= MOST_BYTES:
            return result
    raise Refused("picture_too_large", "This picture takes too many bytes, whichever way it is stored.")


def projected(frames: list[Image.Image], picture: Negative) -> bytes:
    return webp(
        frames[0],
        picture,
        save_all=True,
        append_images=frames[1:],
        duration=picture.durations,
        loop=picture.loop,
        background=(0, 0, 0, 0),
        quality=QUALITIES[0],
        method=0,
    )


def webp(image: Image.Image, picture: Negative, **how: Any) -> bytes:
    """Nothing is written but what is named: no EXIF, no XMP."""
    result = BytesIO()
    image.save(result, "WEBP", icc_profile=picture.profile, exif=b"", xmp=b"", **how)
    return result.getvalue()


def blurred(image: Image.Image) -> str:
    small = shrunk(image, fitting(image.size, 32)).convert("RGBA")
    small = Image.alpha_composite(Image.new("RGBA", small.size, GREY), small).convert("RGB")
    rows = [[small.getpixel((x, y)) for x in range(small.width)] for y in range(small.height)]
    return str(blurhash.encode(rows, 4, 3))


if __name__ == "__main__":
    main()
