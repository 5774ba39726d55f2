"""Uploads: a form with a file (RFC 7578) is read as it comes, and the file goes on to its service part by part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest

from tidings.edge.bodies import check_announced
from tidings.platform.contract import (
    PART,
    Call,
    FieldError,
    Invalid,
    Nothing,
    Refusal,
    Upload,
    Uploaded,
    UploadPart,
)
from tidings.platform.http.problems import BadRequest, TooLarge, TooSlow, UnsupportedMediaType

Send = Callable[[Call[Any, Any], Any], Awaitable[Any]]

LINGER: Final = 10.0  # seconds
SILENCE: Final = 1.0  # seconds
BESIDE: Final = 65_536  # bytes; of the fields and headers beside the file, all together
FIELD: Final = 32  # bytes that a field counts beside what it holds: a form of nothing but empty ones ends, too


@dataclass(frozen=True, slots=True)
class Form:
    """What came. `digest` is keyed, and differs when a field or the file does."""

    fields: dict[str, list[str]]
    file: Uploaded | None
    digest: bytes


async def receive_form(
    request: HttpRequest, upload: Upload, send: Send, *, most: int, seconds: float, secret: bytes
) -> Form:
    """Read a form, and `send` its file on.

    At most one part of the file is held here. Raises `UnsupportedMediaType`, `TooLarge`, `TooSlow`, `BadRequest`
    for what is no form, `Invalid` for one without its file or with another field, and what the service refuses.
    """
    try:
        return await _receive(request, upload, send, most=most, seconds=seconds, secret=secret)
    except TooSlow:
        raise
    except Refusal:
        # Who still sends reads no answer, and sees a broken connection instead of what was wrong.
        await _let_come(request, most=4 * most)
        raise


async def _receive(
    request: HttpRequest, upload: Upload, send: Send, *, most: int, seconds: float, secret: bytes
) -> Form:
    check_announced(request, most=most + BESIDE)
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != b"multipart/form-data" or not options.get(b"boundary"):
        raise UnsupportedMediaType("The body has to be multipart/form-data with a boundary.")
    reading = _Reading(upload.field, options[b"boundary"], most=most, secret=secret)
    parts, came = 0, None

    async def pass_on() -> None:
        nonlocal parts, came
        if came is None:
            came = await send(upload.begin, Nothing())
        await send(upload.part, UploadPart(id=came.id, number=parts, data=reading.take()))
        parts += 1

    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                reading.feed(chunk)
                while reading.waiting >= PART:
                    await pass_on()
            reading.end()
            if reading.waiting:
                await pass_on()
        fields = reading.text()
    except (Refusal, ClientDisconnect, TimeoutError) as error:
        if came is not None:
            with suppress(Refusal):  # else it is given up in ten minutes
                await send(upload.give_back, came)
        if isinstance(error, TimeoutError):
            raise TooSlow(f"The file has to arrive within {seconds:g} seconds.") from error
        raise
    if came is None and upload.required:
        raise _missing(upload.field, "it is empty" if reading.found else "it is not there")
    file = None if came is None else Uploaded(id=came.id, parts=parts, size=reading.size)
    return Form(fields, file, reading.digest())


async def _let_come(request: HttpRequest, *, most: int) -> None:
    """Read what is still sent, and forget it: while it comes, for some seconds, and up to `most` bytes."""
    came, until = 0, time.monotonic() + LINGER
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was read to its end
        async with asyncio.timeout(SILENCE) as patience:
            async for chunk in request.stream():
                came += len(chunk)
                now = time.monotonic()
                if came > most or now > until:
                    return
                patience.reschedule(asyncio.get_running_loop().time() + SILENCE)


class _Reading:
    """A form as it comes: its fields whole, its file until somebody takes it."""

    def __init__(self, file: str, boundary: bytes, *, most: int, secret: bytes) -> None:
        self._file = file
        self._most = most
        self._fields: dict[str, list[bytearray]] = {}
        self._waiting = bytearray()
        self._headers: dict[str, str] = {}
        self._header = bytearray()
        self._value = bytearray()
        self._name = ""
        self._beside = self._came = 0
        self._ended = False
        self._digest = blake2b(key=secret[:64], digest_size=32)
        self.found = False
        self.size = 0
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._headers_end,
                    "on_part_data": self._data,
                    "on_end": self._over,
                },
            )
        except FormParserError as error:
            raise BadRequest(f"The form's boundary cannot be used: {error}.") from error

    def feed(self, chunk: bytes) -> None:
        if not chunk:
            return
        self._came += len(chunk)
        if self._came > self._most + BESIDE:  # also what comes before and after the form
            raise TooLarge(f"A file may have {self._most} bytes.")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest(f"The form cannot be read: {error}.") from error

    def end(self) -> None:
        """All has come. `BadRequest` if the form is not at its end."""
        if not self._ended:
            raise BadRequest("The form ends before its last boundary.")

    @property
    def waiting(self) -> int:
        """How many bytes of the file wait to be taken."""
        return len(self._waiting)

    def take(self) -> bytes:
        """The next part of the file."""
        part = bytes(self._waiting[:PART])
        del self._waiting[:PART]
        return part

    def text(self) -> dict[str, list[str]]:
        """The fields beside the file, each with all that came under its name."""
        found = {}
        for name, values in self._fields.items():
            try:
                found[name] = [value.decode() for value in values]
            except UnicodeDecodeError as error:
                raise Invalid("The form is not valid.", errors=(FieldError(f"/{name}", "not UTF-8"),)) from error
        return found

    def digest(self) -> bytes:
        for name, values in sorted(self._fields.items()):
            for value in values:
                self._digest.update(b"%d %b %d %b" % (len(name), name.encode(), len(value), bytes(value)))
        return self._digest.digest()

    def _part_begins(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._count(end - start)
        self._value += data[start:end]

    def _header_ends(self) -> None:
        self._headers[self._header.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._header.clear()
        self._value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition"))
        # What the file is called is of no interest, and is not kept: its key is made here.
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name == self._file:
            if self.found:
                raise _missing(self._file, "it came twice; send one file")
            self.found = True
        elif b"filename" in options:
            raise Invalid(
                "The form has a file that is not asked for.",
                errors=(FieldError(f"/{self._name[:100]}", f"The file goes into the field {self._file}."),),
            )
        else:
            self._count(len(self._name) + FIELD)
            self._fields.setdefault(self._name, []).append(bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name != self._file:
            self._count(end - start)
            self._fields[self._name][-1] += data[start:end]
            return
        self.size += end - start
        if self.size > self._most:
            raise TooLarge(f"A file may have {self._most} bytes.")
        self._digest.update(data[start:end])
        self._waiting += data[start:end]

    def _over(self) -> None:
        self._ended = True

    def _count(self, size: int) -> None:
        self._beside += size
        if self._beside > BESIDE:
            raise TooLarge(f"The fields of a form may have {BESIDE} bytes.")


def _missing(field: str, why: str) -> Invalid:
    return Invalid("The form needs a file.", errors=(FieldError(f"/{field}", why),))
