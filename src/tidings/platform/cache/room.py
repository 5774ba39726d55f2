"""Bytes that several share: each has its part of them, and more while the others leave theirs."""

from __future__ import annotations

from typing import Protocol


class Tenant(Protocol):
    """One of those who share."""

    @property
    def size(self) -> int:
        """Bytes that it takes now."""
        ...

    def shrink(self) -> None:
        """Let go of what was used least of late. It is asked only while it takes something."""
        ...


class Room:
    """So many bytes for all who come in; whoever has more than their part gives way to who has less."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_ample = True  # nothing has to go for long, as of when somebody came to take more
        self._tenants: list[Tenant] = []

    def enter(self, tenant: Tenant) -> None:
        self._tenants.append(tenant)

    @property
    def part(self) -> int:
        """What each has for itself, whatever the others do."""
        return self.size // max(1, len(self._tenants))

    @property
    def taken(self) -> int:
        return sum([tenant.size for tenant in self._tenants])

    def settle(self) -> None:
        """Take back what is too much, from who has most."""
        taken = self.taken
        self.is_ample = taken * 2 < self.size
        over = taken - self.size
        while over > 0:
            largest = max(self._tenants, key=_size)
            before = largest.size
            largest.shrink()
            over -= before - largest.size


def _size(tenant: Tenant) -> int:
    return tenant.size
