"""Passwords: hashed with Argon2id (RFC 9106) in a bounded pool of threads, and refused when attackers know them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from secrets import token_urlsafe
from typing import Final, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from tidings.platform.contract import Busy

Result = TypeVar("Result")

MOST_WAITING: Final = 100
LONGEST_TRIMMING: Final = 5  # `dragon2024!` is `dragon`, `dragon and eight more` is not
KEYBOARD: Final = (
    "qwertyuiopasdfghjklzxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "qwertzuiopasdfghjklyxcvbnm",
    "1234567890",
)
UNLEET: Final = str.maketrans("@4301$5!7", "aaeolssit")

WEAK: Final = frozenset(Path(__file__).with_name("weak_passwords.txt").read_text(encoding="utf-8").split())


class Passwords:
    """Hashes and verifies. At most `threads` at once, and `MOST_WAITING` in the queue."""

    def __init__(self, *, memory_kib: int, time: int, threads: int) -> None:
        self._hasher = PasswordHasher(time_cost=time, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._nobody = self._hasher.hash(token_urlsafe())
        self._waiting = 0

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    async def hash(self, password: str) -> str:
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether they fit. Without a hash it takes as long, and they do not."""
        fits = await self._run(lambda: self._fits(password_hash or self._nobody, password))
        return fits and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _fits(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= MOST_WAITING:
            raise Busy("Too many people are signing in at this moment. Try again.", retry_after=1, service="users")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def is_weak(password: str, *own: str) -> bool:
    """Whether attackers try it early: in a list, or `own` (handle, name), or a run, or a repetition."""
    plain = password.casefold().replace(" ", "")
    trimmed = _trimmed(plain)
    forms = {plain, trimmed, plain.translate(UNLEET), trimmed.translate(UNLEET)}
    forms |= {form[::-1] for form in forms}
    names = {name.casefold().replace(" ", "") for name in own}
    return any(form in WEAK or form in names or _is_run(form) or _is_repetition(form) for form in forms)


def _trimmed(text: str) -> str:
    """Without the few digits and signs that people put before or behind a word to pass a rule."""
    core, budget = text, LONGEST_TRIMMING
    while budget and core and not core[-1].isalpha():
        core, budget = core[:-1], budget - 1
    while budget and core and not core[0].isalpha():
        core, budget = core[1:], budget - 1
    return core if len(core) >= 4 else text


def _is_run(text: str) -> bool:
    steps = {ord(b) - ord(a) for a, b in pairwise(text)}
    return steps in ({1}, {-1}) or any(text in keys * 3 for keys in KEYBOARD)


def _is_repetition(text: str) -> bool:
    if len(set(text)) <= 2:
        return True
    return any(text == (text[:unit] * len(text))[: len(text)] for unit in range(1, min(4, len(text) // 2) + 1))
