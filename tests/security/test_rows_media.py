"""Rows 2, 7, 23 to 27 and 34, for pictures: what is served, what is kept of an upload, and who gets to see it."""

from __future__ import annotations

import gzip
import io
import struct
import uuid
import zlib

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.ImageCms import ImageCmsProfile, createProfile

from tests.harness.pictures import opened, picture
from tests.harness.system import Whole
from tests.security.timing import in_one_timing_class

VARIANTS = ("avatar-96", "avatar-400", "preview", "full")
CANARY = "canary-of-the-camera"
once = pytest.mark.parametrize("tidings", ["near"], indirect=True)  # what is in a file does not depend on the mode


def located(format: str, *, orientation: int = 6) -> bytes:
    """A picture with a place, a comment, a rotation and a colour profile; its upper left corner is red."""
    image = Image.new("RGB", (80, 40), "blue")
    image.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    exif[Base.ImageDescription] = CANARY
    exif[Base.Make] = CANARY
    place = exif.get_ifd(IFD.GPSInfo)
    place[GPS.GPSLatitudeRef], place[GPS.GPSLatitude] = "N", (38.0, 43.0, 12.0)
    place[GPS.GPSLongitudeRef], place[GPS.GPSLongitude] = "W", (9.0, 8.0, 24.0)
    place[GPS.GPSAreaInformation] = CANARY
    out = io.BytesIO()
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    image.save(out, format, exif=exif, icc_profile=profile, quality=95)
    return out.getvalue()


async def test_row_02_somebody_elses_picture_is_like_one_that_never_was(tidings: Whole) -> None:
    alice, mallory = await tidings.joins("Alice"), await tidings.joins("Mallory")
    hers = await alice.uploads()
    said = await alice.posts("for friends", media=[{"media_id": hers}])
    never = str(uuid.uuid4())
    for path in ("/v1/media/{}", *(f"/v1/media/{{}}/{variant}" for variant in VARIANTS)):
        for more in ("", f"?message={said['id']}") if path.count("/") > 3 else ("",):
            there, absent = (
                await mallory.get(path.format(hers) + more),
                await mallory.get(path.format(never) + more),
            )
            assert (there.status, absent.status) == (404, 404)
            bodies = [{k: v for k, v in one.body.items() if k != "trace_id"} for one in (there, absent)]
            assert bodies[0] == bodies[1]
    for change in ("DELETE", "PATCH"):
        more = {"json": {"alt": "x"}} if change == "PATCH" else {}
        answers = [await mallory.ask(change, f"/v1/media/{one}", **more) for one in (hers, never)]
        assert [answer.status for answer in answers] == [404, 404]
    assert await in_one_timing_class(
        lambda: mallory.get(f"/v1/media/{hers}/preview"),
        lambda: mallory.get(f"/v1/media/{never}/preview"),
        times=15,
    )


async def test_row_07_an_avatar_of_who_blocked_the_asker_is_like_none(tidings: Whole) -> None:
    alice, mallory = await tidings.joins("Alice"), await tidings.joins("Mallory")
    worn = await alice.uploads()
    (await alice.patch("/v1/users/me", {"avatar": worn})).ok()
    (await alice.put(f"/v1/blocks/{mallory.id}")).ok()
    answers = [await mallory.get(f"/v1/media/{one}/avatar-96") for one in (worn, str(uuid.uuid4()))]
    assert [answer.status for answer in answers] == [404, 404]
    stranger = await tidings.client.ask("GET", f"/v1/media/{worn}/avatar-96")
    assert stranger.status == 401


async def test_row_23_a_picture_is_served_as_a_picture_and_as_nothing_else(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    for variant in VARIANTS:
        served = await alice.get(f"/v1/media/{media_id}/{variant}", headers={"accept": "text/html"})
        assert served.headers["content-type"] == "image/webp"
        assert served.headers["x-content-type-options"] == "nosniff"
        policy = served.headers["content-security-policy"]
        assert "sandbox" in policy and "default-src 'none'" in policy
        assert served.headers["cross-origin-resource-policy"] == "same-origin"
        assert served.raw[:4] == b"RIFF" and served.raw[8:12] == b"WEBP"
    for other in ("svg", "html", "original", "full.webp", "parts"):
        assert (await alice.get(f"/v1/media/{media_id}/{other}")).status in (404, 422)


@once
@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "/etc/passwd",
        "a\0b.png",
        "C:\\x.png",
        "..\\..\\x",
        "x" * 5000,
        "\u202egnp.exe",
        "<script>.png",
        '"; x="',
        "",
    ],
)
async def test_row_24_what_a_file_is_called_is_of_no_interest(tidings: Whole, name: str) -> None:
    alice = await tidings.joins("Alice")
    quoted = name.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n' % quoted
        + picture()
        + b"\r\n--b--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=b"}
    answer = await alice.ask("POST", "/v1/media", data=body, headers=headers)
    if answer.status == 400:  # a parser may refuse such a header; then nothing is kept
        assert (await alice.get("/v1/media")).ok()["media"] == []
        return
    media_id = answer.ok()["id"]
    blobs = tidings.settings.data / "blobs" / "media"
    assert {one.name for one in (blobs / media_id).iterdir()} == {f"{variant}.webp" for variant in VARIANTS}
    assert str(uuid.UUID(media_id)) == media_id
    kept = (await alice.get("/v1/media")).raw
    assert not name or name.encode() not in kept


def webp_like() -> bytes:
    return b"RIFF" + struct.pack("<I", 100) + b"WEBPVP8 " + bytes(92)


OTHERS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n1 0 obj <<>> endobj",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage",
    "tiff": b"II*\0" + bytes(64),
    "heic": b"\0\0\0\x18ftypheic" + bytes(64),
    "avif": b"\0\0\0\x18ftypavif" + bytes(64),
    "no webp": webp_like(),
    "half a png": picture(400, 300)[:200],
    "half a jpeg": picture(400, 300, format="JPEG")[:-300],
    "gzip": gzip.compress(picture()),
    "nothing but zeros": bytes(3000),
}


@once
@pytest.mark.parametrize("kind", sorted(OTHERS))
async def test_row_25_only_what_decodes_as_one_of_four_is_kept(tidings: Whole, kind: str) -> None:
    alice = await tidings.joins("Alice")
    answer = await alice.sends(OTHERS[kind], name="x.jpg", type_="image/jpeg")
    assert (answer.status, answer.body["code"]) == (415, "not_a_picture"), answer.raw
    assert answer.body["detail"]


@once
@pytest.mark.parametrize("format", ["BMP", "TIFF", "ICO", "PPM", "TGA", "PCX"])
async def test_row_25_other_formats_that_are_whole_are_refused_too(tidings: Whole, format: str) -> None:
    alice = await tidings.joins("Alice")
    answer = await alice.sends(picture(format=format), name="x.png")
    assert (answer.status, answer.body["code"]) == (415, "not_a_picture"), answer.raw


@once
async def test_row_25_a_polyglot_loses_its_other_half(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads(
        picture(format="GIF") + b"\n/*</style><script>alert('other half')</script>*/PK\x03\x04"
    )
    for variant in VARIANTS:
        assert b"other half" not in (await alice.get(f"/v1/media/{media_id}/{variant}")).raw


def png_of(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    )


def many_frames() -> bytes:
    frames = [Image.new("RGB", (8, 8), (number % 256, 255 * (number % 2), 99)) for number in range(400)]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=20, loop=0)
    return out.getvalue()


@once
async def test_row_26_a_bomb_is_refused_before_it_is_decoded(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    bombs = {
        "pixels": png_of(50_000, 50_000, b"\0" * 1000),
        "pixels that are there": png_of(12_000, 12_000, bytes(12_000 * 3 + 1) * 100),
        "frames": many_frames(),
    }
    for kind, bomb in bombs.items():
        answer = await alice.sends(bomb)
        assert answer.status == 422 and answer.body["code"] == "picture_too_large", (kind, answer.raw)
        assert answer.body["detail"], kind
    zipped = await alice.sends(b"x", headers={"content-encoding": "gzip"})
    assert zipped.status == 415


async def test_row_26_a_file_beyond_the_limit_is_refused_while_it_comes(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    answer = await alice.sends(bytes(tidings.settings.max_upload + 1))
    assert (answer.status, answer.body["code"]) == (413, "too_large")
    assert (await alice.get("/v1/media")).ok()["media"] == []


@once
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
async def test_row_27_where_it_was_taken_is_in_nothing_that_is_kept(tidings: Whole, format: str) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads(located(format))
    (await alice.patch("/v1/users/me", {"avatar": media_id})).ok()
    folder = tidings.settings.data / "blobs" / "media" / media_id
    files = {one.name: one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    assert files.keys() == {f"{variant}.webp" for variant in VARIANTS}
    for name, content in files.items():
        assert CANARY.encode() not in content and b"Exif" not in content and b"EXIF" not in content, name
        image = opened(content)
        assert not image.getexif() and not image.getexif().get_ifd(IFD.GPSInfo), name
        assert image.info.get("icc_profile"), name  # the colours stay what they were
    full = opened(files["full.webp"])
    assert full.size == (40, 80)  # turned as the camera was held
    red, green, blue = full.convert("RGB").getpixel((35, 5))  # type: ignore[misc]
    assert red > 180 and green < 80 and blue < 80


async def test_row_34_a_picture_is_kept_by_no_shared_cache(tidings: Whole) -> None:
    alice = await tidings.joins("Alice")
    media_id = await alice.uploads()
    for path in (
        f"/v1/media/{media_id}",
        "/v1/media",
        *(f"/v1/media/{media_id}/{variant}" for variant in VARIANTS),
    ):
        assert (await alice.get(path)).headers["cache-control"] == "private, no-store", path
    refused = await alice.get(f"/v1/media/{uuid.uuid4()}/full")
    assert "no-store" in refused.headers["cache-control"]
