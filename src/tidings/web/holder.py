"""What the pages hold."""

from __future__ import annotations

from dataclasses import dataclass

from tidings.platform.world import World


@dataclass(frozen=True, slots=True)
class Web:
    """`secret` keys digests of what was asked under an Idempotency-Key. `open_sign_up`: no invite is needed."""

    world: World
    secret: bytes
    open_sign_up: bool
    max_upload: int  # bytes
